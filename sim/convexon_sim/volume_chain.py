"""``convexon verify --volume``: all samples of a run folder through `convexon_sim.volume`."""

from __future__ import annotations

import numpy as np

from convexon import simulate
from convexon.chain.emitted import emitted
from convexon.chain.progress import QUIET, Progress
from convexon.chain.stimulus import stimulus_of
from convexon.run import RunFolder
from convexon.simulator import SimulatorKind, find
from convexon_sim.chain import schedule_of
from convexon_sim.volume import VolumeResult, run_volume


def volume_stage(folder: RunFolder, *, progress: Progress = QUIET) -> VolumeResult:
    """Run the training and then the test samples, and compare everything.

    Expectations come from `convexon.simulate`, which equals the golden model and is faster.

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
