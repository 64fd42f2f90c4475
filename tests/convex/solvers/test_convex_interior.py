"""Interior points: cones, Newton systems, and the program that first-order splitting crawled on."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convex_programs import PENALTY_NAMES
from convexon.convex.model.loss import Curvature
from convexon.convex.model.losses import Hinge
from convexon.convex.model.penalty import PENALTIES
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.cones import Balls, Polytopes
from convexon.convex.solvers.newton import Operator, solver_for
from convexon.convex.solvers.products import Products
from convexon.convex.solvers.solver import solve

CONES = [(Balls, 1), (Balls, 3), (Polytopes, 1), (Polytopes, 3)]


def advanced(cones, d, *, steps=2):
    """Cones some steps along a random direction, off the central path."""
    rng = np.random.default_rng(0)
    cone = cones(rng.uniform(0.5, 2.0, 6), np.zeros((6, d)), rng.uniform(0.5, 2.0, 6))
    for _ in range(steps):
        cone.pull(0.3, None)
        dx = rng.normal(size=cone.x.shape)
        move = cone.move(dx)
        step = 0.7 * min(1.0, cone.longest(move))
        cone.advance(move, step, cone.x + step * dx)
    return cone


@pytest.mark.parametrize(("cones", "d"), CONES)
def test_stiffness_is_symmetric_and_definite_off_the_central_path(cones, d):
    total, dent = advanced(cones, d).stiffness()
    for diagonal, v in zip(total, dent, strict=True):
        assert np.linalg.eigvalsh(np.diag(diagonal) - np.outer(v, v)).min() > 0.0


@pytest.mark.parametrize(("cones", "d"), CONES)
def test_steps_stay_inside_and_the_longest_one_touches(cones, d):
    cone = advanced(cones, d)
    norm, dual = (2, 2) if cones is Balls else (np.inf, 1)
    cone.pull(0.0, None)
    dx = np.random.default_rng(1).normal(size=cone.x.shape)
    move = cone.move(dx)
    longest = cone.longest(move)

    def room(step):
        rows = cone.t + step * move.t - np.linalg.norm(cone.x + step * dx, ord=norm, axis=1)
        slopes = cone.radii - np.linalg.norm(cone.g + step * move.g, ord=dual, axis=1)
        return min(rows.min(), slopes.min())

    assert room(0.999 * longest) > 0.0
    assert cones is Polytopes or room(1.001 * longest) < 0.0


@pytest.mark.parametrize(("cones", "d"), CONES)
def test_the_slope_is_that_of_the_norm_at_the_end_of_the_path(cones, d):
    rng = np.random.default_rng(2)
    x, radii = rng.normal(size=(5, d)), rng.uniform(0.5, 2.0, 5)
    cone = cones(radii, x.copy(), np.ones(5))
    for _ in range(60):  # the rows stay where they are
        cone.pull(0.2 * cone.complementarity() / cone.degree, None)
        move = cone.move(np.zeros_like(x))
        cone.advance(move, 0.9 * min(1.0, cone.longest(move)), x)
    norm = radii * np.linalg.norm(x, ord=2 if cones is Balls else np.inf, axis=1)
    np.testing.assert_allclose((cone.g * x).sum(axis=1), norm, rtol=1e-6)


@pytest.mark.parametrize("coupling", ["none", "dent", "rank one", "rank one and dent"])
@pytest.mark.parametrize("C", [1, 3])
@pytest.mark.parametrize("always_dense", [0, 600])
def test_systems_are_solved_however_the_outputs_are_coupled(coupling, C, always_dense, monkeypatch):
    monkeypatch.setattr("convexon.convex.solvers.newton._ALWAYS_DENSE", always_dense)
    if not always_dense:
        monkeypatch.setattr("convexon.convex.solvers.newton._NEVER_DENSE", 0)
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(C + 1), 20)[:, :C]
    dent = 0.3 * rng.normal(size=(7, C)) if "dent" in coupling else None
    operator = Operator(
        Products(rng.normal(size=(20, 7))),
        Curvature(p, p if "rank one" in coupling else None),
        np.ones((7, C), dtype=bool),
        np.full((7, C), 1.5),
        dent=dent,
    )
    R = rng.normal(size=(7, C))
    X = solver_for(operator, accuracy=1e-12)(R)
    np.testing.assert_allclose(operator.apply(X), R, atol=1e-9)
    units = np.eye(7 * C).reshape(-1, 7, C)
    dense = np.stack([operator.apply(unit).ravel() for unit in units])
    np.testing.assert_allclose(np.diag(dense).reshape(7, C), operator.diagonal, rtol=1e-10)


class CountedProducts(Products):
    """Products that count the Gram matrices and the passes that were asked for."""

    grams = passes = 0

    def gram(self, parts):
        self.grams += 1
        return super().gram(parts)

    def forward(self, W):
        self.passes += 1
        return super().forward(W)


def test_outputs_of_equal_curvature_share_a_gram_matrix():
    rng = np.random.default_rng(5)
    D = CountedProducts(rng.normal(size=(20, 7)))
    everywhere = np.ones((7, 4), dtype=bool)
    curvature = Curvature(np.repeat(rng.random((20, 1)), 4, axis=1))
    for ridge in (np.full((7, 4), 0.1), rng.uniform(0.1, 1.0, (7, 4))):
        D.grams = 0
        operator = Operator(D, curvature, everywhere, ridge)
        R = rng.normal(size=(7, 4))
        np.testing.assert_allclose(operator.apply(solver_for(operator, accuracy=0.1)(R)), R)
        assert D.grams == 1


def test_rows_of_tiny_weights_do_not_slow_the_iterations_down(monkeypatch):
    monkeypatch.setattr("convexon.convex.solvers.newton._ALWAYS_DENSE", 0)
    monkeypatch.setattr("convexon.convex.solvers.newton._NEVER_DENSE", 0)
    rng = np.random.default_rng(6)
    W = rng.normal(size=(60, 5)) * 10.0 ** rng.uniform(-6, 0, (60, 1))
    ridge, dent = PENALTIES["group_l2"]().curvature(W, np.full(60, 0.01))
    p = rng.dirichlet(np.ones(5), 200)
    D = CountedProducts(1.0 * (rng.random((200, 60)) < 0.4))
    stiff = np.repeat(ridge[:, None], 5, axis=1) + 1e-6
    operator = Operator(
        D, Curvature(p / 200, p / np.sqrt(200)), np.ones(W.shape, bool), stiff, dent
    )
    R = rng.normal(size=W.shape)
    X = solver_for(operator, accuracy=1e-6)(R)
    assert np.linalg.norm(operator.apply(X) - R) <= 2e-6 * np.linalg.norm(R)
    assert D.passes <= 80  # by the diagonal alone it takes hundreds


@pytest.mark.parametrize("penalty", PENALTY_NAMES)
def test_one_against_the_rest_on_digits_takes_few_steps(penalty):
    pixels, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(4)
    pixels, labels = pixels[:600], labels[:600]
    drive = pixels @ rng.normal(size=(64, 80)) + 20.0 * rng.normal(size=80)
    program = ConvexProgram(
        features=np.hstack([drive > 0.0, np.ones((600, 1), dtype=bool)]),
        targets=2.0 * np.eye(10)[labels] - 1.0,
        loss=Hinge(),
        penalty=PENALTIES[penalty](),
        rho=2e-3,
    )
    solution = solve(program)
    assert solution.converged
    assert solution.iterations <= 80
    # What the path leaves small is zero, not merely small.
    assert penalty != "l1" or solution.certificate.n_nonzero < 0.7 * solution.W.size
