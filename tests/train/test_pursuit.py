"""Columns are selected by what the ones before leave unexplained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convexon.errors import InputError
from convexon.train.columns.bits import BitColumns
from convexon.train.pursuit import Pursuit, pursue

N, CLASSES = 400, 3
LABELS = np.random.default_rng(0).integers(0, CLASSES, N)


def informed(n_noise: int, *, seed: int = 1) -> np.ndarray:
    """Columns of noise, and behind them one a class, right in nine of ten rows."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 2, (N, n_noise))
    flips = rng.random((N, CLASSES)) < 0.1
    return np.concatenate([noise, (LABELS[:, None] == np.arange(CLASSES)) ^ flips], axis=1)


def left(columns: np.ndarray, kept: np.ndarray) -> float:
    """What least squares on the kept columns leaves of the labels."""
    A = np.concatenate([columns[:, kept], np.ones((N, 1))], axis=1).astype(float)
    Y = np.eye(CLASSES)[LABELS]
    found, *_ = np.linalg.lstsq(A, Y, rcond=None)
    return float(((Y - A @ found) ** 2).sum())


def test_what_tells_classes_apart_comes_first() -> None:
    columns = informed(60)
    kept = pursue(BitColumns.pack(columns), LABELS, CLASSES, Pursuit(keep=10, block=1))
    assert set(kept[:CLASSES]) == {60, 61, 62}
    assert len(set(kept.tolist())) == 10


def test_blocks_of_one_are_orthogonal_matching_pursuit() -> None:
    """Each column has the largest centred product with the residual of the ones before."""
    columns = informed(30).astype(float)
    plan = Pursuit(keep=6, block=1, ridge=1e-6)
    kept = pursue(BitColumns.pack(columns.astype(int)), LABELS, CLASSES, plan)
    centred = columns - columns.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    Y = np.eye(CLASSES)[LABELS]
    for k, column in enumerate(kept):
        A = np.concatenate([columns[:, kept[:k]], np.ones((N, 1))], axis=1)
        residual = Y - A @ np.linalg.lstsq(A, Y, rcond=None)[0]
        pull = np.linalg.norm(centred.T @ residual, axis=1)
        pull[kept[:k]] = -1
        assert pull[column] == pytest.approx(pull.max(), rel=1e-4)


def test_it_leaves_less_than_the_same_number_at_random() -> None:
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=(N, 5)) + np.eye(CLASSES)[LABELS] @ rng.normal(size=(CLASSES, 5))
    columns = (hidden @ rng.normal(size=(5, 300)) > 0).astype(int)
    kept = pursue(BitColumns.pack(columns), LABELS, CLASSES, Pursuit(keep=24, block=8))
    chance = [left(columns, rng.choice(300, 24, replace=False)) for _ in range(20)]
    assert left(columns, kept) < min(chance)


def test_a_block_holds_no_twins() -> None:
    one = informed(0)[:, :1]
    other = one.copy()
    other[:3] ^= 1
    columns = np.concatenate([one, other, one, informed(5)[:, :5]], axis=1)
    kept = pursue(BitColumns.pack(columns), LABELS, CLASSES, Pursuit(keep=3, block=3, twins=0.95))
    assert len({0, 1, 2} & set(kept.tolist())) == 1


def test_rows_count_as_often_as_they_stand_for_samples() -> None:
    columns = informed(40)
    counts = np.random.default_rng(4).integers(1, 4, N)
    plan = Pursuit(keep=8, block=4, ridge=1e-3)
    weighed = pursue(BitColumns.pack(columns), LABELS, CLASSES, plan, counts=counts)
    repeated = np.repeat(columns, counts, axis=0)
    plain = pursue(BitColumns.pack(repeated), np.repeat(LABELS, counts), CLASSES, plan)
    assert set(weighed.tolist()) == set(plain.tolist())


def test_counts_are_columns_too_and_dead_ones_are_left_out() -> None:
    rng = np.random.default_rng(5)
    live = rng.poisson(1 + LABELS[:, None], (N, 4)).clip(0, 7)
    dead = np.concatenate([np.zeros((N, 1), int), np.full((N, 1), 7)], axis=1)
    columns = BitColumns.pack(np.concatenate([dead, live], axis=1), max_value=7)
    kept = pursue(columns, LABELS, CLASSES, Pursuit(keep=6, block=2, twins=1.0))
    assert set(kept.tolist()) == {2, 3, 4, 5}
    with pytest.raises(InputError, match=r"^columns must fire in some rows and be silent"):
        pursue(BitColumns.pack(dead > 3), LABELS, CLASSES, Pursuit(keep=1))


@pytest.mark.parametrize("member", ["keep", "block", "twins", "ridge", "rare"])
def test_a_plan_of_wrong_values_is_refused(member: str) -> None:
    with pytest.raises(InputError, match=member):
        replace(Pursuit(keep=3), **{member: -1})
