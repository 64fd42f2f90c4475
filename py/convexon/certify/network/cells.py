"""Sets of logic cells: every Boolean function of a few inputs, and the check of a bound over them.

A cell's column is a sum of what its truth table picks, so that its scores are the sum of the dual
vector over the codes that it fires for. Each set of inputs has 2**16 tables of 4 inputs. They are
walked code by code, and a table that is begun is given up where not even the rest of the positive
or of the negative sums, output by output, can take it to the limit. Sums are of integers, as in
`convexon.certify.network.windows`, and what comes near the limit is computed as it is, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convexon.certify.exact.dyadic import Dyadic, FloatArray
from convexon.certify.exact.penalties import ExactPenalty
from convexon.certify.network.columns import Columns
from convexon.certify.network.neurons import weighed_of
from convexon.certify.network.windows import WindowCheck
from convexon.certify.statement import IntArray
from convexon.errors import InputError
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset

MOST_INPUTS, MOST_CELLS = 4, 1 << 18
"""Most inputs of a cell, and most sets of inputs: what is looked at."""

_AT_ONCE = 16
"""Sets of inputs whose tables are walked at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CellSet:
    """Every logic cell that reads one of some sets of inputs.

    Members
    -------
    branch : int
        Of the branches whose layers below the last these cells read.
    inputs : int64 array, shape (sets, k)
        What a cell reads.
    n_neurons : int
        Truth tables of k inputs, times the sets.

    Raises
    ------
    InputError
        If the members do not fit each other, or there is more than a checker could look at.
    """

    branch: int
    inputs: IntArray
    n_neurons: int

    def __post_init__(self) -> None:
        array = self.inputs
        if array.dtype != np.int64 or array.ndim != 2 or not array.size:
            raise InputError("inputs must be int64 in 2 dimensions, and not none")
        if self.size > MOST_INPUTS or len(array) > MOST_CELLS:
            raise InputError(
                f"inputs must be at most {MOST_CELLS} sets of at most {MOST_INPUTS}, not "
                f"{len(array)} of {self.size}"
            )
        ordered = np.sort(array, axis=1)
        if (ordered[:, 0] < 0).any() or (np.diff(ordered, axis=1) == 0).any():
            raise InputError("inputs must be different inputs, counted from 0, in each set")
        if self.branch < 0:
            raise InputError("branch must not be negative")
        count = len(array) << (1 << self.size)
        if self.n_neurons != count:
            raise InputError(f"n_neurons must be {count}, not {self.n_neurons}")

    @property
    def size(self) -> int:
        """Inputs of a cell, k."""
        return int(self.inputs.shape[1])

    @property
    def about(self) -> str:
        """The set in words that follow "any number of"."""
        return (
            f"{self.n_neurons:,} logic cells of a last layer, every Boolean function of each of "
            f"{len(self.inputs)} sets of {self.size} inputs"
        )


def violating_cell(check: WindowCheck, cells: CellSet) -> str | None:
    """Say which cell violates the constraint, or None where none does.

    Raises
    ------
    InputError
        If the set does not fit the samples.
    """
    n, n_steps, n_inputs = check.signal.shape
    if int(cells.inputs.max()) >= n_inputs or int(check.signal.max(initial=0)) > 1:
        raise InputError(f"cells must read spikes, of the {n_inputs} inputs that there are")
    units, slack, limit = check.scaled(n_steps if check.mode is ReadoutMode.COUNT else 1)
    if check.mode is ReadoutMode.SIGN:
        raise InputError("cells must be read by their spikes, not by the signs of membranes")
    if check.mode is ReadoutMode.COUNT:  # a count adds up what the steps show
        seen, units = check.signal.reshape(n * n_steps, n_inputs), np.repeat(units, n_steps, axis=0)
    else:
        steps = check.readouts if check.mode is ReadoutMode.STEP else np.full(n, -1)
        seen = check.signal[np.arange(n), steps]
    bits = np.ascontiguousarray(seen.T)
    for first in range(0, len(cells.inputs), _AT_ONCE):
        part = cells.inputs[first : first + _AT_ONCE]
        sums = np.array([_sums(bits[inputs], units) for inputs in part])
        for place, table in _near(sums, check.penalty, slack, limit):
            if _exceeds(check, part[place], table):
                ones = sum(int(one) << code for code, one in enumerate(table))
                return f"truth table {ones:#x} on inputs {part[place].tolist()}"
    return None


def _sums(bits: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], units: FloatArray) -> FloatArray:
    """Units of all rows that show the same on k inputs, shape (C, 2**k), the first bit lowest."""
    code = np.zeros(bits.shape[1], dtype=np.int64)
    for place, shown in enumerate(bits):
        code += shown.astype(np.int64) << place
    added = [np.bincount(code, weights=column, minlength=1 << len(bits)) for column in units.T]
    return np.array(added)


def _near(
    sums: FloatArray, penalty: ExactPenalty, slack: float, limit: float
) -> Iterator[tuple[int, IntArray]]:
    """Yield (place, table) of every table whose sum over (places, C, codes) may reach the limit."""
    order = np.argsort(-np.abs(sums).sum(axis=(0, 1)))  # what matters most comes first
    sums, n_codes = sums[:, :, order], len(order)
    above = np.maximum(sums, 0.0)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    below = np.minimum(sums, 0.0)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    place = np.arange(len(sums))
    reached = np.zeros(sums.shape[:2])
    tables = np.zeros((len(sums), n_codes), dtype=np.int64)
    for code in range(n_codes):
        place = np.concatenate([place, place])
        fires = len(reached)
        reached = np.concatenate([reached, reached + sums[place[:fires], :, code]])
        tables = np.concatenate([tables, tables])
        tables[fires:, order[code]] = 1
        high = low = reached
        if code + 1 < n_codes:
            high = reached + above[place, :, code + 1]
            low = reached + below[place, :, code + 1]
        near = penalty.reaches(np.maximum(np.abs(high), np.abs(low)) + slack, limit)
        place, reached, tables = place[near], reached[near], tables[near]
    yield from zip(place.tolist(), tables, strict=True)


def _exceeds(check: WindowCheck, inputs: IntArray, table: IntArray) -> bool:
    """Whether one cell's column violates the constraint, in exact arithmetic."""
    layer = Layer(
        weights=(1 << np.arange(len(inputs)))[:, None],
        tables=table[:, None],
        thresholds=np.array([1]),
        biases=np.array([0]),
        leak=MEMORYLESS,
        reset=Reset.NONE,
        weight_format=QFormat(len(inputs) + 1),
        threshold_format=QFormat(2),
    )
    column = weighed_of(Branch((layer,)), check.signal[:, :, inputs], check.mode)
    values = column[np.arange(len(column)), check.readouts].astype(np.uint8)
    scores = Columns.packed(values).transposed_times(Dyadic.of(check.dual))
    return bool(check.penalty.exceeds(scores, check.limit)[0])
