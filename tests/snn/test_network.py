"""Layers, branches and networks: what they refuse, and pruning."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.errors import FormatError, InputError
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models import simulate
from convexon.snn.network import Branch, FixedPointNetwork, Network
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode
from strategies import branches, layer_of, network_of

ONE = layer_of([[1]], [1])
NOT_INTEGERS = "must hold 64-bit integers only: round to the grid first"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [1, 2]}, "weights must have shape (inputs, neurons), both at least 1, "),
        ({"weights": np.zeros((0, 1))}, "weights must have shape (inputs, neurons), both at "),
        ({"weights": np.zeros((2, 0))}, "weights must have shape (inputs, neurons), both at "),
        ({"weights": [[0.5]]}, f"weights {NOT_INTEGERS}"),
        ({"weights": [[np.nan]]}, f"weights {NOT_INTEGERS}"),
        ({"weights": [[np.inf]]}, f"weights {NOT_INTEGERS}"),
        ({"weights": [["1"]]}, f"weights {NOT_INTEGERS}"),
        ({"weights": [[None]]}, f"weights {NOT_INTEGERS}"),
        ({"weights": [[1 << 70]]}, f"weights {NOT_INTEGERS}"),
        ({"weights": np.array([[2**64 - 1]], dtype=np.uint64)}, f"weights {NOT_INTEGERS}"),
        ({"thresholds": [np.nan]}, f"thresholds {NOT_INTEGERS}"),
        ({"thresholds": [1, 2]}, "thresholds must have shape (1,), not (2,)"),
        ({"biases": [[0]]}, "biases must have shape (1,), not (1, 1)"),
        ({"biases": [0.25]}, f"biases {NOT_INTEGERS}"),
        ({"recurrent": [[1, 2]]}, "recurrent must have shape (1, 1), not (1, 2)"),
        ({"recurrent": [[1.5]]}, f"recurrent {NOT_INTEGERS}"),
    ],
)
def test_layer_refuses_what_is_no_integer_of_its_shape(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        layer_of(**{"weights": [[1]], "thresholds": [1], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [[1, 9]], "weight_format": QFormat(4)}, "weights[0, 1] must lie in -8..7 (4 "),
        ({"recurrent": [[0, 0], [-9, 0]], "weight_format": QFormat(4)}, "recurrent[1, 0] must lie"),
        ({"thresholds": [1, 200]}, "thresholds[1] must lie in -128..127 (8 bits), not 200: widen"),
        ({"biases": [-129, 0]}, "biases[0] must lie in -128..127 (8 bits), not -129: widen the"),
    ],
)
def test_layer_names_the_first_value_outside_its_format(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FormatError, match=f"^{re.escape(message)}"):
        layer_of(**{"weights": [[1, 1]], "thresholds": [1, 1], **changes})


def test_whole_floats_are_integers() -> None:
    assert layer_of([[2.0]], [1.0]).weights.dtype == np.int64


def test_parameters_cannot_be_changed_afterwards() -> None:
    source = np.array([[3]])
    layer = layer_of(source, [1])
    source[0, 0] = 4
    assert layer.weights[0, 0] == 3
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        layer.weights[0, 0] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.leak = MEMORYLESS  # type: ignore[misc]


@pytest.mark.parametrize(
    ("d", "f", "message"),
    [
        (0, 17, "leak f must be 0 to 16, not 17"),
        (0, -1, "leak f must be 0 to 16, not -1"),
        (5, 2, "leak d must be 0 to 2**f = 4, not 5"),
        (-1, 2, "leak d must be 0 to 2**f = 4, not -1"),
    ],
)
def test_leak_outside_its_format_is_refused(d: int, f: int, message: str) -> None:
    with pytest.raises(FormatError, match=f"^{re.escape(message)}$"):
        Leak(d, f)


def test_leak_factors_by_hand() -> None:
    assert INTEGRATE.factor == 1.0
    assert MEMORYLESS.factor == 0.0
    assert Leak(10, 10).factor == 1 - 10 / 1024


def test_branch_refuses_layers_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"^layers must hold at least one layer, not none$"):
        Branch(())
    two = layer_of([[1], [1]], [1])
    message = "layer 1 must have 1 inputs, the neurons of layer 0, not 2"
    with pytest.raises(InputError, match=f"^{message}$"):
        Branch((ONE, two))


@pytest.mark.parametrize(
    ("error", "changes", "message"),
    [
        (InputError, {"n_steps": 0}, "n_steps must be 1 to 65536, not 0"),
        (InputError, {"input_bits": 0}, "input_bits must be 1 to 8, not 0"),
        (InputError, {"input_bits": 9}, "input_bits must be 1 to 8, not 9"),
        (InputError, {"branches": ()}, "branches must hold at least one branch, not none"),
        (
            InputError,
            {"branches": (Branch((ONE,)), Branch((layer_of([[1], [1]], [1]),)))},
            "branches must all read the same inputs, not [1, 2] inputs",
        ),
        (
            InputError,
            {"readout_weights": [[1], [1]]},
            "readout_weights must have shape (1, classes), not (2, 1)",
        ),
        (
            InputError,
            {"readout_weights": np.zeros((1, 0))},
            "readout_weights must have shape (1, classes), not (1, 0)",
        ),
        (InputError, {"readout_weights": [[0.5]]}, f"readout_weights {NOT_INTEGERS}"),
        (
            InputError,
            {"readout_biases": [1, 2]},
            "readout_biases must have shape (1,), not (2,)",
        ),
        (
            FormatError,
            {"readout_weights": [[128]]},
            "readout_weights[0, 0] must lie in -128..127 (8 bits), not 128: widen the format or "
            "rescale",
        ),
        (
            FormatError,
            {"readout_biases": [-129]},
            "readout_biases[0] must lie in -128..127 (8 bits), not -129: widen the format or "
            "rescale",
        ),
        (
            FormatError,
            {"bias_format": QFormat(8, frac=1)},
            "bias_format must have the readout's frac 0, not 1",
        ),
    ],
)
def test_network_refuses_what_does_not_fit(
    error: type[InputError], changes: dict[str, Any], message: str
) -> None:
    network = network_of((ONE,), n_steps=2)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        dataclasses.replace(network, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"readout_weights": [[np.nan]]}, "readout_weights must be finite, not NaN or infinite"),
        ({"readout_biases": [np.inf]}, "readout_biases must be finite, not NaN or infinite"),
        ({"readout_weights": [1.0]}, "readout_weights must have shape (1, classes), not (1,)"),
        ({"readout_biases": [1.0, 2.0]}, "readout_biases must have shape (1,), not (2,)"),
        ({"n_steps": 0}, "n_steps must be 1 to 65536, not 0"),
    ],
)
def test_real_readout_refuses_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    members: dict[str, Any] = {
        "branches": (Branch((ONE,)),),
        "n_steps": 2,
        "input_bits": 1,
        "readout_mode": ReadoutMode.LAST,
        "readout_weights": [[0.5]],
        "readout_biases": [0.0],
    }
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Network(**{**members, **changes})


def test_figures_of_a_network_by_hand() -> None:
    deep = (layer_of([[1, 0], [2, 3]], [1, 1]), layer_of([[1], [0]], [1], recurrent=[[4]]))
    shallow = (layer_of([[0], [5]], [1]),)
    network = network_of(deep, shallow, n_steps=3, readout_mode=ReadoutMode.COUNT)
    assert (network.n_inputs, network.n_features, network.n_classes) == (2, 2, 2)
    assert (network.n_neurons, network.depth, network.max_feature) == (4, 2, 3)
    assert network.n_synapses == 3 + 2 + 1 + 2
    assert network.score_ranges == (Interval(0, 3), Interval(0, 3))


@st.composite
def branches_with_outputs(draw: st.DrawFn) -> tuple[Branch, np.ndarray, np.ndarray]:
    """Branches, some neurons of the last layer, and spikes to drive both."""
    branch = draw(branches(3))
    order = draw(st.permutations(range(branch.n_outputs)))
    outputs = np.array(order[: draw(st.integers(1, len(order)))], dtype=np.intp)
    seed = draw(st.integers(0, 1000))
    return branch, outputs, np.random.default_rng(seed).integers(0, 2, (6, 4, 3), dtype=np.uint8)


@given(branches_with_outputs())
def test_pruned_branch_computes_what_it_keeps_exactly(
    case: tuple[Branch, np.ndarray, np.ndarray],
) -> None:
    branch, outputs, inputs = case
    last = branch.layers[-1]
    if last.recurrent is not None:
        others = np.setdiff1d(np.arange(branch.n_outputs), outputs)
        if last.recurrent[np.ix_(others, outputs)].any():
            message = (
                "outputs must be closed under lateral weights in the last layer: keep every "
                "neuron that a kept one reads"
            )
            with pytest.raises(InputError, match=f"^{message}$"):
                branch.pruned(outputs)
            return
    pruned = branch.pruned(outputs)
    spikes = Interval(0, 1)
    whole = simulate.branch_trace(branch, inputs, spikes)[-1]
    kept = simulate.branch_trace(pruned, inputs, spikes)[-1]
    assert pruned.n_inputs == branch.n_inputs
    assert np.array_equal(kept.spikes, whole.spikes[:, :, outputs])
    assert np.array_equal(kept.membranes, whole.membranes[:, :, outputs])


def test_pruning_drops_exactly_the_neurons_that_nothing_reads() -> None:
    # Output 0 reads hidden 1; hidden 1 reads hidden 2 laterally; hidden 0 and 3 are not read.
    lateral = np.zeros((4, 4), dtype=np.int64)
    lateral[2, 1] = lateral[1, 3] = 1
    hidden = layer_of(np.ones((2, 4)), [1, 2, 3, 4], recurrent=lateral)
    output = layer_of([[0, 1], [1, 0], [0, 0], [0, 1]], [1, 1])
    pruned = Branch((hidden, output)).pruned(np.array([0]))
    assert pruned.layers[0].thresholds.tolist() == [2, 3]
    assert pruned.layers[0].recurrent is not None
    assert pruned.layers[0].recurrent.tolist() == [[0, 0], [1, 0]]
    assert pruned.layers[1].weights.tolist() == [[1], [0]]


def test_pruning_keeps_a_neuron_that_only_its_bias_drives() -> None:
    branch = Branch((layer_of([[1, 1]], [1, 1]), layer_of([[0], [0]], [1], biases=[1])))
    pruned = branch.pruned(np.array([0]))
    assert [layer.n_neurons for layer in pruned.layers] == [1, 1]


def test_copies_of_a_network_are_equal_in_every_integer() -> None:
    network = network_of((ONE,), n_steps=2)
    again = FixedPointNetwork(
        **{field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
    )
    assert np.array_equal(again.readout_weights, network.readout_weights)
    assert again.ranges == network.ranges
