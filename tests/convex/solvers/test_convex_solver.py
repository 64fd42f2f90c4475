"""The solver: optimality conditions, degenerate programs, budgets, and what it reports."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from convex_programs import FEATURES, LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.losses import Hinge, Logistic, Softmax, Squared
from convexon.convex.model.penalty import L1, PENALTIES
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import solve
from convexon.errors import InputError, SolverError
from convexon.train.columns.bits import BitColumns

BOTH = [(kind, penalty) for kind in LOSS_NAMES for penalty in PENALTY_NAMES]


def check_optimality(program, solution, *, tolerance=1e-6):
    """Primal and dual feasibility, stationarity and complementarity, each from the definition."""
    W, dual, certificate = solution.W, solution.dual, solution.certificate
    scale = min(1.0, certificate.primal)
    assert solution.converged
    assert -1e-12 <= certificate.gap <= tolerance * scale
    G = program.correlate(dual)
    assert program.penalty.dual_ratio(G, program.weights) <= program.rho * (1 + 1e-12)
    # The gap is a sum of two Fenchel-Young terms; each is non-negative, so each is small.
    Z, Y = program.predict(W), program.encoded
    fit = program.loss.value(Z, Y) - program.loss.dual_value(dual, Y) + float((dual * Z).sum())
    assert -1e-11 <= fit <= tolerance * scale + 1e-11
    norms = program.rho * program.weights * program.penalty.row_norms(W)
    complementarity = norms - (G * W).sum(axis=1)
    assert (complementarity >= -1e-11).all()
    assert complementarity.sum() <= tolerance * scale + 1e-11
    # Stationarity: lambda is minus a subgradient, so the loss lies above its tangent everywhere.
    rng = np.random.default_rng(0)
    for size in (1e-3, 1.0):
        other = Z + size * rng.normal(size=Z.shape)
        tangent = program.loss.value(Z, Y) - float((dual * (other - Z)).sum())
        assert program.loss.value(other, Y) >= tangent - tolerance * scale - 1e-11


@settings(derandomize=True, max_examples=80, deadline=None)
@given(
    case=st.sampled_from(BOTH),
    seed=st.integers(0, 2**31),
    n=st.integers(3, 40),
    P=st.integers(1, 30),
    C=st.integers(1, 3),
    share=st.sampled_from([0.005, 0.05, 0.3, 0.9]),
    features=st.sampled_from(FEATURES),
    counts=st.sampled_from([None, "random"]),
)
def test_random_programs_satisfy_the_optimality_conditions(
    case, seed, n, P, C, share, features, counts
):
    program = random_program(
        *case, seed, n=n, P=P, C=C, share=share, features=features, counts=counts
    )
    check_optimality(program, solve(program))


@pytest.mark.parametrize("features", ["counts", "mixed"])
@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("share", [0.003, 0.03, 0.3])
def test_hinge_converges_on_counts(penalty, features, share):
    for seed in range(3):
        program = random_program("hinge", penalty, seed, n=60, P=26, share=share, features=features)
        solution = solve(program)
        assert solution.iterations < 6_000
        check_optimality(program, solution)


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
def test_the_unit_of_a_column_does_not_matter(kind, penalty):
    program = random_program(kind, penalty, 12, features="counts")
    units = 2.0 ** np.random.default_rng(0).integers(-20, 20, program.n_columns)
    scaled = replace(
        program, features=program.features * units, weights=program.weights * units, n_classes=None
    )
    solution, again = solve(program), solve(scaled)
    np.testing.assert_array_equal(again.W * units[:, None], solution.W)
    assert again.iterations == solution.iterations


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
def test_rho_above_rho_max_gives_zero(kind, penalty):
    program = random_program(kind, penalty, 1, share=1.01)
    solution = solve(program)
    assert not solution.W.any()
    assert solution.iterations == 0
    check_optimality(program, solution)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64, "packed"])
@pytest.mark.parametrize(("kind", "penalty"), BOTH)
def test_rho_max_is_within_its_bound(kind, penalty, dtype):
    program = random_program(kind, penalty, 3, C=3)
    weights = np.linspace(0.1, 3.0, program.n_columns)
    D = program.features
    kept = BitColumns.pack(D.astype(np.uint8)) if dtype == "packed" else D.astype(dtype)
    program = replace(program, features=kept, weights=weights, n_classes=None)
    assert 0.0 < program.rho_max() <= program.rho_max_bound()


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_rho_that_rounding_hides_is_refused_and_a_little_more_is_not(dtype):
    program = random_program("squared", "l1", 4)
    program = replace(program, features=program.features.astype(dtype))
    least = 1e-12 * program.rho_max()
    with pytest.raises(InputError, match=f"^rho must be at least {least:.1e} here, "):
        solve(replace(program, rho=0.99 * least))
    solve(replace(program, rho=1.01 * least), max_seconds=0.1)


def test_no_product_of_a_solution_runs_on_the_threads_of_blas(monkeypatch):
    threads = []
    correlate = ConvexProgram.correlate

    def watched(*given):
        threads.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return correlate(*given)

    monkeypatch.setattr(ConvexProgram, "correlate", watched)
    program = random_program("logistic", "l1", 5)
    start = np.ones((program.n_columns, 1))
    with threadpool_limits(limits=2, user_api="blas"):
        solve(program, start=start)
        assert set(threads) == {1}


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
def test_rho_below_rho_max_does_not(kind, penalty):
    assert solve(random_program(kind, penalty, 1, share=0.99)).W.any()


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
@pytest.mark.parametrize(
    "features",
    [
        np.ones((6, 1)),
        np.ones((6, 5)),
        np.zeros((6, 3)),
        np.array([[1, 0, 1, 2, 1], [0, 1, 1, 0, 0], [1, 1, 2, 2, 1]] * 2),  # of rank two
    ],
    ids=["one", "equal", "silent", "collinear"],
)
def test_degenerate_dictionaries(kind, penalty, features):
    targets = {
        "squared": [1.0, 2.0, 0.5, 3.0, 1.0, 1.0],
        "logistic": [1, 1, 1, 1, -1, -1],
        "hinge": [1, 1, 1, 1, -1, -1],
        "softmax": [0, 0, 0, 1, 1, 2],
    }[kind]
    program = ConvexProgram(
        features=features,
        targets=targets,
        loss=LOSSES[kind](),
        penalty=PENALTIES[penalty](),
        rho=0.01,
    )
    check_optimality(program, solve(program))


@pytest.mark.parametrize("loss", [Squared(), Logistic(), Hinge()])
def test_one_sample(loss):
    program = ConvexProgram(features=[[1, 1]], targets=[1], loss=loss, penalty=L1(), rho=0.1)
    check_optimality(program, solve(program))


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
def test_no_columns(kind, penalty):
    program = replace(
        random_program(kind, penalty, 2, n=3, P=1, C=2), features=np.zeros((3, 0)), weights=None
    )
    solution = solve(program)
    assert solution.W.shape == (0, program.n_outputs)
    check_optimality(program, solution)


@pytest.mark.parametrize("penalty", PENALTY_NAMES)
def test_an_absent_class_only_loses(penalty):
    rng = np.random.default_rng(3)
    program = ConvexProgram(
        features=np.hstack([rng.random((20, 6)) < 0.5, np.ones((20, 1), dtype=bool)]),
        targets=rng.integers(0, 2, 20) * 2,
        loss=Softmax(),
        penalty=PENALTIES[penalty](),
        rho=0.01,
        n_classes=3,
    )
    solution = solve(program)
    check_optimality(program, solution)
    assert (program.predict(solution.W)[:, 1] <= 1e-6).all()


def test_zero_targets_of_the_squared_loss():
    program = ConvexProgram(
        features=np.eye(3), targets=np.zeros(3), loss=Squared(), penalty=L1(), rho=0.1
    )
    solution = solve(program)
    assert solution.certificate.gap == 0.0
    assert solution.certificate.relative_gap == 0.0


def test_large_targets_reach_the_absolute_gap():
    rng = np.random.default_rng(2)
    program = ConvexProgram(
        features=rng.random((30, 12)) < 0.5,
        targets=1e2 * rng.normal(size=30),
        loss=Squared(),
        penalty=L1(),
        rho=1.0,
    )
    assert solve(program).certificate.gap <= 1e-6


def test_working_sets_leave_the_certificate_over_all_columns():
    program = random_program("softmax", "l1", 6, n=80, P=700, C=4, share=0.2)
    solution = solve(program)
    check_optimality(program, solution)
    assert 0 < max(record.n_working for record in solution.history) < program.n_columns


def test_history_is_monotone_and_progress_sees_it():
    seen = []
    program = random_program("softmax", "l1", 7, n=60, P=400)
    solution = solve(program, progress=seen.append)
    assert tuple(seen) == solution.history
    gaps = [record.gap for record in seen]
    assert gaps == sorted(gaps, reverse=True)
    assert [r.iteration for r in seen] == sorted(r.iteration for r in seen)


def test_warm_start_needs_no_iteration():
    program = random_program("logistic", "group_l2", 8)
    again = solve(program, start=solve(program, tolerance=1e-8).W)
    assert again.iterations == 0


def test_spent_budget_raises_or_says_so(monkeypatch):
    program = random_program("softmax", "l1", 9)
    assert not solve(program, max_seconds=1e-9).converged
    monkeypatch.setattr("convexon.convex.solvers.solver.MAX_ITERATIONS", 2)
    with pytest.raises(SolverError, match=r"^duality gap must reach \S+, the tolerance 1e-06 rel"):
        solve(program)
    solution = solve(program, max_seconds=60.0)
    assert not solution.converged
    assert solution.certificate.gap > 1e-6


def test_interrupt_in_progress_comes_through():
    def interrupt(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(random_program("hinge", "l1", 10), progress=interrupt)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, r"^tolerance must be positive, not 0\.0$"),
        ({"max_seconds": -1.0}, r"^max_seconds must be positive, not -1\.0$"),
        ({"start": np.zeros((1, 1))}, r"^start must have one row per column and one column per"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        solve(random_program("softmax", "l1", 11), **options)
