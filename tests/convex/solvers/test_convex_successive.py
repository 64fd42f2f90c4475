"""Successive quadratic programs: the losses of one score with the l1 norm."""

import numpy as np
import pytest

from convex_programs import random_program
from convexon.convex.model.losses import Logistic, Softmax
from convexon.convex.model.penalty import L1, GroupL2
from convexon.convex.solvers.composite import Descent
from convexon.convex.solvers.products import Products
from convexon.convex.solvers.record import Budget
from convexon.convex.solvers.solver import solve
from convexon.convex.solvers.successive import SuccessiveQuadratics


def test_what_it_takes_and_what_it_lacks():
    assert SuccessiveQuadratics.lacks(Logistic(), L1()) is None
    assert SuccessiveQuadratics.lacks(Softmax(), L1()) == "a smooth loss of one score"
    lacking = SuccessiveQuadratics.lacks(Logistic(), GroupL2())
    assert lacking == "a penalty on the sum of magnitudes"


@pytest.mark.parametrize("share", [0.5, 0.02])
def test_few_steps_reach_the_optimum_that_descent_reaches(share):
    program = random_program("logistic", "l1", 5, n=80, P=60, share=share, counts="random")
    D, thresholds = program.take(slice(None)), program.rho * program.weights
    values = []
    for method in (SuccessiveQuadratics, Descent):
        budget = Budget(5000)
        start = np.zeros((program.n_columns, 1))
        found = method(program, budget=budget).improve(
            Products(D), thresholds, start, tolerance=1e-10
        )
        values.append(program.objective(found))
        if method is SuccessiveQuadratics:
            assert budget.iterations < 60
    assert values[0] == pytest.approx(values[1], abs=2e-10)


def test_where_the_moments_would_be_large_it_descends(monkeypatch):
    monkeypatch.setattr("convexon.convex.solvers.successive.LARGEST_GRAM", 8)
    program = random_program("logistic", "l1", 6, n=50, P=40, share=0.05)
    assert solve(program, tolerance=1e-8).converged
