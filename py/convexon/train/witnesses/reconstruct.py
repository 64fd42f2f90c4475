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
    pruned, rows = kept_neurons(branches, dictionary, W)
    return Network(
        branches=pruned,
        n_steps=n_steps,
        input_bits=input_bits,
        readout_mode=readout_mode,
        readout_weights=np.where(rows[:, None] < 0, 0.0, W[rows]),
        readout_biases=W[-1],
    )


def kept_neurons(
    branches: Sequence[Branch], dictionary: SpikeDictionary, W: npt.NDArray[np.float64]
) -> tuple[tuple[Branch, ...], npt.NDArray[np.intp]]:
    """Return the pruned branches, and the row of W of each of their last neurons.

    That is -1 for a neuron which others read, and the readout does not. Raises as `reconstruct`.
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
    order: list[npt.NDArray[np.intp]] = []
    for b, branch in enumerate(branches):
        rows = active[dictionary.witnesses[active, 0] == b]
        if len(rows):
            neurons = branch.closed(dictionary.witnesses[rows, 1].astype(np.intp))
            pruned.append(branch.pruned(neurons))
            order += [rows, np.full(len(neurons) - len(rows), -1)]
    return tuple(pruned), np.concatenate(order)
