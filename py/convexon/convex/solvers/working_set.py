"""The working-set loop: solve over few columns, then look at all of them.

Of thousands of columns the solution uses few. The inner solver sees only a working set; after each
round the dual point is scaled into feasibility over *all* columns, so the gap that ends the loop is
one of the whole program, never of the working set. Of "all", columns that are proved to be zero in
every solution may be left out (`convexon.convex.solvers.screening`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from convexon.convex.model.loss import FloatArray, Loss, SmoothLoss
from convexon.convex.model.penalty import Penalty
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.products import Maker, Products
from convexon.convex.solvers.record import Budget, GapRecord
from convexon.convex.solvers.screening import Screen

Indices = NDArray[np.intp]

_PATIENCE = 8
"""Rounds without an inner step after which the method says that it has stalled."""

_UNSCREENED = 6
"""Rounds before columns are screened.

Their norms take as long as some rounds do over all columns, and early gaps drop few.
"""

_FORCING = 0.3
"""Inner tolerance as a share of the gap over all columns: more would be wasted on this set."""


_ROOM = 1.0 + 2.0**-46
"""Factor by which a dual point is scaled further than its constraints ask.

A certificate's bounds on their rounding then need no second look at all columns.
"""


class Sizes(NamedTuple):
    """How many columns a working set has, at least."""

    first: int  # in the first round: fewer would save nothing
    room: float = 2.0  # as a multiple of those with weights
    # As a multiple of the round before. A round looks at all columns, which counts where a method
    # is fast.
    growth: float = 1.0


class Method(Protocol):
    """Solves a program over a few of its columns; the budget ends it when it is spent."""

    single: ClassVar[bool]
    """Whether products in float32 do where the tolerance leaves room for their rounding."""

    sizes: ClassVar[Sizes]
    """How many of the columns it should be given at a time."""

    def __init__(self, program: ConvexProgram, *, budget: Budget) -> None: ...

    @staticmethod
    def lacks(loss: Loss, penalty: Penalty) -> str | None:
        """What the method needs and these two do not have, in words; None if nothing."""

    def improve(
        self, D: Products, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        """Weights (A, C), from ``W``, whose gap over the columns ``D`` is at most ``tolerance``."""

    def dual_point(self, Z: FloatArray) -> FloatArray:
        """The method's dual point (n, C) at ``Z``, in the conjugate's domain, unscaled."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """State after a round, with a dual point that is feasible over all kept columns."""

    W: FloatArray  # (P, C)
    Z: FloatArray  # their predictions, (n, C)
    dual: FloatArray  # the method's dual point, scaled, (n, C)
    n_working: int  # columns in the working set of this round
    n_screened: int = 0  # columns that screening had dropped


@dataclass(eq=False)
class Judge:
    """Keeps the best weights and the best dual point that were seen, and the gap between them."""

    program: ConvexProgram
    budget: Budget
    target_for: Callable[[float], float]  # gap at which a primal value counts as reached
    progress: Callable[[GapRecord], None] | None
    W: FloatArray = field(init=False)
    dual: FloatArray | None = field(init=False, default=None)
    primal: float = field(init=False, default=np.inf)
    dual_value: float = field(init=False, default=-np.inf)
    history: list[GapRecord] = field(init=False, default_factory=list)

    def measure(self, snapshot: Snapshot) -> float:
        """Best gap so far, this snapshot included; its dual point is already feasible."""
        program = self.program
        primal = program.value_at(snapshot.W, snapshot.Z)
        dual_value = program.loss.dual_value(snapshot.dual, program.encoded)
        if primal < self.primal:
            self.primal, self.W = primal, snapshot.W
        if dual_value > self.dual_value:
            self.dual_value, self.dual = dual_value, snapshot.dual
        record = GapRecord(
            iteration=self.budget.iterations,
            seconds=self.budget.seconds,
            primal=self.primal,
            dual=self.dual_value,
            gap=self.primal - self.dual_value,
            n_working=snapshot.n_working,
            n_screened=snapshot.n_screened,
        )
        self.history.append(record)
        if self.progress is not None:
            self.progress(record)
        return record.gap

    def target(self) -> float:
        """Gap to reach at the best primal value so far."""
        return self.target_for(self.primal)


def minimize_over_all(
    method: Method, W: FloatArray, *, maker: Maker, judge: Judge, single: bool = False
) -> None:
    """Solve the judge's program from ``W`` (P, C), by ``method`` on working sets of its columns.

    ``maker`` makes the products of a working set, on the device that is to compute them; with
    ``single`` in float32, where the method says that this does.
    """
    program, budget = judge.program, judge.budget
    dtype = np.float32 if single and method.single else np.float64
    columns = _Columns(program, method.sizes, np.dtype(dtype))
    idle, spent = 0, -1
    Z = program.predict(W)
    while True:
        dual = columns.feasible(method.dual_point(Z))
        n_screened = program.n_columns - len(columns.kept)
        snapshot = Snapshot(W, Z, dual, len(columns.working), n_screened)
        gap = max(judge.measure(snapshot), 0.0)
        if budget.spent or program.n_columns == 0:
            return
        target = judge.target()
        if gap <= target:
            if columns.confirm(snapshot, target):
                return
        else:
            columns.narrow(snapshot)
        # The method finds nothing to do, yet the gap is not there: rounding stands between the two.
        idle = idle + 1 if budget.iterations == spent else 0
        budget.stalled |= idle > _PATIENCE
        spent = budget.iterations
        inner_gap = columns.choose(W, gap=gap, target=target)
        products = columns.products(maker)
        start, W = W[columns.working] * columns.scales[:, None], np.zeros_like(W)
        scaled = method.improve(products, columns.thresholds, start, tolerance=inner_gap)
        W[columns.working] = scaled / columns.scales[:, None]
        Z = products.forward(scaled)


class _Columns:
    """Which columns are kept by screening, and which of those are in the working set."""

    def __init__(self, program: ConvexProgram, sizes: Sizes, dtype: np.dtype[Any]) -> None:
        self._program, self._sizes, self._size, self._dtype = program, sizes, sizes.first, dtype
        self._inner_gap = np.inf
        self._rounds = 0
        self._products: Products | None = None
        loss = program.loss
        self._screen = Screen(program, loss) if isinstance(loss, SmoothLoss) else None
        self.kept: Indices = np.arange(program.n_columns)
        self.working: Indices = np.zeros(0, dtype=np.intp)
        self.scales = self.thresholds = np.zeros(0)
        # The columns of the last products, scaled; a column is a row, as those are copied fast.
        self._gathered, self._matrix = self.working, np.zeros((0, program.n_rows), dtype=dtype)
        self._ratios = np.zeros(0)

    def feasible(self, dual: FloatArray) -> FloatArray:
        """``dual`` scaled until the constraints of all kept columns hold.

        It need not satisfy those of screened ones to bound the optimum: without them the program
        has the same.
        """
        program = self._program
        G = program.correlate(dual, self.kept)
        self._ratios = program.penalty.dual_ratios(G, program.rho * program.weights[self.kept])
        scale = max(1.0, _ROOM * float(self._ratios.max(initial=0.0)))
        self._ratios /= scale
        return dual / scale

    def narrow(self, snapshot: Snapshot) -> None:
        """Drop the columns that the snapshot proves to be zero in every solution."""
        self._rounds += 1
        if self._screen is None or self._rounds <= _UNSCREENED:
            return
        program = self._program
        primal = program.value_at(snapshot.W, snapshot.Z)
        gap = primal - program.loss.dual_value(snapshot.dual, program.encoded)
        still = self._screen.narrow(program.rho * self._ratios, gap=gap, primal=primal)
        self.kept, self._ratios = self._screen.kept, self._ratios[still]

    def confirm(self, snapshot: Snapshot, target: float) -> bool:
        """Whether the dual point reaches the target with the screened columns' constraints too.

        If not, all columns are taken back, for good.
        """
        program = self._program
        if self._screen is None or len(self.kept) == program.n_columns:
            return True
        ratio = program.penalty.dual_ratio(program.correlate(snapshot.dual), program.weights)
        scaled = snapshot.dual / max(1.0, ratio / program.rho)
        primal = program.value_at(snapshot.W, snapshot.Z)
        if primal - program.loss.dual_value(scaled, program.encoded) <= target:
            return True
        self._screen = None
        self.kept = np.arange(program.n_columns)
        self.feasible(snapshot.dual)
        return False

    def choose(self, W: FloatArray, *, gap: float, target: float) -> float:
        """Choose the working set; returns the gap to which it is worth solving."""
        active = np.flatnonzero(W[self.kept].any(axis=1))
        size = max(self._size, int(self._sizes.room * len(active)))
        chosen = self.kept[_chosen(self._ratios, active, size=size)]
        # The same set again means that this set was not solved well enough yet.
        repeated = np.array_equal(chosen, self.working)
        if len(chosen) == len(self.kept):
            # The inner gap is the program's own: stop once a decade, so that the history shows it.
            self._inner_gap = max(0.1 * gap, 0.9 * target)
        else:
            before = min(gap, self._inner_gap if repeated else gap)
            self._inner_gap = max(_FORCING * before, 0.2 * target)
        self._size = 2 * len(chosen) if repeated else int(self._sizes.growth * len(chosen))
        if not repeated:
            self.working, self._products = chosen, None
        return self._inner_gap

    def products(self, maker: Maker) -> Products:
        """Products of the working set, made when it has changed."""
        if self._products is None:
            self._gather()
            self.thresholds = self._program.rho * self._program.weights[self.working] / self.scales
            self._products = maker(self._matrix.T)
        return self._products

    def _gather(self) -> None:
        """Scale the columns of the working set, of those before it only what is new."""
        stay = np.isin(self.working, self._gathered, assume_unique=True)
        there = np.searchsorted(self._gathered, self.working[stay])
        matrix = np.empty((len(self.working), self._program.n_rows), dtype=self._dtype)
        scales = np.empty(len(self.working))
        matrix[stay], scales[stay] = self._matrix[there], self.scales[there]
        new, scales[~stay] = self._program.scaled(self.working[~stay], self._dtype)
        matrix[~stay] = new.T
        self._gathered, self._matrix, self.scales = self.working, matrix, scales


def _chosen(ratios: FloatArray, active: np.ndarray, *, size: int) -> np.ndarray:
    """Active columns, and those nearest to or furthest beyond their constraint; sorted."""
    if size >= len(ratios):
        return np.arange(len(ratios))
    priority = ratios.copy()
    priority[active] = np.inf
    return np.sort(np.argpartition(-priority, size - 1)[:size])
