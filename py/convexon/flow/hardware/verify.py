"""The emitted bundle against the golden model, in one simulator; or all samples, in volume."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from convexon.errors import MismatchError, MissingToolError
from convexon.flow.hardware.emit import Design, emitted
from convexon.flow.hardware.stimulus import Stimulus, stimulus_of
from convexon.flow.run import Made, Run
from convexon.plan.image import image_where_loaded
from convexon.progress import QUIET, Progress
from convexon.settings import choice
from convexon.snn.decision import decided_trace
from convexon.snn.models import golden, simulate
from convexon.snn.models.divergence import Divergence, first_divergence
from convexon.snn.models.trace import TRACE, SpikeTrace
from convexon.store.codec import to_json
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.judge import observe
from convexon_sim.programs.volume import run_volume
from convexon_sim.simulator import SimulatorKind, find, ready
from convexon_sim.trial import Observation, Trial
from convexon_sim.verification import VERIFICATION, Verification


@dataclass(frozen=True, eq=False, kw_only=True)
class VerifyResult:
    """What the stage found.

    Members
    -------
    verification : Made of Verification
    expected, actual : SpikeTrace
        The golden model's trace of all samples, and the hardware's of those that came out whole.
    """

    verification: Made[Verification]
    expected: SpikeTrace
    actual: SpikeTrace

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        v = self.verification.value
        verdict = "all equal" if v.passed else f"{_count(v)} differ: first {v.first}"
        if not v.finished:
            differ = f", and {_count(v)} differ" if v.mismatches else ""
            verdict = f"did not finish{differ}: {v.first}"
        ran = f"{v.inferences} inferences, {v.clocks} clocks"
        return f"verify: {v.simulator} {v.version}, {ran}, {verdict}"

    def raise_if_different(self) -> None:
        """Raise `MismatchError` unless every sample was compared, and everything was equal."""
        found = self.verification.value
        if not found.finished:
            raise MismatchError(f"{found.simulator} did not finish: {found.first}")
        if not found.passed:
            raise MismatchError(
                f"{found.simulator}: {_count(found)} inferences differ; first {found.first}"
            )

    @property
    def divergence(self) -> Divergence | None:
        """The first spike that differs, in the samples that came out whole; None if none does."""
        return first_divergence(self.expected.head(self.actual.n_samples), self.actual)

    @property
    def divergence_lines(self) -> list[str]:
        """What ``convexon verify --first-divergence`` prints."""
        v, found = self.verification.value, self.divergence
        head = f"first divergence, {v.simulator}:"
        if found is not None:
            return [f"{head} {found}", *(f"  {line}" for line in found.history)]
        if v.passed:
            return [f"{head} none, all spikes of {v.inferences} inferences are equal"]
        return [f"{head} no spike of {v.inferences} whole inferences differs; first {v.first}"]


def _count(verification: Verification) -> str:
    return f"{verification.mismatches} of {verification.inferences}"


def golden_trace(
    folder: Run, design: Design, progress: Progress = QUIET
) -> tuple[Stimulus, Made[SpikeTrace]]:
    """Make the golden model's trace of the test samples, under the mapping's encoder and rule."""
    mapping = design.mapping
    stimulus = stimulus_of(folder, mapping)
    matters = mapping.encoder is not None or mapping.decision.is_early
    origins = design.parents if matters else {"card": design.card}
    progress.begin("running the golden model")
    trace = folder.made(
        "golden",
        TRACE,
        lambda: decided_trace(
            mapping.decision, design.network, golden.run(design.network, stimulus.inputs)
        ),
        parents={**origins, **stimulus.origins},
    )
    return stimulus, trace


def verify_stage(
    folder: Run,
    kind: SimulatorKind,
    *,
    traffic: Traffic = SMOOTH,
    progress: Progress = QUIET,
) -> VerifyResult:
    """Simulate all test samples and compare spikes, membranes, scores, labels and cycles exactly.

    A verdict with mismatches is kept as an artefact like any other, with the trace of the hardware
    beside it; `VerifyResult.raise_if_different` makes an error of it.

    Raises
    ------
    ToolError
        If the simulator is missing, too old, or fails.
    ArtefactError
        If the folder lacks a card, test samples or a bundle, or the bundle is of another card.
    """
    simulator = ready(kind)
    design, bundle = emitted(folder)  # before the golden model's long run
    stimulus, trace = golden_trace(folder, design, progress)

    @cache
    def observation() -> Observation:
        began = time.monotonic()
        progress.begin(f"compiling and running {kind.value}")
        cycles = design.schedule.cycles(stimulus.inputs, trace.value)
        trial = Trial(
            bundle=bundle.value,
            inputs=stimulus.transfers,
            expected=trace.value,
            cycles=cycles,
            traffic=traffic,
            image=image_where_loaded(design.network, design.mapping),
        )
        result = observe(trial, simulator)
        folder.time(f"verify.{kind.value}", time.monotonic() - began)
        return result

    origins: dict[str, Made[Any]] = {"rtl": bundle, **stimulus.origins, "golden": trace}
    recipe = {"traffic": to_json(traffic), "version": simulator.version}
    verification = folder.made(
        f"verify-{kind.value}",
        VERIFICATION,
        lambda: observation().verification,
        parents=origins,
        recipe=recipe,
    )
    actual = folder.made(
        f"trace-{kind.value}",
        TRACE,
        lambda: observation().actual,
        parents=origins,
        recipe=recipe,
    )
    return VerifyResult(verification=verification, expected=trace.value, actual=actual.value)


def chosen_simulators(names: Sequence[str] | None) -> list[SimulatorKind]:
    """Return the named simulators, by default Verilator, and Icarus where it is installed.

    Raises
    ------
    InputError
        If a name is not a simulator's.
    ToolError
        If none was named, and Verilator is missing, or either is too old or cannot be run.
    """
    if names:
        return [choice(SimulatorKind, name, "simulator") for name in names]
    ready(SimulatorKind.VERILATOR)
    kinds = [SimulatorKind.VERILATOR]
    try:
        find(SimulatorKind.ICARUS)
    except MissingToolError:
        return kinds
    return [*kinds, SimulatorKind.ICARUS]


@dataclass(frozen=True, kw_only=True)
class VolumeResult:
    """What a volume run found, and the seconds that its clocks took."""

    verification: Verification
    seconds: float

    @property
    def inferences_per_second(self) -> float:
        """Inferences per second of the simulation, without compiling and loading."""
        return self.verification.inferences / self.seconds

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        v = self.verification
        verdict = "all equal" if v.passed else f"{v.mismatches} differ: {v.first}"
        return (
            f"verify: volume, {v.inferences} inferences, {v.clocks} clocks, "
            f"{self.inferences_per_second:.0f} inferences a second, {verdict}"
        )

    def raise_if_different(self) -> None:
        """Raise `MismatchError` unless every comparison was equal."""
        v = self.verification
        if not v.passed:
            raise MismatchError(f"volume: {v.mismatches} inferences differ; first {v.first}")


def volume_stage(folder: Run, *, progress: Progress = QUIET) -> VolumeResult:
    """Run the training and then the test samples, and compare everything.

    Expectations come from the vectorised model, which equals the golden one and is faster.

    Raises
    ------
    ToolError
        If Verilator is missing, too old, or fails.
    ArtefactError
        If the folder lacks a card, samples or a bundle, or the bundle is of another card.
    """
    simulator = ready(SimulatorKind.VERILATOR)
    design, bundle = emitted(folder)
    network, schedule = design.network, design.schedule
    parts = [stimulus_of(folder, schedule.mapping, name) for name in ("train", "test")]
    inputs = np.concatenate([part.inputs for part in parts])
    transfers = np.concatenate([part.transfers for part in parts])
    progress.begin("running the model")
    trace = simulate.run(network, inputs)
    expected = decided_trace(schedule.mapping.decision, network, trace)
    trial = Trial(
        bundle=bundle.value,
        inputs=transfers,
        expected=expected,
        cycles=schedule.cycles(inputs, expected),
        image=image_where_loaded(network, schedule.mapping),
    )
    progress.begin("compiling and running verilator")
    seen = run_volume(trial, simulator)
    return VolumeResult(verification=seen.verification, seconds=seen.seconds)
