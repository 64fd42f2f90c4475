"""Products on either device, and the solver that runs on them."""

import sys

import numpy as np
import pytest
import torch

from convex_programs import LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.solvers import products as products_module
from convexon.convex.solvers.products import Products, products_for
from convexon.convex.solvers.solver import solve
from convexon.errors import InputError, MissingToolError


@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_products_are_those_of_the_matrix(device, dtype, close):
    rng = np.random.default_rng(0)
    D, W, G = rng.normal(size=(9, 5)), rng.normal(size=(5, 2)), rng.normal(size=(9, 2))
    products = products_for(device)(D.astype(dtype))
    assert products.shape == (9, 5)
    assert products.forward(W).dtype == np.float64
    np.testing.assert_allclose(products.forward(W), D @ W, close, close)
    np.testing.assert_allclose(products.adjoint(G), D.T @ G, close, close)
    np.testing.assert_allclose(products.adjoint_squares(G), (D * D).T @ G, close, close)
    assert products.largest_row() == pytest.approx((D**2).sum(axis=1).max(), rel=close)
    weights = np.array([2.0, 0.0, 1.0, 0.5, 0.0, 0.0, 3.0, 0.0, 1.0])
    np.testing.assert_allclose(products.moments(weights), D.T * weights @ D, close, close)
    some, other = np.array([0, 3]), np.array([2, 3, 4])
    B = np.hstack([G[:, :1] * D[:, some], G[:, 1:] * D[:, other]])
    gram = products.gram([(G[:, 0], some), (G[:, 1], other)])
    np.testing.assert_allclose(gram, B.T @ B, close, close)


def test_moments_and_squares_are_made_in_blocks(monkeypatch):
    monkeypatch.setattr(products_module, "_BLOCK_ENTRIES", 10)
    rng = np.random.default_rng(1)
    D, weights = rng.normal(size=(9, 4)), rng.random(9)
    np.testing.assert_allclose(Products(D).moments(weights), D.T * weights @ D)
    G = rng.normal(size=(9, 2))
    np.testing.assert_allclose(Products(D).adjoint_squares(G), (D * D).T @ G)
    assert Products(D).largest_row() == pytest.approx((D * D).sum(axis=1).max())


@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_torch_solves_what_numpy_solves(kind, penalty):
    program = random_program(kind, penalty, 1, n=30, P=20, counts="random")
    here, there = solve(program, tolerance=1e-8), solve(program, tolerance=1e-8, device="cpu")
    assert there.converged
    assert there.certificate.primal == pytest.approx(here.certificate.primal, abs=2e-8)


def test_unknown_and_missing_devices_are_refused(monkeypatch):
    assert products_for(None) is Products
    with pytest.raises(InputError, match=r"^device must be None, 'cpu' or 'cuda', not 'tpu'$"):
        products_for("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingToolError, match=r"^device 'cuda' needs a GPU that torch can use"):
        products_for("cuda")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingToolError, match=r"^device 'cpu' needs torch: install"):
        products_for("cpu")
