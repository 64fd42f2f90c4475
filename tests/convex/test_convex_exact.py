"""Certificates and bounds, checked in exact and in high-precision arithmetic."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from convex_programs import FEATURES, random_program

from convexon.convex import LossKind, PenaltyKind, certify, solve
from convexon.convex.loss import UNIT
from convexon.convex.program import bounded_product

SEEDS = range(3)


def exact(values):
    """An array of fractions, equal to the floats."""
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=np.float64))


def decimal(value):
    """A fraction to the precision of the context."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def assert_feasible(program, dual):
    """Domain and every constraint, from their definitions, without any tolerance."""
    L, D, w, rho = (
        exact(dual),
        exact(program.features),
        exact(program.weights),
        Fraction(program.rho),
    )
    Y = exact(program.encoded)
    match program.loss.kind:
        case LossKind.LOGISTIC | LossKind.HINGE:
            assert all(0 <= share <= 1 for share in (len(Y) * L * Y).ravel())
        case LossKind.SOFTMAX:
            q = Y - len(Y) * L
            assert min(q.ravel()) >= 0
            assert all(row == 1 for row in q.sum(axis=1))
    for G_j, w_j in zip(D.T @ L, w, strict=True):
        if program.penalty.kind is PenaltyKind.L1:
            assert max(abs(G_j)) <= rho * w_j
        else:
            assert (G_j * G_j).sum() <= (rho * w_j) ** 2


def entropy(share):
    return share * share.ln() if share > 0 else Decimal(0)


def true_values(program, W, dual):
    """Primal and dual objective to 50 digits."""
    Y, n = exact(program.encoded), program.n_rows
    Z, L = exact(program.features) @ exact(W), exact(dual)
    match program.loss.kind:
        case LossKind.SQUARED:
            fit = decimal(((Z - Y) ** 2).sum() / 2)
            value = decimal((n * L * (Y - n * L / 2)).sum())
        case LossKind.HINGE:
            fit = decimal(sum(max(Fraction(0), 1 - m) for m in (Y * Z).ravel()))
            value = decimal((n * L * Y).sum())
        case LossKind.LOGISTIC:
            fit = sum((1 + decimal(-m).exp()).ln() for m in (Y * Z).ravel())
            shares = [decimal(s) for s in (n * L * Y).ravel()]
            value = -sum(entropy(s) + entropy(1 - s) for s in shares)
        case LossKind.SOFTMAX:
            margins = Z - (Z * Y).sum(axis=1)[:, None]
            fit = sum(sum(decimal(m).exp() for m in row).ln() for row in margins)
            value = -sum(entropy(decimal(q)) for q in (Y - n * L).ravel())
    norms = Decimal(0)
    for row, w in zip(exact(W), exact(program.weights), strict=True):
        squared = decimal((row * row).sum())
        norm = decimal(abs(row).sum()) if program.penalty.kind is PenaltyKind.L1 else squared.sqrt()
        norms += decimal(w) * norm
    return fit / n + Decimal(program.rho) * norms, value / n


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("penalty", list(PenaltyKind))
@pytest.mark.parametrize("kind", list(LossKind))
def test_certificates_hold_in_exact_arithmetic(kind, penalty, features):
    for seed in SEEDS:
        share = (0.02, 0.1, 1.5)[seed]
        program = random_program(kind, penalty, seed, n=23, P=12, share=share, features=features)
        rng = np.random.default_rng(seed)
        solved = solve(program, tolerance=1e-9)
        W = rng.normal(size=solved.W.shape)
        given = rng.normal(size=solved.dual.shape)
        for weights, dual in ((solved.W, solved.dual), (W, None), (W, given), (0.0 * W, given)):
            certificate, point = certify(program, weights, dual=dual)
            assert_feasible(program, point)
            with localcontext() as context:
                context.prec = 50
                primal, value = true_values(program, weights, point)
                assert Decimal(certificate.dual) <= value
                assert primal <= Decimal(certificate.primal)
                assert primal - value <= Decimal(certificate.gap)
                size = primal + abs(value)
                assert Decimal(certificate.gap) - (primal - value) <= Decimal("1e-13") * size


@pytest.mark.parametrize("kind", list(LossKind))
def test_the_allowance_leaves_small_gaps_reportable(kind):
    program = random_program(kind, PenaltyKind.L1, 3, n=300, P=10, features="counts")
    certificate = solve(program, tolerance=1e-11).certificate
    assert certificate.rounding_allowance <= 3e-14 * certificate.primal
    assert certificate.relative_gap <= 1e-11


@pytest.mark.parametrize("features", FEATURES)
def testbounded_products_cover_their_rounding(features):
    program = random_program(LossKind.SQUARED, PenaltyKind.L1, 4, n=30, P=20, features=features)
    A = np.asarray(program.features, dtype=np.float64)
    B = np.random.default_rng(5).normal(size=(20, 2)) * 10.0 ** np.arange(-10, 10)[:, None]
    product, error = bounded_product(A, B)
    assert (abs(exact(product) - exact(A) @ exact(B)) <= exact(error)).all()
    if features != "mixed":
        assert (error <= 8.0 * UNIT * np.abs(A) @ np.abs(B)).all()


@pytest.mark.parametrize("n", [1, 3, 7, 23, 49, 1258])
def test_clipped_duals_never_leave_the_domain_by_a_bit(n):
    program = random_program(LossKind.HINGE, PenaltyKind.L1, 6, n=n, P=2)
    dual = program.loss.dual_in_domain(np.full(program.encoded.shape, 9.0), program.encoded)
    assert n * Fraction(float(dual.max())) <= 1
    assert n * Fraction(float(np.nextafter(dual.max(), 2.0))) > 1
