"""Splits: shares of every class or of groups, the same for the same seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.split import apart, grouped, stratified


@given(st.integers(0, 100), st.floats(0.0, 1.0), st.integers(1, 4))
def test_every_class_gives_its_share_and_keeps_one(seed: int, share: float, k: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(k), np.arange(k) + 2))
    kept, held = stratified(labels, share, seed=seed)
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(labels)))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()
    for c in range(k):
        n = c + 2
        assert (labels[held] == c).sum() == min(max(1, round(share * n)), n - 1)
    again = stratified(labels, share, seed=seed)
    assert np.array_equal(again[1], held)


def test_a_stratified_split_is_a_permutation_of_each_class_in_turn() -> None:
    """What a seed means must not change: files name seeds, not indices."""
    labels = np.array([0, 1, 1, 0, 0, 1, 0, 1, 1, 0])
    generator = np.random.default_rng([3, 1])
    expected = [generator.permutation(np.flatnonzero(labels == c))[:2] for c in (0, 1)]
    _, held = stratified(labels, 0.4, seed=[3, 1])
    assert held.tolist() == sorted(np.concatenate(expected).tolist())


def test_a_class_of_one_is_kept() -> None:
    kept, held = stratified(np.array([0, 0, 1]), 0.5, seed=0)
    assert 2 in kept
    assert len(held) == 1


@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 50), st.floats(0.0, 1.0))
def test_no_group_is_on_both_sides(n: int, copies: int, seed: int, share: float) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(n), copies))
    kept, held = grouped(groups, share, seed=seed)
    assert not set(groups[kept].tolist()) & set(groups[held].tolist())
    assert len(np.unique(groups[held])) == max(1, round(share * n))
    assert len(kept) + len(held) == len(groups)


@given(st.integers(2, 8), st.integers(1, 3), st.integers(0, 50), st.floats(0.0, 1.0))
def test_groups_are_apart_and_no_class_is_held_out_whole(
    n: int, classes: int, seed: int, share: float
) -> None:
    generator = np.random.default_rng(seed)
    groups = generator.permutation(np.repeat(np.arange(n), classes + 1))
    labels = generator.integers(0, classes, len(groups))
    kept, held = apart(labels, groups, share, seed=seed)
    if not len(held):
        # Then every group has all samples of some class.
        for group in range(n):
            assert set(labels[groups == group]) - set(labels[groups != group])
        return
    assert not set(groups[kept].tolist()) & set(groups[held].tolist())
    assert set(labels[held].tolist()) <= set(labels[kept].tolist())
    one = len(np.unique(groups[held])) == 1
    assert one or len(held) <= round(share * len(groups))
    assert sorted([*kept, *held]) == list(range(len(groups)))
