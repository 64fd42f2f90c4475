"""Logic cells: neurons that are one lookup table of an FPGA and its flip-flop.

A cell fires where a truth table of up to six spikes says so, its own last spike possibly one of
them. It has no memory besides: it forgets at once, and its threshold is 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.fixed import QFormat
from convexon.snn.network import MAX_TABLE_INPUTS, Layer
from convexon.snn.neuron import MEMORYLESS, Reset

IntArray = npt.NDArray[np.int64]

OWN = -1
"""In place of an input: the cell's own spike of the step before."""


def cell_layer(reads: npt.ArrayLike, tables: npt.ArrayLike, *, n_inputs: int) -> Layer:
    """Return a layer of logic cells.

    Parameters
    ----------
    reads : integer array, shape (neurons, k)
        Inputs that each cell reads, k from 1 to 6, each once; `OWN` stands for its own last spike.
    tables : 0 or 1, shape (neurons, 2**k)
        What a cell does for each code of what it reads, the first in the lowest bit.
        `tables_of_integers` makes them of integers.
    n_inputs : that the layer has

    Raises
    ------
    InputError, FormatError
        If a shape or a value does not fit.
    """
    inputs, rows = np.asarray(reads), np.asarray(tables)
    n, k = inputs.shape if inputs.ndim == 2 else (0, 0)
    if not n or not 1 <= k <= MAX_TABLE_INPUTS or inputs.dtype.kind not in "iu":
        raise InputError(
            f"reads must be integers of shape (neurons, 1 to {MAX_TABLE_INPUTS}), not shape "
            f"{inputs.shape}"
        )
    ordered = np.sort(inputs, axis=1)
    if ordered.min() < OWN or ordered.max() >= n_inputs or (np.diff(ordered, axis=1) == 0).any():
        raise InputError(f"reads must be different inputs of each neuron, {OWN} to {n_inputs - 1}")
    if rows.shape != (n, 1 << k):
        raise InputError(f"tables must have shape {(n, 1 << k)}, not {rows.shape}")
    neurons = np.arange(n)
    weights = np.zeros((n_inputs + 1, n), dtype=np.int64)  # the last row is of the own spikes
    for bit in range(k):
        weights[inputs[:, bit], neurons] = 1 << bit
    own = weights[OWN]
    return Layer(
        weights=weights[:OWN],
        recurrent=np.diag(own) if own.any() else None,
        tables=rows.T,
        thresholds=np.ones(n, dtype=np.int64),
        biases=np.zeros(n, dtype=np.int64),
        leak=MEMORYLESS,
        reset=Reset.NONE,
        weight_format=QFormat(k + 1),
        threshold_format=QFormat(2),
    )


def reads_and_tables(layer: Layer) -> tuple[IntArray, IntArray]:
    """Return what `cell_layer` makes a layer of: reads (neurons, k) and tables (neurons, 2**k).

    `OWN` stands for an input that none of the layer's is: a cell's own last spike, or none at all.

    Raises `InputError` if the layer has no logic cells.
    """
    if layer.tables is None:
        raise InputError("layer must have tables: its neurons are no logic cells")
    n_codes = layer.tables.shape[0]
    weighs = layer.matrix[None] == (1 << np.arange(n_codes.bit_length() - 1))[:, None, None]
    reads = np.where(weighs.any(axis=1), weighs.argmax(axis=1), OWN)
    return reads.T.astype(np.int64), layer.tables.T.astype(np.int64)


def tables_of_integers(numbers: Sequence[int], k: int) -> IntArray:
    """Truth tables of k inputs as `cell_layer` takes them, from integers: bit c is that of code c.

    Raises `InputError` if one needs more than 2**k bits.
    """
    n_codes = 1 << k
    for number in numbers:
        if not 0 <= int(number) < 1 << n_codes:
            raise InputError(f"tables of {k} inputs must be 0 to 2**{n_codes} - 1, not {number}")
    return np.array([[int(n) >> code & 1 for code in range(n_codes)] for n in numbers])
