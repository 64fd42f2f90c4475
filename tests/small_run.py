"""A run folder with a small network: enough of it for a build, and test samples to send."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convexon.data.dataset import DATASET, SpikeDataset
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.run import Run
from convexon.plan.mapping import MAPPING, Mapping
from convexon.snn.card import CARD
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.store.artefact import save

N_INPUTS = 6
N_STEPS = 4


def small_network(
    mode: ReadoutMode = ReadoutMode.COUNT,
    *,
    n_steps: int = N_STEPS,
    n_inputs: int = N_INPUTS,
    n_neurons: int = 5,
    input_bits: int = 1,
    seed: int = 2,
) -> FixedPointNetwork:
    """One layer, and three classes."""
    rng = np.random.default_rng(seed)
    layer = Layer(
        weights=rng.integers(-7, 8, (n_inputs, n_neurons)),
        thresholds=np.full(n_neurons, 6),
        biases=np.zeros(n_neurons, dtype=int),
        leak=Leak(1, 2),
        reset=Reset.SUBTRACT,
        weight_format=QFormat(4),
        threshold_format=QFormat(5),
    )
    return FixedPointNetwork(
        branches=(Branch((layer,)),),
        n_steps=n_steps,
        input_bits=input_bits,
        readout_mode=mode,
        readout_weights=rng.integers(-7, 8, (n_neurons, 3)),
        readout_biases=np.array([1, 0, -1]),
        readout_format=QFormat(4),
        bias_format=QFormat(4),
    )


def small_run(
    folder: Path,
    network: FixedPointNetwork | None = None,
    mapping: Mapping | None = None,
    *,
    samples: int = 12,
) -> Run:
    """Write card, mapping, samples and bundle into ``folder``."""
    network = small_network() if network is None else network
    run = Run(folder)
    digest = save(CARD, network, run.file("card")).digest
    if mapping is not None:
        save(MAPPING, mapping, run.file("mapping"), parents={"card": digest})
    rng = np.random.default_rng(5)
    for name in ("train", "test"):
        inputs = rng.integers(0, 2, (samples, network.n_steps, N_INPUTS)).astype(np.uint8)
        labels = np.arange(samples) % 3
        if network.readout_mode is ReadoutMode.STEP:
            labels = np.repeat(labels[:, None], network.n_steps, axis=1)
        dataset = SpikeDataset(inputs=inputs, labels=labels, n_classes=3, input_bits=1, name=name)
        save(DATASET, dataset, run.file(name))
    emit_stage(run)
    return run
