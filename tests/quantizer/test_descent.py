"""A readout in few bits: no single step of an integer improves it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from convexon.certify.check import check_file
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import PENALTIES
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import solve as solve_program
from convexon.errors import InputError
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.quantizer.descent import descended
from convexon.quantizer.readout import finest, rounded_to
from convexon.quantizer.settings import ReadoutRounding
from toy import toy_samples, toy_settings


def program_of(loss: str, penalty: str, seed: int) -> tuple[ConvexProgram, np.ndarray]:
    """A program of counts, two outputs where the loss takes them, and its solution."""
    rng = np.random.default_rng([seed, 8])
    features = rng.integers(0, 3, (40, 9))
    features[:, -1] = 1
    labels = rng.integers(0, 2, 40)
    targets = {
        "squared": rng.normal(size=(40, 2)),
        "softmax": labels,
        "hinge": 2.0 * np.eye(2)[labels] - 1.0,
        "logistic": 2.0 * labels - 1.0,
    }[loss]
    program = ConvexProgram(
        features=features, targets=targets, loss=LOSSES[loss](), penalty=PENALTIES[penalty](),
        rho=0.02, counts=rng.integers(1, 4, 40),
    )  # fmt: skip
    return program, solve_program(program, tolerance=1e-6).W


@pytest.mark.parametrize("penalty", ["l1", "group_l2"])
@pytest.mark.parametrize("loss", ["squared", "softmax", "hinge", "logistic"])
@pytest.mark.parametrize("bits", [2, 4])
def test_no_single_step_lowers_the_objective(loss: str, penalty: str, bits: int) -> None:
    program, W = program_of(loss, penalty, bits)
    readout = descended(program, W, bits=bits)
    q, step = readout.stacked, 2.0**-readout.weight_format.frac
    limit = (1 << (bits - 1)) - 1
    assert readout.weight_format.width == bits
    assert np.abs(q[:-1]).max() <= limit
    reached = program.objective(q * step)
    nearest = rounded_to(W[:-1], W[-1], bits=bits, frac=finest(W[:-1], bits=bits))
    assert reached <= program.objective(nearest.stacked_real)
    used = [*np.flatnonzero(W[:-1].any(axis=1)), len(W) - 1]
    assert not q[np.setdiff1d(np.arange(len(W)), used)].any()
    for j, c, sign in itertools.product(used, range(q.shape[1]), (-1, 1)):
        other = q.copy()
        other[j, c] += sign
        if j == len(W) - 1 or abs(other[j, c]) <= limit:
            assert program.objective(other * step) >= reached * (1 - 2e-6)


def test_a_bit_has_a_price() -> None:
    program, W = program_of("squared", "l1", 0)
    free, cheap, dear = (
        descended(program, W, bits=8, bit_penalty=price) for price in (0.0, 1e-3, 10.0)
    )
    assert free.weight_format.width == 8
    assert dear.weight_format.width == 2
    assert 2 < cheap.weight_format.width < 8

    def total(bits: int) -> float:
        W_of = descended(program, W, bits=bits).stacked_real
        return program.objective(W_of) + 1e-3 * bits

    assert total(cheap.weight_format.width) == min(total(bits) for bits in range(2, 9))


@pytest.mark.parametrize("bits", [3, 24])  # of 24 bits, the nearest integers are the best
def test_a_network_of_such_a_readout_is_certified(tmp_path: Path, bits: int) -> None:
    run = Run(tmp_path / "run")
    chosen = toy_settings(readout_rounding=ReadoutRounding.DESCENT, readout_bits=bits)
    made = solve(run, toy_samples(), chosen)
    assert made.card.value.readout_format.width == bits
    verdict = check_file(run.file("certificate"))
    (card,) = [found for found in verdict.findings if found.claim == "card"]
    assert card.checked
    assert "no worse than the nearest" in card.line
    assert verdict.holds("recipe")
    assert all(found.checked for found in verdict.findings if "margins" in found.claim)


def test_a_price_without_descent_is_refused() -> None:
    with pytest.raises(InputError, match=r"^bit_penalty must be 0 where readout_rounding is not"):
        toy_settings(bit_penalty=0.1)
