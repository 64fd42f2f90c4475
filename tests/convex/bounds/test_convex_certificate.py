"""Certificates: weak duality for any weights, and refusal of malformed dual points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convex_programs import LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.bounds.gap import certify
from convexon.errors import InputError


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(LOSS_NAMES),
    penalty=st.sampled_from(PENALTY_NAMES),
    seed=st.integers(0, 2**31),
    magnitude=st.sampled_from([0.0, 1e-6, 1e-2, 1.0, 1e3]),
    share=st.sampled_from([1e-3, 0.1, 2.0]),
    with_dual=st.booleans(),
)
def test_weak_duality_holds_for_any_weights_and_any_dual(
    kind, penalty, seed, magnitude, share, with_dual
):
    program = random_program(kind, penalty, seed, n=9, P=6, share=share)
    rng = np.random.default_rng(seed)
    W = magnitude * rng.normal(size=(program.n_columns, program.n_outputs))
    given_dual = magnitude * rng.normal(size=program.encoded.values.shape) if with_dual else None
    certificate, dual = certify(program, W, dual=given_dual)

    allowance = certificate.rounding_allowance
    size = certificate.primal + abs(certificate.dual)
    assert certificate.gap > 0.0
    assert 0.0 < allowance <= 1e-13 * size
    assert certificate.primal == pytest.approx(program.objective(W), abs=1e-13 * size)
    assert certificate.gap == certificate.primal - certificate.dual
    # The dual point is feasible, and its value is what the certificate says.
    ratio = program.penalty.dual_ratio(program.correlate(dual), program.weights)
    assert ratio <= program.rho
    value = program.loss.dual_value(dual, program.encoded)
    assert certificate.dual == pytest.approx(value, abs=1e-13 * size)
    # Weak duality against every other point, not only against its own.
    other = rng.normal(size=W.shape)
    assert certificate.dual <= program.objective(other) + 1e-12
    assert certificate.dual <= program.objective(np.zeros_like(W)) + 1e-12


def test_a_given_dual_takes_the_place_of_the_subgradient():
    program = random_program("hinge", "l1", 3)
    W = np.zeros((program.n_columns, program.n_outputs))
    _, own = certify(program, W)
    for dual in (np.zeros_like(own), own):
        certificate, point = certify(program, W, dual=dual)
        np.testing.assert_array_equal(point, dual)  # what is certified is not moved again
        assert certificate.dual == pytest.approx(program.loss.dual_value(dual, program.encoded))


def test_counts_are_reported():
    program = random_program("softmax", "l1", 4)
    W = np.zeros((program.n_columns, program.n_outputs))
    W[2, :2] = 1.0
    certificate, _ = certify(program, W)
    assert (certificate.n_active, certificate.n_nonzero) == (1, 2)
    assert (certificate.n_rows, certificate.n_columns, certificate.n_outputs) == (24, 15, 3)


@pytest.mark.parametrize("dual", [np.zeros((2, 2)), np.full((24, 3), np.nan)])
def test_malformed_dual_is_refused(dual):
    program = random_program("softmax", "l1", 5)
    with pytest.raises(InputError, match=r"^dual must be finite and of shape \(24, 3\), not "):
        certify(program, np.zeros((15, 3)), dual=dual)
