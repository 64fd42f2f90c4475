"""Rows that stand for several samples: the same optimum as with the samples one by one."""

from dataclasses import replace

import numpy as np
import pytest

from convex_programs import LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.bounds.gap import certify
from convexon.convex.solvers.solver import solve

BOTH = [(kind, penalty) for kind in LOSS_NAMES for penalty in PENALTY_NAMES]


def repeated(program):
    """The program with a row for each sample."""
    rows = np.repeat(np.arange(program.n_rows), program.encoded.counts)
    return replace(
        program,
        features=program.features[rows],
        targets=np.asarray(program.targets)[rows],
        counts=None,
    )


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
@pytest.mark.parametrize("seed", range(3))
def test_counts_are_repeated_rows(kind, penalty, seed):
    program = random_program(kind, penalty, seed, n=15, P=10, C=2, counts="random")
    samples = repeated(program)
    assert program.rho_max() == pytest.approx(samples.rho_max(), rel=1e-12)
    merged, spread = solve(program, tolerance=1e-9), solve(samples, tolerance=1e-9)
    assert merged.certificate.primal == pytest.approx(spread.certificate.primal, abs=2e-9)
    # Each solution, and each dual point, is one of the other program, and certifies it as well.
    rows = np.repeat(np.arange(program.n_rows), program.encoded.counts)
    as_spread = (merged.dual / program.encoded.counts[:, None])[rows]
    certificate, _ = certify(samples, merged.W, dual=as_spread)
    assert certificate.gap == pytest.approx(merged.certificate.gap, abs=1e-12)
    as_merged = np.array([spread.dual[rows == i].sum(axis=0) for i in range(program.n_rows)])
    certificate, _ = certify(program, spread.W, dual=as_merged)
    assert certificate.gap <= spread.certificate.gap + 1e-12


@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_counts_are_not_ignored(kind):
    program = random_program(kind, "l1", 3, counts="random")
    plain, counted = solve(replace(program, counts=None)), solve(program)
    certificate, _ = certify(program, plain.W)
    assert certificate.primal > counted.certificate.primal
