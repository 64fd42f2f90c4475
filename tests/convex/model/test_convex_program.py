"""Programs: construction, objective, rho_max, and the errors that bad input causes."""

import re
import tracemalloc

import numpy as np
import pytest

from convexon.convex.bounds.gap import certify
from convexon.convex.model.losses import Hinge, Softmax, Squared
from convexon.convex.model.penalty import L1
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import solve
from convexon.errors import InputError
from convexon.train.columns.bits import BitColumns

GOOD = {
    "features": np.eye(2),
    "targets": [1.0, -1.0],
    "loss": Squared(),
    "penalty": L1(),
    "rho": 0.1,
}

BAD = [
    ({"features": [[1.0, np.inf], [0, 0]]}, "features must be finite, not inf at row 0, column 1"),
    ({"features": [1.0, 0.0]}, "features must be a matrix (n, P), not of shape (2,)"),
    ({"features": [["a"], ["b"]]}, "features must be real numbers, not <U1"),
    ({"features": np.zeros((0, 2))}, "features must have at least one row, not shape (0, 2)"),
    ({"rho": 0.0}, "rho must be a positive finite number, not 0.0"),
    ({"rho": np.nan}, "rho must be a positive finite number, not nan"),
    ({"rho": "1"}, "rho must be a positive finite number, not '1'"),
    ({"weights": [1.0]}, "weights must have one entry per column, shape (2,), not (1,)"),
    ({"weights": [1.0, -1.0]}, "weights must be positive and finite, not -1.0 at column 1"),
    ({"loss": "squared"}, "loss must be a Loss, not 'squared'"),
    ({"penalty": "l1"}, "penalty must be a Penalty, not 'l1'"),
    ({"targets": [1.0]}, "targets must have one row per row of the features (2), not 1"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_programs_are_refused(change, message):
    with pytest.raises(InputError, match="^" + re.escape(message)):
        ConvexProgram(**{**GOOD, **change})


@pytest.mark.parametrize("W", [np.zeros((3, 1)), [[np.nan], [0.0]]])
def test_bad_weights_are_refused(W):
    with pytest.raises(InputError, match=r"^W must "):
        ConvexProgram(**GOOD).objective(W)
    with pytest.raises(InputError, match=r"^W must "):
        certify(ConvexProgram(**GOOD), W)


def test_objective_by_hand():
    program = ConvexProgram(**{**GOOD, "weights": [1.0, 3.0]})
    # Residuals are 0 and -1 + 0.5: (0 + 1/8) / 2, plus 0.1 * (1 + 3 * 0.5).
    assert program.objective([[1.0], [-0.5]]) == pytest.approx(0.0625 + 0.25)


def test_rho_max_by_hand():
    assert ConvexProgram(**GOOD).rho_max() == pytest.approx(0.5)
    hinge = ConvexProgram(**{**GOOD, "loss": Hinge(), "features": np.ones((2, 1))})
    assert hinge.rho_max() == pytest.approx(0.0)


def test_integer_and_boolean_features_give_the_same_program():
    D = np.random.default_rng(0).random((6, 4)) < 0.5
    W = np.random.default_rng(1).normal(size=(4, 2))
    values = {
        ConvexProgram(
            features=D.astype(kind), targets=[0, 1] * 3, loss=Softmax(), penalty=L1(), rho=0.1
        ).objective(W)
        for kind in (bool, np.uint8, np.float32, np.float64)
    }
    assert len(values) == 1


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of two columns, so that small programs take the path of large ones."""
    monkeypatch.setattr("convexon.convex.model.program._BLOCK_ENTRIES", 100)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("max_value", [1, 6])
def test_packed_columns_give_the_same_program(max_value):
    rng = np.random.default_rng(2)
    D = rng.integers(0, max_value + 1, (43, 9))
    common = {"targets": rng.integers(0, 3, 43), "loss": Softmax(), "penalty": L1(), "rho": 0.01}
    packed = ConvexProgram(features=BitColumns.pack(D, max_value=max_value), **common)
    plain = ConvexProgram(features=D, **common)
    W, dual = rng.normal(size=(9, 3)), rng.normal(size=(43, 3))
    W[4] = 0.0
    # Equal but for the order of additions: linear algebra may choose another one for a matrix that
    # lies otherwise in memory, and which it does depends on the machine.
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(packed.predict(W), plain.predict(W), **close)
    np.testing.assert_allclose(packed.correlate(dual), plain.correlate(dual), **close)
    np.testing.assert_allclose(
        packed.correlate_bounded(dual), plain.correlate_bounded(dual), **close
    )
    found = [solve(program).certificate for program in (packed, plain)]
    assert all(certificate.relative_gap < 1e-8 for certificate in found)
    assert found[0].primal == pytest.approx(found[1].primal, rel=1e-8)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_give_what_whole_matrices_do():
    rng = np.random.default_rng(3)
    D = rng.normal(size=(43, 9))
    program = ConvexProgram(
        features=D, targets=rng.normal(size=(43, 2)), loss=Squared(), penalty=L1(), rho=0.1
    )
    W, dual = rng.normal(size=(9, 2)), rng.normal(size=(43, 2))
    weights = rng.random(43)
    Z, error = program.predict_bounded(W)
    np.testing.assert_allclose(program.predict(W), D @ W, rtol=1e-12)
    np.testing.assert_allclose(Z, D @ W, rtol=1e-12)
    assert (np.abs(Z - D @ W) <= error + 1e-12).all()
    some = np.array([1, 5, 6])
    np.testing.assert_allclose(program.correlate(dual), D.T @ dual, rtol=1e-12)
    np.testing.assert_allclose(program.correlate(dual, some), D.T[some] @ dual, rtol=1e-12)
    np.testing.assert_allclose(program.column_norms(weights) ** 2, weights @ D**2, rtol=1e-12)


@pytest.mark.usefixtures("small_blocks")
def test_predictions_of_many_rows_are_summed_as_they_are_made():
    rng = np.random.default_rng(4)
    D = BitColumns.pack(rng.integers(0, 2, (4000, 200)))
    program = ConvexProgram(
        features=D, targets=rng.integers(0, 8, 4000), loss=Softmax(), penalty=L1(), rho=0.1
    )
    W = rng.normal(size=(200, 8))
    tracemalloc.start()
    Z = program.predict(W)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 150 * Z.nbytes  # one for each block of columns would be 200 of them
