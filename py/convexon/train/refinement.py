"""Refinement: neurons that follow the loss they leave, one at a time.

Pricing asks what a new column would do to the objective at first order. Of a column that has its
weights W_j more is known: what a row loses with the neuron's spike and without it, or at any count
of spikes, exactly, however far the step.

    table[z, i] = loss_i(scores of the others + z W_j)

The neuron whose column z has the least sum of table[z_i, i] is the best there is in this place,
while the other neurons and all readout weights stay as they are. Here each neuron in turn goes
there by single changes of what it is, so the objective of the convex program falls with every
neuron that changes, and falls again when the program is solved anew over the columns. No gradient
goes through a spike, and a certificate is that of the program over the columns in the end.
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
from convexon.snn.neuron import ReadoutMode
from convexon.train.pricing.cells import SIZE, input_sets
from convexon.train.pricing.site import Site
from convexon.train.witnesses.witness import Field

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Column = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """How far a neuron may go when its turn comes.

    Raises `InputError` if a member is out of its range.
    """

    moves: int = 5  # changes of one weight, of one input of a cell, or of a threshold
    # Share of the rows that a neuron must fire in, and be silent in; of counts, fire in and vary.
    rare: float = 0.01

    def __post_init__(self) -> None:
        require_positive(moves=self.moves)
        if not 0 <= self.rare < 0.5:
            raise InputError(f"rare must lie in 0..0.5, not {self.rare!r}")


def refine(
    site: Site,
    layer: Layer,
    W: FloatArray,
    rest: FloatArray,
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
        k neurons of the site's family, or k logic cells.
    W : float array, shape (k, C)
        Their readout weights. A neuron without any stays as it is.
    rest : float array, shape (C,) or (m, C)
        What all else adds to the scores: the intercept, and other neurons.
    problem : Problem
        Whose loss falls.
    plan : Refinement
    generator : numpy.random.Generator
    progress : callable, optional
        Called with the neurons that have had their turn.

    Raises `InputError` if a neuron reads neurons beside it; a cell reads its own last spike, is not
    of the size that `CellPricing` proposes, or is read by counts; or the readout is neither of last
    steps, of steps, nor of counts.
    """
    if site.beside is not None or site.mode not in _MODES:
        raise InputError(
            "refinement takes neurons with none beside them, and a readout of last, step or count"
        )
    neurons: _Neurons
    if layer.tables is not None:
        neurons = _Cells(site, layer, plan)
    elif site.memoryless:
        neurons = _ThresholdUnits(site, layer, plan)
    else:
        neurons = _Simulated(site, layer, plan, generator)
    features = site.features(layer)
    scores = features.astype(np.float64) @ W + rest
    losses, rows = _losses(problem, scores), np.arange(len(scores))
    table = np.empty((site.max_feature + 1, len(rows)))
    for turn, j in enumerate(generator.permutation(layer.n_neurons), start=1):
        if W[j].any():
            column = features[:, j]
            others = scores - column[:, None] * W[j]
            table[column, rows] = losses
            for further in range(1, len(table)):
                values = (column.astype(np.intp) + further) % len(table)
                table[values, rows] = _losses(problem, others + values[:, None] * W[j])
            new = neurons.improved(int(j), column, table)
            if new is not None:
                features[:, j] = new
                scores, losses = others + new[:, None] * W[j], table[new, rows]
        if progress is not None:
            progress(turn)
    return neurons.layer()


_MODES = (ReadoutMode.LAST, ReadoutMode.STEP, ReadoutMode.COUNT)


def _losses(problem: Problem, scores: FloatArray) -> FloatArray:
    """What each row adds to the mean loss, (m,)."""
    targets = problem.encoded
    terms = problem.loss.upper_terms(scores, np.zeros_like(scores), targets)
    return np.asarray((terms * targets.shares).sum(axis=1))


class _Neurons(Protocol):
    """The neurons of a layer while they change."""

    def improved(self, j: int, column: Column, table: FloatArray) -> Column | None:
        """Change neuron j so that it loses less, and return its column; None if nothing does.

        ``table`` (values, m) is what each row loses at each value that its entry may have.
        """

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
        fan_in = max(self._family.fan_in, int(np.count_nonzero(self._weights, axis=0).max()))
        reach = self._family.alphabet.largest * fan_in * self._high  # of a membrane
        exact = np.float32 if reach < 1 << 24 else np.float64
        # A neuron's membranes lie together. Summed exactly, whatever the order.
        membranes = np.rint(self._weights.T.astype(exact) @ self._inputs.astype(exact))
        self._membranes = membranes.astype(np.int16 if reach < 1 << 14 else np.int32)
        self._values = self._family.alphabet.values
        # Where a field says what neighbours are, a neuron may fire without any input, too.
        self._least = 1 if self._family.field is None else None

    def layer(self) -> Layer:
        return self._family.layer(self._weights, self._thresholds)

    def improved(self, j: int, column: Column, table: FloatArray) -> Column | None:
        gains = table[0] - table[1]  # of each row, if it fires
        seen = _near(self._family.field, np.flatnonzero(self._weights[:, j]), len(self._weights))
        inputs, weights = self._inputs[seen], self._weights[seen, j]
        membranes = self._membranes[j]
        threshold, best, found = int(self._thresholds[j]), float(column @ gains), False
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
        return (self._membranes[j] >= threshold).astype(np.uint8) if found else None

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


class _Simulated:
    """Neurons of any other kind: what a change brings is seen by simulating it.

    A move tries the neighbours in the alphabet of each weight, and a few other thresholds.
    """

    def __init__(
        self, site: Site, layer: Layer, plan: Refinement, generator: np.random.Generator
    ) -> None:
        self._site, self._plan, self._generator = site, plan, generator
        self._weights, self._thresholds = layer.matrix.copy(), layer.thresholds.copy()

    def layer(self) -> Layer:
        return self._site.family.layer(self._weights, self._thresholds)

    def improved(self, j: int, column: Column, table: FloatArray) -> Column | None:
        rows, found = np.arange(len(column)), None
        least = float(table[column, rows].sum()) - _LEAST_GAIN
        for _ in range(self._plan.moves):
            weights, thresholds = self._changed(self._weights[:, j], int(self._thresholds[j]))
            if not len(thresholds):
                break
            columns = self._site.features(self._site.family.layer(weights, thresholds))
            lost = table[columns, rows[:, None]].sum(axis=0)
            fires = np.count_nonzero(columns, axis=0) / len(rows)
            most = 1.0 - self._plan.rare if self._site.max_feature == 1 else 1.0
            constant = columns.min(axis=0) == columns.max(axis=0)
            lost[constant | (fires < self._plan.rare) | (fires > most)] = np.inf
            top = int(lost.argmin())
            if lost[top] >= least:
                break
            least, found = float(lost[top]) - _LEAST_GAIN, columns[:, top]
            self._weights[:, j], self._thresholds[j] = weights[:, top], thresholds[top]
        return found

    def _changed(self, weights: IntArray, threshold: int) -> tuple[IntArray, IntArray]:
        """Return the neuron with one thing changed, (inputs, k) weights and (k,) thresholds."""
        family = self._site.family
        values = family.alphabet.values
        seen = _near(family.field, np.flatnonzero(weights), len(weights))
        if len(seen) > _TRIED:
            seen = self._generator.choice(seen, _TRIED, replace=False)
        at = np.searchsorted(values, weights[seen])
        places = np.concatenate([seen, seen])
        targets = values[np.concatenate([at - 1, at + 1]).clip(0, len(values) - 1)]
        used = np.count_nonzero(weights)
        grown = used + (weights[places] == 0) - (targets == 0)
        allowed = (targets != weights[places]) & (grown >= 1) & (grown <= max(used, family.fan_in))
        places, targets = places[allowed], targets[allowed]
        step = max(1, abs(threshold) // 16)
        others = np.array([threshold + k * step for k in _AROUND if threshold + k * step >= 1])
        every = np.repeat(weights[:, None], len(places) + len(others), axis=1)
        every[places, np.arange(len(places))] = targets
        return every, np.concatenate([np.full(len(places), threshold), others]).astype(np.int64)


_TRIED = 64
"""Weights of a neuron that a move tries to change, at most; a random part where there are more."""

_AROUND = (-3, -1, 1, 3)
"""Other thresholds that a move tries, in sixteenths of what it is."""


class _Cells:
    """Logic cells that change an input at a time; the table that is best there comes with it."""

    def __init__(self, site: Site, layer: Layer, plan: Refinement) -> None:
        if not site.memoryless:
            raise InputError("refinement takes cells that are read at one step: last or step")
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

    def improved(self, j: int, column: Column, table: FloatArray) -> Column | None:
        gains, m, n_codes = table[0] - table[1], len(column), self._tables.shape[1]
        best, found, least = float(column @ gains), None, self._plan.rare * m
        for _ in range(self._plan.moves):
            kept = np.isin(self._sets, self._reads[j]).sum(axis=1)
            better = False
            for reads in self._sets[kept >= self._sets.shape[1] - 1]:
                codes = self._codes(reads)
                sums = np.bincount(codes, weights=gains, minlength=n_codes)
                reached = float(sums[sums > 0.0].sum())
                if reached <= best + _LEAST_GAIN:
                    continue
                fires = (sums > 0.0).astype(np.uint8)
                spikes = fires[codes]
                if least <= spikes.sum() <= m - least:
                    best, better, new = reached, True, (reads, fires, spikes)
            if not better:
                break
            self._reads[j], self._tables[j], found = new
        return found

    def _codes(self, reads: IntArray) -> npt.NDArray[np.uint8]:
        codes = np.zeros(self._inputs.shape[1], dtype=np.uint8)
        for bit, i in enumerate(reads):
            codes |= self._inputs[i] << np.uint8(bit)
        return codes
