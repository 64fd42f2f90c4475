"""Linear modules and nodes in a row: one map, and a convolution as long as it is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

import convexon as cx
from convexon.interop.nir import from_nir, read_nir
from convexon.interop.pytorch.modules import from_torch
from convexon.quantizer.hidden import Calibration, quantize_network
from convexon.quantizer.settings import HiddenSettings, Rounding
from convexon.snn.convolution import Convolution, IntegerConvolution, Windows
from convexon.snn.fixed import Interval
from convexon.snn.models.real import RealLayer, layer_spikes
from convexon.snn.models.simulate import layer_spikes as integer_spikes
from nir_graphs import graph_of, lif

IMAGE = (2, 8, 6)


class LIFNode(nn.Module):
    """What SpikingJelly calls so: to zero, >=."""

    __module__ = "spikingjelly.activation_based.neuron"
    tau, v_threshold, v_reset, decay_input, step_mode = 2.0, 1.0, 0.0, True, "s"

    def forward(self, x: Any) -> Any:
        return (x > 0).to(x.dtype)


def normalised() -> nn.BatchNorm2d:
    """BatchNorm with statistics."""
    norm = nn.BatchNorm2d(4)
    torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    torch.nn.init.uniform_(norm.bias)
    norm.running_mean = torch.linspace(-1, 1, 4)
    norm.running_var = torch.linspace(0.5, 2, 4)
    return norm


ROWS: dict[str, tuple[list[nn.Module], tuple[int, ...] | None]] = {
    "convolution": ([nn.Conv2d(2, 4, 3, stride=2, padding=1)], (4, 2, 3, 3)),
    "in groups": ([nn.Conv2d(2, 4, (3, 1), groups=2, dilation=(2, 1))], (4, 1, 3, 1)),
    "same": ([nn.Conv2d(2, 4, (3, 1), padding="same")], (4, 2, 3, 1)),
    "normalised": ([nn.Conv2d(2, 4, 3), normalised(), nn.Dropout()], (4, 2, 3, 3)),
    "pooled after": ([nn.Conv2d(2, 4, 3, dilation=2), nn.AvgPool2d(2)], (4, 2, 6, 6)),
    "pooled before": ([nn.AvgPool2d(2), nn.Conv2d(2, 4, 3, padding=1)], (4, 2, 3, 3)),
    "sums before": ([nn.LPPool2d(1, 2), nn.Conv2d(2, 4, 3)], (4, 2, 3, 3)),
    "pooled alone": ([nn.AvgPool2d(2, 2)], (2, 1, 1, 1)),
    "cells that overlap": ([nn.AvgPool2d(3, 2, 1)], (2, 1, 3, 3)),
    "pooled twice, then dense": (
        [nn.AvgPool2d(2), nn.AvgPool2d((2, 1)), nn.Flatten(), nn.Linear(12, 5)],
        (5, 2, 2, 3),
    ),
    # These are no convolutions.
    "dense": ([nn.Flatten(), nn.Linear(96, 5)], None),
    "dense after a convolution": ([nn.Conv2d(2, 1, 3), nn.Flatten(), nn.Linear(24, 5)], None),
    "two in a row": ([nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)], None),
    "padding between": ([nn.Conv2d(2, 4, 3), nn.AvgPool2d(2, 2, 1)], None),
    "reflected": ([nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")], None),
}


@pytest.mark.parametrize("name", list(ROWS))
def test_modules_in_a_row_are_one_map(name: str) -> None:
    torch.manual_seed(3)
    modules, kernel = ROWS[name]
    model = nn.Sequential(*modules, LIFNode()).eval()
    images = torch.rand(3, *IMAGE)
    layer = from_torch(model, torch.rand(1, *IMAGE)).layers[0]
    with torch.no_grad():
        expected = nn.Sequential(*modules).eval()(images).reshape(3, -1).numpy() / 2
    found = images.reshape(3, -1).numpy() @ layer.weights + layer.biases
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    if kernel is None:
        assert isinstance(layer.weights, np.ndarray)
    else:
        assert isinstance(layer.weights, Convolution)
        assert layer.weights.kernel.shape == kernel


def test_signals_keep_their_windows_too() -> None:
    model = nn.Sequential(nn.AvgPool1d(2), nn.Conv1d(3, 4, 3, stride=2, padding=1), LIFNode())
    layer = from_torch(model, torch.rand(1, 3, 12)).layers[0]
    assert isinstance(layer.weights, Convolution)
    assert layer.weights.shape == (4, 1, 3)
    signal = torch.rand(2, 3, 12)
    with torch.no_grad():
        expected = model[:-1](signal).reshape(2, -1).numpy() / 2
    found = signal.reshape(2, -1).numpy() @ layer.weights + layer.biases
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_edges_that_meet_are_added() -> None:
    rng = np.random.default_rng(0)

    def conv(size: int) -> nir.Conv2d:
        weight = rng.normal(0, 1, (3, 2, size, size)).astype("f")
        return nir.Conv2d((5, 5), weight, 1, size // 2, 1, 1, np.zeros(3, "f"))

    def graph(other: int) -> nir.NIRGraph:
        nodes = {
            "input": nir.Input({"input": np.array([2, 5, 5])}),
            "a": conv(3),
            "b": conv(other),
            "n": nir.IF(*(np.ones((3, 5, 5)),) * 2),
            "output": nir.Output({"output": np.array([3, 5, 5])}),
        }
        edges = [("input", "a"), ("input", "b"), ("a", "n"), ("b", "n"), ("n", "output")]
        return nir.NIRGraph(nodes, edges)

    images = rng.normal(0, 1, (2, 50)).astype("f")
    for other, kept in ((3, True), (1, False)):
        stated = graph(other)
        layer = from_nir(stated, dt=1.0).layers[0]
        assert isinstance(layer.weights, Convolution) is kept
        weights = [torch.tensor(stated.nodes[each].weight) for each in "ab"]
        given = torch.tensor(images).reshape(2, 2, 5, 5)
        expected = sum(
            torch.nn.functional.conv2d(given, each, padding=each.shape[-1] // 2) for each in weights
        )
        found = images @ layer.weights
        np.testing.assert_allclose(found, expected.reshape(2, -1).numpy(), rtol=1e-4, atol=1e-5)


def test_neurons_that_scale_what_comes_in_keep_windows_only_channel_by_channel() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (2, 1, 3, 3)).astype("f")
    conv = nir.Conv2d((4, 4), weight, 1, 0, 1, 1, np.zeros(2, "f"))
    for r, kept in ((np.repeat([10.0, 20.0], 4), True), (np.linspace(5, 9, 8), False)):
        tau = np.full((2, 2, 2), 1e-2)
        node = nir.LIF(tau, r.reshape(2, 2, 2), np.zeros((2, 2, 2)), np.ones((2, 2, 2)))
        layer = from_nir(graph_of(conv, node, shape=(1, 4, 4)), dt=1e-3).layers[0]
        assert isinstance(layer.weights, Convolution) is kept
        image = np.ones((1, 16), "f")
        expected = np.repeat(weight.sum(axis=(1, 2, 3)), 4) * r / 10
        np.testing.assert_allclose((image @ layer.weights)[0], expected, rtol=1e-4)


def test_neurons_that_read_themselves_have_a_matrix() -> None:
    own = Convolution(np.ones((2, 1, 3, 3), "f"), Windows(shape=(1, 4, 4)))
    members = {"name": "n", "biases": np.zeros(8), "leak": np.ones(8), "thresholds": np.ones(8)}
    layer = RealLayer(weights=own, **members, lateral=np.eye(8))
    assert np.array_equal(layer.weights, own.unrolled())
    assert RealLayer(weights=own, **members, late=True).weights is own


def test_a_dense_graph_on_an_image_stays_dense() -> None:
    flat = nir.Flatten({"input": np.array([1, 3, 3])}, 0, -1)
    fc = nir.Linear(np.ones((4, 9), "f"))
    layer = from_nir(graph_of(flat, fc, lif(4), shape=(1, 3, 3)), dt=1e-3).layers[0]
    assert isinstance(layer.weights, np.ndarray)


def test_a_network_of_neuromorphic_digits_keeps_its_structure(mnist: Path) -> None:
    real = read_nir(mnist / "nir" / "cnn_sinabs.nir", dt=1.0)
    shapes = [
        each.weights.kernel.shape if isinstance(each.weights, Convolution) else each.weights.shape
        for each in real.layers
    ]
    assert shapes == [(16, 2, 5, 5), (16, 16, 3, 3), (8, 16, 3, 3), (256, 8, 4, 4), (256, 10)]
    assert [each.n_neurons for each in real.layers] == [4096, 4096, 512, 256, 10]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("name", ["pooled before", "in groups"])
def test_the_kernel_is_rounded_once(rounding: Rounding, name: str) -> None:
    torch.manual_seed(5)
    modules, _ = ROWS[name]
    node = LIFNode()
    node.v_threshold = 0.05
    real = from_torch(nn.Sequential(*modules, node), torch.rand(1, *IMAGE))
    inputs = (np.random.default_rng(1).random((20, 6, 96)) < 0.4).astype(np.uint8)
    calibration = Calibration(inputs=inputs, bits=1, scale=np.ones(96), offset=np.zeros(96))
    settings = HiddenSettings(bits=(8,), rounding=rounding, least_rate=0.0)
    (layer,) = quantize_network(real, calibration, settings).card.branches[0].layers
    assert isinstance(layer.weights, IntegerConvolution)
    guard = 1 << settings.guard_bits
    assert not (layer.stored % guard).any()
    assert 64 <= np.abs(layer.stored).max() // guard <= 127
    of_channels = layer.thresholds.reshape(len(layer.stored), -1)
    assert (of_channels == of_channels[:, :1]).all()
    spikes = integer_spikes(layer, inputs, Interval(0, 1))
    target = layer_spikes(real.layers[0], inputs.astype("f"))[0]
    assert (spikes != target).mean() < 0.02 < target.mean()


def test_pixels_of_a_channel_have_one_range_and_windows_stay() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), LIFNode(), nn.Flatten(), nn.Linear(32, 2))
    images = np.random.default_rng(0).random((12, 1, 4, 4)).astype("f") * np.linspace(1, 3, 4)
    net = cx.from_torch(model, torch.as_tensor(images[:1], dtype=torch.float32))
    found = cx.quantize(net, calibrate=images.reshape(12, 16), steps=4, bits=6)
    layer = found.network.card.branches[0].layers[0]
    assert isinstance(layer.weights, IntegerConvolution)
    interface = found.network.interface
    assert interface.low is not None
    assert len(set(interface.low.tolist())) == 1
