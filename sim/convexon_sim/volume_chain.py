"""``convexon verify --volume``: all samples of a run folder through `convexon_sim.volume`."""

from __future__ import annotations

import numpy as np

from convexon import simulate
from convexon.chain.progress import QUIET, Progress
from convexon.dataset import DATASET
from convexon.run import RunFolder
from convexon.simulator import SimulatorKind, find
from convexon_sim.chain import emitted, schedule_of
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
    parts = [folder.read(name, DATASET).value.inputs for name in ("train", "test")]
    inputs = np.concatenate(parts)
    progress.begin("running the model")
    expected = simulate.run(card.value, inputs)
    cycles = schedule_of(card, mapping).cycles(inputs, expected)
    progress.begin("compiling and running verilator")
    return run_volume(bundle.value, simulator, inputs=inputs, expected=expected, cycles=cycles)
