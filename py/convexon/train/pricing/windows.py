"""Exact pricing over windows: every neuron that reads a few neighbouring inputs, by codes.

What a neuron does depends on the *code* of its window alone: what each of its k inputs has shown,
over all steps where the neuron has a memory. So the dual point is added up over codes once, window
by window, and each candidate's score is a sum over codes instead of rows: the number of samples
matters to that first sum only. Every ternary threshold unit on every 3 x 3 window of a 28 x 28
image, 80 million of them, is priced in seconds.

The scores of threshold units are made of each other: a further input with weight a turns sums by
threshold into ``S'(theta) = S_0(theta) + S_1(theta - a)``, of the codes in which it is silent and
those in which it fires. Neurons of other kinds are simulated once on all codes, and priced by a
product. Scores are single precision; what their rounding can hide is added to the largest of them.

On a window no Boolean function scores more than the sum of the positive parts of its codes, or of
the negative ones, output by output: windows where that violates nothing are passed over.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from convexon.certify.network.windows import MOST_CODES, MOST_VECTORS, WindowSet
from convexon.convex.model.penalty import Penalty
from convexon.errors import InputError
from convexon.snn.models.simulate import layer_features
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.parallel import on_all_cores, usable_cores
from convexon.train.pricing.oracle import Proposal
from convexon.train.pricing.site import PricingProblem, Site
from convexon.train.witnesses.witness import Field

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Scores = npt.NDArray[Any]
"""In single precision."""

_UNIT = float(np.finfo(np.float32).eps) / 2
"""Largest relative error of one rounding of a score."""

_MOST_WINDOWS = 1 << 12
"""Windows, of inputs that are no field."""

_MOST_FEATURES = 1 << 26
"""Entries of the table of what simulated neurons do on all codes."""

_NEURONS = 1 << 12
"""Neurons whose scores are computed at once."""

_WINDOWS = 128
"""Windows that are priced at once: their scores stay in the cache."""

_PREFIX = 3
"""Weights that two threshold units have in common which compete for one place of a proposal."""


@dataclass(eq=False, kw_only=True)
class WindowPricing:
    """Every neuron of a site's family on every window of its inputs.

    A window is a rectangle of the family's field, as near to a square as can be, or any choice of
    inputs where there is no field. It has as many inputs as the family's fan-in, and what can be
    priced, allow. Thresholds are all that tell two codes apart, where a neuron is
    `WitnessFamily.memoryless` and read without a count, and 1 or more elsewhere.
    """

    name: ClassVar[str] = "windows"
    _coded: dict[Site, _Coded] = field(default_factory=dict, init=False, repr=False)

    def set_of(self, site: Site, branch: int) -> WindowSet:
        """Return the set that is priced, on the trunk of ``branch``."""
        coded, family = self._codes(site), site.family
        return WindowSet(
            branch=branch,
            inputs=coded.windows,
            values=family.alphabet.values,
            leak=family.leak,
            reset=family.reset,
            any_threshold=site.memoryless,
            n_neurons=coded.n_neurons,
        )

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.train.pricing.oracle.Oracle`; the largest ratio is an upper bound."""
        coded = self._codes(site)
        best = coded.best(problem)
        # The best of every window come before the second best of any.
        ranked = -np.sort(-best.norms, axis=0)
        places = np.argsort(-best.norms, axis=0, kind="stable")
        rank, window = np.nonzero(ranked > problem.rho)
        order = np.lexsort((-ranked[rank, window], rank))[: 4 * problem.n_wanted]
        chosen: dict[bytes, tuple[IntArray, int]] = {}
        for r, w in zip(rank[order], window[order], strict=True):
            weights = np.zeros(site.n_inputs, dtype=np.int64)
            own, threshold = coded.neuron(int(best.numbers[places[r, w], w]))
            weights[coded.windows[w]] = own
            chosen.setdefault(weights.tobytes() + bytes([threshold & 255]), (weights, threshold))
            if len(chosen) == problem.n_wanted:
                break
        found = list(chosen.values())
        layer = None
        if found:
            layer = site.family.layer(
                np.stack([weights for weights, _ in found], axis=1),
                np.array([threshold for _, threshold in found], dtype=np.int64),
            )
        return Proposal(layer=layer, largest_ratio=best.largest, n_seen=coded.n_neurons)

    def _codes(self, site: Site) -> _Coded:
        if site not in self._coded:
            if site.cost is not None:
                raise InputError("oracle windows prices neurons of one weight: leave the cost out")
            self._coded[site] = _Coded(site)
        return self._coded[site]


def windows_of(site: Site, n_symbols: int) -> IntArray:
    """Return the inputs of each window of a site, shape (windows, k), k as large as can be.

    ``n_symbols`` is how many courses an input takes. Raises `InputError` if a window of one input
    is more than can be priced.
    """
    family = site.family
    n_values = len(family.alphabet.values)
    for size in range(family.fan_in, 0, -1):
        if n_symbols**size > MOST_CODES:
            continue
        windows = _windows(site, size)
        if windows is None or len(windows) * n_values ** windows.shape[1] > MOST_VECTORS:
            continue
        most = family.alphabet.largest * size * site.reach.high * site.signal.shape[1]
        if site.memoryless or n_values**size * most * n_symbols**size <= _MOST_FEATURES:
            return windows
    raise InputError(
        f"oracle windows must price {n_symbols} courses of an input, and {n_values} weights, which "
        "are too many: take fewer steps, bits or weights"
    )


def _windows(site: Site, size: int) -> IntArray | None:
    """Windows of at most ``size`` inputs: rectangles of the field, or any choice of inputs.

    None where there are too many of them, or a place of the field holds more inputs.
    """
    place = site.family.field
    if place is not None:
        return rectangles(place, size)
    if math.comb(site.n_inputs, size) > _MOST_WINDOWS:
        return None
    return np.array(list(itertools.combinations(range(site.n_inputs), size)), dtype=np.int64)


def rectangles(place: Field, size: int) -> IntArray | None:
    """Return the inputs of every rectangle of a field, of the largest area up to ``size`` inputs.

    Of equal areas it is that nearest to a square; there is none where one place holds more inputs.
    """
    grid = place.places.reshape(*place.places.shape[:2], -1)
    room = size // grid.shape[2]
    sides = [(a, min(room // a, grid.shape[1])) for a in range(1, min(room, len(grid)) + 1)]
    if not sides:
        return None
    height, width = max(sides, key=lambda s: (s[0] * s[1], -abs(s[0] - s[1])))
    seen = np.lib.stride_tricks.sliding_window_view(grid, (height, width), axis=(0, 1))
    n_inputs = height * width * grid.shape[2]
    return np.ascontiguousarray(seen.transpose(0, 1, 3, 4, 2)).reshape(-1, n_inputs)


@dataclass(frozen=True, eq=False)
class _Best:
    """The highest score of each group of neurons on each window."""

    norms: FloatArray  # (groups, windows), dual norms of the scores
    numbers: IntArray  # (groups, windows), of the neuron
    largest: float  # no ratio of any neuron on any window exceeds it


class _Coded:
    """The windows of a site with the code that each row shows there."""

    def __init__(self, site: Site) -> None:
        history = site.last_step()[:, None] if site.memoryless else site.signal
        if not site.memoryless and site.mode is ReadoutMode.STEP:
            raise InputError("readout must be last, sign or count for windows over several steps")
        symbols, shown = _symbols(history, site.reach.high)
        windows = windows_of(site, len(symbols))
        self.windows = windows
        self._shape = (len(symbols),) * windows.shape[1]
        self._codes = np.zeros((len(windows), len(history)), dtype=np.uint16)
        for inputs in windows.T:
            self._codes = self._codes * np.uint16(len(symbols)) + shown[:, inputs].T
        self._neurons: _Thresholds | _Simulated
        if site.memoryless:
            self._neurons = _Thresholds(site.family.alphabet.values, symbols[:, 0], self._shape)
        else:
            self._neurons = _Simulated(site, symbols, self._shape)
        self.n_neurons = len(windows) * self._neurons.count

    def neuron(self, number: int) -> tuple[IntArray, int]:
        """Return weights (k,) and threshold of a neuron."""
        return self._neurons.neuron(number)

    def best(self, problem: PricingProblem) -> _Best:
        """Price every neuron on every window where one could violate."""
        parts = np.array_split(np.arange(len(self.windows)), _chunks(len(self.windows)))
        found = on_all_cores(self._best, [(part, problem) for part in parts])
        return _Best(
            np.concatenate([best.norms for best in found], axis=1),
            np.concatenate([best.numbers for best in found], axis=1),
            max(best.largest for best in found),
        )

    def _best(self, part: npt.NDArray[np.intp], problem: PricingProblem) -> _Best:
        dual, norm = problem.dual, problem.penalty.dual_row_norms
        added = partial(np.bincount, minlength=math.prod(self._shape))
        codes = self._codes[part]
        sums = np.array([[added(code, column) for column in dual.T] for code in codes])
        # of shape (windows, C, codes)
        positive, negative = np.maximum(sums, 0.0).sum(axis=2), np.maximum(-sums, 0.0).sum(axis=2)
        # No neuron fires beyond what the best Boolean function of each output comes to.
        most = self._neurons.largest * np.maximum(positive, negative)
        bounds = norm(most) * (1.0 + 1e-9)
        seen = np.flatnonzero(bounds > problem.rho)
        n_groups = self._neurons.n_groups
        norms, numbers = np.zeros((n_groups, len(part))), np.zeros((n_groups, len(part)), np.int64)
        if len(seen):
            table = np.ascontiguousarray(sums[seen].transpose(2, 1, 0), dtype=np.float32)
            norms[:, seen], numbers[:, seen] = self._neurons.best(table, problem.penalty)
            hidden = self._neurons.roundings * _UNIT * (positive + negative)[seen]
            rounding = 1.0 + 4.0 * (dual.shape[1] + 4) * _UNIT
            bounds[seen] = norms[:, seen].max(axis=0) * rounding + norm(hidden) * rounding
        return _Best(norms, numbers, float(bounds.max()) / problem.rho * (1.0 + 1e-12))


def _chunks(n_windows: int) -> int:
    """Parts that windows are cut into: a few a core, so that none waits long for the others."""
    return min(n_windows, max(usable_cores(), math.ceil(n_windows / _WINDOWS)))


def _symbols(
    history: npt.NDArray[np.uint8], high: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Return what inputs show over the steps, (V, T), and which of these each one shows.

    The latter has shape (rows, inputs). Raises `InputError` if there are too many.
    """
    rows, steps, inputs = history.shape
    if (high + 1) ** steps >= 1 << 62:
        raise InputError(f"steps must be fewer than {steps} for windows over all of them")
    places = (high + 1) ** np.arange(steps, dtype=np.int64)
    numbers = np.zeros((rows, inputs), dtype=np.int64)
    for t, place in enumerate(places):
        numbers += place * history[:, t]
    every, shown = np.unique(numbers, return_inverse=True)
    if len(every) > MOST_CODES:
        raise InputError(f"steps must leave at most {MOST_CODES} courses of an input")
    symbols = every[:, None] // places % (high + 1)
    return symbols.astype(np.uint8), shown.reshape(rows, inputs).astype(np.uint16)


class _Thresholds:
    """Threshold units without memory, with any threshold that tells two codes apart."""

    largest = 1

    def __init__(self, values: IntArray, symbols: npt.NDArray[np.uint8], shape: tuple[int, ...]):
        self._values, self._symbols, self._shape = values.tolist(), symbols.tolist(), shape
        k, high = len(shape), max(1, *self._symbols)
        self._span = max(self._values) * high
        self._n_levels = 2 * k * self._span + 1
        # A vector of weights has as many thresholds as its membranes have steps from end to end.
        magnitudes = int(np.abs(values).sum())
        self.count = k * magnitudes * len(values) ** (k - 1) * high
        self.n_groups = len(values) ** min(k, _PREFIX)
        self.roundings = k * len(self._symbols) + 2

    def neuron(self, number: int) -> tuple[IntArray, int]:
        """Weights and threshold of a neuron: ``number`` counts thresholds, then weights."""
        leaf, level = divmod(number, self._n_levels)
        digits = np.unravel_index(leaf, (len(self._values),) * len(self._shape))
        return np.array([self._values[d] for d in digits]), level - self._n_levels // 2

    def best(self, table: Scores, penalty: Penalty) -> tuple[FloatArray, IntArray]:
        """Best neuron of each group on each window, from sums (codes, C, windows)."""
        n_windows = table.shape[-1]
        norms, numbers = np.zeros((self.n_groups, n_windows)), np.zeros((self.n_groups, n_windows))
        whole = table.reshape(*self._shape, table.shape[1], 1, n_windows)
        size = len(self._values) ** len(self._shape) // self.n_groups
        for leaf, scores in enumerate(self._scores(whole)):
            flat = penalty.dual_row_norms(scores.reshape(len(scores), -1).T)
            reached = flat.reshape(-1, n_windows)
            top, group = reached.max(axis=0), leaf // size
            better = np.flatnonzero(top > norms[group])
            if len(better):
                norms[group, better] = top[better]
                place = reached[:, better].argmax(axis=0)
                numbers[group, better] = leaf * self._n_levels + place
        return norms, numbers.astype(np.int64)

    def _scores(self, table: Scores) -> Iterator[Scores]:
        """Yield the scores (C, thresholds, windows) of every vector of weights in its order.

        The table has the codes of the inputs that are yet to weigh, then outputs, thresholds that
        rise from the lowest membrane, and windows: sums over codes of at least the threshold.
        """
        if table.ndim == 3:
            yield table
            return
        for value in self._values:
            yield from self._scores(self._weighed(table, value))

    def _weighed(self, table: Scores, value: int) -> Scores:
        """Weigh the first of the inputs that are yet to weigh."""
        n, span = table.shape[-2], self._span
        shape = (*table.shape[1:-2], n + 2 * span, table.shape[-1])
        out = np.empty(shape, dtype=table.dtype)
        for number, (symbol, part) in enumerate(zip(self._symbols, table, strict=True)):
            first = span + value * symbol
            reached, below = out[..., first : first + n, :], out[..., :first, :]
            lowest = part[..., :1, :]  # all codes, which reach every threshold below too
            if number:
                reached += part
                below += lowest
            else:
                reached[...], below[...] = part, lowest
                out[..., first + n :, :] = 0.0
        return out


class _Simulated:
    """Neurons of any kind with thresholds of 1 or more, simulated once on all codes."""

    def __init__(self, site: Site, symbols: npt.NDArray[np.uint8], shape: tuple[int, ...]):
        values, k = site.family.alphabet.values, len(shape)
        vectors = np.array(list(itertools.product(values.tolist(), repeat=k)), dtype=np.int64)
        most = max(1, int(symbols.max())) * symbols.shape[1]
        reached = np.maximum(vectors, 0).sum(axis=1) * most
        self.count, self.n_groups = int(reached.sum()), math.ceil(reached.sum() / _NEURONS)
        self._weights = np.repeat(vectors, reached, axis=0).T  # (k, neurons)
        ends = np.cumsum(reached)
        self._thresholds = np.arange(1, self.count + 1) - np.repeat(ends - reached, reached)
        codes = symbols[np.indices(shape).reshape(k, -1).T].transpose(0, 2, 1)  # (codes, T, k)
        layer = site.family.layer(self._weights, self._thresholds)
        features = layer_features(site.mode, layer, codes, site.reach)
        self._features = features.reshape(len(codes), -1).T.astype(np.float32)
        self.largest = site.max_feature
        self.roundings = (len(codes) + 2) * self.largest

    def neuron(self, number: int) -> tuple[IntArray, int]:
        """Weights and threshold of a neuron."""
        return self._weights[:, number], int(self._thresholds[number])

    def best(self, table: Scores, penalty: Penalty) -> tuple[FloatArray, IntArray]:
        """Best neuron of each group on each window, from sums (codes, C, windows)."""
        n_codes, n_outputs, n_windows = table.shape
        norms = np.zeros((self.n_groups, n_windows))
        numbers = np.zeros((self.n_groups, n_windows), dtype=np.int64)
        flat = table.reshape(n_codes, -1)
        for group in range(self.n_groups):
            first = group * _NEURONS
            scores: Scores = self._features[first : first + _NEURONS] @ flat
            across = scores.reshape(-1, n_outputs, n_windows).transpose(0, 2, 1)
            reached = penalty.dual_row_norms(across.reshape(-1, n_outputs)).reshape(-1, n_windows)
            norms[group], numbers[group] = reached.max(axis=0), first + reached.argmax(axis=0)
        return norms, numbers
