"""The universal lower bound: known values, validity, and equality for a complete dictionary."""

import itertools

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convex_programs import LOSS_NAMES, PENALTY_NAMES, program_bound, random_program
from convexon.convex.bounds.universal import universal_bound
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.losses import Squared
from convexon.convex.model.penalty import L1, PENALTIES
from convexon.convex.model.problem import Problem
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import solve
from convexon.errors import InputError


def bound_of(*, max_feature=1.0, **members):
    return universal_bound(Problem(**members), max_feature=max_feature)


def squared_arrangement(y, *, beta):
    """Minimum over d of ``1/2 ||d - y||^2 + beta (max_i (d_i)_+ + max_i (-d_i)_+)``."""
    return len(y) * bound_of(loss=Squared(), targets=y, penalty=L1(), rho=beta / len(y)).value


def test_known_values():
    assert squared_arrangement(np.ones(5), beta=1.0) == pytest.approx(0.9, abs=1e-14)
    labels = [1, 1, 1, -1, -1]
    assert squared_arrangement(labels, beta=2.0) == pytest.approx(4 / 3 + 1, abs=1e-13)


@pytest.mark.parametrize("beta", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_closed_form_agrees_with_a_cone_solver(seed, beta):
    y = np.random.default_rng(seed).normal(size=9).round(seed % 3)
    d = cp.Variable(9)
    penalty = cp.max(cp.pos(d)) + cp.max(cp.pos(-d))
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(d - y) + beta * penalty))
    problem.solve(solver="CLARABEL")
    assert squared_arrangement(y, beta=beta) == pytest.approx(problem.value, abs=1e-6)


@settings(derandomize=True, max_examples=24, deadline=None)
@given(
    kind=st.sampled_from(LOSS_NAMES),
    penalty=st.sampled_from(PENALTY_NAMES),
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.01, 0.2, 0.8]),
)
def test_bound_is_below_the_optimum_of_any_dictionary(kind, penalty, seed, share):
    program = random_program(kind, penalty, seed, n=12, P=10, share=share)
    certificate = solve(program, tolerance=1e-9).certificate
    # The optimum lies in [dual, primal].
    assert program_bound(program).value <= certificate.primal


def test_known_value_of_64_strings():
    """FIRST-LAST-XOR over all strings of length 6, squared loss, beta 1 (unaveraged)."""
    strings = np.array(list(itertools.product([0, 1], repeat=6)))
    labels = 2.0 * (strings[:, 0] ^ strings[:, -1]) - 1.0
    bound = bound_of(loss=Squared(), targets=labels, penalty=L1(), rho=1 / 64)
    assert 64 * bound.value == pytest.approx(1.96875, abs=1e-12)


def conflicting(kind, seed, *, n=10, C=3):
    """Targets as a loss takes them and as (n, C), counts, and rows that share their inputs."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 6, n)
    if kind == "squared":
        targets = rng.normal(size=(n, C)).round(1)
    elif kind == "softmax":
        targets = rng.permutation(np.arange(n) % C)
    else:
        targets = rng.choice([-1.0, 1.0], (n, 1 if kind == "logistic" else C))
    values = np.eye(C)[targets] if kind == "softmax" else targets
    return targets, values, rng.integers(1, 4, n), groups


def arrangement_by_cones(kind, penalty, values, counts, groups, radius):
    """The program over all predictions that rows of one input share, by a cone solver."""
    scores = cp.Variable((6, values.shape[1]))
    Z, shares = np.eye(6)[groups] @ scores, (counts / counts.sum())[:, None]
    weights = shares * np.ones_like(values)
    fit = {
        "squared": lambda: 0.5 * cp.sum(cp.multiply(weights, cp.square(Z - values))),
        "hinge": lambda: cp.sum(cp.multiply(weights, cp.pos(1 - cp.multiply(values, Z)))),
        "logistic": lambda: cp.sum(cp.multiply(weights, cp.logistic(-cp.multiply(values, Z)))),
        "softmax": lambda: (
            shares[:, 0] @ (cp.log_sum_exp(Z, axis=1) - cp.sum(cp.multiply(Z, values), axis=1))
        ),
    }[kind]()
    spans = cp.max(cp.pos(scores), axis=0) + cp.max(cp.pos(-scores), axis=0)
    norm = {
        "l1": cp.norm1,
        "group_l2": cp.norm2,
        "group_linf": cp.norm_inf,
    }[penalty]
    problem = cp.Problem(cp.Minimize(fit + radius * norm(spans)))
    return problem.solve(solver="CLARABEL")


@pytest.mark.parametrize("kind", LOSS_NAMES)
@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_bound_is_the_optimum_over_predictions_that_inputs_share(kind, penalty, seed):
    targets, values, counts, groups = conflicting(kind, seed)
    rho, counted = [0.02, 0.1, 0.3][seed], [1, 4][seed % 2]
    bound = bound_of(
        loss=LOSSES[kind](), targets=targets, rho=rho, penalty=PENALTIES[penalty](),
        max_feature=counted, counts=counts, groups=groups, n_classes=values.shape[1],
    )  # fmt: skip
    optimum = arrangement_by_cones(kind, penalty, values, counts, groups, rho / counted)
    # How softmax's group norms share the radius out is optimized to fewer digits.
    coupled = kind == "softmax" and penalty != "l1"
    assert bound.value == pytest.approx(optimum, rel=2e-5 if coupled else 2e-6)
    assert bound.value <= optimum + 1e-7


@settings(max_examples=30)
@given(
    kind=st.sampled_from(LOSS_NAMES),
    penalty=st.sampled_from(PENALTY_NAMES),
    seed=st.integers(0, 10**6),
    rho=st.sampled_from([1e-4, 0.01, 0.1, 1.0]),
)
def test_worst_column_of_any_kind_keeps_the_dual_point_feasible(kind, penalty, seed, rho):
    """Every pattern of the distinct inputs, one by one."""
    targets, _, counts, groups = conflicting(kind, seed)
    kindly = PENALTIES[penalty]()
    bound = bound_of(
        loss=LOSSES[kind](), targets=targets, rho=rho, penalty=kindly, counts=counts, groups=groups,
        n_classes=3 if kind != "logistic" else 1,
    )  # fmt: skip
    patterns = np.array(list(itertools.product([0.0, 1.0], repeat=6)))[:, groups]
    assert kindly.dual_ratio(patterns @ bound.dual, np.ones(len(patterns))) <= rho * (1 + 1e-14)
    apart = bound_of(
        loss=LOSSES[kind](), targets=targets, rho=rho, penalty=kindly, counts=counts,
        n_classes=3 if kind != "logistic" else 1,
    )  # fmt: skip
    # Inputs in common can only raise the bound; group norms are optimized to a few digits.
    assert apart.value <= bound.value * (1 + 1e-4) + 1e-12


def test_equal_inputs_with_opposite_labels_cost_what_they_must():
    """Two rows of one input: squared 1/2 of the variance, hinge 1, logistic and softmax log 2."""
    common = {"rho": 10.0, "penalty": L1(), "groups": [0, 0]}
    squared = bound_of(loss=Squared(), targets=[1.0, -1.0], **{**common, "rho": 1e-6})
    assert squared.value == pytest.approx(0.5, abs=1e-12)
    for kind, expected in (("hinge", 1.0), ("logistic", np.log(2.0))):
        found = bound_of(loss=LOSSES[kind](), targets=[1.0, -1.0], **{**common, "rho": 1e-6})
        assert found.value == pytest.approx(expected, abs=1e-12)
    softmax = bound_of(loss=LOSSES["softmax"](), targets=[0, 1], **{**common, "rho": 1e-6})
    assert softmax.value == pytest.approx(np.log(2.0), abs=1e-12)


TARGETS = {
    "squared": np.array([1.0, -2.0, 0.5, 0.3, -0.1]),
    "logistic": np.array([1, 1, 1, -1, -1]),
    "hinge": np.array([[1, -1], [1, -1], [-1, 1], [-1, 1], [-1, -1]]),
    "softmax": np.array([0, 0, 1, 1, 2]),
}


@pytest.mark.parametrize("kind", LOSS_NAMES)
@pytest.mark.parametrize("rho", [0.01, 0.1, 0.3])
def test_complete_dictionary_attains_the_bound(kind, rho):
    patterns = np.array(list(itertools.product([0, 1], repeat=5))).T
    program = ConvexProgram(
        features=patterns, targets=TARGETS[kind], loss=LOSSES[kind](), penalty=L1(), rho=rho
    )
    solution = solve(program, tolerance=1e-9)
    bound = program_bound(program).value
    assert bound == pytest.approx(solution.certificate.primal, abs=1e-8)


def test_counts_are_scaled_by_their_largest_entry():
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 5, (12, 30))
    program = ConvexProgram(
        features=counts, targets=rng.choice([-1, 1], 12), loss=LOSSES["logistic"](),
        penalty=L1(), rho=0.05,
    )  # fmt: skip
    assert program_bound(program).value <= solve(program).certificate.primal


def test_group_bounds_are_weaker_than_the_l1_bound():
    common = {"loss": LOSSES["softmax"](), "targets": [0, 1, 2], "rho": 0.1}
    bounds = {kind: bound_of(penalty=PENALTIES[kind](), **common).value for kind in PENALTY_NAMES}
    assert 0 < bounds["group_linf"] < bounds["group_l2"]
    assert bounds["group_l2"] < bounds["l1"]


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r"^rho must be a positive finite number, not 0\.0$"):
        bound_of(loss=Squared(), targets=[1.0], penalty=L1(), rho=0.0)
    with pytest.raises(
        InputError, match=r"^groups must be integers, one per row \(1\), not int64 "
    ):
        bound_of(loss=Squared(), targets=[1.0], penalty=L1(), rho=0.1, groups=[0, 0])
