"""``convexon verify --volume``: all samples of a run folder, with no Python within a clock."""

from __future__ import annotations

import numpy as np

from convexon.flow.emitted import emitted
from convexon.flow.run import Run
from convexon.flow.stimulus import stimulus_of
from convexon.flow.verify import schedule_of
from convexon.progress import QUIET, Progress
from convexon.snn import simulate
from convexon_sim.programs.volume import VolumeResult, run_volume
from convexon_sim.simulator import SimulatorKind, find


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
    card, bundle, mapping = emitted(folder)
    schedule = schedule_of(card, mapping)
    parts = [stimulus_of(folder, schedule.mapping, name) for name in ("train", "test")]
    inputs = np.concatenate([part.inputs for part in parts])
    transfers = np.concatenate([part.transfers for part in parts])
    progress.begin("running the model")
    expected = simulate.run(card.value, inputs)
    cycles = schedule.cycles(inputs, expected)
    progress.begin("compiling and running verilator")
    return run_volume(bundle.value, simulator, inputs=transfers, expected=expected, cycles=cycles)
