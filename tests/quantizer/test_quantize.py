"""Reconstruction and quantization: nothing is lost in the one, and the other's bound holds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convexon.quantizer.readout
from convex_programs import LOSS_NAMES
from convexon.certify.certificate import Rounded
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import L1, GroupL2
from convexon.convex.model.program import ConvexProgram
from convexon.data.dataset import SpikeDataset
from convexon.errors import FormatError, InputError
from convexon.quantizer.readout import (
    quantize,
    quantize_readout,
    rounded_readout,
    sample_margins,
)
from convexon.snn.fixed import QFormat
from convexon.snn.models import simulate
from convexon.snn.network import Branch, Network
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.train.columns.dictionary import SpikeDictionary, build_dictionary
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.reconstruct import reconstruct
from convexon.train.witnesses.witness import WitnessFamily, draw_branch
from strategies import WEIGHED, integers, interface_of, layer_of

N_ROWS, N_STEPS = 30, 3


def dataset() -> SpikeDataset:
    inputs = np.random.default_rng(8).integers(0, 2, (N_ROWS, N_STEPS, 5), dtype=np.uint8)
    return SpikeDataset(
        inputs=inputs, labels=np.arange(N_ROWS) % 3, n_classes=3, input_bits=1, name="random"
    )


def dictionary_of(mode: ReadoutMode) -> tuple[list[Branch], SpikeDictionary]:
    """Two drawn branches, and their columns."""
    generator = np.random.default_rng(2)
    parallel = [
        draw_branch(
            [WitnessFamily(fan_in=3, alphabet=Alphabet.integers(3), leak=leak, reset=reset)],
            dataset(),
            widths=[5],
            generator=generator,
        )
        for leak, reset in ((Leak(0, 0), Reset.SUBTRACT), (Leak(1, 2), Reset.ZERO))
    ]
    return parallel, build_dictionary(parallel, dataset(), mode)


def solution(dictionary: SpikeDictionary, seed: int) -> np.ndarray:
    """Sparse weights of the columns, 1 at most, and the intercept."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(dictionary.n_columns + 1, 3))
    W[:-1][rng.random(dictionary.n_columns) < 0.5] = 0.0
    W[0] = [0.0, 0.25, 0.0]  # a column is active if any class weighs it
    return W / np.abs(W[:-1]).max()


def network_of(mode: ReadoutMode, seed: int) -> tuple[Network, SpikeDictionary, np.ndarray]:
    parallel, dictionary = dictionary_of(mode)
    W = solution(dictionary, seed)
    network = reconstruct(parallel, dictionary, W, n_steps=N_STEPS, input_bits=1, readout_mode=mode)
    return network, dictionary, W


def features_of(network: Network) -> np.ndarray:
    """What the readout of ``network`` weighs, by rows."""
    weighed = [
        simulate.features(
            network.readout_mode,
            simulate.branch_trace(branch, dataset().inputs, network.input_range)[-1],
        )
        for branch in network.branches
    ]
    return np.concatenate(weighed, axis=2).reshape(-1, network.n_features)


@pytest.mark.parametrize("mode", WEIGHED)
@pytest.mark.parametrize("seed", range(4))
def test_network_scores_every_training_row_as_the_program_does(
    mode: ReadoutMode, seed: int
) -> None:
    network, dictionary, W = network_of(mode, seed)
    scores = features_of(network) @ network.readout_weights + network.readout_biases
    program = dictionary.with_intercept().dense().astype(np.float64) @ W
    assert network.n_features == (W[:-1] != 0).any(axis=1).sum()
    assert np.allclose(scores, program, rtol=0, atol=1e-12)


def test_branch_without_an_active_witness_is_dropped() -> None:
    parallel, dictionary = dictionary_of(ReadoutMode.COUNT)
    W = np.zeros((dictionary.n_columns + 1, 1))
    column = int(np.flatnonzero(dictionary.witnesses[:, 0] == 1)[0])
    W[column] = 2.0
    network = reconstruct(
        parallel, dictionary, W, n_steps=N_STEPS, input_bits=1, readout_mode=ReadoutMode.COUNT
    )
    assert len(network.branches) == 1
    assert features_of(network).ravel().tolist() == dictionary.columns[:, column].tolist()


def test_solution_that_does_not_fit_is_refused() -> None:
    parallel, dictionary = dictionary_of(ReadoutMode.LAST)
    n = dictionary.n_columns
    messages = {
        (n, 3): f"W must have {n + 1} rows, one a column and the intercept's, not ({n}, 3)",
        (n + 1,): f"W must have {n + 1} rows, one a column and the intercept's, not ({n + 1},)",
        (n + 1, 3): "W must have an active column: all are zero, so lower rho",
    }
    for shape, message in messages.items():
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            reconstruct(
                parallel,
                dictionary,
                np.zeros(shape),
                n_steps=N_STEPS,
                input_bits=1,
                readout_mode=ReadoutMode.LAST,
            )


def test_readout_is_rounded_to_the_finest_step_that_holds_it() -> None:
    readout = quantize_readout(np.array([[0.75, -1.5]]), np.array([10.3, 0.0]), bits=4)
    # 1.5 * 4 = 6 fits 4 bits, 1.5 * 8 = 12 does not; 10.3 * 4 rounds to 41, which takes 7 bits.
    assert (readout.weights.tolist(), readout.biases.tolist()) == ([[3, -6]], [41, 0])
    assert (readout.weight_format, readout.bias_format) == (QFormat(4, 2), QFormat(7, 2))
    assert readout.real_weights.tolist() == [[0.75, -1.5]]
    assert readout.real_biases.tolist() == [10.25, 0.0]


@given(st.integers(2, 24), st.lists(st.floats(-1, 1), min_size=1, max_size=5), st.floats(-9, 9))
def test_rounding_moves_a_weight_by_half_a_step_at_most(
    bits: int, weights: list[float], bias: float
) -> None:
    values = np.array(weights)[:, None]
    readout = quantize_readout(values, np.array([bias]), bits=bits)
    half = 0.5 / (1 << readout.weight_format.frac)
    limit = (1 << (bits - 1)) - 1
    assert np.abs(readout.weights).max() <= limit
    assert np.abs(readout.real_weights - values).max() <= half
    assert np.abs(readout.real_biases - bias).max() <= half
    largest = float(np.abs(values).max())
    finer = np.rint(np.ldexp(largest, readout.weight_format.frac + 1))
    assert finer > limit or readout.weight_format.frac == 30


@pytest.mark.parametrize(
    ("weight", "bias", "bits", "message"),
    [
        (0.5, 0.0, 1, "bits must be 2 to 24, not 1"),
        (0.5, 0.0, 25, "bits must be 2 to 24, not 25"),
        (8.0, 0.0, 4, "readout weights must be at most 7 for 4 bits, not 8: take more bits, or a "),
        (0.0, 1e12, 4, "readout biases must fit 62 bits at the weights' step 2**-30: scale the w"),
        (1.0, -1e300, 4, "readout biases must fit 62 bits at the weights' step 2**-2: scale the w"),
    ],
)
def test_readout_that_does_not_fit_is_refused(
    weight: float, bias: float, bits: int, message: str
) -> None:
    with pytest.raises(FormatError, match=f"^{re.escape(message)}"):
        quantize_readout(np.array([[weight]]), np.array([bias]), bits=bits)


@pytest.mark.parametrize("mode", WEIGHED)
@pytest.mark.parametrize("bits", [2, 3, 6])
def test_quantized_network_scores_as_its_rounded_readout(mode: ReadoutMode, bits: int) -> None:
    network, dictionary, W = network_of(mode, 1)
    interface = interface_of(network)
    fixed = quantize(network, bits=bits, interface=interface)
    readout = quantize_readout(W[:-1], W[-1], bits=bits)
    expected = dictionary.columns.astype(np.int64) @ readout.weights + readout.biases
    scores = simulate.run(fixed, dataset().inputs).scores
    assert scores.reshape(-1, 3).tolist() == expected.tolist()
    assert fixed.interface is interface
    assert fixed.readout_weights.any(axis=1).all()  # neurons that round to nothing are gone


def test_readout_that_rounds_to_nothing_is_refused() -> None:
    branch = Branch((layer_of([[1, 1]], [1, 1]),))
    network = Network(
        branches=(branch,),
        n_steps=1,
        input_bits=1,
        readout_mode=ReadoutMode.LAST,
        readout_weights=np.full((2, 1), 1e-12),
        readout_biases=[1.0],
    )
    message = "every readout weight rounds to zero with 4 bits: take more bits"
    with pytest.raises(InputError, match=f"^{message}$"):
        quantize(network, bits=4)


@st.composite
def programs(draw: st.DrawFn) -> tuple[ConvexProgram, np.ndarray, int]:
    """A program, a solution of it, and bits."""
    n, p = 8, draw(st.integers(1, 4))
    kind = draw(st.sampled_from(LOSS_NAMES))
    columns = draw(integers(0, 3, n, p)).astype(np.uint8)
    features = np.concatenate([columns, np.ones((n, 1), np.uint8)], axis=1)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    classes = rng.permutation(np.arange(n) % 3) if kind == "softmax" else None
    targets = rng.choice([-1.0, 1.0], n) if classes is None else classes
    program = ConvexProgram(
        features=features,
        targets=targets,
        loss=LOSSES[kind](),
        penalty=draw(st.sampled_from([L1(), GroupL2()])),
        rho=0.05,
    )
    W = rng.normal(size=(p + 1, program.n_outputs))
    return program, W, draw(st.integers(2, 8))


def nearest(program: ConvexProgram, W: np.ndarray) -> Rounded:
    return rounded_readout(program, W, quantize_readout(W[:-1], W[-1], bits=6))


def decided(scores: np.ndarray) -> np.ndarray:
    return scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)


@given(programs())
def test_bound_holds_what_rounding_does(case: tuple[ConvexProgram, np.ndarray, int]) -> None:
    program, W, bits = case
    try:
        bound = rounded_readout(program, W, quantize_readout(W[:-1], W[-1], bits=bits))
    except FormatError:
        assert np.abs(W[:-1]).max() > (1 << (bits - 1)) - 1
        return
    readout = quantize_readout(W[:-1], W[-1], bits=bits)
    rounded = np.concatenate([readout.real_weights, readout.real_biases[None]])
    before, after = program.predict(W), program.predict(rounded)
    assert np.abs(after - before).max() <= bound.score_error + 1e-12
    change = program.objective(rounded) - program.objective(W)
    assert abs(change) <= bound.objective_change + 1e-12
    flipped = int((decided(before) != decided(after)).sum())
    assert bound.train.n_decisions == 8
    assert bound.train.n_certified <= 8 - flipped


@given(programs(), st.integers(0, 1000))
def test_certified_decisions_survive_any_error_within_the_bound(
    case: tuple[ConvexProgram, np.ndarray, int], seed: int
) -> None:
    program, W, _ = case
    bits = 12  # wide enough for every weight
    bound = rounded_readout(program, W, quantize_readout(W[:-1], W[-1], bits=bits))
    readout = quantize_readout(W[:-1], W[-1], bits=bits)
    rounded = np.concatenate([readout.real_weights, readout.real_biases[None]])
    size = np.abs(rounded - W)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size.shape)
    before = program.predict(W)
    perturbed = W + 0.999 * signs * size
    flipped = int((decided(before) != decided(program.predict(perturbed))).sum())
    assert bound.train.n_certified <= 8 - flipped
    change = np.abs(program.predict(perturbed) - before).max()
    assert change <= bound.score_error + 1e-12


def test_exact_readout_has_no_error_and_certifies_every_clear_decision() -> None:
    program = ConvexProgram(
        features=np.array([[1, 1], [0, 1], [2, 1]], np.uint8),
        targets=[1.0, -1.0, 1.0],
        loss=LOSSES["squared"](),
        penalty=L1(),
        rho=0.1,
    )
    bound = nearest(program, np.array([[1.5], [-0.5]]))
    assert (bound.score_error, bound.objective_change) == (0.0, 0.0)
    assert (bound.train.n_decisions, bound.train.n_certified) == (3, 3)
    # A score of zero is a tie, which any error could turn.
    tied = nearest(program, np.array([[0.5], [-0.5]]))
    assert tied.train.n_certified == 2


@pytest.mark.parametrize("mode", WEIGHED)
def test_margins_are_those_of_the_integer_networks_scores(
    mode: ReadoutMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the model's own scores, for samples without labels, block by block."""
    network, dictionary, W = network_of(mode, 2)
    fixed = quantize(network, bits=6)
    scores = simulate.run(fixed, dataset().inputs).scores.reshape(-1, 3)
    monkeypatch.setattr(convexon.quantizer.readout, "_ROWS", 7)
    margins = sample_margins(
        features_of(network).astype(np.uint8),
        np.concatenate([network.readout_weights, network.readout_biases[None]]),
        quantize_readout(network.readout_weights, network.readout_biases, bits=6),
        name="anything",
    )
    ordered = np.sort(scores, axis=1)
    step = 2.0**-fixed.readout_format.frac
    assert margins.margin.tolist() == ((ordered[:, -1] - ordered[:, -2]) * step).tolist()
    assert margins.n_decisions == len(scores)
    # Rounding moved the difference of the winner and any other by no more than is said.
    before = features_of(network) @ network.readout_weights + network.readout_biases
    rows, winner = np.arange(len(scores)), scores.argmax(axis=1)
    change = np.abs((scores * step - before) - (scores * step - before)[rows, winner][:, None])
    assert (change.max(axis=1) <= margins.rounding).all()
    kept = margins.margin > margins.rounding
    assert (before.argmax(axis=1) == winner)[kept].all()
    program = ConvexProgram(
        features=dictionary.with_intercept(),
        targets=np.eye(3)[np.arange(len(scores)) % 3],
        loss=LOSSES["squared"](),
        penalty=L1(),
        rho=0.05,
    )
    own = rounded_readout(program, W, quantize_readout(W[:-1], W[-1], bits=6)).train
    assert own.margin.tolist() == margins.margin.tolist()
    np.testing.assert_allclose(own.rounding, margins.rounding, rtol=1e-12)


def test_a_sample_counts_as_often_as_its_row_stands_for() -> None:
    program = ConvexProgram(
        features=np.array([[1, 1], [0, 1], [2, 1]], np.uint8),
        targets=[1.0, -1.0, 1.0],
        loss=LOSSES["squared"](),
        penalty=L1(),
        rho=0.1,
        counts=[5, 1, 2],
    )
    tied = nearest(program, np.array([[0.5], [-0.5]]))
    assert (tied.train.n_decisions, tied.train.n_certified) == (8, 3)


def test_the_integer_readouts_objective_is_certified() -> None:
    rng = np.random.default_rng(0)
    program = ConvexProgram(
        features=rng.integers(0, 2, (12, 5)).astype(np.uint8),
        targets=rng.permutation(np.arange(12) % 3),
        loss=LOSSES["softmax"](),
        penalty=GroupL2(),
        rho=0.05,
    )
    W = rng.normal(size=(5, 3)) / 4
    rounded = rounded_readout(program, W, quantize_readout(W[:-1], W[-1], bits=4))
    real = np.ldexp(rounded.readout.astype(np.float64), -rounded.frac)
    assert program.objective(real) <= rounded.primal <= program.objective(real) + 1e-12
    assert abs(program.objective(real) - program.objective(W)) <= rounded.objective_change
