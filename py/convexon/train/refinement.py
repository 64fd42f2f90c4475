"""Refinement: neurons that follow the loss they leave, one at a time.

Pricing asks what a new column would do to the objective at first order. Of a column that has its
weights W_j more is known: whether a row is better off with the neuron's spike or without it is the
difference of two losses, exact however far the step. The neuron whose spikes gather most of these
differences is the best there is in this place, while the other neurons and all readout weights stay
as they are. Here each neuron in turn climbs towards it by single changes of what it is, so the
objective of the convex program falls with every neuron that changes, and falls again when the
program is solved anew over the columns. No gradient goes through a spike, and a certificate is that
of the program over the columns in the end.

    gains_i = loss_i(scores without the spike) - loss_i(scores with it),    sum of gains_i z_i: up
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from convexon.convex.model.problem import Problem
from convexon.errors import InputError, require_positive
from convexon.snn.cells import cell_layer, reads_and_tables
from convexon.snn.network import Layer
from convexon.train.pricing.cells import SIZE, input_sets
from convexon.train.pricing.site import Site
from convexon.train.witnesses.witness import Field

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Spikes = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """How far a neuron may go when its turn comes.

    Raises `InputError` if a member is out of its range.
    """

    moves: int = 5  # changes of one weight, or of one input of a cell
    rare: float = 0.01  # share of the rows that a neuron must fire in, and be silent in

    def __post_init__(self) -> None:
        require_positive(moves=self.moves)
        if not 0 <= self.rare < 0.5:
            raise InputError(f"rare must lie in 0..0.5, not {self.rare!r}")


def refine(
    site: Site,
    layer: Layer,
    W: FloatArray,
    problem: Problem,
    plan: Refinement,
    *,
    generator: np.random.Generator,
    progress: Callable[[int], None] | None = None,
) -> Layer:
    """Return the layer after each of its neurons has had a turn, in an order at random.

    Parameters
    ----------
    site : Site
        Where the neurons stand; its rows are those of the problem.
    layer : Layer
        k threshold units of the site's family, or k logic cells.
    W : float array, shape (k + 1, C)
        Readout weights of the neurons and, last, of the column that always fires. A neuron without
        a weight stays as it is.
    problem : Problem
        Whose loss falls.
    plan : Refinement
    generator : numpy.random.Generator
    progress : callable, optional
        Called with the neurons that have had their turn.

    Raises `InputError` if a neuron keeps a membrane between steps, reads neurons beside it, or is
    read by more than one spike.
    """
    if not site.memoryless or site.beside is not None:
        raise InputError(
            "refinement takes neurons without a memory that are read at one step: a full leak, "
            "none beside them, and a readout of last or step"
        )
    neurons: _Neurons
    if layer.tables is None:
        neurons = _ThresholdUnits(site, layer, plan)
    else:
        neurons = _Cells(site, layer, plan)
    fires = site.features(layer).astype(np.bool_)
    scores = fires.astype(np.float64) @ W[:-1] + W[-1]
    losses = _losses(problem, scores)
    for turn, j in enumerate(generator.permutation(layer.n_neurons), start=1):
        if W[j].any():
            side = np.where(fires[:, j], -1.0, 1.0)  # to the other side of what the neuron does
            moved = scores + side[:, None] * W[j]
            others = _losses(problem, moved)
            gains = side * (losses - others)
            spikes = neurons.improved(int(j), fires[:, j], gains)
            if spikes is not None:
                changed = np.flatnonzero(spikes != fires[:, j])
                scores[changed], losses[changed] = moved[changed], others[changed]
                fires[:, j] = spikes
        if progress is not None:
            progress(turn)
    return neurons.layer()


def _losses(problem: Problem, scores: FloatArray) -> FloatArray:
    """What each row adds to the mean loss, (m,)."""
    targets = problem.encoded
    terms = problem.loss.upper_terms(scores, np.zeros_like(scores), targets)
    return np.asarray((terms * targets.shares).sum(axis=1))


class _Neurons(Protocol):
    """The neurons of a layer while they change."""

    def improved(self, j: int, fires: Spikes, gains: FloatArray) -> Spikes | None:
        """Change neuron j so that its spikes gather more, and return these; None if none do."""

    def layer(self) -> Layer:
        """Return the neurons as they are now."""


class _ThresholdUnits:
    """Threshold units that change a weight at a time, and their threshold with it.

    What a change brings needs no simulation: raising w_i by g fires the rows that lie at most g x_i
    below the threshold, and lowering it silences those that lie less than that above.
    """

    def __init__(self, site: Site, layer: Layer, plan: Refinement) -> None:
        self._family, self._plan = site.family, plan
        self._weights, self._thresholds = layer.matrix.copy(), layer.thresholds.copy()
        values = site.last_step()
        self._inputs = np.ascontiguousarray(values.T)  # (inputs, m)
        self._high = int(site.reach.high)
        reach = self._family.alphabet.largest * self._family.fan_in * self._high
        exact = np.float32 if reach < 1 << 24 else np.float64
        # A neuron's membranes lie together. Summed exactly, whatever the order.
        membranes = np.rint(self._weights.T.astype(exact) @ self._inputs.astype(exact))
        self._membranes = membranes.astype(np.int16 if reach < 1 << 14 else np.int32)
        self._values = self._family.alphabet.values
        # Where a field says what neighbours are, a neuron may fire without any input, too.
        self._least = 1 if self._family.field is None else None

    def layer(self) -> Layer:
        return self._family.layer(self._weights, self._thresholds)

    def improved(self, j: int, fires: Spikes, gains: FloatArray) -> Spikes | None:
        seen = _near(self._family.field, np.flatnonzero(self._weights[:, j]), len(self._weights))
        inputs, weights = self._inputs[seen], self._weights[seen, j]
        membranes = self._membranes[j]
        threshold, best, found = int(self._thresholds[j]), float(gains[fires].sum()), False
        for move in range(self._plan.moves + 1):
            levels = _Levels(membranes, gains)
            level, reached = levels.best(self._plan.rare, self._least)
            if reached > best + _LEAST_GAIN:
                threshold, best, found = level, reached, True
                self._weights[seen, j], self._thresholds[j] = weights, threshold
                self._membranes[j] = membranes
            elif move:
                break  # what the change gained left the neuron too rare
            place, step, gain = self._best_change(levels, threshold, inputs, weights)
            if gain <= _LEAST_GAIN:
                break
            weights = weights.copy()
            weights[place] += step
            membranes = membranes + step * inputs[place].astype(membranes.dtype)
        return self._membranes[j] >= self._thresholds[j] if found else None

    def _best_change(
        self,
        levels: _Levels,
        threshold: int,
        inputs: npt.NDArray[np.uint8],
        weights: IntArray,
    ) -> tuple[int, int, float]:
        """Return the input whose weight should change, by how much, and what that gains."""
        used, best = np.count_nonzero(weights), (0, 0, 0.0)
        at = np.searchsorted(self._values, weights)
        for way in (1, -1):
            steps = self._values[(at + way).clip(0, len(self._values) - 1)] - weights
            if used >= self._family.fan_in:
                steps[weights == 0] = 0
            if used == 1:
                steps[weights + steps == 0] = 0
            for step in np.unique(steps[steps != 0]):
                places = np.flatnonzero(steps == step)
                gained = levels.gained(threshold, int(step), inputs[places], self._high)
                top = int(gained.argmax())
                if gained[top] > best[2]:
                    best = (int(places[top]), int(step), float(gained[top]))
        return best


_LEAST_GAIN = 1e-9
"""Fall of the mean loss for which a neuron is changed: less may be rounding."""


class _Levels:
    """Rows in the order of a neuron's membrane, and what those from each level on would gain."""

    def __init__(self, membranes: npt.NDArray[np.signedinteger], gains: FloatArray) -> None:
        self._order = np.argsort(membranes, kind="stable")
        self._levels, self._gains = membranes[self._order], gains[self._order]

    def best(self, rare: float, least: int | None) -> tuple[int, float]:
        """Return the threshold that gains most, and what that is; minus infinity if none will do.

        At least a share ``rare`` of the rows fires, and as many do not.
        """
        levels, m = self._levels, len(self._levels)
        first = np.flatnonzero(np.diff(levels, prepend=levels[0] - 1))
        share = 1.0 - first / m
        allowed = (share >= rare) & (share <= 1.0 - rare)
        if least is not None:
            allowed &= levels[first] >= least
        first = first[allowed]
        if not len(first):
            return 0, -np.inf
        total = np.cumsum(self._gains[::-1])[::-1][first]
        top = int(total.argmax())
        return int(levels[first[top]]), float(total[top])

    def gained(
        self, threshold: int, step: int, inputs: npt.NDArray[np.uint8], high: int
    ) -> FloatArray:
        """Return what is gained if the weight of one of ``inputs`` (k, m) changes by ``step``."""
        reach = abs(step) * high
        low, top = (threshold - reach, threshold) if step > 0 else (threshold, threshold + reach)
        band = slice(*np.searchsorted(self._levels, [low, top]).tolist())
        rows, levels = self._order[band], self._levels[band].astype(np.int64)
        # The least value of the input that takes a row across the threshold.
        across = -((levels - threshold) // step) if step > 0 else (levels - threshold) // -step + 1
        crossed = inputs[:, rows] >= across.astype(np.uint8)  # 1 to ``high``, within the band
        signed = self._gains[band] if step > 0 else -self._gains[band]
        return np.asarray(crossed.astype(np.float64) @ signed)


def _near(field: Field | None, used: IntArray, n_inputs: int) -> IntArray:
    """Return the inputs in the rectangle of a neuron's own and one place around it.

    All inputs where there is no field.
    """
    if field is None or not len(used):
        return np.arange(n_inputs)
    rows, columns, *_ = np.nonzero(np.isin(field.places, used))
    height, width = (
        slice(max(0, int(where.min()) - 1), int(where.max()) + 2) for where in (rows, columns)
    )
    return np.asarray(field.places[height, width].ravel())


class _Cells:
    """Logic cells that change an input at a time; the table that is best there comes with it."""

    def __init__(self, site: Site, layer: Layer, plan: Refinement) -> None:
        self._plan, self._n_inputs = plan, layer.n_inputs
        self._reads, self._tables = reads_and_tables(layer)
        self._inputs = np.ascontiguousarray(site.last_step().T)
        self._sets = input_sets(site)
        if self._reads.shape[1] != min(SIZE, self._sets.shape[1]) or self._reads.min() < 0:
            raise InputError(
                f"refinement takes cells of {self._sets.shape[1]} inputs, none of them its own "
                "last spike, as the oracle cells proposes them"
            )

    def layer(self) -> Layer:
        return cell_layer(self._reads, self._tables, n_inputs=self._n_inputs)

    def improved(self, j: int, fires: Spikes, gains: FloatArray) -> Spikes | None:
        best, found, spikes = float(gains[fires].sum()), False, fires
        least, n_codes = self._plan.rare * len(fires), self._tables.shape[1]
        for _ in range(self._plan.moves):
            kept = np.isin(self._sets, self._reads[j]).sum(axis=1)
            moved = False
            for reads in self._sets[kept >= self._sets.shape[1] - 1]:
                codes = self._codes(reads)
                table = np.bincount(codes, weights=gains, minlength=n_codes) > 0
                every = table[codes]
                reached = float(gains[every].sum())
                if reached > best + _LEAST_GAIN and least <= every.sum() <= len(fires) - least:
                    best, moved, new = reached, True, (reads, table, every)
            if not moved:
                break
            self._reads[j], self._tables[j], spikes = new
            found = True
        return spikes if found else None

    def _codes(self, reads: IntArray) -> npt.NDArray[np.uint8]:
        codes = np.zeros(self._inputs.shape[1], dtype=np.uint8)
        for bit, i in enumerate(reads):
            codes |= self._inputs[i] << np.uint8(bit)
        return codes
