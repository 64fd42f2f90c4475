"""Held-out parts of labelled samples: at random by seed, group by group where they have groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def stratified(
    labels: npt.ArrayLike, share: float, *, seed: int | Sequence[int]
) -> tuple[Indices, Indices]:
    """Split samples by class; each class keeps a sample at least, and one of several gives up one.

    Parameters
    ----------
    labels : integer array, shape (samples,)
    share : share of each class to hold out

    Returns
    -------
    kept, held : integer arrays
        Indices of the samples, ascending.
    """
    array = np.asarray(labels)
    generator = np.random.default_rng(seed)
    mask = np.zeros(len(array), dtype=bool)
    for c in np.unique(array):
        members = generator.permutation(np.flatnonzero(array == c))
        mask[members[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def grouped(
    groups: npt.NDArray[np.int64], share: float, *, seed: int | Sequence[int]
) -> tuple[Indices, Indices]:
    """Split samples by group, no group on both sides: where copies of an input are one, say.

    Parameters
    ----------
    groups : int64 array, shape (samples,)
        Number of each sample's group, from 0 on without gaps.
    share : share of the groups to hold out; one at least

    Returns
    -------
    kept, held : integer arrays
        Indices of the samples, ascending.
    """
    n_groups = int(groups.max()) + 1
    held = np.zeros(n_groups, dtype=bool)
    order = np.random.default_rng(seed).permutation(n_groups)
    held[order[: max(1, round(share * n_groups))]] = True
    return np.flatnonzero(~held[groups]), np.flatnonzero(held[groups])


def apart(
    labels: npt.ArrayLike, groups: npt.ArrayLike, share: float, *, seed: int | Sequence[int]
) -> tuple[Indices, Indices]:
    """Split labelled samples by group, no group on both sides and no class held out alone.

    Groups are held out in a random order until ``share`` of the samples is; one that has all the
    samples of a class that are left stays.

    Parameters
    ----------
    labels, groups : integer arrays, shape (samples,)
    share : share of the samples to hold out; one group at least

    Returns
    -------
    kept, held : integer arrays
        Indices of the samples, ascending; none are held where no group can be.
    """
    classes, of_group = np.asarray(labels), np.asarray(groups)
    left = np.bincount(classes)
    held = np.zeros(len(classes), dtype=bool)
    order = np.argsort(of_group, kind="stable")
    of_each = np.split(order, np.flatnonzero(np.diff(of_group[order])) + 1)
    most, count = round(share * len(classes)), 0
    for group in np.random.default_rng(seed).permutation(len(of_each)):
        members = of_each[group]
        own = np.bincount(classes[members], minlength=len(left))
        if ((own > 0) & (own == left)).any():
            continue
        if count and count + len(members) > most:
            continue
        held[members] = True
        count += len(members)
        left = left - own
    return np.flatnonzero(~held), np.flatnonzero(held)
