"""Pricing of logic cells: every Boolean function of a few inputs of a window, in closed form.

What a cell does depends on the code of its inputs alone, so its score is the sum of the dual vector
over the codes that its table picks. Output by output the best table picks the codes of one sign,
which is the largest ratio of an l1 penalty. Where outputs count together it is a subset of the
codes' vectors whose sum is longest: the codes on one side of a plane. Some are found by turning the
plane to the sum that it gives; that none is longer is shown by trying all 65,536 of the few sets of
inputs where the outputs' own bests, taken together, could be.

The codes are added up by windows, and the sums of each four of a window's inputs follow from them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from convexon.certify.network.cells import MOST_CELLS, CellSet
from convexon.convex.model.penalty import GroupL2, Penalty
from convexon.errors import InputError
from convexon.snn.cells import cell_layer
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.parallel import on_all_cores
from convexon.train.pricing.oracle import Proposal
from convexon.train.pricing.site import PricingProblem, Site
from convexon.train.pricing.windows import rectangles

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

SIZE = 4
"""Most inputs of a cell: those of one LUT of iCE40, ECP5 and Gowin."""

WINDOW = 9
"""Inputs of a window, at most: 3 x 3."""

_WINDOWS = 32
"""Windows that are added up at once."""

_TURNS = 6
"""How often a plane is turned to the sum that it gives."""

_PLACES = 64
"""Sets of inputs whose tables are all tried at once."""


@dataclass(eq=False, kw_only=True)
class CellPricing:
    """Every logic cell of four inputs of a window: a 3 x 3 rectangle of the family's field.

    Where there is no field, cells read any four inputs. Of the family nothing else counts. Where it
    need not be ``exact``, no bound is stated, and less is tried.
    """

    exact: bool = True
    name: ClassVar[str] = "cells"
    _coded: dict[Site, _Coded] = field(default_factory=dict, init=False, repr=False)

    def set_of(self, site: Site, branch: int) -> CellSet:
        """Return the set that is priced, on the trunk of ``branch``."""
        coded = self._codes(site)
        return CellSet(branch=branch, inputs=coded.inputs, n_neurons=coded.n_neurons)

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.train.pricing.oracle.Oracle`; the largest ratio is an upper bound."""
        coded = self._codes(site)
        sums = coded.sums(problem.dual)
        tables, norms = best_tables(sums, problem.penalty)
        ratio = None
        if self.exact:
            largest = improved(sums, tables, norms, problem.penalty, problem.rho)
            # What the order of additions can hide.
            hidden = 4.0 * coded.n_rows * 2.0**-53 * np.abs(problem.dual).sum(axis=0)
            slack = site.max_feature * float(problem.penalty.dual_row_norms(hidden[None])[0])
            ratio = (largest * (1.0 + 1e-12) + slack) / problem.rho
        chosen = coded.ranked(norms, problem.rho, problem.n_wanted)
        layer = None
        if len(chosen):
            layer = cell_layer(coded.inputs[chosen], tables[chosen], n_inputs=site.n_inputs)
        return Proposal(layer=layer, largest_ratio=ratio, n_seen=coded.n_neurons)

    def _codes(self, site: Site) -> _Coded:
        if site not in self._coded:
            self._coded[site] = _Coded(site)
        return self._coded[site]


def best_tables(sums: FloatArray, penalty: Penalty) -> tuple[IntArray, FloatArray]:
    """A long subset of the codes' vectors (places, C, codes) of each place, and its dual norm.

    The longest for one output, and for any number of them where the penalty is l1.
    """
    above = np.maximum(sums, 0.0).sum(axis=2)
    below = np.maximum(-sums, 0.0).sum(axis=2)
    output = np.maximum(above, below).argmax(axis=1)
    every = np.arange(len(sums))
    sign = np.where(above >= below, 1.0, -1.0)[every, output]
    tables = sign[:, None] * sums[every, output] > 0
    best = _norms(sums, tables, penalty)
    for _ in range(_TURNS if isinstance(penalty, GroupL2) else 0):
        way = (sums @ tables.astype(np.float64)[:, :, None])[:, :, 0]
        turned = (way[:, None] @ sums)[:, 0] > 0
        reached = _norms(sums, turned, penalty)
        better = reached > best
        if not better.any():
            break
        tables[better], best[better] = turned[better], reached[better]
    return tables.astype(np.int64), best


def _norms(sums: FloatArray, tables: npt.NDArray[Any], penalty: Penalty) -> FloatArray:
    return penalty.dual_row_norms((sums @ tables.astype(np.float64)[:, :, None])[:, :, 0])


def improved(
    sums: FloatArray, tables: IntArray, norms: FloatArray, penalty: Penalty, least: float
) -> float:
    """Upper bound on the dual norm of every subset's sum; better tables take their place.

    Where outputs count together, by a row-group l2 penalty, all subsets are tried wherever the
    outputs' own bests together exceed ``least`` and what was found. Of other penalties these bests
    are the bound, which is the largest norm of l1.
    """
    above = np.maximum(sums, 0.0).sum(axis=2)
    below = np.maximum(-sums, 0.0).sum(axis=2)
    bounds = penalty.dual_row_norms(np.maximum(above, below))
    if not isinstance(penalty, GroupL2):
        return float(bounds.max())
    order = np.argsort(-bounds)
    rest = 0.0
    for first in range(0, len(order), _PLACES):
        part = order[first : first + _PLACES]
        rest = float(bounds[part[0]])
        if rest <= max(least, float(norms.max())):
            break
        rest = 0.0
        longest = _longest(sums[part])
        reached = _norms(sums[part], longest, penalty)
        better = reached > norms[part]
        tables[part[better]], norms[part[better]] = longest[better], reached[better]
    hidden = 2.0**-44 * float(np.square(above + below).sum(axis=1).max())
    return max(rest, math.sqrt(float(norms.max()) ** 2 + hidden))


def _longest(sums: FloatArray) -> IntArray:
    """The subset of codes' vectors (places, C, codes) with the longest sum, (places, codes).

    The subsets of one half of the codes and those of the other meet in a product.
    """
    n_places, _, n_codes = sums.shape
    half = n_codes // 2
    picks = np.indices((2,) * half).reshape(half, -1).T
    vectors = sums.transpose(0, 2, 1)
    a, b = picks @ vectors[:, :half], picks @ vectors[:, half:]
    squares = a @ (2.0 * b).transpose(0, 2, 1)
    squares += np.square(a).sum(axis=2)[:, :, None]
    squares += np.square(b).sum(axis=2)[:, None, :]
    best = squares.reshape(n_places, -1).argmax(axis=1)
    return np.concatenate([picks[best // len(picks)], picks[best % len(picks)]], axis=1)


class _Coded:
    """The sets of inputs of a site, and the code that each row shows in each window."""

    def __init__(self, site: Site) -> None:
        if site.cost is not None:
            raise InputError("oracle cells prices neurons of one weight: leave the cost out")
        if site.beside is not None or site.reach.high > 1 or site.mode is ReadoutMode.SIGN:
            raise InputError(
                "oracle cells prices cells that read spikes, without neurons beside them, and are "
                "read by their spikes: take one bit an input, and a readout of last, step or count"
            )
        self._repeats = 1
        if site.mode is ReadoutMode.COUNT:  # a count adds up what the steps show
            self._repeats = site.signal.shape[1]
            shown = site.signal.reshape(-1, site.n_inputs)
        elif site.mode is ReadoutMode.STEP:
            shown = site.signal[site.rows.samples, site.rows.steps]
        else:
            shown = site.signal[:, -1]
        self.n_rows = len(shown)
        windows, members = _windows_of(site)
        self._chosen, self.inputs = _sets_of(windows, members)
        self._window = self._chosen // len(members)
        self.n_neurons = len(self.inputs) << (1 << members.shape[1])
        places = 1 << np.arange(windows.shape[1])
        self._codes = np.zeros((len(windows), len(shown)), dtype=np.uint16)
        for place, inputs in zip(places, windows.T, strict=True):
            self._codes += np.uint16(place) * shown[:, inputs].T
        self._pooling = _pooling(windows.shape[1], members)

    def sums(self, dual: FloatArray) -> FloatArray:
        """Dual vectors of the rows that show a code, shape (places, C, codes)."""
        repeated = np.repeat(dual, self._repeats, axis=0)
        parts = [
            (slice(first, first + _WINDOWS), repeated)
            for first in range(0, len(self._codes), _WINDOWS)
        ]
        every = np.concatenate(on_all_cores(self._sums, parts))
        return every[self._chosen]

    def _sums(self, part: slice, dual: FloatArray) -> FloatArray:
        codes, n_codes = self._codes[part], len(self._pooling)
        sums = np.empty((len(codes), dual.shape[1], n_codes))
        for k, code in enumerate(codes.astype(np.intp)):
            for c, column in enumerate(dual.T):
                sums[k, c] = np.bincount(code, weights=column, minlength=n_codes)
        pooled = (sums @ self._pooling).reshape(*sums.shape[:2], -1, 1 << self.inputs.shape[1])
        return pooled.transpose(0, 2, 1, 3).reshape(-1, dual.shape[1], pooled.shape[3])

    def ranked(self, norms: FloatArray, rho: float, wanted: int) -> npt.NDArray[np.intp]:
        """Places whose norm exceeds ``rho``: the best of every window before the second of any."""
        order = np.argsort(-norms, kind="stable")
        order = order[norms[order] > rho]
        window = self._window[order]
        by_window = np.argsort(window, kind="stable")
        starts = np.flatnonzero(np.diff(window[by_window], prepend=-1))
        rank = np.empty(len(order), dtype=np.int64)
        counts = np.diff(np.append(starts, len(order)))
        rank[by_window] = np.arange(len(order)) - np.repeat(starts, counts)
        return np.asarray(order[np.argsort(rank, kind="stable")[:wanted]])


def input_sets(site: Site) -> IntArray:
    """Return the sets of inputs that a cell may read on a site, (sets, k), each once.

    Raises `InputError` where there are too many.
    """
    return _sets_of(*_windows_of(site))[1]


def _sets_of(windows: IntArray, members: IntArray) -> tuple[npt.NDArray[np.intp], IntArray]:
    """Place of each set in the first window that has it, and its inputs, (sets, k)."""
    every = windows[:, members].reshape(-1, members.shape[1])
    _, first = np.unique(np.sort(every, axis=1), axis=0, return_index=True)
    chosen = np.sort(first)
    return chosen, np.ascontiguousarray(every[chosen]).astype(np.int64)


def _windows_of(site: Site) -> tuple[IntArray, IntArray]:
    """Inputs of each window, (windows, K), and the members of it that a cell reads, (sets, k).

    Raises `InputError` where there are too many.
    """
    place = site.family.field
    windows = None if place is None else rectangles(place, min(WINDOW, site.n_inputs))
    if windows is None:
        size = min(SIZE, site.n_inputs)
        if math.comb(site.n_inputs, size) > MOST_CELLS:
            raise InputError(
                f"oracle cells must price any {size} of {site.n_inputs} inputs, which are too "
                "many: give samples the shape of an image, or take fewer inputs"
            )
        every = itertools.combinations(range(site.n_inputs), size)
        windows = np.array(list(every), dtype=np.int64)
    size = min(SIZE, windows.shape[1])
    members = np.array(list(itertools.combinations(range(windows.shape[1]), size)), dtype=np.int64)
    if len(windows) * len(members) > 2 * MOST_CELLS:
        raise InputError(f"oracle cells must price at most {MOST_CELLS} sets of inputs")
    return windows, members


def _pooling(size: int, members: IntArray) -> FloatArray:
    """Which codes of a window are which code of each set of members, (2**K, sets * 2**k)."""
    codes = np.arange(1 << size)
    own = np.zeros((len(members), len(codes)), dtype=np.int64)
    for bit, member in enumerate(members.T):
        own += (codes >> member[:, None] & 1) << bit
    n_own = 1 << members.shape[1]
    columns = np.arange(len(members))[:, None] * n_own + own
    pooling = np.zeros((len(codes), len(members) * n_own))
    pooling[np.broadcast_to(codes, own.shape), columns] = 1.0
    return pooling
