"""A logic cell as two layers of recurrent threshold units, as docs/method.md shows."""

from __future__ import annotations

import numpy as np
import pytest

from convexon.snn.cells import OWN, cell_layer
from convexon.snn.fixed import Interval
from convexon.snn.models.simulate import layer_spikes, spikes_of
from convexon.snn.network import Branch
from convexon.train.witnesses.threshold import threshold_layer

RNG = np.random.default_rng(2)


def threshold_units(table: np.ndarray) -> Branch:
    """The branch that fires as a cell does whose own last spike is the highest bit of its code."""
    codes = np.arange(len(table))
    n_inputs = len(table).bit_length() - 2
    ones = codes[:, None] >> np.arange(n_inputs) & 1
    before = codes >> n_inputs
    lateral = np.where(table[:, None] == 1, 2 * before - 1, 0)
    first = threshold_layer((2 * ones - 1).T, ones.sum(axis=1) + before, lateral)
    return Branch((first, threshold_layer(table[:, None], [1])))


@pytest.mark.parametrize("table", [*RNG.integers(0, 2, (6, 16)), np.arange(16) % 2, [0, 1, 1, 0]])
def test_a_cell_fires_as_recurrent_threshold_units_do(table: np.ndarray) -> None:
    table = np.asarray(table)
    n_inputs = len(table).bit_length() - 2
    inputs = RNG.integers(0, 2, (50, 6, n_inputs)).astype(np.uint8)
    cell = cell_layer([[*range(n_inputs), OWN]], table[None], n_inputs=n_inputs)
    units, _ = spikes_of(threshold_units(table).layers, inputs, Interval(0, 1))
    np.testing.assert_array_equal(units, layer_spikes(cell, inputs, Interval(0, 1)))
