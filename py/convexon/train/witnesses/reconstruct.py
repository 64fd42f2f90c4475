"""Reconstruction: from the solution of the convex program back to a network.

Keep the witness of every column whose row of weights is not zero (arXiv:2605.08022,
reconstruction). Nothing is rounded, and no surrogate is involved: on every training row the
network's scores are the program's, exactly. Where a witness reads neurons beside it through lateral
weights, these stay too, with readout weights of zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.network import Branch, Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.dictionary import SpikeDictionary


def reconstruct(
    branches: Sequence[Branch],
    dictionary: SpikeDictionary,
    W: npt.NDArray[np.float64],
    *,
    n_steps: int,
    input_bits: int,
    readout_mode: ReadoutMode,
) -> Network:
    """Return the pruned network of a solution over the dictionary of ``branches``.

    W (P + 1, C) are the weights of the columns and, last, of the always-firing one.

    Raises `InputError` if the shape of W does not fit the dictionary, or no column is active.
    """
    if W.ndim != 2 or W.shape[0] != dictionary.n_columns + 1:
        raise InputError(
            f"W must have {dictionary.n_columns + 1} rows, one a column and the intercept's, "
            f"not {W.shape}"
        )
    active = np.flatnonzero((W[:-1] != 0).any(axis=1))
    if not len(active):
        raise InputError("W must have an active column: all are zero, so lower rho")
    pruned: list[Branch] = []
    weights: list[npt.NDArray[np.float64]] = []
    for b, branch in enumerate(branches):
        rows = active[dictionary.witnesses[active, 0] == b]
        if len(rows):
            neurons = branch.closed(dictionary.witnesses[rows, 1].astype(np.intp))
            pruned.append(branch.pruned(neurons))
            read_only = np.zeros((len(neurons) - len(rows), W.shape[1]))
            weights += [W[rows], read_only]
    return Network(
        branches=tuple(pruned),
        n_steps=n_steps,
        input_bits=input_bits,
        readout_mode=readout_mode,
        readout_weights=np.concatenate(weights),
        readout_biases=W[-1],
    )
