"""The one way to hold samples out: a share of every class, at random."""

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
    share : float
        Share of each class to hold out.
    seed : int or sequence of int

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
