"""The checker's own neuron model: it says what the golden model says, which it does not share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexon.certify.network import neurons
from convexon.certify.network.costs import weights_of
from convexon.certify.network.neurons import columns_of, weighed_of
from convexon.certify.network.windows import WindowSet
from convexon.errors import InputError
from convexon.snn.convolution import Convolution
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.models.simulate import features
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convolutions import WINDOWS, convolutional
from strategies import WEIGHED, layer_of, network_of, networks_with_inputs


def expected_of(network: FixedPointNetwork, inputs: np.ndarray) -> np.ndarray:
    """What the readout weighs by the golden model, shape (samples, readouts, neurons)."""
    layers = golden.run(network, inputs).layers
    return np.concatenate([features(network.readout_mode, b[-1]) for b in layers], axis=2)


@settings(max_examples=150)
@given(networks_with_inputs())
def test_it_equals_the_golden_model(case: tuple[FixedPointNetwork, np.ndarray]) -> None:
    network, inputs = case
    mode = network.readout_mode
    found = [weighed_of(branch, inputs, mode) for branch in network.branches]
    np.testing.assert_array_equal(np.concatenate(found, axis=2), expected_of(network, inputs))


@pytest.mark.parametrize("name", WINDOWS)
def test_it_unrolls_a_convolution_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = convolutional(name)
    shape = (6, network.n_steps, network.n_inputs)
    inputs = np.random.default_rng(1).integers(0, 1 << network.input_bits, shape).astype(np.uint8)
    expected = expected_of(network, inputs)
    monkeypatch.delattr(Layer, "matrix")
    monkeypatch.delattr(Convolution, "__rmatmul__")
    found = [weighed_of(branch, inputs, network.readout_mode) for branch in network.branches]
    np.testing.assert_array_equal(np.concatenate(found, axis=2), expected)


@settings(max_examples=40)
@given(networks_with_inputs(WEIGHED), st.integers(0, 2**32))
def test_columns_are_those_of_the_rows(
    case: tuple[FixedPointNetwork, np.ndarray], seed: int
) -> None:
    network, inputs = case
    weighed = expected_of(network, inputs)
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, weighed.shape[0], 19)
    readouts = rng.integers(0, weighed.shape[1], 19)
    columns = columns_of(network.branches, inputs, network.readout_mode, samples, readouts)
    found = np.concatenate([block for _, block in columns.blocks()])
    np.testing.assert_array_equal(found.T, weighed[samples, readouts])


@settings(max_examples=40)
@given(st.integers(10, 48), st.integers(0, 2), st.sampled_from(Reset), st.integers(0, 2**32))
def test_it_is_exact_beyond_float64(bits: int, f: int, reset: Reset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    limit = 1 << (bits - 1)
    layer = layer_of(
        rng.integers(-limit, limit, (3, 2)),
        rng.integers(-limit, limit, 2),
        recurrent=rng.integers(-limit, limit, (2, 2)),
        leak=Leak((1 << f) // 2, f),
        reset=reset,
        weight_format=QFormat(bits),
        threshold_format=QFormat(bits),
    )
    network = network_of((layer,), n_steps=5, input_bits=8, readout_mode=ReadoutMode.SIGN)
    inputs = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    found = weighed_of(network.branches[0], inputs, ReadoutMode.SIGN)
    np.testing.assert_array_equal(found, expected_of(network, inputs))


def test_no_column_is_made_of_membranes() -> None:
    network = network_of((layer_of([[1]], [2]),), n_steps=1, readout_mode=ReadoutMode.PEAK)
    where = np.zeros(1, dtype=np.int64)
    with pytest.raises(InputError, match=r"^readout must be .* for a certificate, not peak"):
        columns_of(network.branches, np.ones((1, 1, 1), np.uint8), ReadoutMode.PEAK, where, where)


def test_weights_of_62_bits_do_not_overflow() -> None:
    most = (1 << 61) - 1
    layer = layer_of(
        [[most], [most]], [most], weight_format=QFormat(62), threshold_format=QFormat(62)
    )
    network = network_of((layer,), n_steps=3)
    ones = np.ones((1, 3, 2), dtype=np.uint8)
    assert weighed_of(network.branches[0], ones, ReadoutMode.COUNT).tolist() == [[[3]]]


def test_no_more_rows_are_simulated_at_once_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs count where they are more than neurons, and for costs as well."""
    rng = np.random.default_rng(3)
    layers = (
        layer_of(rng.integers(-1, 2, (64, 3)), [1, 1, 1]),
        layer_of(rng.integers(0, 2, (3, 2)), [1, 1]),
    )
    branches = network_of(layers, n_steps=2).branches
    inputs = rng.integers(0, 2, (40, 2, 64)).astype(np.uint8)
    rows, witnesses = np.arange(40), np.array([[0, 0], [0, 1]])
    sizes: list[int] = []
    run = neurons.run

    def measured(layer: Layer, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(signal.size)
        return run(layer, signal)

    def found() -> tuple[np.ndarray, np.ndarray]:
        columns = columns_of(branches, inputs, ReadoutMode.LAST, rows, np.zeros_like(rows))
        return columns.planes, weights_of("events", branches, witnesses, inputs, 1)

    whole = found()
    monkeypatch.setattr(neurons, "_AT_ONCE", 1 << 11)
    monkeypatch.setattr(neurons, "run", measured)
    for a, b in zip(found(), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    assert max(sizes) <= 1 << 11


def test_branches_of_other_inputs_are_refused() -> None:
    network = network_of((layer_of([[1], [1]], [1]),), n_steps=1)
    where = np.zeros(1, dtype=np.int64)
    with pytest.raises(InputError, match=r"^branches must read the 3 inputs of the samples$"):
        columns_of(network.branches, np.zeros((1, 1, 3), np.uint8), ReadoutMode.LAST, where, where)


def test_windows_are_of_neurons_that_a_witness_may_be() -> None:
    members = {"branch": 0, "any_threshold": True, "n_neurons": 1, "leak": Leak(1, 0)}
    arrays = {"inputs": np.array([[0]]), "values": np.array([-1, 1])}
    assert "threshold units" in WindowSet(**members, **arrays, reset=Reset.NONE).about
    with pytest.raises(
        InputError, match=r"^reset must be one of a witness: subtract, zero or none"
    ):
        WindowSet(**members, **arrays, reset=Reset.LATE)
