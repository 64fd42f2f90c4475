"""Logic cells: what they compute by every model, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convexon.certify.network.neurons import run as checked
from convexon.errors import ConvexonError
from convexon.interop.arrays import network_of_arrays
from convexon.plan.cost.amounts import table_luts
from convexon.plan.cost.resource_model import neuron_sites
from convexon.plan.family import Family
from convexon.plan.fold import plans_at
from convexon.plan.mapping import Folded
from convexon.snn.card import CARD
from convexon.snn.cells import OWN, cell_layer, tables_of_integers
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models import golden, simulate
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load, save
from strategies import equal

RNG = np.random.default_rng(4)


def network(layer: Layer, *, n_steps: int = 3, **changes: object) -> FixedPointNetwork:
    n = layer.n_neurons
    return FixedPointNetwork(
        **{
            "branches": (Branch((layer,)),),
            "n_steps": n_steps,
            "input_bits": 1,
            "readout_mode": ReadoutMode.COUNT,
            "readout_weights": RNG.integers(-3, 4, (n, 2)),
            "readout_biases": np.zeros(2, dtype=np.int64),
            "readout_format": QFormat(4),
            "bias_format": QFormat(4),
            **changes,
        }
    )


def drawn(n: int = 6, k: int = 4, n_inputs: int = 7, *, own: bool = False) -> Layer:
    reads = np.array([RNG.permutation(n_inputs)[:k] for _ in range(n)])
    if own:
        reads[::2, 1] = OWN
    return cell_layer(reads, RNG.integers(0, 2, (n, 1 << k)), n_inputs=n_inputs)


@pytest.mark.parametrize(("k", "own"), [(1, False), (4, False), (4, True), (6, True)])
def test_all_models_agree(k: int, own: bool) -> None:
    net = network(drawn(k=k, own=own))
    inputs = RNG.integers(0, 2, (40, 3, 7)).astype(np.uint8)
    trace = golden.run(net, inputs)
    assert equal(simulate.run(net, inputs), trace)
    (spikes,) = (layer.spikes for layer in trace.layers[0])
    np.testing.assert_array_equal(checked(net.branches[0].layers[0], inputs)[0], spikes)
    assert 0 < spikes.mean() < 1
    np.testing.assert_array_equal(trace.layers[0][0].membranes, spikes)


def test_a_cell_is_its_truth_table() -> None:
    tables = tables_of_integers([0x8000, 0x6996], 4)  # all of four, and their parity
    layer = cell_layer([[2, 0, 3, 1], [0, 1, 2, 3]], tables, n_inputs=4)
    codes = np.indices((2,) * 4).reshape(4, -1).T.astype(np.uint8)
    spikes = simulate.layer_spikes(layer, codes[:, None], Interval(0, 1))[:, 0]
    np.testing.assert_array_equal(spikes[:, 0], codes.all(axis=1))
    np.testing.assert_array_equal(spikes[:, 1], codes.sum(axis=1) % 2)


def test_the_first_input_is_the_lowest_bit() -> None:
    layer = cell_layer([[1, 0]], tables_of_integers([0b0010], 2), n_inputs=2)
    spikes = simulate.layer_spikes(layer, np.array([[[0, 1], [1, 0]]], np.uint8), Interval(0, 1))
    assert spikes.ravel().tolist() == [1, 0]


def test_its_own_last_spike_makes_a_cell_a_flip_flop() -> None:
    toggle = cell_layer([[0, OWN]], tables_of_integers([0b0110], 2), n_inputs=1)
    inputs = np.array([[[1], [0], [1], [1]]], dtype=np.uint8)
    spikes = simulate.layer_spikes(toggle, inputs, Interval(0, 1))
    assert spikes.ravel().tolist() == [1, 1, 0, 1]
    assert not toggle.memoryless


def test_a_card_keeps_cells(tmp_path: Path) -> None:
    net = network(drawn(own=True))
    save(CARD, net, tmp_path / "card.json")
    back, _ = load(CARD, tmp_path / "card.json")
    inputs = RNG.integers(0, 2, (9, 3, 7)).astype(np.uint8)
    assert equal(golden.run(back, inputs), golden.run(net, inputs))


def test_a_network_of_arrays_has_tables() -> None:
    layer = drawn(3, 3)
    net = network_of_arrays(
        weights=layer.weights,
        tables=layer.tables,
        thresholds=1,
        leak=layer.leak,
        reset="none",
        n_steps=2,
    )
    inputs = RNG.integers(0, 2, (9, 2, 7)).astype(np.uint8)
    spikes = simulate.layer_spikes(layer, inputs, Interval(0, 1))
    np.testing.assert_array_equal(golden.run(net, inputs).scores[:, 0], spikes.sum(axis=1))


def test_what_reads_nothing_is_left_out_with_its_table() -> None:
    branch = Branch((drawn(6, 4), drawn(5, 2, 6)))
    kept = branch.pruned(np.array([3, 1]))
    inputs = RNG.integers(0, 2, (30, 1, 7)).astype(np.uint8)
    whole, part = (simulate.branch_trace(b, inputs, Interval(0, 1)) for b in (branch, kept))
    np.testing.assert_array_equal(part[-1].spikes, whole[-1].spikes[:, :, [3, 1]])
    assert kept.layers[0].n_neurons < 6


@pytest.mark.parametrize(
    ("reads", "tables", "message"),
    [
        ([[0, 1]], [[0, 1, 1]], "tables must have shape (1, 4), not (1, 3)"),
        ([[0, 0]], [[0, 1, 1, 0]], "reads must be different inputs of each neuron, -1 to 2"),
        ([[0, 3]], [[0, 1, 1, 0]], "reads must be different inputs of each neuron, -1 to 2"),
        ([[0, 1]], [[0, 1, 2, 0]], "tables[2, 0] must lie in 0..1 (1 bits), not 2"),
        ([0, 1], [[0, 1]], "reads must be integers of shape (neurons, 1 to 6), not shape (2,)"),
    ],
)
def test_cells_that_are_none_are_refused(reads: object, tables: object, message: str) -> None:
    with pytest.raises(ConvexonError) as error:
        cell_layer(reads, tables, n_inputs=3)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [[3], [1]]}, "weights of neuron 0 must be different powers of two below 4"),
        ({"weights": [[1], [1]]}, "weights of neuron 0 must be different powers of two below 4"),
        ({"weights": [[4], [1]]}, "weights of neuron 0 must be different powers of two below 4"),
        ({"weights": [[-1], [1]]}, "weights of neuron 0 must be different powers of two below 4"),
        ({"recurrent": [[[2]]]}, "weights of neuron 0 must be different powers of two below 4"),
        ({"tables": np.zeros((3, 1))}, "tables must have 2**k rows, a code each, k from 1 to 6"),
        ({"tables": np.zeros((128, 1))}, "tables must have 2**k rows, a code each, k from 1 to 6"),
        ({"tables": np.zeros((4, 2))}, "tables must have shape (4, 1), not (4, 2)"),
        ({"input_bits": 2}, "input_bits must be 1 for a first layer with tables, not 2"),
    ],
)
def test_tables_that_are_not_addressed_are_refused(
    changes: dict[str, object], message: str
) -> None:
    given = {"weights": [[1], [2]], "tables": np.zeros((4, 1)), "thresholds": 1, **changes}
    with pytest.raises(ConvexonError) as error:
        network_of_arrays(n_steps=1, **given)
    assert str(error.value).startswith(message)


def test_a_folded_cell_is_refused() -> None:
    with pytest.raises(ConvexonError, match="branch 0 layer 0 has truth tables"):
        plans_at(network(drawn()), {0: Folded(lanes=2)}, 0)


def test_a_cell_is_taken_to_cost_a_lut() -> None:
    assert table_luts(drawn(3, 4)).tolist() == [1, 1, 1]
    assert table_luts(drawn(2, 6)).tolist() == [4, 4]
    plain, wide = (neuron_sites(drawn(2, k), Interval(0, 1), 1, Family.ICE40) for k in (4, 6))
    assert (plain.tolist(), wide.tolist()) == ([1, 1], [4, 4])
