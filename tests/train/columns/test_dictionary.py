"""Witnesses and the spike dictionary: every column is what its witness does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.dataset import SpikeDataset
from convexon.errors import FormatError, InputError
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models import golden, simulate
from convexon.snn.network import Branch, FixedPointNetwork
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.store.artefact import load, save
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import (
    DICTIONARY,
    SpikeDictionary,
    build_dictionary,
    patterns,
    simulate_columns,
)
from convexon.train.witnesses.alphabet import TERNARY, Alphabet
from convexon.train.witnesses.witness import (
    WitnessFamily,
    draw_branch,
)
from strategies import WEIGHED, branches, layer_of

FAMILY = WitnessFamily(
    fan_in=3, alphabet=Alphabet.integers(3), leak=Leak(1, 2), reset=Reset.SUBTRACT
)


def dataset(n_samples: int = 20, n_steps: int = 4, input_bits: int = 1) -> SpikeDataset:
    rng = np.random.default_rng(3)
    shape = (n_samples, n_steps, 3)
    return SpikeDataset(
        inputs=rng.integers(0, 1 << input_bits, shape, dtype=np.uint8),
        labels=np.arange(n_samples) % 2,
        n_classes=2,
        input_bits=input_bits,
        name="random",
    )


def feature_of(branch: Branch, neuron: int, data: SpikeDataset, mode: ReadoutMode) -> list[int]:
    """What the golden model's readout weighs of one neuron, by rows."""
    weights = np.zeros((branch.n_outputs, 1), dtype=np.int64)
    weights[neuron] = 1
    network = FixedPointNetwork(
        branches=(branch,),
        n_steps=data.n_steps,
        input_bits=data.input_bits,
        readout_mode=mode,
        readout_weights=weights,
        readout_biases=[0],
        readout_format=QFormat(2),
        bias_format=QFormat(1),
    )
    return golden.run(network, data.inputs).scores.ravel().tolist()


def test_no_column_is_a_membrane() -> None:
    with pytest.raises(InputError, match=r"^readout must be .* for columns, not peak"):
        simulate_columns([], dataset(6, 3, 1), ReadoutMode.PEAK)


@given(
    st.lists(branches(3), min_size=1, max_size=3),
    st.sampled_from(WEIGHED),
    st.integers(1, 2),
)
def test_every_column_is_what_its_witness_does(
    parallel: list[Branch], mode: ReadoutMode, bits: int
) -> None:
    data = dataset(6, 3, bits)
    everything = [
        tuple(feature_of(branch, j, data, mode))
        for branch in parallel
        for j in range(branch.n_outputs)
    ]
    silent = [column for column in everything if not any(column)]
    constant = [column for column in everything if set(column) == {1}]
    alive = [column for column in everything if any(column) and set(column) != {1}]
    if not alive:
        message = f"^none of {len(everything)} witnesses ever told two rows apart: {len(silent)} "
        with pytest.raises(InputError, match=message):
            build_dictionary(parallel, data, mode)
        return
    dictionary = build_dictionary(parallel, data, mode)
    for column, (b, j) in zip(dictionary.columns.T, dictionary.witnesses, strict=True):
        assert column.tolist() == feature_of(parallel[b], j, data, mode)
    distinct = {tuple(column) for column in dictionary.columns.T.tolist()}
    assert len(distinct) == dictionary.n_columns
    assert distinct == set(alive)
    assert dictionary.n_drawn == len(everything)
    assert dictionary.n_silent == len(silent)
    assert dictionary.n_constant == len(constant)
    assert dictionary.n_duplicate == len(alive) - len(distinct)
    if mode is not ReadoutMode.COUNT:
        complements = {tuple(1 - value for value in column) for column in distinct}
        assert dictionary.n_complement == len(distinct & complements)
    assert dictionary.columns.max() <= dictionary.max_feature
    assert dictionary.max_feature == (3 if mode is ReadoutMode.COUNT else 1)


def test_first_witness_of_a_column_is_kept_and_silent_ones_are_not() -> None:
    silent, loud = [0, 0, 0], [1, 1, 1]
    first = layer_of(np.array([silent, loud, loud]).T, [1, 1, 1])
    second = layer_of(np.array([loud, [1, 0, 0]]).T, [1, 1])
    steps: list[tuple[int, int]] = []
    dictionary = build_dictionary(
        [Branch((first,)), Branch((second,))],
        dataset(),
        ReadoutMode.COUNT,
        progress=lambda done, of: steps.append((done, of)),
    )
    assert dictionary.witnesses.tolist() == [[0, 1], [1, 1]]
    assert (dictionary.n_drawn, dictionary.n_silent, dictionary.n_duplicate) == (5, 1, 2)
    assert steps == [(1, 2), (2, 2)]


def test_intercept_is_the_last_column_and_always_fires() -> None:
    dictionary = build_dictionary(
        [Branch((layer_of([[1], [0], [0]], [1]),))], dataset(), ReadoutMode.LAST
    )
    whole = dictionary.with_intercept().dense()
    assert whole.shape == (20, dictionary.n_columns + 1)
    assert np.array_equal(whole[:, :-1], dictionary.columns)
    assert whole[:, -1].tolist() == [1] * 20
    assert whole.dtype == np.uint8


def test_rows_of_step_scores_follow_samples_then_steps() -> None:
    branch = Branch((layer_of([[1], [0], [0]], [1], reset=Reset.ZERO),))
    data = dataset()
    column = patterns([branch], data, ReadoutMode.STEP)[:, 0]
    assert column.reshape(20, 4).tolist() == data.inputs[:, :, 0].tolist()


def test_restricted_dictionary_keeps_columns_with_their_witnesses() -> None:
    branch = draw_branch([FAMILY], dataset(), widths=[8], generator=np.random.default_rng(1))
    dictionary = build_dictionary([branch], dataset(), ReadoutMode.COUNT)
    chosen = np.array([dictionary.n_columns - 1, 0])
    small = dictionary.restricted(chosen)
    assert np.array_equal(small.columns, dictionary.columns[:, chosen])
    assert np.array_equal(small.witnesses, dictionary.witnesses[chosen])


def test_file_holds_the_dictionary_unchanged(tmp_path: Path) -> None:
    branch = draw_branch([FAMILY], dataset(), widths=[8], generator=np.random.default_rng(1))
    dictionary = build_dictionary([branch], dataset(), ReadoutMode.COUNT)
    save(DICTIONARY, dictionary, tmp_path / "dictionary.json")
    again, _ = load(DICTIONARY, tmp_path / "dictionary.json")
    assert np.array_equal(again.columns, dictionary.columns)
    assert np.array_equal(again.witnesses, dictionary.witnesses)
    for name in ("n_drawn", "n_silent", "n_constant", "n_duplicate", "n_complement", "max_feature"):
        assert getattr(again, name) == getattr(dictionary, name)


def test_bookkeeping_of_another_shape_is_refused() -> None:
    message = "witnesses must have shape (2, 2), one for each column, not (1, 2)"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        SpikeDictionary(
            bits=BitColumns.pack(np.zeros((3, 2), np.uint8)),
            witnesses=np.zeros((1, 2), np.int64),
            n_drawn=2,
            n_silent=0,
            n_constant=0,
            n_duplicate=0,
            n_complement=0,
            max_feature=1,
        )


def test_counts_past_a_byte_are_refused() -> None:
    message = "n_steps must be at most 255 for spike counts, not 256"
    branch = Branch((layer_of([[1], [0], [0]], [1]),))
    with pytest.raises(FormatError, match=f"^{message}$"):
        patterns([branch], dataset(2, 256), ReadoutMode.COUNT)


@pytest.mark.parametrize("bits", [2, 3, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_drawn_witnesses_are_sparse_small_and_alive(bits: int, seed: int) -> None:
    alphabet = Alphabet.integers(bits)
    family = WitnessFamily(fan_in=2, alphabet=alphabet, leak=Leak(1, 2), reset=Reset.ZERO)
    data = dataset(60)
    branch = draw_branch([family], data, widths=[30], generator=np.random.default_rng(seed))
    (layer,) = branch.layers
    assert ((layer.weights != 0).sum(axis=0) == 2).all()
    assert np.abs(layer.weights).max() <= alphabet.largest
    assert (layer.thresholds >= 1).all()
    spikes = simulate.branch_trace(branch, data.inputs, Interval(0, 1))[0].spikes
    assert 0.0 < spikes.mean() < 1.0
    again = draw_branch([family], data, widths=[30], generator=np.random.default_rng(seed))
    assert np.array_equal(again.layers[0].weights, layer.weights)
    assert np.array_equal(again.layers[0].thresholds, layer.thresholds)


@pytest.mark.parametrize("depth", [2, 4])
def test_deep_branches_live_and_their_rates_are_reported(depth: int) -> None:
    families = [
        WitnessFamily(fan_in=3, alphabet=TERNARY, leak=Leak(1, 3), reset=Reset.SUBTRACT)
    ] * depth
    data = dataset(200, 6)
    branch = draw_branch(families, data, widths=[30] * depth, generator=np.random.default_rng(2))
    traces = simulate.branch_trace(branch, data.inputs, data.input_range)
    assert len(traces) == depth
    for level, trace in enumerate(traces, start=1):
        per_neuron = trace.spikes.mean(axis=(0, 1))
        assert (per_neuron == 0).mean() <= 0.1 or level == depth  # a silent witness is no column
        assert (per_neuron == 1).mean() <= 0.1
        assert 0.05 < per_neuron.mean() < 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fan_in": 0}, "fan_in must be at least 1, not 0"),
        ({"lateral": -1}, "lateral must be at least 0, not -1"),
        ({"reset": Reset.LATE}, "reset of a witness must be subtract, zero or none, not late"),
        ({"spikes_per_sample": 0.5}, "spikes_per_sample must be >= 1, not 0.5"),
    ],
)
def test_family_outside_its_ranges_is_refused(changes: dict[str, Any], message: str) -> None:
    members = {
        "fan_in": 3,
        "alphabet": Alphabet.integers(3),
        "leak": Leak(0, 0),
        "reset": Reset.ZERO,
    }
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        WitnessFamily(**{**members, **changes})


@pytest.mark.parametrize(
    ("family", "n_witnesses", "message"),
    [
        (FAMILY, 0, "widths must be at least 1, not 0"),
        (
            WitnessFamily(fan_in=4, alphabet=TERNARY, leak=Leak(0, 0), reset=Reset.ZERO),
            1,
            "fan_in must be at most the 3 inputs, not 4",
        ),
    ],
)
def test_witnesses_that_cannot_be_drawn_are_refused(
    family: WitnessFamily, n_witnesses: int, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        draw_branch([family], dataset(), widths=[n_witnesses], generator=np.random.default_rng(0))
