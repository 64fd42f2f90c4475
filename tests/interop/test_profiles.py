"""Each profile reads a graph as its tool does: spikes equal those that the tool produced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.interop.nir import from_nir
from convexon.interop.profiles import PROFILES
from convexon.quantizer.settings import HiddenSettings, Rounding
from convexon.quantizer.trained import quantize_trained
from convexon.snn.models.real import stack_spikes
from convexon.snn.models.simulate import run
from convexon.snn.neuron import LeakRounding
from nir_graphs import graph_of, lif

TRACES = Path(__file__).parent / "traces"
RECORDED = {
    "norse-lif": "norse",
    "norse-if": "norse",
    "norse-cuba": "norse",
    "sinabs-lif": "sinabs",
    "sinabs-if": "sinabs",
    "spikingjelly-lif": "spikingjelly",
    "spikingjelly-if": "spikingjelly",
    "spikingjelly-cuba": "spikingjelly",
    "snntorch-lif": "snntorch",
    "snntorch-cuba": "snntorch",
    "snntorch-nir-lif": "snntorch-nir",
    "snntorch-nir-cuba": "snntorch-nir",
    "rockpool-cuba": "rockpool",
    "spyx-lif": "spyx",
    "spyx-if": "spyx",
    "spyx-cuba": "spyx",
    "lava-dl-if": "lava-dl",
    "lava-dl-cuba": "lava-dl",
    "loihi-lif": "loihi",
}


def recorded(name: str) -> tuple[nir.NIRGraph, dict[str, Any]]:
    """A recorded graph, and the arrays beside it."""
    with np.load(TRACES / f"graph-{name}.npz") as file:
        arrays = dict(file)
    made = {}
    for each in ("fc1", "fc2"):
        made[each] = nir.Affine(arrays[f"{each}.weight"], arrays[f"{each}.bias"])
    kind = nir.LIF if "n1.tau" in arrays else nir.IF
    kind = nir.CubaLIF if "n1.tau_syn" in arrays else kind
    for each in ("n1", "n2"):
        fields = ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset")
        known = {f: arrays[f"{each}.{f}"] for f in fields if f"{each}.{f}" in arrays}
        made[each] = kind(**known)
    return graph_of(made["fc1"], made["n1"], made["fc2"], made["n2"]), arrays


@pytest.mark.parametrize(("name", "profile"), RECORDED.items())
def test_spikes_are_those_of_the_tool(name: str, profile: str) -> None:
    graph, arrays = recorded(name)
    real = from_nir(graph, profile=profile, dt=float(arrays["dt"]))
    spikes = stack_spikes(real.layers, arrays["inputs"])[-1]
    assert arrays["spikes"].any()
    np.testing.assert_array_equal(spikes, arrays["spikes"])


@pytest.mark.parametrize(
    ("name", "other"),
    [("norse-lif", "sinabs"), ("sinabs-if", "nir-euler"), ("spikingjelly-lif", "snntorch")],
)
def test_another_profile_reads_it_otherwise(name: str, other: str) -> None:
    """The traces can tell profiles apart."""
    graph, arrays = recorded(name)
    real = from_nir(graph, profile=other, dt=float(arrays["dt"]))
    spikes = stack_spikes(real.layers, arrays["inputs"])[-1]
    assert (spikes != arrays["spikes"]).any()


def test_the_euler_reading_is_the_equation() -> None:
    """By hand: v = (1 - dt/tau) v + dt/tau (v_leak + r x), a spike above the threshold, reset."""
    node = nir.LIF(
        tau=np.array([4e-3]),
        r=np.array([3.0]),
        v_leak=np.array([0.2]),
        v_threshold=np.array([1.0]),
        v_reset=np.array([0.0]),
    )
    real = from_nir(graph_of(nir.Linear(np.array([[1.0]])), node), dt=1e-3)
    v, expected = 0.0, []
    inputs = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1, 1])
    for x in inputs:
        v = 0.75 * v + 0.25 * (0.2 + 3.0 * x)
        expected.append(int(v > 1))
        v = 0.0 if v > 1 else v
    assert 0 < sum(expected) < len(expected)
    assert stack_spikes(real.layers, inputs[None, :, None])[0][0, :, 0].tolist() == expected


@pytest.mark.parametrize("kind", ["IF", "LIF", "CubaLIF"])
def test_the_euler_reading_resets_to_v_reset(kind: str) -> None:
    """By hand: v begins at 0, and is v_reset after a spike."""
    ends = {"v_threshold": np.array([1.0, 1.0]), "v_reset": np.array([0.25, -0.5])}
    ones = np.ones(2)
    node = {
        "IF": nir.IF(r=1e3 * ones, **ends),
        "LIF": nir.LIF(tau=2e-3 * ones, r=2 * ones, v_leak=0 * ones, **ends),
        "CubaLIF": nir.CubaLIF(
            tau_syn=2e-3 * ones, tau_mem=2e-3 * ones, r=4 * ones, v_leak=0 * ones, **ends
        ),
    }[kind]
    real = from_nir(graph_of(nir.Linear(np.array([[0.75], [0.75]])), node), dt=1e-3)
    v, i, expected = np.zeros(2), np.zeros(2), []
    inputs = np.array([1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1])
    for x in 0.75 * inputs:
        i = 0.5 * i + 0.5 * x if kind == "CubaLIF" else x + 0 * i
        v = v + x if kind == "IF" else 0.5 * v + (2 if kind == "CubaLIF" else 1) * i
        expected.append((v > 1).astype(int))
        v = np.where(v > 1, ends["v_reset"], v)
    spikes = stack_spikes(real.layers, inputs[None, :, None])[0][0]
    assert (np.array(expected)[:, 0] != np.array(expected)[:, 1]).any()
    assert spikes.tolist() == np.array(expected).tolist()
    made = quantize_trained(real, Samples.of(inputs[None, :, None].astype(np.uint8)))
    assert made.card.branches[0].layers[0].resets is not None
    assert made.calibration.first is None


@pytest.mark.parametrize("profile", PROFILES)
def test_a_step_longer_than_a_time_constant_is_refused(profile: str) -> None:
    node = cuba() if profile == "lava-dl" else lif(2, tau=1e-3, r=1.0)
    graph = graph_of(nir.Linear(np.ones((2, 3))), node)
    if profile in ("sinabs", "rockpool"):  # an exponential leak has no longest step
        return
    with pytest.raises(InputError, match=r"^(dt must be at most|r of n1 must be)"):
        from_nir(graph, profile=profile, dt=5e-3)


@pytest.mark.parametrize(
    ("profile", "change", "message"),
    [
        ("snntorch", {"v_leak": 0.1}, "v_leak of n1 must be 0, not 0.1: "),
        ("snntorch-nir", {"v_leak": 0.1}, "v_leak of n1 must be 0, not 0.1: "),
        ("sinabs", {"v_leak": 0.1}, "v_leak of n1 must be 0, not 0.1: "),
        ("spikingjelly", {"v_leak": 0.1}, "v_leak of n1 must equal v_reset, as SpikingJelly asks"),
        ("spikingjelly", {"r": 2.5}, "r of n1 must be 1 or tau / dt, as SpikingJelly asks"),
        ("rockpool", {}, "n1 is a LIF, which Rockpool 3.1 does not read"),
        ("lava-dl", {}, "n1 is a LIF, which lava-dl does not read"),
        ("loihi", {"v_leak": 0.1}, "v_leak of n1 must be 0, not 0.1: "),
    ],
)
def test_what_a_tool_does_not_read_is_refused(
    profile: str, change: dict[str, float], message: str
) -> None:
    graph = graph_of(nir.Linear(np.ones((2, 3))), lif(2, **{"tau": 1e-2, "r": 10.0, **change}))
    with pytest.raises(InputError, match=f"^{message}"):
        from_nir(graph, profile=profile, dt=1e-3)


def cuba(n: int = 2, **changes: float) -> nir.CubaLIF:
    """A node that every tool which has it reads, at a step of 1 ms."""
    full = {
        "tau_syn": 5e-3,
        "tau_mem": 1e-2,
        "r": 10.0,
        "w_in": 5.0,
        "v_leak": 0.0,
        "v_threshold": 1.0,
        "v_reset": 0.0,
    }
    return nir.CubaLIF(**{name: np.full(n, value) for name, value in {**full, **changes}.items()})


@pytest.mark.parametrize(
    ("profile", "change", "message"),
    [
        ("spikingjelly", {"r": 1.0}, "r of n1 must be tau_mem / dt, as SpikingJelly asks"),
        ("spikingjelly", {"w_in": 1.0}, "w_in of n1 must be tau_syn / dt, as SpikingJelly asks"),
        ("snntorch-nir", {"r": 1.0}, "r of n1 must be tau_mem / dt, as snnTorch asks"),
        ("lava-dl", {"r": 1.0}, "r of n1 must be tau_mem / dt, as lava-dl asks"),
    ],
)
def test_a_current_based_node_is_one_that_the_tool_reads(
    profile: str, change: dict[str, float], message: str
) -> None:
    fc = nir.Linear(np.ones((2, 3)))
    assert from_nir(graph_of(fc, cuba()), profile=profile, dt=1e-3).layers[0].synapse is not None
    with pytest.raises(InputError, match=f"^{message}"):
        from_nir(graph_of(fc, cuba(**change)), profile=profile, dt=1e-3)


def test_loihi_reads_no_bias_and_lava_dl_no_neurons_that_differ() -> None:
    biased = nir.Affine(np.ones((2, 3)), np.ones(2))
    with pytest.raises(
        InputError, match=r"^n1 must read nothing with a bias, which this profile's"
    ):
        from_nir(graph_of(biased, lif(2)), profile="loihi")
    unlike = nir.IF(r=np.ones(2), v_threshold=np.array([1.0, 2.0]))
    with pytest.raises(InputError, match=r"^neurons of n1 must all be alike, as lava-dl asks"):
        from_nir(graph_of(nir.Linear(np.ones((2, 3))), unlike), profile="lava-dl")


def test_a_spike_that_comes_late_has_no_integers() -> None:
    graph, arrays = recorded("spyx-lif")
    samples = Samples.of(arrays["inputs"])
    with pytest.raises(InputError, match=r"^spikes of n1 come out a step after .* snntorch, which"):
        quantize_trained(from_nir(graph, profile="spyx"), samples)


def test_states_of_loihi_become_integers() -> None:
    graph = graph_of(nir.Linear(np.array([[0.9, -0.4, 0.7], [0.3, 0.8, -0.6]])), lif(2, tau=1e-3))
    inputs = (np.random.default_rng(3).random((8, 30, 3)) < 0.4).astype(np.uint8)
    made = quantize_trained(from_nir(graph, profile="loihi"), Samples.of(inputs))
    assert "n1: states round towards zero, in units of the guard bits" in made.quantized.notes
    assert made.quantized.layers[0].real_rate > 0.02
    assert made.calibration.disagreement.mean() < 0.05


def test_integers_of_loihi_are_its_own() -> None:
    """Weights of 8 bits below the point and states of 6 more: no spike of two layers differs."""
    graph, arrays = recorded("loihi-lif")
    real = from_nir(graph, profile="loihi")
    samples = Samples.of(arrays["inputs"].astype(np.uint8))
    exact = HiddenSettings(bits=12, guard_bits=6, rounding=Rounding.NEAREST)
    made = quantize_trained(real, samples, settings=exact)
    layers = made.card.branches[0].layers
    assert {layer.leak.rounding for layer in layers} == {LeakRounding.ZERO}
    spikes = run(made.card, arrays["inputs"].astype(np.uint8)).layers[0][-1].spikes
    np.testing.assert_array_equal(spikes, arrays["spikes"])


def lateral(node: nir.NIRNode, bias: float) -> nir.NIRGraph:
    """A layer that reads itself."""
    graph = graph_of(nir.Linear(np.ones((2, 3))), node)
    nodes = {**graph.nodes, "back": nir.Affine(np.eye(2), np.full(2, bias))}
    return nir.NIRGraph(nodes, [*graph.edges, ("n1", "back"), ("back", "n1")], type_check=False)


def test_lateral_weights_are_refused_where_the_tool_reads_others() -> None:
    with pytest.raises(InputError, match=r"^n1 reads itself, which this profile's tool does not"):
        from_nir(lateral(lif(2), 0.0), profile="snntorch-nir")
    with pytest.raises(
        InputError, match=r"^n1 has a lateral bias, which this profile's tool drops"
    ):
        from_nir(lateral(cuba(), 0.5), profile="rockpool")
    assert from_nir(lateral(cuba(), 0.0), profile="rockpool").layers[0].lateral is not None


def test_rockpools_step_is_guessed_as_it_does() -> None:
    graph = graph_of(nir.Linear(np.ones((2, 3))), cuba(tau_mem=22e-3))
    assert "dt = 0.002 s" in from_nir(graph, profile="rockpool").origin


@pytest.mark.parametrize("profile", PROFILES)
def test_a_threshold_is_what_nir_states(profile: str) -> None:
    """One spike where the input is above; none where it only reaches the threshold."""
    graph = graph_of(nir.Linear(np.ones((1, 1))), nir.Threshold(np.array([1.0])))
    real = from_nir(graph, profile=profile, dt=1e-3)
    inputs = np.array([0, 1, 2, 5])
    spikes = stack_spikes(real.layers, inputs[None, :, None])[0][0, :, 0]
    assert spikes.tolist() == [0, 0, 1, 1]


def test_every_recorded_graph_is_read_and_on_the_page() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "import.md").read_text()
    assert {path.stem.removeprefix("graph-") for path in TRACES.glob("graph-*.npz")} == set(
        RECORDED
    )
    assert {name for name in RECORDED if f"[{name}]`" in page} == set(RECORDED)
    assert set(RECORDED.values()) | {"nir-euler"} == set(PROFILES)
