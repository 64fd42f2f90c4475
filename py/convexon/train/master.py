"""The restricted master of column generation: a program whose columns come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from convexon.convex.model.problem import Problem
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import Solution, solve
from convexon.plan.fold import merged
from convexon.snn.network import Branch, Layer
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import SpikeDictionary, distinct_columns
from convexon.train.pricing.site import Site

FloatArray = npt.NDArray[np.float64]


def program_over(problem: Problem, columns: BitColumns, weights: FloatArray) -> ConvexProgram:
    """Return the program over ``columns`` and, last, the always-firing one, which weighs one."""
    return ConvexProgram.of(problem, columns.with_intercept(), np.append(weights, 1.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """A proposed column."""

    site: Site
    layer: Layer
    column: BitColumns
    key: bytes
    weight: float


def columns_on(
    site: Site, layer: Layer, features: npt.NDArray[np.uint8] | None = None
) -> list[Candidate]:
    """Return the columns of the neurons of a layer; ``features`` (m, k), where they are known."""
    if features is None:
        features = site.features(layer)
    weights, bits = site.weights(layer), BitColumns.pack(features, max_value=site.max_feature)
    return [
        Candidate(
            site=site,
            layer=layer.restricted(np.array([j]), np.arange(layer.n_inputs)),
            column=bits.take(np.array([j])),
            key=key,
            weight=float(weights[j]),
        )
        for j, key in enumerate(bits.keys())
    ]


@dataclass(eq=False)
class Master:
    """The columns at hand, where they come from, and how long each has been idle."""

    problem: Problem
    max_feature: int
    columns: BitColumns
    weights: FloatArray = field(default_factory=lambda: np.zeros(0))
    places: list[tuple[Site, Layer]] = field(default_factory=list)
    idle: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    known: dict[bytes, float] = field(default_factory=dict)
    start: FloatArray | None = None

    @classmethod
    def empty(cls, problem: Problem, max_feature: int) -> Master:
        """Return a master of no column but the always-firing one."""
        none = np.zeros((problem.n_rows, 0), dtype=np.uint8)
        return cls(problem, max_feature, BitColumns.pack(none, max_value=max_feature))

    def solve(self, tolerance: float) -> Solution:
        """Solve over the columns at hand, from the last weights."""
        program = program_over(self.problem, self.columns, self.weights)
        solution = solve(program, tolerance=tolerance, start=self.start)
        self.start = solution.W
        idle = ~solution.W[:-1].any(axis=1)
        self.idle = np.where(idle, self.idle + 1, 0)
        return solution

    def drop_idle(self, patience: int) -> int:
        """Drop columns that were at zero for ``patience`` rounds; returns how many."""
        kept = np.flatnonzero(self.idle < patience)
        dropped = len(self.idle) - len(kept)
        if dropped:
            self._keep(kept)
        return dropped

    def _keep(self, kept: npt.NDArray[np.intp]) -> None:
        """Keep the columns at ``kept``; the others leave."""
        self.columns = self.columns.take(kept)
        self.weights, self.idle = self.weights[kept], self.idle[kept]
        self.places = [self.places[j] for j in kept]
        self.known = dict(zip(self.columns.keys(), self.weights.tolist(), strict=True))
        if self.start is not None:
            self.start = self.start[np.append(kept, len(self.start) - 1)]

    def lacks(self, key: bytes, weight: float) -> bool:
        """Whether the pattern is not there yet, or only at a higher weight."""
        return key not in self.known or weight < self.known[key] * (1.0 - 1e-9)

    def dictionary(self) -> tuple[tuple[Branch, ...], tuple[Site, ...], SpikeDictionary]:
        """Return a branch for each site, those sites, and the columns with their neurons.

        Logic cells have a branch of their own.
        """
        members: dict[tuple[int, bool], list[int]] = {}
        for j, (site, layer) in enumerate(self.places):
            members.setdefault((id(site), layer.tables is None), []).append(j)
        witnesses = np.zeros((len(self.places), 2), dtype=np.int64)
        branches: list[Branch] = []
        sites: list[Site] = []
        for b, columns in enumerate(members.values()):
            site = self.places[columns[0]][0]
            sites.append(site)
            branches.append(site.branch(merged([self.places[j][1] for j in columns])))
            first = site.first_neuron
            witnesses[columns] = [(b, first + k) for k in range(len(columns))]
        _, counts = distinct_columns(self.columns)
        dictionary = SpikeDictionary(
            bits=self.columns,
            witnesses=witnesses,
            n_drawn=len(witnesses),
            max_feature=self.max_feature,
            **counts,
        )
        return tuple(branches), tuple(sites), dictionary

    def add(self, found: Sequence[Candidate]) -> None:
        """Add columns, their weights at zero; a pattern's cheaper neuron replaces a dearer one."""
        if not found:
            return
        keys = {candidate.key for candidate in found}
        if keys & self.known.keys():
            own = self.columns.keys()
            self._keep(np.array([j for j, k in enumerate(own) if k not in keys], dtype=np.intp))
        parts = [self.columns, *(candidate.column for candidate in found)]
        self.columns = BitColumns.joined(parts)
        self.weights = np.append(self.weights, [candidate.weight for candidate in found])
        self.places += [(candidate.site, candidate.layer) for candidate in found]
        self.idle = np.append(self.idle, np.zeros(len(found), dtype=np.int64))
        self.known |= {candidate.key: candidate.weight for candidate in found}
        if self.start is not None:
            fresh = np.zeros((len(found), self.start.shape[1]))
            self.start = np.concatenate([self.start[:-1], fresh, self.start[-1:]])
