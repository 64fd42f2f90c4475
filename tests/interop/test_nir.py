"""NIR graphs: every node type is mapped or refused by name, and nothing is dropped."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import numpy.typing as npt
import pytest
import torch

from convexon.errors import InputError
from convexon.interop.dynamics import INTEGRATORS
from convexon.interop.nir import LINEAR, REFUSED, SPIKING, STRUCTURE, from_nir, read_nir
from convexon.snn.models.real import layer_spikes, outputs, scores, stack_spikes
from nir_graphs import graph_of, lif

GRAPHS = ("braille_noDelay_bias_zero.nir", "cnn_sinabs.nir", "lif_norse.nir")


def linear(outputs: int, inputs: int, seed: int = 0) -> nir.Affine:
    rng = np.random.default_rng(seed)
    return nir.Affine(rng.normal(0, 1, (outputs, inputs)).astype("f"), rng.normal(0, 1, outputs))


def test_every_node_type_of_nir_is_accounted_for() -> None:
    known = {*SPIKING, *INTEGRATORS, *LINEAR, *STRUCTURE, *REFUSED}
    types = {
        name
        for name in dir(nir.ir)
        if isinstance(kind := getattr(nir.ir, name), type)
        and issubclass(kind, nir.NIRNode)
        and kind is not nir.NIRNode
    }
    assert types == known
    assert len(known) == 19


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (nir.Delay(np.ones(4)), "fc2 is a Delay: "),
        (nir.I(np.ones(4)), "fc2 is a I, a leaky integrator "),
        (nir.LI(np.ones(4), np.ones(4), np.zeros(4)), "fc2 is a LI, a leaky integrator "),
        (
            nir.CubaLI(np.ones(4), np.ones(4), np.ones(4), np.zeros(4)),
            "fc2 is a CubaLI, a leaky integrator ",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nodes_without_a_counterpart_are_refused_by_name(node: Any, told: str) -> None:
    with pytest.raises(InputError, match=f"^{told}"):
        from_nir(graph_of(linear(4, 3), node, lif(4)), dt=1e-3)


DT = 1e-3
TAU, TAU_SYN, R, W_IN = (np.array(each) for each in ([4e-3, 2e-2], [3e-3, 5e-3], [2, 7], [3, 1]))
HEADS = {
    "I": (nir.I(R), lambda i, v, x: (x, v + DT * R * x)),
    "LI": (nir.LI(TAU, R, np.ones(2)), lambda i, v, x: (x, v + DT / TAU * (1 - v + R * x))),
    "CubaLI": (
        nir.CubaLI(TAU, TAU_SYN, R, np.zeros(2), W_IN),
        lambda i, v, x: (
            (new := i + DT / TAU_SYN * (W_IN * x - i)),
            v + DT / TAU * (R * new - v),
        ),
    ),
}
"""Leaky integrators, and one Euler step of what NIR states of them: from i, v and x to i and v."""


@pytest.mark.parametrize("reading", ["membrane", "peak"])
@pytest.mark.parametrize("kind", HEADS)
def test_a_graph_may_end_in_leaky_integrators(kind: str, reading: str) -> None:
    node, step = HEADS[kind]
    weights = np.random.default_rng(3).normal(size=(2, 5))
    graph = graph_of(nir.Affine(weights, np.array([0.5, -0.5])), node)
    real = from_nir(graph, dt=DT, integrators=reading)
    inputs = np.random.default_rng(4).integers(0, 2, (3, 30, 5))
    i = v = np.zeros((3, 2))
    membranes = []
    for x in (inputs @ weights.T + [0.5, -0.5]).swapaxes(0, 1):
        i, v = step(i, v, x)
        membranes.append(v)
    spikes, given = outputs(real, inputs)
    assert not spikes[-1].any()
    np.testing.assert_allclose(given, np.stack(membranes, axis=1), rtol=1e-4, atol=1e-6)
    wanted = np.max(membranes, axis=0) if reading == "peak" else membranes[-1]
    np.testing.assert_allclose(scores(real, given), wanted, rtol=1e-4, atol=1e-6)


def test_sinabs_reads_leaky_integrators_by_its_own_steps() -> None:
    node = nir.LI(np.array([4.0, 20.0]), np.ones(2), np.zeros(2))
    real = from_nir(graph_of(linear(2, 3), node), profile="sinabs")
    np.testing.assert_allclose(real.layers[0].leak, np.exp(-1 / node.tau))
    with pytest.raises(InputError, match=r"^r of fc2 must be 1, as sinabs asks of a LI"):
        from_nir(graph_of(linear(2, 3), HEADS["LI"][0]), profile="sinabs")
    with pytest.raises(InputError, match=r"^fc2 is a LI, which this profile's tool does not read"):
        from_nir(graph_of(linear(2, 3), node), profile="norse")
    with pytest.raises(InputError, match=r"^integrators must be membrane or peak, not 'mean'"):
        from_nir(graph_of(linear(2, 3), node), profile="sinabs", integrators="mean")


def output_of(real: Any, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What flows into the first layer."""
    layer = real.layers[0]
    return np.asarray(images.reshape(len(images), -1) @ layer.weights + layer.biases)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 0, 1), ((3, 2), (2, 1), (1, 2), (1, 2)), (3, 1, "same", 1), (2, 1, "same", 2)],
)
def test_a_convolution_is_that_of_torch(
    kernel: Any, stride: Any, padding: Any, dilation: Any
) -> None:
    torch.manual_seed(1)
    conv = torch.nn.Conv2d(2, 3, kernel, stride, padding, dilation)
    images = np.random.default_rng(0).normal(size=(2, 2, 7, 6)).astype("f")
    with torch.no_grad():
        expected = conv(torch.tensor(images)).numpy()
    node = nir.Conv2d(
        input_shape=(7, 6),
        weight=conv.weight.detach().numpy(),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=1,
        bias=conv.bias.detach().numpy(),
    )
    n = int(np.prod(expected.shape[1:]))
    flat = nir.Flatten({"input": np.array(expected.shape[1:])}, 0, -1)
    # r = tau / dt: what flows in is the current itself.
    real = from_nir(graph_of(node, flat, lif(n, tau=1e-2, r=10.0), shape=(2, 7, 6)), dt=1e-3)
    np.testing.assert_allclose(
        output_of(real, images), expected.reshape(2, -1), rtol=1e-4, atol=1e-5
    )


def test_pools_rows_of_signals_and_scales_are_those_of_torch() -> None:
    torch.manual_seed(2)
    images = np.random.default_rng(0).normal(size=(2, 2, 6, 6)).astype("f")
    pool = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 1]))
    total = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    with torch.no_grad():
        means = torch.nn.functional.avg_pool2d(torch.tensor(images), 2, 2, 1)
        expected = 4 * torch.nn.functional.avg_pool2d(means, 2, 2)
    nodes = {
        "input": nir.Input({"input": np.array([2, 6, 6])}),
        "mean": pool,
        "sum": total,
        "flat": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        "scale": nir.Scale(np.linspace(1, 2, 8)),
        "n": lif(8),
        "output": nir.Output({"output": np.array([8])}),
    }
    names = list(nodes)
    graph = nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)
    scaled = expected.numpy().reshape(2, -1) * np.linspace(1, 2, 8)
    np.testing.assert_allclose(output_of(from_nir(graph, dt=1e-3), images), scaled, rtol=1e-4)
    conv = torch.nn.Conv1d(2, 3, 3, 2, 1)
    signal = images.reshape(2, 2, 36)
    with torch.no_grad():
        expected = conv(torch.tensor(signal))
    node = nir.Conv1d(
        input_shape=36,
        weight=conv.weight.detach().numpy(),
        stride=2,
        padding=1,
        dilation=1,
        groups=1,
        bias=conv.bias.detach().numpy(),
    )
    flat = nir.Flatten({"input": np.array([3, 18])}, 0, -1)
    real = from_nir(graph_of(node, flat, lif(54), shape=(2, 36)), dt=1e-3)
    np.testing.assert_allclose(
        output_of(real, signal), expected.numpy().reshape(2, -1), rtol=1e-4, atol=1e-5
    )


def recurrent(bias: float, nested: bool) -> nir.NIRGraph:
    """A layer that reads itself, flat or as a sub-graph."""
    weight = np.random.default_rng(5).normal(0, 0.7, (4, 4))
    back = nir.Affine(weight, np.full(4, bias))
    ends = {
        "input": nir.Input({"input": np.array([3])}),
        "output": nir.Output({"output": np.array([4])}),
    }
    if not nested:
        nodes = {**ends, "fc": linear(4, 3), "n": lif(4), "back": back}
        edges = [("input", "fc"), ("fc", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
        return nir.NIRGraph(nodes, edges)
    inner = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([4])}),
            "n": lif(4),
            "back": back,
            "output": nir.Output({"output": np.array([4])}),
        },
        [("input", "n"), ("n", "back"), ("back", "n"), ("n", "output")],
    )
    return nir.NIRGraph(
        {**ends, "fc": linear(4, 3), "layer": inner},
        [("input", "fc"), ("fc", "layer"), ("layer", "output")],
    )


@pytest.mark.parametrize("nested", [False, True])
def test_a_layer_that_reads_itself_has_lateral_weights(nested: bool) -> None:
    """The lateral branch, its bias too, is silent at the first step."""
    real = from_nir(recurrent(0.4, nested), dt=1e-3)
    (layer,) = real.layers
    assert layer.lateral is not None
    assert layer.lateral_biases is not None
    graph = recurrent(0.4, False)
    fc, back = graph.nodes["fc"], graph.nodes["back"]
    inputs = np.random.default_rng(1).integers(0, 2, (5, 20, 3))
    v, fired, expected = np.zeros((5, 4)), None, []
    for t in range(20):
        current = inputs[:, t] @ fc.weight.T + fc.bias
        if fired is not None:
            current = current + fired @ back.weight.T + back.bias
        v = 0.9 * v + current
        fired = v > 1
        v = np.where(fired, 0, v)
        expected.append(fired)
    spikes = layer_spikes(layer, inputs)[0]
    assert 0.02 < spikes.mean() < 0.95
    np.testing.assert_array_equal(spikes, np.stack(expected, 1))


def test_edges_that_meet_are_added() -> None:
    one, two = linear(4, 3, 1), linear(4, 3, 2)
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "one": one,
        "two": two,
        "n": lif(4),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [("input", "one"), ("input", "two"), ("one", "n"), ("two", "n"), ("n", "output")]
    real = from_nir(nir.NIRGraph(nodes, edges), dt=1e-3)
    np.testing.assert_allclose(real.layers[0].weights, (one.weight + two.weight).T, rtol=1e-6)
    np.testing.assert_allclose(real.layers[0].biases, one.bias + two.bias, rtol=1e-6)


def test_what_is_linear_after_the_last_layer_is_the_readout() -> None:
    last = linear(2, 4, 7)
    real = from_nir(graph_of(linear(4, 3), lif(4), last), dt=1e-3)
    np.testing.assert_allclose(real.readout_weights, last.weight.T, rtol=1e-6)
    np.testing.assert_allclose(real.readout_biases, last.bias, rtol=1e-6)


def test_the_step_is_tau_over_r_where_that_is_one_number() -> None:
    same = graph_of(linear(4, 3), lif(4, tau=2e-2, r=10.0), linear(2, 4), lif(2, tau=4e-3, r=2.0))
    assert "dt = 0.002 s" in from_nir(same).origin
    other = graph_of(linear(4, 3), lif(4, tau=2e-2, r=10.0), linear(2, 4), lif(2, tau=4e-3, r=3.0))
    with pytest.raises(InputError, match=r"^dt must be given: "):
        from_nir(other)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=r"^dt must be a positive number of seconds"):
            from_nir(same, dt=wrong)


def changed(edges: list[tuple[str, str]], **nodes: Any) -> nir.NIRGraph:
    """Two layers in a row, and what is given."""
    made = {
        "input": nir.Input({"input": np.array([3])}),
        "fc1": linear(4, 3),
        "n1": lif(4),
        "fc2": linear(4, 4),
        "n2": lif(4),
        "output": nir.Output({"output": np.array([4])}),
        **nodes,
    }
    names = ["input", "fc1", "n1", "fc2", "n2", "output"]
    return nir.NIRGraph(made, [*pairwise(names), *edges], type_check=False)


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (changed([("n2", "fc1")]), r"edges into fc1 must have one shape, not \(3,\) and \(4,\)"),
        (changed([("fc1", "n3")], n3=lif(4)), "n3 must be read by a layer or by the output: "),
        (changed([], loose=linear(4, 3)), "loose must be reached|the output"),
        (
            changed([("fc2", "turn"), ("turn", "fc2")], turn=linear(4, 4)),
            "fc2 reads itself without a spiking node between",
        ),
        (changed([("nowhere", "n2")]), "an edge names nowhere, which is not there"),
    ],
)
def test_connections_without_a_counterpart_are_refused(graph: nir.NIRGraph, told: str) -> None:
    if told.startswith("loose"):  # nothing reads it: nothing of it is lost
        from_nir(graph, dt=1e-3)
        return
    with pytest.raises(InputError, match=f"^{told}"):
        from_nir(graph, dt=1e-3)


def test_bad_parameters_are_refused_by_name() -> None:
    for values, told in (
        ({"tau": -1.0}, "tau of n1 must be positive"),
        ({"tau": float("inf")}, "tau of n1 must be finite, not NaN or infinite"),
        ({"v_threshold": 0.0}, "thresholds of n1 must be positive"),
    ):
        with pytest.raises(InputError, match=f"^{told}"):
            from_nir(graph_of(linear(4, 3), lif(4, **values)), dt=1e-3)
    with pytest.raises(InputError, match=r"^profile must be one of nir-euler, .*, not 'brian'"):
        from_nir(graph_of(linear(4, 3), lif(4)), profile="brian")


def conv(shape: tuple[int, ...] = (3, 2, 2, 2), **members: Any) -> nir.Conv2d:
    full = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": np.zeros(shape[0])}
    node = nir.Conv2d(input_shape=(4, 4), weight=np.ones(shape), **full)
    for name, value in members.items():
        setattr(node, name, value)
    return node


def pool(**members: Any) -> nir.SumPool2d:
    full = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.zeros(2)}
    return nir.SumPool2d(**{**full, **members})


def biased(bias: Any) -> nir.Affine:
    node = linear(4, 4)
    node.bias = bias
    return node


@pytest.mark.parametrize(
    ("node", "shape", "told"),
    [
        (pool(), (4,), r"fc must read shape \(channels, 2 lengths\), not \(4,\)"),
        (pool(stride=np.zeros(2)), (2, 4, 4), "stride of fc must be one or two lengths from 1"),
        (conv(stride=(0, 1)), (2, 4, 4), "stride of fc must be one or two lengths from 1, not"),
        (conv(padding=(-1, 0)), (2, 4, 4), "padding of fc must be one or two lengths from 0, not"),
        (conv(dilation=(1, 1, 1)), (2, 4, 4), "dilation of fc must be one or two lengths from 1"),
        (conv(), (5, 4, 4), "weight of fc must be of 5 channels, as come in, not 2 in 1 groups"),
        (conv(groups=2), (4, 4, 4), "weight of fc must have shape .* a multiple of its 2 groups"),
        (conv(bias=np.zeros(1)), (2, 4, 4), r"bias of fc must have shape \(3,\), not \(1,\)"),
        (biased(np.zeros(1)), (4,), r"bias of fc must have shape \(4,\), not \(1,\)"),
        (nir.Scale(np.ones(3)), (4,), r"scale of fc must have shape \(4,\), not \(3,\)"),
        (nir.Scale(np.ones((2, 4))), (4,), r"scale of fc must have shape \(4,\), not \(2, 4\)"),
    ],
)
def test_a_linear_node_that_does_not_fit_is_refused_by_name(
    node: Any, shape: tuple[int, ...], told: str
) -> None:
    nodes = {
        "input": nir.Input({"input": np.array(shape)}),
        "fc": node,
        "n": lif(4),
        "output": nir.Output({"output": np.array([4])}),
    }
    graph = nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)
    with pytest.raises(InputError, match=f"^{told}"):
        from_nir(graph, dt=1e-3)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.nir"
    with pytest.raises(InputError, match=r"net\.nir cannot be read: No such file or directory"):
        read_nir(file)
    for place in (tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError, match=r" cannot be read: (Is a directory|it is no regular)"):
            read_nir(place)
    for content in (b"", b"no graph", b"\x89HDF\r\n\x1a\n" + b"\0" * 600):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"net\.nir is no NIR graph that nir .* reads: "):
            read_nir(file)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (
            "fc1/weight",
            np.array([["a", "b"]] * 3, dtype="S1"),
            "weight of fc1 must hold real numbers",
        ),
        ("fc1/weight", np.full((3, 2), np.nan), "weight of fc1 must be finite"),
        ("fc1/bias", np.zeros(2), "bias of fc1 must have shape"),
        ("n1/v_threshold", np.full(3, 1j), "v_threshold of n1 must hold real numbers"),
    ],
)
def test_a_file_of_parameters_that_are_no_numbers_is_refused(
    tmp_path: Path, place: str, value: npt.NDArray[Any], told: str
) -> None:
    file = tmp_path / "net.nir"
    nir.write(file, graph_of(nir.Affine(np.ones((3, 2)), np.zeros(3)), lif(3)))
    with h5py.File(file, "r+") as made:
        del made[f"node/nodes/{place}"]
        made[f"node/nodes/{place}"] = value
    with pytest.raises(InputError, match=told):
        read_nir(file, dt=1e-4)


def test_a_file_that_kills_the_library_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.nir"
    nir.write(file, graph_of(nir.Affine(np.ones((3, 2)), np.zeros(3)), lif(3)))
    monkeypatch.setattr("nir.read", lambda _: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(InputError, match=r"net\.nir is damaged: the HDF5 library does not live"):
        read_nir(file)


def test_weights_beyond_float32_are_read_without_a_word() -> None:
    window = nir.Conv2d((3, 3), np.full((2, 1, 2, 2), 1e300), 1, 0, 1, 1, np.zeros(2))
    neurons = nir.LIF(*(np.full((2, 2, 2), each) for each in (1e-2, 10.0, 0.0, 1.0)))
    network = from_nir(graph_of(window, neurons, shape=(1, 3, 3)), dt=1e-4)
    assert float(network.layers[0].columns.max()) > 1e290


@pytest.mark.parametrize("groups", [0, 2, 1 << 31])
def test_groups_that_do_not_divide_the_channels_are_refused(groups: int) -> None:
    window = nir.Conv2d((3, 3), np.ones((2, 1, 2, 2)), 1, 0, 1, groups, np.zeros(2))
    with pytest.raises(InputError, match="weight of fc1 must "):
        from_nir(graph_of(window, lif(8), shape=(1, 3, 3)), dt=1e-4)


def test_a_file_of_arrays_beyond_the_limit_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.nir"
    with h5py.File(file, "w") as made:
        made.create_dataset("node/w", (400, 1000), dtype="f8", compression="gzip")
    assert file.stat().st_size < 20_000
    monkeypatch.setenv("CONVEXON_LIMIT_MB", "2")
    monkeypatch.setattr("nir.read", lambda _: pytest.fail("was unpacked"))
    with pytest.raises(InputError, match=r"arrays take more than 2,000,000 bytes: raise CONVEXON_"):
        read_nir(file)


@pytest.mark.parametrize("name", GRAPHS)
def test_real_graphs_come_in(name: str, mnist: Path) -> None:
    """Graphs of the NIR repository: recurrent, convolutional, and a single neuron."""
    profile = "sinabs" if name.startswith("cnn") else "nir-euler"
    dt = 1e-4 if name.startswith("lif") else None
    real = read_nir(mnist / "nir" / name, profile=profile, dt=dt)
    sizes = {"braille": [38, 7], "cnn": [4096, 4096, 512, 256, 10], "lif": [1]}
    assert [layer.n_neurons for layer in real.layers] == sizes[name.split("_")[0]]
    if name.startswith("cnn"):
        return
    inputs = np.random.default_rng(0).integers(0, 2, (2, 60, real.n_inputs))
    assert len(stack_spikes(real.layers, inputs)) == len(real.layers)
