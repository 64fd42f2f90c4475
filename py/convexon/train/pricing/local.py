"""Pricing by local search on the integer weights of many candidates at once.

Without memory the gain of every single change of a weight is known exactly from two matrix products
for each value v of an input: raising w_i by g lifts just the rows with x_i = v that lie g v or less
below the threshold, and lowering it drops those that lie less than g v above. So each step takes
the best of all changes, then the best of all thresholds. Elsewhere (leaks, resets, counts) changes
are drawn at random, and kept where they pay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.errors import require_positive
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.parallel import on_all_cores
from convexon.train.pricing.oracle import Proposal, candidates, proposed
from convexon.train.pricing.site import PricingProblem, Site

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


_CHUNK = 32
"""Candidates of one thread; each chunk has random numbers of its own, so threads change nothing."""


@dataclass(frozen=True, kw_only=True)
class LocalSearch:
    """Starts from witnesses drawn at random, each with a direction of its own, and improves them.

    For diversity each candidate also has a fan-in of its own, from a quarter of the family's up.
    """

    n_candidates: int = 64  # neurons that are improved side by side
    n_moves: int = 40  # changes that each of them may try
    n_rows: int = 1024  # rows that a change is judged on; a random part where there are more

    def __post_init__(self) -> None:
        require_positive(n_candidates=self.n_candidates, n_moves=self.n_moves, n_rows=self.n_rows)

    @property
    def name(self) -> str:  # noqa: D102
        return f"local search, {self.n_candidates} candidates of {self.n_moves} moves"

    def propose(  # noqa: D102
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        layer = candidates(site, self.n_candidates, generator)
        directions = problem.directions(self.n_candidates, generator)
        fan_in = site.family.fan_in
        limits = generator.integers(-(-fan_in // 4), fan_in + 1, self.n_candidates)
        start = _within(layer.matrix, limits, generator)
        judged, directions = _judged_on(site, directions, self.n_rows, generator)
        every = _Candidates(start, layer.thresholds, directions, limits)
        kind = _SteepestAscent if site.memoryless else _RandomMoves
        streams = generator.spawn(-(-self.n_candidates // _CHUNK))

        def improve(part: slice, stream: np.random.Generator) -> tuple[IntArray, IntArray]:
            search = kind(judged, every.part(part), stream)
            for _ in range(self.n_moves):
                search.move()
            return search.best_weights, search.best_thresholds

        chunks = [(slice(k * _CHUNK, (k + 1) * _CHUNK), s) for k, s in enumerate(streams)]
        parts = on_all_cores(improve, chunks)
        found = site.family.layer(
            np.concatenate([weights for weights, _ in parts], axis=1),
            np.concatenate([thresholds for _, thresholds in parts]),
        )
        return proposed(problem, site, found, n_seen=self.n_candidates * self.n_moves)


def _judged_on(
    site: Site, directions: FloatArray, n_rows: int, generator: np.random.Generator
) -> tuple[Site, FloatArray]:
    """Return the site on a random part of its rows where it has more than ``n_rows``."""
    m = site.rows.n_rows
    if m <= n_rows:
        return site, directions
    part = np.sort(generator.choice(m, n_rows, replace=False))
    rows, signal = site.rows.take(part), site.signal
    if site.mode is not ReadoutMode.STEP:
        rows, signal = replace(rows, index=np.arange(n_rows)), signal[part]
    return replace(site, rows=rows, signal=signal), directions[part]


def _within(weights: IntArray, limits: IntArray, generator: np.random.Generator) -> IntArray:
    """Return weights of no more synapses than each candidate's limit, and of at least one."""
    kept = weights.copy()
    for k in range(kept.shape[1]):
        used = np.flatnonzero(kept[:, k])
        if len(used) > limits[k]:
            kept[generator.permutation(used)[limits[k] :], k] = 0
        elif not len(used):
            kept[generator.choice(len(kept)), k] = 1
    return kept


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Neurons to improve side by side, where they start, and how far each may go."""

    weights: IntArray  # (inputs, k)
    thresholds: IntArray  # (k,)
    directions: FloatArray  # what each climbs, (m, k)
    limits: IntArray  # most synapses of each, (k,)

    def part(self, part: slice) -> _Candidates:
        """Some of them."""
        return _Candidates(
            self.weights[:, part],
            self.thresholds[part],
            self.directions[:, part],
            self.limits[part],
        )


class _Search:
    """Candidates on their way up, and the best that each has been."""

    def __init__(self, site: Site, start: _Candidates, generator: np.random.Generator) -> None:
        self.site, self.generator = site, generator
        self.limits, self.directions = start.limits, start.directions
        self.weights, self.thresholds = start.weights.copy(), start.thresholds.copy()
        self.best_weights, self.best_thresholds = start.weights.copy(), start.thresholds.copy()
        self.best = np.full(start.weights.shape[1], -np.inf)
        self.prepare()

    def prepare(self) -> None:
        """Set up what the kind of search needs besides."""

    def keep_best(self, scores: FloatArray) -> None:
        """Remember the candidates that were never better."""
        better = scores > self.best
        self.best[better] = scores[better]
        self.best_weights[:, better] = self.weights[:, better]
        self.best_thresholds[better] = self.thresholds[better]


_TABU = 8
"""Moves for which an input that was just changed stays as it is, so that the search leaves."""


class _SteepestAscent(_Search):
    """The best of all single changes at each move, for sites without memory."""

    def prepare(self) -> None:
        x, family = self.site.last_step(), self.site.family
        reach = family.alphabet.largest * family.fan_in * self.site.reach.high
        exact = np.float32 if reach < 1 << 24 else np.float64
        self.x = x.astype(exact)
        self.values = {
            int(v): (x == v).T.astype(np.float32) for v in np.unique(x) if v
        }  # of inputs, with who has them
        self.delta = self.directions.astype(np.float32)
        self.tabu = np.zeros(self.weights.shape, dtype=np.int64)
        self.time = 0
        values, size = family.alphabet.values, 2 * family.alphabet.largest + 1
        # The next value up and down, by the value itself: negative ones index from the end.
        self.up, self.down = np.zeros((2, size), dtype=np.int64)
        self.up[values] = np.append(values[1:], values[-1])
        self.down[values] = np.append(values[0], values[:-1])
        self.sizes = sorted({int(gap) for gap in np.diff(values)})

    def move(self) -> None:
        """Choose the best thresholds, note the scores, and make each candidate's best change."""
        self.time += 1
        membranes = np.rint(self.x @ self.weights.astype(self.x.dtype)).astype(np.int64)
        self._best_thresholds(membranes)
        gains, inputs, targets = self._best_changes(membranes)
        candidates = np.flatnonzero(np.isfinite(gains))
        where = inputs[candidates]
        self.weights[where, candidates] = targets[candidates]
        # A change that costs is made too: the best was noted, and standing still finds nothing.
        self.tabu[where, candidates] = self.time + self.generator.integers(1, _TABU + 1, len(where))

    def _best_thresholds(self, membranes: IntArray) -> None:
        """Set each candidate's threshold to the best level for its weights."""
        order = np.argsort(-membranes, axis=0, kind="stable")
        levels = np.take_along_axis(membranes, order, axis=0)
        # Score of the threshold at a level: all rows at or above it, so its last row counts.
        scores = np.take_along_axis(self.directions, order, axis=0).cumsum(axis=0)
        ends = np.ones(levels.shape, dtype=np.bool_)
        ends[:-1] = levels[1:] < levels[:-1]
        # A threshold of at least one: a neuron at rest is silent.
        scores = np.where(ends & (levels >= 1), scores, -np.inf)
        best, columns = scores.argmax(axis=0), np.arange(self.weights.shape[1])
        silent = np.isneginf(scores[best, columns])
        self.thresholds = np.where(silent, 1, levels[best, columns]).astype(np.int64)
        self.keep_best(np.where(silent, 0.0, scores[best, columns]))

    def _best_changes(self, membranes: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
        """Return each candidate's largest gain, the input it concerns, and that one's weight."""
        distance = membranes - self.thresholds
        up_to, down_to = self.up[self.weights], self.down[self.weights]
        best = np.full(self.weights.shape, -np.inf)
        target = self.weights.copy()
        for size in self.sizes:
            lifted, dropped = (np.zeros(best.shape, dtype=np.float32) for _ in range(2))
            for value, having in self.values.items():
                far = size * value
                lifted += having @ (self.delta * ((distance < 0) & (distance >= -far)))
                dropped -= having @ (self.delta * ((distance >= 0) & (distance < far)))
            for gain, new in ((lifted, up_to), (dropped, down_to)):
                fits = (np.abs(new - self.weights) == size) & self._allowed(new)
                gain = np.where(fits, gain, -np.inf)
                better = gain > best
                best[better] = gain[better]
                target[better] = new[better]
        inputs = best.argmax(axis=0)
        columns = np.arange(self.weights.shape[1])
        return best[inputs, columns], inputs, target[inputs, columns]

    def _allowed(self, new: IntArray) -> npt.NDArray[np.bool_]:
        """Whether each change is off the tabu list and leaves the fan-in within its limit."""
        fan_in = np.count_nonzero(self.weights, axis=0)
        grows = (self.weights == 0) & (new != 0)
        ends = (self.weights != 0) & (new == 0)
        full = fan_in >= self.limits
        return np.asarray((self.tabu < self.time) & ~(grows & full) & ~(ends & (fan_in <= 1)))


class _RandomMoves(_Search):
    """Random changes, each simulated in full and kept where the score does not fall."""

    def prepare(self) -> None:
        self.scores = self._scores(self.weights, self.thresholds)
        self.keep_best(self.scores)
        site = self.site
        # Inputs whose activity goes with the direction are tried more often.
        activity = site.signal
        if site.mode is ReadoutMode.STEP:
            activity = activity[site.rows.samples]
        relevance = np.abs(activity.mean(axis=1).T @ self.directions)
        relevance /= np.maximum(relevance.sum(axis=0), 1e-300)
        self.odds = 0.5 * relevance + 0.5 / site.n_inputs
        self.odds /= self.odds.sum(axis=0)

    def move(self) -> None:
        """Try one change of each candidate: a weight, a synapse that moves, or the threshold."""
        weights, thresholds = self.weights.copy(), self.thresholds.copy()
        nonzero = self.site.family.alphabet.nonzero
        for k in range(weights.shape[1]):
            kind = self.generator.random()
            if kind < 0.25:
                spread = max(1, int(thresholds[k]) // 8)
                thresholds[k] = max(1, thresholds[k] + self.generator.integers(-spread, spread + 1))
                continue
            used = np.flatnonzero(weights[:, k])
            target = self.generator.choice(self.site.n_inputs, p=self.odds[:, k])
            full = len(used) >= self.limits[k]
            if full and weights[target, k] == 0:
                weights[self.generator.choice(used), k] = 0
            remove = kind > 0.9 and len(used) > 1 and weights[target, k] != 0
            weights[target, k] = 0 if remove else self.generator.choice(nonzero)
        scores = self._scores(weights, thresholds)
        kept = scores >= self.scores
        self.weights[:, kept] = weights[:, kept]
        self.thresholds[kept] = thresholds[kept]
        self.scores[kept] = scores[kept]
        self.keep_best(self.scores)

    def _scores(self, weights: IntArray, thresholds: IntArray) -> FloatArray:
        features = self.site.features(self.site.family.layer(weights, thresholds))
        return np.asarray((features * self.directions).sum(axis=0))
