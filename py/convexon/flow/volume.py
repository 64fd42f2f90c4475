"""``convexon verify --volume``: all samples of a run folder, with no Python within a clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.errors import MismatchError
from convexon.flow.emit import emitted
from convexon.flow.run import Run
from convexon.flow.stimulus import stimulus_of
from convexon.plan.image import image_where_loaded
from convexon.progress import QUIET, Progress
from convexon.snn import simulate
from convexon.snn.decision import decided_trace
from convexon_sim.programs.volume import run_volume
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Trial
from convexon_sim.verification import Verification


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

    def require_equal(self) -> None:
        """Raise `MismatchError` unless every comparison was equal."""
        v = self.verification
        if not v.passed:
            raise MismatchError(f"volume: {v.mismatches} inferences differ; first {v.first}")


def volume_stage(folder: Run, *, progress: Progress = QUIET) -> VolumeResult:
    """Run the training and then the test samples, and compare everything.

    Expectations come from `convexon.snn.simulate`, which equals the golden model and is faster.

    Raises
    ------
    ToolError
        If Verilator is missing, too old, or fails.
    ArtefactError
        If the folder lacks a card, samples or a bundle, or the bundle is of another card.
    """
    simulator = find(SimulatorKind.VERILATOR)
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
