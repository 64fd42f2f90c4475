"""Stage ``verify``: the emitted bundle against the golden model, in one simulator."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from convexon import golden
from convexon.card import CARD
from convexon.chain.progress import QUIET, Progress
from convexon.chain.settings import choice
from convexon.dataset import DATASET, SpikeDataset
from convexon.errors import ArtefactError, MismatchError, MissingToolError
from convexon.mapping import Mapping
from convexon.network import FixedPointNetwork
from convexon.run import Made, RunFolder
from convexon.schedule import Schedule
from convexon.simulator import SimulatorKind, find
from convexon.trace import TRACE, SpikeTrace
from convexon.verification import VERIFICATION, Verification
from convexon_sim.job import SMOOTH, Traffic
from convexon_sim.runner import simulate


@dataclass(frozen=True, eq=False, kw_only=True)
class VerifyResult:
    """What the stage found."""

    verification: Made[Verification]

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


def _count(verification: Verification) -> str:
    return f"{verification.mismatches} of {verification.inferences}"


def golden_trace(
    folder: RunFolder, progress: Progress = QUIET
) -> tuple[Made[FixedPointNetwork], Made[SpikeDataset], Made[SpikeTrace]]:
    """Make the golden model's trace of the test samples; returns card, samples and trace."""
    card = folder.read("card", CARD)
    test = folder.read("test", DATASET)
    progress.begin("running the golden model")
    trace = folder.made(
        "golden",
        TRACE,
        lambda: golden.run(card.value, test.value.inputs),
        parents={"card": card, "test": test},
    )
    return card, test, trace


def verify_stage(
    folder: RunFolder,
    kind: SimulatorKind,
    *,
    traffic: Traffic = SMOOTH,
    progress: Progress = QUIET,
) -> VerifyResult:
    """Simulate all test samples and compare spikes, membranes, scores, labels and cycles exactly.

    A verdict with mismatches is kept as an artefact like any other; `require_equal` turns it into
    an error.

    Raises
    ------
    ToolError
        If the simulator is missing, too old, or fails.
    ArtefactError
        If the folder lacks a card, test samples or a bundle, or the bundle is of another card.
    """
    simulator = find(kind)
    of_card = folder.read("card", CARD).record.digest
    bundle = folder.bundle()
    if bundle.record.parents.get("card") != of_card:  # found before the golden model's long run
        raise ArtefactError(
            f"{folder.rtl} is of another card than {folder.file('card')}: emit again"
        )
    card, test, trace = golden_trace(folder, progress)
    schedule = Schedule.of(card.value, Mapping.spatial(card.value))

    def compute() -> Verification:
        began = time.monotonic()
        progress.begin(f"compiling and running {kind.value}")
        result = simulate(
            bundle.value,
            simulator,
            inputs=test.value.inputs,
            expected=trace.value,
            schedule=schedule,
            traffic=traffic,
        )
        folder.time(f"verify.{kind.value}", time.monotonic() - began)
        return result

    verification = folder.made(
        f"verify-{kind.value}",
        VERIFICATION,
        compute,
        parents={"rtl": bundle, "test": test, "golden": trace},
        recipe={"traffic": traffic.to_json(), "version": simulator.version},
    )
    return VerifyResult(verification=verification)


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
    find(SimulatorKind.VERILATOR)
    kinds = [SimulatorKind.VERILATOR]
    try:
        find(SimulatorKind.ICARUS)
    except MissingToolError:
        return kinds
    return [*kinds, SimulatorKind.ICARUS]


def require_equal(result: VerifyResult) -> None:
    """Raise `MismatchError` unless every sample was compared and every comparison was equal."""
    verification = result.verification.value
    if not verification.finished:
        raise MismatchError(f"{verification.simulator} did not finish: {verification.first}")
    if not verification.passed:
        raise MismatchError(
            f"{verification.simulator}: {_count(verification)} inferences differ; "
            f"first {verification.first}"
        )
