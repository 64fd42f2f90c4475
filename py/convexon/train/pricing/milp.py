"""Exact pricing of one LIF neuron by a mixed-integer program, solved by HiGHS.

Weights and threshold are integer variables, spikes binary ones; the contract of
`convexon.snn.neuron` becomes linear constraints, its floor and its resets included. For each output
and sign the program maximises ``+-lambda_c^T d``. HiGHS returns a neuron and an upper bound on
every neuron's value; the neuron is simulated with the contract like any other, and the bound is as
good as HiGHS's tolerances (1e-6), which is why certificates name it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from convexon.convex.model.penalty import Cone
from convexon.errors import InputError, SolverError
from convexon.snn.neuron import LeakRounding, ReadoutMode, Reset
from convexon.train.pricing.oracle import Proposal, proposed
from convexon.train.pricing.site import PricingProblem, Site

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MixedIntegerProgram:
    """Prices a site of the l1 penalty exactly, for tens of rows and few inputs and steps.

    The time is for each output and sign. Where it runs out the bound is looser, and still a bound.
    """

    max_seconds: float = 60.0
    name: ClassVar[str] = "mixed-integer program"

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.train.pricing.oracle.Oracle`; ``largest_ratio`` is HiGHS's bound.

        Raises `InputError` if the penalty is not l1, columns have costs, or the family's weights
        are not all the integers of a range; and `SolverError` if HiGHS ends without a bound.
        """
        _require_linear(problem, site)
        neurons: list[tuple[IntArray, int]] = []
        largest = 0.0
        for direction in (*problem.dual.T, *-problem.dual.T):
            weights, threshold, bound = _solved(site, direction, self.max_seconds)
            largest = max(largest, bound)
            if weights is not None:
                neurons.append((weights, threshold))
        n_seen = 2 * problem.dual.shape[1]
        ratio = largest / problem.rho
        if not neurons:
            return Proposal(layer=None, largest_ratio=ratio, n_seen=n_seen)
        layer = site.family.layer(
            np.stack([weights for weights, _ in neurons], axis=1),
            np.array([threshold for _, threshold in neurons], dtype=np.int64),
        )
        return replace(proposed(problem, site, layer, n_seen=n_seen), largest_ratio=ratio)


def _require_linear(problem: PricingProblem, site: Site) -> None:
    alphabet = site.family.alphabet
    if problem.penalty.cone is not Cone.ENTRIES or site.cost is not None:
        raise InputError("penalty must be l1 without costs for the mixed-integer program")
    if alphabet.magnitudes != tuple(range(1, alphabet.largest + 1)):
        raise InputError(f"alphabet must be all integers of a range, not {alphabet.name}")
    if site.family.lateral:
        raise InputError("lateral must be 0 for the mixed-integer program: one neuron is priced")
    if site.family.leak.rounding is not LeakRounding.DOWN:
        raise InputError("leak must round down for the mixed-integer program, not towards zero")
    if site.mode is ReadoutMode.SIGN:
        raise InputError("readout_mode must be last, step or count for the mixed-integer program")


def _solved(
    site: Site, direction: FloatArray, max_seconds: float
) -> tuple[IntArray | None, int, float]:
    """Return the best neuron found for a direction, and a bound on ``direction^T d``."""
    model = _Model(site)
    objective = np.zeros(model.size)
    for row, value in enumerate(direction):
        sample, step = int(site.rows.samples[row]), int(site.rows.steps[row])
        if site.mode is not ReadoutMode.STEP:
            sample, step = row, model.n_steps - 1
        steps = range(model.n_steps) if site.mode is ReadoutMode.COUNT else (step,)
        for t in steps:
            objective[model.spike(sample, t)] -= value
    found = milp(
        objective,
        integrality=model.integrality,
        bounds=Bounds(model.low, model.high),
        constraints=model.constraints(),
        options={"time_limit": max_seconds, "mip_rel_gap": 0.0},
    )
    if found.mip_dual_bound is None:
        raise SolverError(f"HiGHS must end with a bound, not with {found.message!r}: allow it time")
    if found.x is None:
        return None, 0, -float(found.mip_dual_bound)
    weights = np.rint(found.x[: site.n_inputs]).astype(np.int64)
    threshold = int(np.rint(found.x[model.threshold]))
    return weights, threshold, max(0.0, -float(found.mip_dual_bound))


@dataclass(eq=False)
class _Model:
    """Variables and constraints of one neuron on all samples of a site.

    Variables, in order: weights, whether each is a synapse, the threshold; then for each sample and
    step spike, membrane after the reset, what leaks, and what a spike takes away.
    """

    site: Site
    low: FloatArray = field(init=False)
    high: FloatArray = field(init=False)
    integrality: IntArray = field(init=False)
    _rows: list[tuple[list[int], list[float], float, float]] = field(
        init=False, default_factory=list
    )

    def __post_init__(self) -> None:
        n, self.n_steps = self.site.n_inputs, self.site.signal.shape[1]
        self.threshold = 2 * n
        cells = len(self.site.signal) * self.n_steps
        self.size = 2 * n + 1 + 4 * cells
        weight = self.site.family.alphabet.largest
        fan_in = min(self.site.family.fan_in, n)
        self.reach = float(self.n_steps * weight * fan_in * self.site.reach.high)
        self.integrality = np.ones(self.size, dtype=np.int64)
        self.low = np.full(self.size, -2.0 * self.reach)
        self.high = np.full(self.size, 2.0 * self.reach)
        self.low[:n], self.high[:n] = -weight, weight
        self.low[n : 2 * n], self.high[n : 2 * n] = 0, 1
        self.low[self.threshold], self.high[self.threshold] = 1, max(1.0, self.reach)
        spikes = slice(2 * n + 1, None, 4)
        self.low[spikes], self.high[spikes] = 0, 1
        for i in range(n):  # a weight that is no synapse is zero
            self._add([i, n + i], [1, -weight], -np.inf, 0)
            self._add([i, n + i], [1, weight], 0, np.inf)
        self._add(list(range(n, 2 * n)), [1] * n, -np.inf, fan_in)
        for r, sample in enumerate(self.site.signal):
            for t, inputs in enumerate(sample):
                self._add_step(r, t, inputs)

    def spike(self, sample: int, step: int) -> int:
        """Index of a spike's variable; membrane, leak and reset follow it."""
        return int(self.threshold + 1 + 4 * (sample * self.n_steps + step))

    def _add(self, where: list[int], factors: list[float], low: float, high: float) -> None:
        self._rows.append((where, factors, low, high))

    def _add_step(self, r: int, t: int, inputs: npt.NDArray[np.uint8]) -> None:
        """Constrain spike, membrane, leak and reset of one step to the contract."""
        s = self.spike(r, t)
        v, leak, taken = s + 1, s + 2, s + 3
        family, big = self.site.family, 4.0 * self.reach + 1.0
        # u = v' - leak + sum_i w_i x_i, as a list of terms
        terms = {int(i): float(inputs[i]) for i in np.flatnonzero(inputs)}
        if t > 0:
            before = self.spike(r, t - 1) + 1
            terms |= {before: 1.0, leak: -1.0}
            d, two_f = float(family.leak.d), float(1 << family.leak.f)
            self._add([before, leak], [d, -two_f], 0, two_f - 1)  # leak = floor(d v' / 2^f)
        else:
            self._add([leak], [1.0], 0, 0)
        theta = self.threshold
        where, factors = [*terms, theta, s], list(terms.values())
        self._add(where, [*factors, -1.0, -big], -big, np.inf)  # s = 1 asks for u >= theta
        self._add(where, [*factors, -1.0, -big], -np.inf, -1.0)  # s = 0 asks for u <= theta - 1
        self._add([*terms, taken, v], [*factors, -1.0, -1.0], 0, 0)  # v = u - taken
        top = self.high[theta]
        if family.reset is Reset.NONE:
            self._add([taken], [1.0], 0, 0)
        elif family.reset is Reset.SUBTRACT:  # taken = theta s
            self._add([taken, s], [1.0, -top], -np.inf, 0)
            self._add([taken, s], [1.0, 0.0], 0, np.inf)
            self._add([taken, theta], [1.0, -1.0], -np.inf, 0)
            self._add([taken, theta, s], [1.0, -1.0, -top], -top, np.inf)
        else:  # v = 0 after a spike, and nothing is taken otherwise
            self._add([v, s], [1.0, big], -np.inf, big)
            self._add([v, s], [1.0, -big], -big, np.inf)
            self._add([taken, s], [1.0, -big], -np.inf, 0)
            self._add([taken, s], [1.0, big], 0, np.inf)

    def constraints(self) -> LinearConstraint:
        """All constraints as one sparse matrix."""
        rows = np.repeat(np.arange(len(self._rows)), [len(where) for where, *_ in self._rows])
        columns = np.concatenate([where for where, *_ in self._rows])
        values = np.concatenate([factors for _, factors, *_ in self._rows]).astype(np.float64)
        matrix = coo_array((values, (rows, columns)), shape=(len(self._rows), self.size)).tocsr()
        bounds = np.array([(low, high) for *_, low, high in self._rows])
        return LinearConstraint(matrix, bounds[:, 0], bounds[:, 1])
