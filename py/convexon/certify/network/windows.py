"""Sets of neurons on windows of a few inputs: the statement, and the check of a bound over them.

A bound over any number of such neurons holds where no column of any of them exceeds the dual
constraint. What a neuron does on a window follows from what the window's inputs show, so the dual
vector is added up over what they show. All of that is in integers: the dual vector is rounded to
so fine a step that float64 holds every sum exactly, and half a step a row is added to every score.
Columns that then come so near the limit that this decides are computed as they are, exactly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convexon.certify.exact.dyadic import Dyadic, FloatArray
from convexon.certify.exact.penalties import ExactPenalty
from convexon.certify.network.columns import Columns
from convexon.certify.network.neurons import Signal, weighed_of
from convexon.certify.statement import IntArray
from convexon.errors import InputError
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset, in_words

MOST_VECTORS, MOST_CODES, MOST_RUNS = 1 << 26, 1 << 14, 1 << 28
"""Most vectors of weights on all windows, most courses of a window's inputs, and most courses times
neurons that are run on them: what is looked at."""

MOST_EXPONENT = 512
"""Finest step that a dual vector is rounded to is two to minus this: squares stay finite."""

_AT_ONCE = 128
"""Windows that are priced at once."""

_NEURONS = 1 << 11
"""Simulated neurons that are priced at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowSet:
    """Every neuron of a kind that reads the inputs of one window, or some of them.

    Members
    -------
    branch : int
        Of the branches whose layers below the last these neurons read.
    inputs : int64 array, shape (windows, k)
        What the neurons of a window may read.
    values : int64 array
        What a weight may be, ascending.
    leak, reset : Leak, Reset
    any_threshold : bool
        Whether thresholds are any integers, else those from 1: no other neuron without memory is
        told apart by thresholds below 1.
    n_neurons : int
        Weights and thresholds that are told apart by one window, times the windows.

    Raises
    ------
    InputError
        If the members do not fit each other, or there is more than a checker could look at.
    """

    branch: int
    inputs: IntArray
    values: IntArray
    leak: Leak
    reset: Reset
    any_threshold: bool
    n_neurons: int

    def __post_init__(self) -> None:
        for name, dimensions in (("inputs", 2), ("values", 1)):
            array = getattr(self, name)
            if array.dtype != np.int64 or array.ndim != dimensions or not array.size:
                raise InputError(f"{name} must be int64 in {dimensions} dimensions, and not none")
        ordered = np.sort(self.inputs, axis=1)
        if (ordered[:, 0] < 0).any() or (np.diff(ordered, axis=1) == 0).any():
            raise InputError("inputs must be different inputs, counted from 0, in each window")
        if (np.diff(self.values) <= 0).any() or np.abs(self.values).max() > 127:
            raise InputError("values must be ascending and of magnitudes up to 127")
        if self.reset is Reset.LATE:
            raise InputError("reset must be one of a witness: subtract, zero or none")
        if self.branch < 0 or self.n_neurons < 0:
            raise InputError("branch and n_neurons must not be negative")
        if len(self.values) ** self.size * len(self.inputs) > MOST_VECTORS:
            raise InputError(f"windows must leave at most {MOST_VECTORS} vectors of weights")

    @property
    def size(self) -> int:
        """Inputs of a window, k."""
        return int(self.inputs.shape[1])

    @property
    def about(self) -> str:
        """The set in words that follow "any number of"."""
        threshold = "any threshold" if self.any_threshold else "any threshold of 1 or more"
        return (
            f"{self.n_neurons:,} {in_words(self.leak, self.reset)} on {len(self.inputs)} windows "
            f"of {self.size} inputs of a last layer, weights of {_listed(self.values)}, {threshold}"
        )


def _listed(values: IntArray) -> str:
    """Integers in words."""
    *most, last = [str(value) for value in values.tolist()]
    return f"{', '.join(most)} or {last}" if most else last


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowCheck:
    """What decides whether the columns of a `WindowSet` meet a dual constraint.

    Members
    -------
    signal : uint8 array, shape (n, steps, inputs)
        What the neurons read in each row.
    mode : ReadoutMode
    readouts : int64 array, shape (n,)
        Step of each row for `ReadoutMode.STEP`, else 0.
    dual : float64 array, shape (n, C)
    penalty : ExactPenalty
    limit : Dyadic
        No dual norm of a column may exceed it, shape (1,).
    """

    signal: Signal
    mode: ReadoutMode
    readouts: IntArray
    dual: FloatArray
    penalty: ExactPenalty
    limit: Dyadic

    def violation(self, windows: WindowSet) -> str | None:
        """Say which neuron violates the constraint, or None where none does.

        Raises
        ------
        InputError
            If the set does not fit the samples, or its neurons are another number.
        """
        n_inputs = self.signal.shape[2]
        if int(windows.inputs.max()) >= n_inputs:
            raise InputError(f"windows must be of the {n_inputs} inputs that there are")
        courses, shown = self._courses(windows)
        n_codes = len(courses) ** windows.size
        if n_codes > MOST_CODES:
            raise InputError(f"windows must show at most {MOST_CODES} courses, not {n_codes}")
        count = _count(windows, courses)
        if count * len(windows.inputs) != windows.n_neurons:
            raise InputError(
                f"n_neurons must be {count * len(windows.inputs)}, not {windows.n_neurons}"
            )
        if not windows.any_threshold and count * n_codes > MOST_RUNS:
            raise InputError(f"windows must leave at most {MOST_RUNS} runs, not {count * n_codes}")
        neurons = (_Levels if windows.any_threshold else _Table)(windows, courses, self.mode)
        units, slack, limit = self.scaled(neurons.largest)
        for first in range(0, len(windows.inputs), _AT_ONCE):
            part = windows.inputs[first : first + _AT_ONCE]
            sums = _sums(shown, part, units, len(courses))
            for weights, thresholds, scores in neurons.scores(sums):
                near = self.penalty.reaches(np.abs(scores) + slack, limit)
                for neuron, window in zip(*np.nonzero(near), strict=True):
                    chosen = weights[:, neuron], int(thresholds[neuron])
                    if self._exceeds(windows, part[window], *chosen):
                        told = ", ".join(str(w) for w in chosen[0].tolist())
                        return (
                            f"weights {told} with threshold {chosen[1]} on inputs "
                            f"{part[window].tolist()}"
                        )
        return None

    def scaled(self, largest: int) -> tuple[FloatArray, float, float]:
        """Return the dual vector in integer units, how far a score of them is off, and the limit.

        No column has an entry above ``largest``.
        """
        # Sums of as many units as there can be stay below 2**52.
        most = largest * float(np.abs(self.dual).sum()) * (1.0 + 1e-9)
        exponent = min(51 - math.frexp(most)[1], MOST_EXPONENT)
        units = np.rint(np.ldexp(self.dual, exponent))
        slack = 0.5 * largest * len(units) + 1.0
        limit = float(self.limit.fractions()[0] * (1 - 2.0**-50)) * 2.0**exponent
        return units, slack, limit

    def _courses(self, windows: WindowSet) -> tuple[Signal, IntArray]:
        """What single inputs show where it matters, (V, steps), and which of it, (n, inputs)."""
        seen = self.signal
        if windows.any_threshold:
            if not windows.leak.forgets or self.mode not in (ReadoutMode.LAST, ReadoutMode.STEP):
                raise InputError("any_threshold must be false for neurons with a memory or a count")
            steps = self.readouts if self.mode is ReadoutMode.STEP else np.full(len(seen), -1)
            seen = seen[np.arange(len(seen)), steps][:, None]
        elif self.mode is ReadoutMode.STEP:
            raise InputError("windows must be of neurons that are read once a sample")
        across = np.ascontiguousarray(seen.transpose(0, 2, 1)).reshape(-1, seen.shape[1])
        kinds = across.view(np.dtype((np.void, across.shape[1]))).ravel()
        _, first, shown = np.unique(kinds, return_index=True, return_inverse=True)
        return across[first], shown.reshape(len(seen), -1).astype(np.int64)

    def _exceeds(
        self, windows: WindowSet, inputs: IntArray, weights: IntArray, threshold: int
    ) -> bool:
        """Whether one neuron's column violates the constraint, in exact arithmetic."""
        layer = _layer(windows, weights[:, None], np.array([threshold]))
        column = weighed_of(Branch((layer,)), self.signal[:, :, inputs], self.mode)
        values = column[np.arange(len(column)), self.readouts].astype(np.uint8)
        scores = Columns.packed(values).transposed_times(Dyadic.of(self.dual))
        return bool(self.penalty.exceeds(scores, self.limit)[0])


def _count(windows: WindowSet, courses: Signal) -> int:
    """Neurons of one window: of a vector of weights, every threshold that some course reaches."""
    values = np.abs(windows.values) if windows.any_threshold else np.maximum(windows.values, 0)
    most = int(values.sum()) * max(1, int(courses.max())) * courses.shape[1]
    return int(windows.size * most * len(values) ** (windows.size - 1))


def _sums(shown: IntArray, part: IntArray, units: FloatArray, n_courses: int) -> FloatArray:
    """Units of all rows that show the same on a window, shape (codes, C, windows)."""
    size = part.shape[1]
    places, n_codes = n_courses ** np.arange(size), n_courses**size
    sums = np.zeros((n_codes, units.shape[1], len(part)))
    for k, inputs in enumerate(part):
        code = shown[:, inputs] @ places
        for c, column in enumerate(units.T):
            sums[:, c, k] = np.bincount(code, weights=column, minlength=n_codes)
    return sums


def _layer(windows: WindowSet, weights: IntArray, thresholds: IntArray) -> Layer:
    """Neurons of the set, in formats that hold them."""
    widths = [int(np.abs(array).max(initial=1)).bit_length() + 1 for array in (weights, thresholds)]
    return Layer(
        weights=weights,
        thresholds=thresholds,
        biases=np.zeros(len(thresholds), dtype=np.int64),
        recurrent=None,
        leak=windows.leak,
        reset=windows.reset,
        weight_format=QFormat(widths[0]),
        threshold_format=QFormat(widths[1]),
    )


Scores = Iterator[tuple[IntArray, IntArray, FloatArray]]
"""Weights (k, m) and thresholds (m,) of some neurons, and their scores (m, windows, C)."""


class _Levels:
    """Threshold units: for each vector of weights, all thresholds that tell two codes apart."""

    largest = 1

    def __init__(self, windows: WindowSet, courses: Signal, mode: ReadoutMode) -> None:
        self._values, self._shown = windows.values.tolist(), courses[:, 0].tolist()
        self._size = windows.size

    def scores(self, sums: FloatArray) -> Scores:
        """Weigh the inputs one after the other, the last one first."""
        shape = (len(self._shown),) * self._size
        yield from self._weighed(sums.reshape(*shape, *sums.shape[1:])[None], 0, ())

    def _weighed(self, sums: FloatArray, lowest: int, weights: tuple[int, ...]) -> Scores:
        """Scores of all vectors that end in ``weights``.

        ``sums`` are over the codes of the inputs that are left and those of each membrane that the
        others make, from ``lowest`` up: shape (membranes, codes of one input, ..., C, windows).
        """
        if len(weights) == self._size:
            above = sums[::-1].cumsum(axis=0)[::-1]
            thresholds = lowest + np.arange(len(sums))
            vectors = np.repeat(np.array(weights, dtype=np.int64)[:, None], len(sums), axis=1)
            yield vectors, thresholds, above.transpose(0, 2, 1)
            return
        for value in self._values:
            moves = [value * shown for shown in self._shown]
            start, room = min(moves), max(moves) - min(moves)
            made = np.zeros((len(sums) + room, *sums.shape[2:]))
            for code, move in enumerate(moves):
                made[move - start : move - start + len(sums)] += sums[:, code]
            yield from self._weighed(made, lowest + start, (value, *weights))


class _Table:
    """Neurons of any kind with thresholds of 1 or more, each run on every code."""

    def __init__(self, windows: WindowSet, courses: Signal, mode: ReadoutMode) -> None:
        most = max(1, int(courses.max())) * courses.shape[1]
        vectors: list[tuple[int, ...]] = []
        thresholds: list[int] = []
        for vector in itertools.product(windows.values.tolist(), repeat=windows.size):
            reached = most * sum(w for w in vector if w > 0)
            vectors += [vector] * reached
            thresholds += range(1, reached + 1)
        self.largest = courses.shape[1] if mode is ReadoutMode.COUNT else 1
        self._weights = np.array(vectors, dtype=np.int64).reshape(-1, windows.size).T
        self._thresholds = np.array(thresholds, dtype=np.int64)
        codes = itertools.product(courses, repeat=windows.size)
        # The first input's code counts the fastest, as its place is the lowest.
        self._signal = np.array([np.stack(code[::-1], axis=1) for code in codes], dtype=np.uint8)
        self._windows, self._mode = windows, mode

    def scores(self, sums: FloatArray) -> Scores:
        """Run a block of neurons, and weigh what it does by the sums."""
        flat = sums.reshape(len(sums), -1)
        for first in range(0, len(self._thresholds), _NEURONS):
            part = slice(first, first + _NEURONS)
            weights, thresholds = self._weights[:, part], self._thresholds[part]
            branch = Branch((_layer(self._windows, weights, thresholds),))
            features = weighed_of(branch, self._signal, self._mode)[:, 0]
            scores = (features.T.astype(np.float64) @ flat).reshape(-1, *sums.shape[1:])
            yield weights, thresholds, scores.transpose(0, 2, 1)
