"""What is dead in a network is named, whatever the cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convexon.data.samples import Samples
from convexon.flow.network.solve import fit
from convexon.flow.run import Keeper
from convexon.snn.models.health import notices
from convexon.snn.network import FixedPointNetwork
from strategies import interface_of, layer_of, network_of
from toy import toy_arrays, toy_settings

ALIVE = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], np.uint8)


def network(*thresholds: int) -> FixedPointNetwork:
    """A branch of two neurons with each threshold; weights are 1."""
    layers = [(layer_of([[1, 0], [0, 1]], [threshold, threshold]),) for threshold in thresholds]
    return network_of(*layers, n_steps=2)


def test_nothing_is_said_where_all_is_alive() -> None:
    assert notices(network(1), ALIVE) == []


@pytest.mark.parametrize(
    ("column", "line"),
    [(0, "1 of 2 inputs never spike: 1"), (1, "1 of 2 inputs never change: 1")],
)
def test_inputs_that_tell_nothing_are_named(column: int, line: str) -> None:
    inputs = ALIVE.copy()
    inputs[:, :, 1] = column
    assert notices(network(1), inputs) == [line]


def test_layers_that_tell_nothing_are_named_with_their_place() -> None:
    assert notices(network(1, 9, -9), ALIVE) == [
        "layer 0 of branch 1 is silent: it tells nothing apart",
        "layer 0 of branch 2 always fires: it tells nothing apart",
    ]
    deep = network_of(
        (layer_of([[1, 0], [0, 1]], [1, 1]), layer_of([[1, 0], [0, 1]], [9, 9])), n_steps=2
    )
    assert notices(deep, ALIVE) == ["layer 1 of branch 0 is silent: it tells nothing apart"]


def test_a_layer_of_which_one_neuron_is_alive_is_not_named() -> None:
    mixed = network_of((layer_of([[1, 0], [0, 1]], [1, 9]),), n_steps=2)
    assert notices(mixed, ALIVE) == []


def test_features_that_were_constant_in_training_are_named_at_every_use() -> None:
    own = network(1)
    interface = interface_of(own, low=np.array([0.0, 2.0]), high=np.array([1.0, 2.0]))
    lines = notices(replace(own, interface=interface), ALIVE)
    assert lines == ["1 features were constant in training: 1"]


def test_many_are_cut() -> None:
    wide = network_of((layer_of(np.ones((20, 1), dtype=int), [1]),), n_steps=2)
    inputs = np.zeros((2, 2, 20), np.uint8)
    inputs[0, 0, 0] = 1
    (line,) = notices(wide, inputs)
    assert line == "19 of 20 inputs never spike: 1, 2, 3, 4, 5, 6, 7, 8, ..."


def test_a_solve_says_what_its_training_samples_leave_unused() -> None:
    X, y = toy_arrays()
    X = np.insert(X, [0, 8], [5.0, -1.0], axis=1)
    memory = Keeper()
    from convexon.data.samples import SAMPLES

    samples = memory.keep("samples-train", SAMPLES, Samples.of(X, y), parents={}, recipe={})
    made = fit(memory, samples, None, toy_settings(max_neurons=6))
    assert made.notices == [
        "2 of 10 inputs never spike: 0, 9",
        "2 features were constant in training: 0, 9",
    ]
