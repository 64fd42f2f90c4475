"""Certificates and bounds, checked in exact and in high-precision arithmetic."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from convex_programs import FEATURES, LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.bounds.gap import certify
from convexon.convex.model.loss import LOSSES, UNIT
from convexon.convex.model.program import bounded_product
from convexon.convex.solvers.solver import solve

SEEDS = range(3)
LOSS = LOSSES["hinge"]()


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
    Y = exact(program.encoded.values)
    per_sample = L / shares(program)
    match program.loss.name:
        case "logistic" | "hinge":
            assert all(0 <= share <= 1 for share in (per_sample * Y).ravel())
        case "softmax":
            q = Y - per_sample
            assert min(q.ravel()) >= 0
            assert all(row == 1 for row in q.sum(axis=1))
    for G_j, w_j in zip(D.T @ L, w, strict=True):
        match program.penalty.name:
            case "l1":
                assert max(abs(G_j)) <= rho * w_j
            case "group_l2":
                assert (G_j * G_j).sum() <= (rho * w_j) ** 2
            case "group_linf":
                assert sum(abs(G_j)) <= rho * w_j


def shares(program):
    """The share of each row among the samples, as fractions (n, 1)."""
    counts = [int(c) for c in program.encoded.counts]
    return np.array([[Fraction(c, sum(counts))] for c in counts], dtype=object)


def entropy(share):
    return share * share.ln() if share > 0 else Decimal(0)


def true_values(program, W, dual):
    """Primal and dual objective to 50 digits."""
    Y, c = exact(program.encoded.values), shares(program)
    Z, L = exact(program.features) @ exact(W), exact(dual) / c
    c = np.broadcast_to(c, Y.shape)
    parts = [decimal(x) for x in c.ravel()]
    match program.loss.name:
        case "squared":
            fit = decimal((c * (Z - Y) ** 2).sum() / 2)
            value = decimal((c * L * (Y - L / 2)).sum())
        case "hinge":
            fit = decimal((c * np.maximum(Fraction(0), 1 - Y * Z)).sum())
            value = decimal((c * L * Y).sum())
        case "logistic":
            losses = [(1 + decimal(-m).exp()).ln() for m in (Y * Z).ravel()]
            fit = sum(x * loss for x, loss in zip(parts, losses, strict=True))
            given = [decimal(s) for s in (L * Y).ravel()]
            value = -sum(
                x * (entropy(s) + entropy(1 - s)) for x, s in zip(parts, given, strict=True)
            )
        case "softmax":
            margins = Z - (Z * Y).sum(axis=1)[:, None]
            losses = [sum(decimal(m).exp() for m in row).ln() for row in margins]
            fit = sum(decimal(x) * loss for x, loss in zip(c[:, 0], losses, strict=True))
            given = [decimal(q) for q in (Y - L).ravel()]
            value = -sum(x * entropy(q) for x, q in zip(parts, given, strict=True))
    norms = Decimal(0)
    for row, w in zip(exact(W), exact(program.weights), strict=True):
        norm = {
            "l1": decimal(abs(row).sum()),
            "group_l2": decimal((row * row).sum()).sqrt(),
            "group_linf": decimal(max(abs(row))),
        }[program.penalty.name]
        norms += decimal(w) * norm
    return fit + Decimal(program.rho) * norms, value


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_certificates_hold_in_exact_arithmetic(kind, penalty, features):
    for seed in SEEDS:
        share, counts = (0.02, 0.1, 1.5)[seed], (None, "random", "random")[seed]
        program = random_program(
            kind, penalty, seed, n=23, P=12, share=share, features=features, counts=counts
        )
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


@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_the_allowance_leaves_small_gaps_reportable(kind):
    program = random_program(kind, "l1", 3, n=300, P=10, features="counts")
    certificate = solve(program, tolerance=1e-11).certificate
    assert certificate.rounding_allowance <= 3e-14 * certificate.primal
    assert certificate.relative_gap <= 1e-11


@pytest.mark.parametrize("features", FEATURES)
def test_bounded_products_cover_their_rounding(features):
    program = random_program("squared", "l1", 4, n=30, P=20, features=features)
    A = np.asarray(program.features, dtype=np.float64)
    B = np.random.default_rng(5).normal(size=(20, 2)) * 10.0 ** np.arange(-10, 10)[:, None]
    product, error = bounded_product(A, B)
    assert (abs(exact(product) - exact(A) @ exact(B)) <= exact(error)).all()
    if features != "mixed":
        assert (error <= 8.0 * UNIT * np.abs(A) @ np.abs(B)).all()


@pytest.mark.parametrize("kind", ["hinge", "logistic", "softmax"])
@pytest.mark.parametrize("n", [1, 3, 7, 23, 49, 1258])
def test_clipped_duals_never_leave_the_domain_by_a_bit(kind, n):
    for counts in (None, "random"):
        program = random_program(kind, "l1", 6, n=n, P=2, counts=counts)
        Y = program.encoded
        for size in (1.0, 9.0):
            point = program.loss.dual_in_domain(size * (2.0 * Y.values - 1.0), Y)
            given = exact(point) / shares(program)
            if kind == "softmax":
                assert all(row == 0 for row in given.sum(axis=1))
            assert max(abs(given).ravel()) <= 1


@pytest.mark.parametrize("n", [1, 3, 7, 23, 49, 1258])
def test_limits_are_the_largest_floats_within_the_shares(n):
    counts = np.random.default_rng(n).integers(1, 2**40, n)
    Y = LOSS.encode(np.ones(n), n_rows=n, counts=counts)
    for limit, count in zip(Y.limits[:, 0], counts, strict=True):
        assert Fraction(float(limit)) <= Fraction(int(count), Y.total)
        assert Fraction(float(np.nextafter(limit, 2.0))) > Fraction(int(count), Y.total)
