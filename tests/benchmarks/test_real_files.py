"""Networks of real numbers as arrays: what comes back is what went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import scripts  # noqa: F401  (benchmarks are on the path then)
from convexon.snn.convolution import Convolution, Windows
from convexon.snn.models.real import RealLayer, RealNetwork, scores, stack_spikes
from convexon.snn.neuron import Reset

from real_files import arrays_of, network_of, read_arrays  # isort: skip


def test_a_network_comes_back_from_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    windows = Windows(shape=(1, 4, 4), stride=(2, 2))
    first = RealLayer(
        name="image",
        weights=Convolution(rng.normal(size=(2, 1, 2, 2)), windows),
        biases=rng.normal(size=8),
        leak=np.ones(8),
        thresholds=np.ones(8),
        reset=Reset.ZERO,
        strict=False,
    )
    second = RealLayer(
        name="all",
        weights=rng.normal(size=(8, 3)),
        biases=np.zeros(3),
        leak=np.full(3, 0.5),
        thresholds=np.ones(3),
        late=True,
        lateral=rng.normal(size=(3, 3)),
    )
    network = RealNetwork(
        layers=(first, second), readout_weights=np.eye(3), readout_biases=np.ones(3), origin="here"
    )
    np.savez(tmp_path / "net.npz", **arrays_of(network))
    found = network_of(read_arrays(tmp_path / "net.npz"))
    inputs = rng.random((5, 6, 16))
    wanted = stack_spikes(network.layers, inputs)
    for ours, theirs in zip(stack_spikes(found.layers, inputs), wanted, strict=True):
        assert theirs.any()
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(scores(found, wanted[-1]), scores(network, wanted[-1]))
    assert (found.origin, found.layers[1].late) == ("here", True)
    assert isinstance(found.layers[0].weights, Convolution)
