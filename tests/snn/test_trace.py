"""Comparison of traces: it finds every difference, and names the first."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.errors import InputError
from convexon.snn.fixed import QFormat
from convexon.snn.models import simulate
from convexon.snn.models.trace import (
    TRACE,
    LayerTrace,
    Mismatch,
    SpikeTrace,
    first_mismatch,
    mismatched_samples,
)
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load, save
from strategies import copied, equal, layer_of, network_of, networks_with_inputs


@pytest.fixture
def trace() -> SpikeTrace:
    deep = (layer_of([[1, 2], [1, -1]], [1, 2]), layer_of([[1], [1]], [1]))
    shallow = (layer_of([[1, 1, 1], [0, 1, 0]], [1, 2, 3]),)
    network = network_of(
        deep,
        shallow,
        n_steps=3,
        readout_mode=ReadoutMode.STEP,
        readout_weights=np.arange(8).reshape(4, 2),
        readout_biases=[0, 0],
        readout_format=QFormat(5),
    )
    inputs = np.random.default_rng(4).integers(0, 2, (5, 3, 2), dtype=np.uint8)
    return simulate.run(network, inputs)


def test_equal_traces_have_no_mismatch(trace: SpikeTrace) -> None:
    assert first_mismatch(trace, copied(trace)) is None
    assert mismatched_samples(trace, copied(trace)) == 0


def test_membrane_mismatch_names_every_coordinate(trace: SpikeTrace) -> None:
    other = copied(trace)
    other.layers[1][0].membranes[3, 2, 1] += 5
    want = int(trace.layers[1][0].membranes[3, 2, 1])
    mismatch = first_mismatch(trace, other)
    assert mismatch == Mismatch("membrane", 3, want, want + 5, 2, 1, 0, 1)
    assert str(mismatch) == (
        f"membrane at sample 3, step 2, branch 1, layer 0, neuron 1: expected {want}, "
        f"got {want + 5}"
    )
    assert mismatched_samples(trace, other) == 1


def test_spike_mismatch_names_every_coordinate(trace: SpikeTrace) -> None:
    other = copied(trace)
    other.layers[0][1].spikes[4, 1, 0] ^= 1
    want = int(trace.layers[0][1].spikes[4, 1, 0])
    assert str(first_mismatch(trace, other)) == (
        f"spike at sample 4, step 1, branch 0, layer 1, neuron 0: expected {want}, got {1 - want}"
    )


def test_score_mismatch_names_sample_step_and_class(trace: SpikeTrace) -> None:
    other = copied(trace)
    other.scores[2, 1, 1] = -77
    want = int(trace.scores[2, 1, 1])
    assert str(first_mismatch(trace, other)) == (
        f"score at sample 2, step 1, class 1: expected {want}, got -77"
    )


def test_label_mismatch_names_sample_and_step(trace: SpikeTrace) -> None:
    other = copied(trace)
    other.labels[0, 2] = 9
    want = int(trace.labels[0, 2])
    assert str(first_mismatch(trace, other)) == (
        f"label at sample 0, step 2: expected {want}, got 9"
    )


def test_cause_comes_before_its_effects(trace: SpikeTrace) -> None:
    other = copied(trace)
    other.labels[1, 0] = 9  # an earlier readout of the same sample comes after its layers
    other.scores[1, 0, 0] += 1
    other.layers[0][1].spikes[1, 1, 0] ^= 1
    other.layers[0][0].spikes[1, 1, 1] ^= 1
    other.layers[0][0].membranes[1, 1, 1] += 1
    other.layers[0][0].membranes[2, 0, 0] += 1
    steps = [
        (
            other.layers[0][0].membranes,
            (1, 1, 1),
            "membrane at sample 1, step 1, branch 0, layer 0",
        ),
        (other.layers[0][0].spikes, (1, 1, 1), "spike at sample 1, step 1, branch 0, layer 0"),
        (other.layers[0][1].spikes, (1, 1, 0), "spike at sample 1, step 1, branch 0, layer 1"),
        (other.scores, (1, 0, 0), "score at sample 1, step 0, class 0"),
        (other.labels, (1, 0), "label at sample 1, step 0"),
        (other.layers[0][0].membranes, (2, 0, 0), "membrane at sample 2, step 0, branch 0"),
    ]
    originals = {
        id(other.layers[0][0].membranes): trace.layers[0][0].membranes,
        id(other.layers[0][0].spikes): trace.layers[0][0].spikes,
        id(other.layers[0][1].spikes): trace.layers[0][1].spikes,
        id(other.scores): trace.scores,
        id(other.labels): trace.labels,
    }
    for array, place, text in steps:
        assert str(first_mismatch(trace, other)).startswith(text)
        array[place] = originals[id(array)][place]
    assert first_mismatch(trace, other) is None


Place = tuple[str, int, int, tuple[int, ...]]
"""Quantity, branch, layer, index."""


@st.composite
def places(draw: st.DrawFn, trace: SpikeTrace) -> Place:
    """A place in a trace."""
    quantity = draw(st.sampled_from(["spikes", "membranes", "scores", "labels"]))
    branch = draw(st.integers(0, len(trace.layers) - 1))
    layer = draw(st.integers(0, len(trace.layers[branch]) - 1))
    shape = array_of(trace, (quantity, branch, layer, ())).shape
    return quantity, branch, layer, tuple(draw(st.integers(0, size - 1)) for size in shape)


def array_of(trace: SpikeTrace, place: Place) -> np.ndarray:
    quantity, branch, layer, _ = place
    if quantity in ("scores", "labels"):
        return getattr(trace, quantity)
    return getattr(trace.layers[branch][layer], quantity)


def when(place: Place) -> tuple[float, ...]:
    """Time of a place: a sample's layers before its readouts, causes before effects."""
    quantity, branch, layer, index = place
    if quantity == "scores":
        return (index[0], np.inf, index[1], index[2])
    if quantity == "labels":
        return (index[0], np.inf, index[1], np.inf)
    return (index[0], index[1], layer, branch, quantity == "spikes", index[2])


@given(networks_with_inputs(), st.data())
def test_first_of_all_changed_elements_is_found_exactly(
    case: tuple[FixedPointNetwork, np.ndarray], data: st.DataObject
) -> None:
    trace = simulate.run(*case)
    other = copied(trace)
    changed = data.draw(st.lists(places(trace), min_size=1, max_size=3))
    for place in changed:
        array_of(other, place)[place[3]] = array_of(trace, place)[place[3]] + 1
    first = min(changed, key=when)
    quantity, branch, layer, index = first
    want = int(array_of(trace, first)[index])
    outside = quantity in ("scores", "labels")
    assert first_mismatch(trace, other) == Mismatch(
        quantity.removesuffix("s"),
        sample=index[0],
        expected=want,
        actual=want + 1,
        step=index[1],
        branch=None if outside else branch,
        layer=None if outside else layer,
        neuron=None if quantity == "labels" else index[2],
    )
    assert mismatched_samples(trace, other) == len({place[3][0] for place in changed})


def test_traces_of_other_shapes_are_not_compared(trace: SpikeTrace) -> None:
    fewer = dataclasses.replace(trace, layers=trace.layers[:1])
    with pytest.raises(InputError, match=r"^traces must have one shape: .* expected, not "):
        first_mismatch(trace, fewer)


def test_shapes_that_contradict_each_other_are_refused() -> None:
    message = (
        "spikes and membranes must have one shape (samples, steps, neurons), "
        "not (1, 2, 3) and (1, 2, 4)"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        LayerTrace(np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 4), np.int64))
    message = (
        "scores must have shape (samples, readouts, classes), labels (samples, readouts), "
        "not (2, 1, 3) and (2,)"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        SpikeTrace(layers=(), scores=np.zeros((2, 1, 3), int), labels=np.zeros(2, int))


@pytest.mark.parametrize("latency", [None, np.array([5, 5, 6, 5, 5])])
def test_file_holds_the_trace_unchanged(
    trace: SpikeTrace, latency: np.ndarray | None, tmp_path: Path
) -> None:
    kept = dataclasses.replace(trace, latency_cycles=latency)
    save(TRACE, kept, tmp_path / "trace.json")
    again, _ = load(TRACE, tmp_path / "trace.json")
    assert equal(again, kept)
    if latency is None:
        assert again.latency_cycles is None
    else:
        assert np.array_equal(again.latency_cycles, latency)
    assert again.layers[0][0].spikes.dtype == np.uint8
    assert again.layers[0][0].membranes.dtype == np.int64
