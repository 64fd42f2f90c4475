"""Layers that read others than the one below: spikes are those of the graph, stepped as it stands.

The reference below walks the graph itself, without a row of layers and without relays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import convexon as cx
from convexon.api.accelerator import Accelerator
from convexon.errors import InputError
from convexon.interop.nir import from_nir
from convexon.interop.nir_export import to_nir
from convexon.interop.pytorch.exported import read_exported
from convexon.interop.pytorch.modules import from_torch
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.quantizer.hidden import Calibration, quantize_network
from convexon.quantizer.settings import Grid, HiddenSettings, Rounding
from convexon.snn.convolution import Convolution, IntegerConvolution
from convexon.snn.models import golden
from convexon.snn.models.real import RealNetwork, layer_spikes, scores, stack_spikes
from convexon.snn.models.simulate import run
from nir_graphs import lif
from strategies import equal

Spikes = npt.NDArray[Any]
DT = 1e-3
STEPS = 12


def spikes_of(*shape: int, seed: int = 1) -> Spikes:
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.uint8)


def affine(outputs: int, inputs: int, seed: int) -> nir.Affine:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0.1, 0.6, (outputs, inputs))
    return nir.Affine(weights.astype("f"), rng.normal(0, 0.1, outputs).astype("f"))


def conv(outputs: int, channels: int, size: int, seed: int, **members: Any) -> nir.Conv2d:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0.1, 0.5, (outputs, channels // members.get("groups", 1), size, size))
    stated = {"stride": 1, "padding": size // 2, "dilation": 1, "groups": 1, **members}
    bias = rng.normal(0, 0.1, outputs).astype("f")
    return nir.Conv2d((4, 5), weight.astype("f"), bias=bias, **stated)


def image_lif(*shape: int) -> nir.LIF:
    return nir.LIF(*(np.full(shape, value) for value in (1e-2, 10.0, 0.0, 1.0)))


def graph(nodes: dict[str, Any], *edges: str, given: tuple[int, ...]) -> nir.NIRGraph:
    """Nodes of NIR, and edges as ``a b c``: from a to b and from b to c."""
    pairs = [pair for row in edges for pair in zip(row.split(), row.split()[1:], strict=False)]
    ends = {
        "input": nir.Input({"input": np.array(given)}),
        "output": nir.Output({"output": np.array([1])}),
    }
    return nir.NIRGraph({**ends, **nodes}, pairs, type_check=False)


def applied(node: Any, x: Spikes) -> Spikes:
    """What a linear node makes of (samples, *shape)."""
    if isinstance(node, nir.Flatten):
        return x.reshape(len(x), -1)
    if isinstance(node, nir.Affine):
        return x @ node.weight.T + node.bias
    found = torch.nn.functional.conv2d(
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(node.weight),
        torch.tensor(node.bias),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
    )
    return found.numpy()


def stepped(g: nir.NIRGraph, inputs: Spikes) -> dict[str, Spikes]:
    """Spikes of each LIF of a graph by Euler steps, a step of all nodes at once, from the input."""
    shape = tuple(g.nodes["input"].input_type["input"])
    into = {name: [a for a, b in g.edges if b == name] for name in g.nodes}
    v: dict[str, Any] = {}
    found: dict[str, list[Spikes]] = {}
    for t in range(inputs.shape[1]):
        given = {"input": inputs[:, t].reshape(-1, *shape).astype(np.float32)}

        def value(name: str, given: dict[str, Spikes] = given) -> Spikes:
            if name not in given:
                node, x = g.nodes[name], sum(value(each) for each in into[name])
                if isinstance(node, nir.LIF):
                    share = (DT / node.tau).astype(np.float32)
                    u = (1 - share) * v.get(name, np.float32(0)) + share * node.r.astype("f") * x
                    fired = u > node.v_threshold
                    v[name] = np.where(fired, np.float32(0), u)
                    given[name] = fired.astype(np.float32)
                else:
                    given[name] = applied(node, x)
            return given[name]

        for name, node in g.nodes.items():
            if isinstance(node, nir.LIF):
                found.setdefault(name, []).append(value(name).reshape(len(inputs), -1))
    return {name: np.stack(each, axis=1) for name, each in found.items()}


DENSE = {
    "fc1": affine(6, 5, 1),
    "a": lif(6),
    "fc2": affine(4, 6, 2),
    "b": lif(4),
    "fc3": affine(6, 4, 3),
    "c": lif(6),
    "fc4": affine(3, 6, 4),
    "d": lif(3),
    "skip": affine(3, 6, 12),
}
IMAGES = {
    "fc1": conv(3, 2, 3, 1),
    "a": image_lif(3, 4, 5),
    "fc2": conv(4, 3, 3, 2),
    "b": image_lif(4, 4, 5),
    "fc3": conv(3, 4, 3, 3),
    "c": image_lif(3, 4, 5),
    "fc4": conv(2, 3, 3, 4),
    "d": image_lif(2, 4, 5),
    "skip": conv(2, 3, 1, 5),
    "fold": nir.Flatten({"input": np.array([2, 4, 5])}, 0, -1),
}
ROW = "input fc1 a fc2 b fc3 c fc4 d output"


@dataclass
class Case:
    """A graph, and the neurons with the relays of each layer."""

    graph: nir.NIRGraph
    relays: tuple[int, ...]
    windows: str = ""
    """Layers that stay convolutions, among those of images."""


CASES = {
    "one layer": Case(graph(DENSE, ROW, "b skip2 d", given=(5,)), (0, 0, 4, 0)),
    "two layers": Case(graph(DENSE, ROW, "a skip d", given=(5,)), (0, 6, 6, 0)),
    "sums of spikes": Case(graph(DENSE, ROW, "a fc4", given=(5,)), (0, 6, 6, 0)),
    "the input": Case(graph(DENSE, ROW, "input skip2 d", given=(5,)), (5, 5, 5, 0)),
    "into the readout": Case(graph(DENSE, ROW, "b skip2 output", given=(5,)), (0, 0, 4, 4)),
    "side by side": Case(
        graph(DENSE, "input fc1 a fc2 b output", "a fc2b b2 fc5 output", given=(5,)), (0, 6, 4)
    ),
    "sums of images": Case(graph(IMAGES, ROW, "a fc4", given=(2, 4, 5)), (0, 60, 60, 0), "abcd"),
    "an image, one layer": Case(
        graph({**IMAGES, "up": conv(2, 4, 3, 6, padding=2, dilation=2)}, ROW, "b up d",
              given=(2, 4, 5)),
        (0, 0, 80, 0),
        "abc",
    ),
    "an image, two layers": Case(
        graph(IMAGES, ROW, "a skip d", given=(2, 4, 5)), (0, 60, 60, 0), "abcd"
    ),
    "an image of another size": Case(
        graph(
            {**IMAGES, "fc2": conv(4, 3, 3, 2, stride=2), "b": image_lif(4, 2, 3),
             "up": conv(2, 3, 3, 6, stride=2), "fc3": conv(2, 4, 3, 3), "c": image_lif(2, 2, 3)},
            "input fc1 a fc2 b fc3 c fold output",
            "a up c",
            given=(2, 4, 5),
        ),
        (0, 60, 0),
        "a",
    ),
    "groups": Case(
        graph({**IMAGES, "fc2": conv(3, 3, 3, 2, groups=3), "fc3": conv(3, 3, 3, 3),
               "b": image_lif(3, 4, 5)}, ROW, "a fc4", given=(2, 4, 5)),
        (0, 60, 60, 0),
        "abcd",
    ),
    "an image under a dense layer": Case(
        graph({**IMAGES, "flat": IMAGES["fold"], "fc6": affine(3, 40, 6), "e": lif(3),
               "flat2": nir.Flatten({"input": np.array([3, 4, 5])}, 0, -1),
               "fc7": affine(3, 60, 7)},
              "input fc1 a fc2 b fc3 c fc4 d flat fc6 e output", "c flat2 fc7 e", given=(2, 4, 5)),
        (0, 0, 0, 60, 0),
        "abcd",
    ),
}  # fmt: skip
for each in CASES.values():
    each.graph.nodes.setdefault("skip2", affine(3, 4, 7))
CASES["the input"].graph.nodes["skip2"] = affine(3, 5, 7)
CASES["side by side"].graph.nodes.update(
    {"fc2b": affine(3, 6, 8), "b2": lif(3), "fc5": affine(4, 3, 9)}
)


def unused_left_out(case: Case) -> nir.NIRGraph:
    """Only nodes that edges name."""
    named = {end for edge in case.graph.edges for end in edge}
    kept = {name: node for name, node in case.graph.nodes.items() if name in named}
    return nir.NIRGraph(kept, case.graph.edges, type_check=False)


def read(name: str) -> tuple[nir.NIRGraph, RealNetwork]:
    g = unused_left_out(CASES[name])
    return g, from_nir(g, dt=DT)


@pytest.mark.parametrize("name", CASES)
def test_spikes_are_those_of_the_graph(name: str) -> None:
    g, real = read(name)
    assert tuple(layer.relays for layer in real.layers) == CASES[name].relays
    inputs = spikes_of(5, STEPS, real.n_inputs)
    wanted = stepped(g, inputs)
    found = stack_spikes(real.layers, inputs)
    for layer, spikes in zip(real.layers, found, strict=True):
        own = spikes[..., : layer.n_neurons - layer.relays]
        assert 0.02 < wanted[layer.name].mean() < 0.98
        np.testing.assert_array_equal(own, wanted[layer.name], err_msg=layer.name)
    kept = {each.name for each in real.layers if isinstance(each.weights, Convolution)}
    assert kept == set(CASES[name].windows)


def test_the_readout_weighs_what_skips_into_it() -> None:
    g, real = read("into the readout")
    inputs = spikes_of(5, STEPS, 5)
    wanted = stepped(g, inputs)
    node = g.nodes["skip2"]
    expected = (wanted["d"] + wanted["b"] @ node.weight.T + node.bias).sum(axis=1)
    given = stack_spikes(real.layers, inputs)[-1]
    np.testing.assert_allclose(scores(real, given), expected, rtol=1e-4, atol=1e-4)


QUANTIZED = {
    "4 bits": HiddenSettings(bits=(4,)),
    "4 bits, fed back": HiddenSettings(bits=(4,), rounding=Rounding.FEEDBACK),
    "ternary": HiddenSettings(bits=(2,)),
    "ternary, nearest, no guard": HiddenSettings(
        bits=(2,), rounding=Rounding.NEAREST, guard_bits=0
    ),
    "powers of two": HiddenSettings(bits=(5,), grid=Grid.POWER),
    "16 guard bits": HiddenSettings(bits=(3,), guard_bits=16),
}


def quantized(real: RealNetwork, settings: HiddenSettings, n: int = 30) -> Any:
    inputs = spikes_of(n, STEPS, real.n_inputs, seed=3)
    ones = np.ones(real.n_inputs)
    calibration = Calibration(inputs=inputs, bits=1, scale=ones, offset=0 * ones)
    return quantize_network(real, calibration, replace(settings, least_rate=0.0)).card


@pytest.mark.parametrize("settings", QUANTIZED)
@pytest.mark.parametrize("name", ["two layers", "an image, two layers", "the input"])
def test_integers_repeat_every_spike(name: str, settings: str) -> None:
    """The source's own integer spikes, on samples that calibrated nothing."""
    _, real = read(name)
    card = quantized(real, QUANTIZED[settings])
    layers = card.branches[0].layers
    inputs = spikes_of(8, STEPS, real.n_inputs, seed=9)
    trace = [each.spikes for each in run(card, inputs).layers[0]]
    source = inputs if name == "the input" else trace[0]
    passed = [k for k, each in enumerate(real.layers) if each.relays]
    assert len(passed) > 1
    assert source.any()
    for k in passed:
        np.testing.assert_array_equal(trace[k][..., -real.layers[k].relays :], source)
    assert all(
        isinstance(mine.weights, IntegerConvolution) is isinstance(its.weights, Convolution)
        for mine, its in zip(layers, real.layers, strict=True)
    )


def test_what_is_told_of_a_layer_is_of_its_own_neurons() -> None:
    _, real = read("two layers")
    found = cx.quantize(real, calibrate=spikes_of(40, STEPS, 5), bits=3, least_rate=0.0)
    assert [change.neurons for change in found.layers] == [6, 4, 6, 3]
    told = {change.name: change.time_constant[0] for change in found.layers}
    assert told == {name: pytest.approx(-1 / np.log(0.9), rel=1e-5) for name in "abcd"}
    notes = [f"{name}: 6 neurons more hand on spikes that pass it" for name in "bc"]
    assert list(found.notes) == notes
    first = found.calibration.first
    assert first is not None
    assert first.layer == "a"


def test_a_late_reset_is_no_hindrance_but_for_the_coarsest_grid() -> None:
    g = unused_left_out(CASES["two layers"])
    real = from_nir(g, dt=DT, profile="snntorch")
    inputs = spikes_of(6, STEPS, 5)
    assert real.layers[1].late
    found = stack_spikes(real.layers, inputs)
    np.testing.assert_array_equal(found[2][..., -6:], found[0])
    for guard in (1, 4):
        card = quantized(real, HiddenSettings(bits=(2,), guard_bits=guard))
        trace = run(card, inputs).layers[0]
        assert trace[0].spikes.any()
        np.testing.assert_array_equal(trace[2].spikes[..., -6:], trace[0].spikes)
    told = r"^guard_bits must be 1 or more, or bits 3: b hands on spikes past a late reset"
    with pytest.raises(InputError, match=told):
        quantized(real, HiddenSettings(bits=(2,), guard_bits=0))


def test_one_bit_leaves_no_spike_alone() -> None:
    _, real = read("two layers")
    with pytest.raises(InputError, match=r"^bits of b must be 2 or more: spikes pass it, "):
        quantized(real, HiddenSettings(bits=(1,)))
    with pytest.raises(InputError, match=r"^bits of d must be 2 or more: "):
        quantized(real, HiddenSettings(bits=(2, 2, 2, 1)))


def test_intensities_cannot_pass_a_layer() -> None:
    _, real = read("the input")
    values = np.random.default_rng(0).random((6, 5))
    with pytest.raises(InputError, match=r"^inputs must be spikes, as a layer above a reads them"):
        cx.quantize(real, calibrate=values, steps=4)
    with pytest.raises(InputError, match=r"^inputs of a must be spikes, which it hands on past"):
        layer_spikes(real.layers[0], values[:, None])


SYN = {"tau_syn": 3e-3, "tau_mem": 1e-2, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0,
       "v_reset": 0.0, "w_in": 3.0}  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "profile", "told"),
    [
        (
            {"b": nir.CubaLIF(**{name: np.full(4, value) for name, value in SYN.items()})},
            "nir-euler",
            "b cannot hand on spikes of a past itself: its synaptic current goes on after a spike",
        ),
        ({}, "spyx", "b cannot hand on spikes of a past itself: its spikes come out a step after"),
        (
            {"b": nir.Threshold(np.ones(4))},
            "sinabs",
            "b cannot hand on spikes of a past itself: a may spike several times a step, and b",
        ),
    ],
)
def test_a_layer_that_cannot_repeat_a_spike_is_refused(
    nodes: dict[str, Any], profile: str, told: str
) -> None:
    dt = 1.0 if profile == "spyx" else DT
    g = unused_left_out(CASES["two layers"])
    g.nodes.update(nodes)
    if profile == "spyx":
        for name in "abcd":
            g.nodes[name].tau = np.full_like(g.nodes[name].tau, 5.0)
    with pytest.raises(InputError, match=f"^{told}"):
        from_nir(g, dt=dt, profile=profile)


def test_several_spikes_a_step_are_repeated_as_many() -> None:
    g = unused_left_out(CASES["two layers"])
    for name in "abcd":
        g.nodes[name].tau = np.full_like(g.nodes[name].tau, 8.0)
        g.nodes[name].v_threshold = np.full_like(g.nodes[name].tau, 0.4)
    real = from_nir(g, profile="sinabs")
    found = stack_spikes(real.layers, spikes_of(6, STEPS, 5))
    assert found[0].max() > 1
    np.testing.assert_array_equal(found[2][..., -6:], found[0])


@pytest.mark.parametrize(
    ("edges", "told"),
    [
        ((ROW, "a lost n3"), "n3 must be read by a layer or by the output: nothing is dropped"),
        ((ROW, "n3 lost n3 fc4b d"), "n3 must be reached from the input"),
        ((ROW, "d back b"), "b reads d, which is not below it: only a layer itself may be read "),
    ],
)
def test_other_loops_and_loose_ends_are_refused(edges: tuple[str, ...], told: str) -> None:
    more = {"lost": affine(6, 6, 0), "n3": lif(6), "fc4b": affine(3, 6, 0), "back": affine(4, 3, 0)}
    g = unused_left_out(Case(graph({**DENSE, **more}, *edges, given=(5,)), ()))
    with pytest.raises(InputError, match=f"^{told}"):
        from_nir(g, dt=DT)


def test_a_row_that_hands_on_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of few weights may say that all its layers are read at its end."""
    monkeypatch.setattr("convexon.interop.skips.MAX_UNROLLED", 170)
    g = unused_left_out(CASES["two layers"])
    with pytest.raises(InputError, match=r"^layers that spikes pass must have at most 170 weights"):
        from_nir(g, dt=DT)
    monkeypatch.setattr("convexon.interop.skips.MAX_UNROLLED", 10_000)
    assert from_nir(g, dt=DT).layers[2].weights.size == 120


def test_lateral_weights_and_their_bias_stay_within_the_layer() -> None:
    nodes = {**DENSE, "back": affine(4, 4, 11)}
    g = unused_left_out(Case(graph(nodes, ROW, "a skip d", "b back b", given=(5,)), ()))
    real = from_nir(g, dt=DT)
    alone = from_nir(
        unused_left_out(
            Case(graph(nodes, "input fc1 a fc2 b fc3 c fc4 d output", "b back b", given=(5,)), ())
        ),
        dt=DT,
    )
    inputs = spikes_of(6, STEPS, 5)
    found, wanted = (stack_spikes(each.layers, inputs) for each in (real, alone))
    np.testing.assert_array_equal(found[1][..., :4], wanted[1])
    np.testing.assert_array_equal(found[2][..., -6:], found[0])
    card = quantized(real, HiddenSettings(bits=(6,)))
    trace = run(card, inputs).layers[0]
    np.testing.assert_array_equal(trace[2].spikes[..., -6:], trace[0].spikes)


def test_integrators_may_read_what_skips() -> None:
    head = nir.LI(np.full(3, 1e-2), np.full(3, 10.0), np.zeros(3))
    g = unused_left_out(Case(graph({**DENSE, "d": head}, ROW, "a skip d", given=(5,)), ()))
    real = from_nir(g, dt=DT)
    assert [layer.relays for layer in real.layers] == [0, 6, 6, 0]
    assert real.reads_membranes
    g.edges.append(("fc4", "output"))
    with pytest.raises(InputError, match=r"^d is a LI, a leaky integrator without spikes: "):
        from_nir(g, dt=DT)


@pytest.mark.parametrize("name", ["one layer", "an image, two layers"])
def test_the_golden_model_and_a_graph_that_goes_out_agree(name: str) -> None:
    """Leaks that differ go out as time constants: what forgets at once has that of one step."""
    _, real = read(name)
    card = quantized(real, HiddenSettings(bits=(4,)))
    inputs = spikes_of(2, STEPS, real.n_inputs, seed=4)
    assert equal(golden.run(card, inputs), run(card, inputs))
    back = from_nir(to_nir(real, dt=DT), dt=DT)
    for mine, its in zip(*(stack_spikes(x.layers, inputs) for x in (real, back)), strict=True):
        np.testing.assert_array_equal(mine, its)


class LIFNode(nn.Module):
    """What SpikingJelly calls so, and does: to zero, >=."""

    __module__ = "spikingjelly.activation_based.neuron"
    tau, v_threshold, v_reset, decay_input, step_mode = 2.0, 0.25, 0.0, True, "s"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = getattr(self, "v", torch.zeros_like(x))
        u = v + (x - v) / self.tau
        fired = (u >= self.v_threshold).float()
        self.v = u * (1 - fired)
        return fired


class Residual(nn.Module):
    """Blocks around which spikes go, as a test adds them."""

    def __init__(self, add: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.stem, self.s = nn.Conv2d(2, 3, 3, padding=1), LIFNode()
        self.one, self.a = nn.Conv2d(3, 3, 3, padding=1), LIFNode()
        self.norm, self.two, self.b = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1), LIFNode()
        self.around = nn.Conv2d(3, 3, 1, bias=False)
        self.flat, self.out, self.c, self.add = nn.Flatten(), nn.Linear(60, 4), LIFNode(), add

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.s(self.stem(x))
        a = self.a(self.norm(self.one(stem)))
        return self.c(self.out(self.flat(self.b(self.add(self, a, stem)))))


ADDITIONS: dict[str, Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "sum": lambda m, a, stem: m.two(a + stem),
    "sum of three": lambda m, a, stem: m.two(torch.add(stem, a) + stem),
    "in place": lambda m, a, stem: m.two(a.add_(stem)),
    "of currents": lambda m, a, stem: m.two(a) + m.around(stem),
}


def residual(add: Any) -> Residual:
    torch.manual_seed(4)
    model = Residual(add).eval()
    with torch.no_grad():
        for each in (model.stem, model.one, model.two, model.around, model.out):
            each.weight *= 2
    return model


@pytest.mark.parametrize("name", ADDITIONS)
def test_modules_may_add_what_goes_around_others(name: str) -> None:
    """The model itself is the reference: its neurons keep their membranes from call to call."""
    model = residual(ADDITIONS[name])
    inputs = torch.tensor(spikes_of(6, STEPS, 2, 4, 5), dtype=torch.float32)
    real = from_torch(model, torch.rand(1, 2, 4, 5))
    assert [(layer.name, layer.relays) for layer in real.layers] == [
        ("s", 0),
        ("a", 60),
        ("b", 0),
        ("c", 0),
    ]
    assert all(isinstance(each.weights, Convolution) for each in real.layers[:3])
    seen: dict[str, list[Any]] = {}
    for key in "sabc":
        keep = seen.setdefault(key, [])
        hook = lambda _, __, gave, keep=keep: keep.append(gave.clone().numpy().reshape(6, -1))  # noqa: E731
        getattr(model, key).register_forward_hook(hook)
    with torch.no_grad():
        for t in range(STEPS):
            model(inputs[:, t])
    found = stack_spikes(real.layers, inputs.reshape(6, STEPS, 40).numpy())
    for layer, spikes in zip(real.layers, found, strict=True):
        wanted = np.stack(seen[layer.name], axis=1)
        assert 0.02 < wanted.mean() < 0.98
        np.testing.assert_array_equal(spikes[..., : wanted.shape[-1]], wanted)


@pytest.mark.parametrize(
    ("add", "told"),
    [
        (lambda m, a, stem: m.two(a + 2 * stem), "two must read what a gives, unchanged: "),
        (lambda m, a, stem: m.two(a - stem), "two must read what "),
        (lambda m, a, stem: m.two(torch.add(a, stem, alpha=2)), "two must read what "),
        (lambda m, a, stem: m.two((a + stem).flip(1)), "two must read what "),
        (lambda m, a, stem: m.two(a + stem[:, :, :1]), "two must read what "),
        (lambda m, a, stem: m.two(stem), "a must be read by a module after it, unchanged: "),
    ],
)
def test_what_is_no_sum_of_modules_is_refused(add: Any, told: str) -> None:
    with pytest.raises(InputError, match=f"^{told}"):
        from_torch(residual(add), torch.rand(1, 2, 4, 5))


class Owned(nn.Module):
    """Somebody's own neuron."""

    def forward(self, x: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        u = 0.75 * v + x
        s = (u > 1.0).float()
        return s, u * (1 - s)


class Around(nn.Module):
    """Three layers, of which the third reads the first too, and so does the readout."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.ModuleList([nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 4)])
        self.neuron = nn.ModuleList([Owned(), Owned(), Owned()])
        self.around, self.out, self.last = nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sizes, found = (5, 5, 4), []
        v = [torch.zeros(len(x), each) for each in sizes]
        for t in range(3):
            one, v[0] = self.neuron[0](self.fc[0](x[:, t]), v[0])
            two, v[1] = self.neuron[1](self.fc[1](one), v[1])
            three, v[2] = self.neuron[2](self.fc[2](two + one) + self.around(one), v[2])
            found.append(self.out(three) + self.last(two))
        return torch.stack(found).sum(0)


def test_an_exported_program_may_add_what_goes_around(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Around().eval()
    with torch.no_grad():
        for each in model.fc:
            each.weight *= 3
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(model, (torch.rand(2, 3, 6),)), path)
    real = read_exported(path)
    assert [layer.relays for layer in real.layers] == [0, 5, 5]
    x = torch.randn(40, 3, 6)
    with torch.no_grad():
        wanted = model(x).numpy()
    spikes = stack_spikes(real.layers, x.numpy())
    assert all(0.02 < each.mean() < 0.9 for each in spikes)
    np.testing.assert_allclose(scores(real, spikes[-1]), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("folded", [False, True])
def test_it_goes_on_to_hardware(folded: bool, tmp_path: Path) -> None:
    """Spatial, and relays as channels of a convolution that streams its windows."""
    nodes = {
        "fc1": conv(2, 1, 3, 1, padding=0),
        "a": image_lif(2, 2, 2),
        "fc2": conv(2, 2, 3, 2),
        "b": image_lif(2, 2, 2),
        "fc3": conv(2, 2, 3, 3),
        "c": image_lif(2, 2, 2),
    }
    for name in ("fc1", "fc2", "fc3"):
        nodes[name].input_shape = (4, 4) if name == "fc1" else (2, 2)
    real = from_nir(graph(nodes, "input fc1 a fc2 b fc3 c output", "a fc3", given=(1, 4, 4)), dt=DT)
    net = replace(real, readout_weights=real.readout_weights[:, :3], readout_biases=np.zeros(3))
    spikes = spikes_of(8, 5, 16)
    found = cx.quantize(net, calibrate=spikes, bits=3, least_rate=0.0)
    engine = Folded(lanes=2) if folded else Spatial()
    mapping = Mapping(layers=((Spatial(), engine, engine),))
    accelerator = Accelerator(found.network, mapping, Family.ECP5, None, None)
    accelerator.write(tmp_path / "rtl")
    accelerator.verify(spikes, simulator="verilator").raise_if_different()
