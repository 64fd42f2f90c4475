"""Column generation: a restricted master and pricing, in turn.

Sampling P witnesses is optimal over those P alone. Here the master is solved over the columns at
hand; its dual point prices what is missing; the worst violators join; columns that stay at zero
leave. It ends when no priced column violates its constraint, or a budget is spent. Each round
records what pricing found, so a reader sees whether proposals still help.

An exact oracle proves more: scaling the dual point by the largest ratio of its set makes it
feasible there, so its dual value bounds the objective of every network of the set (weak duality).
The best bound of all rounds is kept, with its dual point. As the master's dual point leaps from one
round to the next, what is priced may be drawn back to the point of that bound (smoothing: Wentges,
1997): a column that violates there violates at the master's point too, and bounds rise sooner.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from convexon.convex.bounds.priced import priced_bound
from convexon.convex.bounds.universal import LowerBound
from convexon.convex.model.problem import Problem
from convexon.convex.solvers.solver import Solution
from convexon.errors import InputError, require_positive
from convexon.snn.fixed import Interval
from convexon.snn.models.simulate import layer_spikes
from convexon.snn.network import Branch
from convexon.train.columns.dictionary import SpikeDictionary
from convexon.train.master import Candidate, Master, columns_on
from convexon.train.pricing.oracle import Oracle, Proposal
from convexon.train.pricing.site import PricingProblem, Site
from convexon.train.witnesses.witness import WitnessFamily

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GenerationBudget:
    """When column generation ends at the latest, and how much a round may add."""

    max_rounds: int = 20  # rounds of pricing
    max_columns: int = 4096  # columns that the master may hold
    max_seconds: float | None = None  # wall time
    columns_per_round: int = 64  # most columns that join in a round
    tolerance: float = 1e-6  # gap of the master, and excess of a ratio over one that violates
    patience: int = 2  # rounds that a column may stay at zero before it leaves
    # Relative gap to the bound over all sites at which to end. Masters are then solved only as
    # closely as what is missing asks for.
    gap: float | None = None
    smoothing: float = 0.0  # share of the best bound's point in the point that is priced

    def __post_init__(self) -> None:
        require_positive(
            max_rounds=self.max_rounds,
            max_columns=self.max_columns,
            columns_per_round=self.columns_per_round,
            patience=self.patience,
        )
        if not 0.0 < self.tolerance < 1.0:
            raise InputError(f"tolerance must lie within 0..1, not {self.tolerance!r}")
        if self.gap is not None and not self.tolerance <= self.gap < 1.0:
            raise InputError(f"gap must lie within tolerance..1, not {self.gap!r}")
        if not 0.0 <= self.smoothing < 1.0:
            raise InputError(f"smoothing must lie within 0..1, not {self.smoothing!r}")

    def closeness(self, missing: float) -> float:
        """Return the gap of a master that leaves a share ``missing`` over all sites."""
        return self.tolerance if self.gap is None else max(self.tolerance, _CLOSER * missing)


_CLOSER = 0.02
"""Gap of a master, as a share of the gap over all sites."""


class Priced(NamedTuple):
    """What an oracle found at a site: the largest ratio, among how many columns."""

    largest_ratio: float
    n_seen: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round: the master's certified solution, and what pricing made of its dual point."""

    objective: float  # primal value of the master
    bound: float  # its dual value, over the columns it has
    n_columns: int  # columns of the master
    n_active: int  # those with non-zero weights
    # Largest dual norm over `rho w` that any oracle found: above one, a column is missing.
    largest_ratio: float
    exact_bound: float | None  # on the objective over all sites; None where one was not exact
    n_added: int
    n_dropped: int
    seconds: float  # wall time since the start
    oracles: dict[str, Priced]  # what each oracle found at each site


@dataclass(frozen=True, eq=False, kw_only=True)
class Generated:
    """A master that column generation has grown."""

    branches: tuple[Branch, ...]  # one a site that has neurons: its trunk, and these side by side
    sites: tuple[Site, ...]  # where each branch stands
    dictionary: SpikeDictionary  # the master's columns, without the intercept
    weights: FloatArray  # (P,), penalty weights
    solution: Solution  # over the columns and, last, the intercept
    rounds: tuple[Round, ...]
    # Whether the last round priced every site exactly and found no violation: the solution is then
    # optimal over all neurons that the exact oracles stand for, such as every neuron of the sites'
    # form for an enumeration, to HiGHS's tolerances for the mixed-integer program.
    closed: bool
    # The best bound on the objective over all sites, where every site was priced exactly.
    bound: LowerBound | None

    def active(self, site: Site) -> npt.NDArray[np.intp]:
        """Return the neurons of a site that have a weight; none of a site without a branch."""
        b, j = self.dictionary.witnesses[self.solution.W[:-1].any(axis=1)].T
        place = next((k for k, other in enumerate(self.sites) if other is site), -1)
        return np.asarray(j[b == place], dtype=np.intp)


def deepened(generated: Generated, site: Site, family: WitnessFamily, *, name: str) -> Site:
    """Return a site one layer deeper: its inputs are the neurons of ``site`` that are active.

    So a network grows in depth by pricing too: what a layer's neurons could not express is priced
    among neurons that read them.

    Raises `InputError` if no neuron of the site is active, or fewer than the family's fan-in.
    """
    if site.beside is not None:
        raise InputError(f"site {site.name} must have no neurons beside it to be deepened")
    neurons = generated.active(site)
    if len(neurons) < family.fan_in:
        raise InputError(
            f"site {site.name} must have {family.fan_in} active neurons or more to be deepened, "
            f"not {len(neurons)}: lower rho"
        )
    below = next(b for b, s in zip(generated.branches, generated.sites, strict=True) if s is site)
    layer = below.layers[-1].restricted(neurons, np.arange(site.n_inputs))
    return replace(
        site,
        name=name,
        trunk=(*site.trunk, layer),
        family=family,
        signal=layer_spikes(layer, site.signal, site.reach),
        reach=Interval(0, 1),
    )


def generate(
    problem: Problem,
    sites: Sequence[Site],
    oracles: Sequence[Oracle],
    *,
    budget: GenerationBudget | None = None,
    generator: np.random.Generator,
    progress: Callable[[Round], None] | None = None,
    master: Master | None = None,
) -> Generated:
    """Grow a dictionary by pricing, from nothing but the intercept.

    Every oracle prices every site, each with the rows of the problem, in every round. A ``master``
    that has columns, such as those of an interrupted run or of another rho, goes on from them; it
    is changed in place.

    Raises `InputError` if there is no site or no oracle; and `SolverError` if a master's gap is not
    reached.
    """
    budget = budget or GenerationBudget()
    if not sites or not oracles:
        raise InputError("sites and oracles must hold at least one each, not none")
    began = time.perf_counter()
    master = master or Master.empty(problem, sites[0].max_feature)
    rounds: list[Round] = []
    best: LowerBound | None = None
    close = budget.closeness(1.0)
    while True:
        solution = master.solve(close)
        dropped = master.drop_idle(budget.patience)
        for point in _points(problem, solution, best, budget.smoothing):
            pricing = _Pricing(problem, solution, point, sites, oracles, budget)
            pricing.ask(generator)
            best = pricing.better_than(best)
            found = pricing.chosen(master)
            if found:
                break
        record = pricing.record(n_added=len(found), n_dropped=dropped, began=began)
        rounds.append(record)
        if progress is not None:
            progress(record)
        missing = 1.0 if best is None else 1.0 - best.value / record.objective
        closed = budget.gap is not None and missing <= budget.gap
        late = budget.max_seconds is not None and record.seconds >= budget.max_seconds
        ended = not found and close == budget.tolerance  # a closer master might yet lack a column
        if ended or closed or late or len(rounds) >= budget.max_rounds:
            break
        master.add(found)
        close = budget.closeness(missing) if found else budget.tolerance
    if dropped:
        solution = master.solve(budget.closeness(missing))
    return _generated(master, solution, rounds, budget.tolerance, best)


def _points(
    problem: Problem, solution: Solution, best: LowerBound | None, smoothing: float
) -> Iterator[FloatArray]:
    """Yield the dual points to price until a column is found: drawn back, then the master's."""
    if best is not None and smoothing:
        drawn_back = smoothing * best.dual + (1.0 - smoothing) * solution.dual
        yield problem.loss.dual_in_domain(drawn_back, problem.encoded)
    yield solution.dual


def _generated(
    master: Master,
    solution: Solution,
    rounds: Sequence[Round],
    tolerance: float,
    bound: LowerBound | None,
) -> Generated:
    """What the rounds have grown; closed if the last one proves that no column is missing."""
    branches, places, dictionary = master.dictionary()
    last = rounds[-1]
    return Generated(
        branches=branches,
        sites=places,
        dictionary=dictionary,
        weights=master.weights,
        solution=solution,
        rounds=tuple(rounds),
        closed=last.exact_bound is not None and last.largest_ratio <= 1.0 + tolerance,
        bound=bound,
    )


@dataclass(frozen=True, eq=False)
class _Answer:
    """The neurons that an oracle proposes for a site, evaluated; the worst violator comes first."""

    label: str
    site: Site
    proposal: Proposal
    largest: float
    queue: deque[Candidate]


def _answer(
    label: str, problem: PricingProblem, site: Site, proposal: Proposal, least: float
) -> _Answer:
    """Evaluate a proposal; ratios of ``least`` or below violate nothing."""
    layer, largest = proposal.layer, proposal.largest_ratio or 0.0
    if layer is None or not layer.n_neurons:
        return _Answer(label, site, proposal, largest, deque())
    features = site.features(layer)
    ratios = problem.ratios(site, layer, features)
    found = columns_on(site, layer, features)
    queue = deque(found[j] for j in np.argsort(-ratios) if ratios[j] > least)
    return _Answer(label, site, proposal, max(float(ratios.max()), largest), queue)


@dataclass(eq=False)
class _Pricing:
    """One round: the master's solution, and what the oracles make of a dual point (m, C)."""

    problem: Problem
    solution: Solution
    point: FloatArray
    sites: Sequence[Site]
    oracles: Sequence[Oracle]
    budget: GenerationBudget
    answers: list[_Answer] = field(default_factory=list)

    def ask(self, generator: np.random.Generator) -> None:
        """Ask every oracle about every site."""
        n_asked = len(self.sites) * len(self.oracles)
        asked = PricingProblem(
            dual=self.point,
            penalty=self.problem.penalty,
            rho=self.problem.rho,
            n_wanted=max(1, 2 * self.budget.columns_per_round // n_asked),
        )
        for site in self.sites:
            for oracle in self.oracles:
                with threadpool_limits(limits=1, user_api="blas"):  # thin products: see `solve`
                    proposal = oracle.propose(asked, site, generator)
                label = f"{oracle.name}, {site.name}"
                least = 1.0 + self.budget.tolerance
                self.answers.append(_answer(label, asked, site, proposal, least))

    def chosen(self, master: Master) -> list[Candidate]:
        """Take the best violators of every oracle in turn: each pattern once, none twice.

        In turn, because the oracle with the largest ratios would otherwise crowd out the others,
        and with them the variety that keeps later rounds useful.
        """
        room = self.budget.max_columns - master.columns.n_columns
        room = min(self.budget.columns_per_round, room)
        taken: dict[bytes, Candidate] = {}
        queues = [answer.queue for answer in self.answers]
        while any(queues) and len(taken) < room:
            for queue in queues:
                while queue and (
                    queue[0].key in taken or not master.lacks(queue[0].key, queue[0].weight)
                ):
                    queue.popleft()
                if queue and len(taken) < room:
                    best = queue.popleft()
                    taken[best.key] = best
        return list(taken.values())

    def record(self, *, n_added: int, n_dropped: int, began: float) -> Round:
        """Return the round's record, with the bound that exact pricing gives."""
        certificate, bound = self.solution.certificate, self.bound
        return Round(
            objective=certificate.primal,
            bound=certificate.dual,
            n_columns=certificate.n_columns - 1,
            n_active=int(self.solution.W[:-1].any(axis=1).sum()),
            largest_ratio=self.largest,
            exact_bound=None if bound is None else bound.value,
            n_added=n_added,
            n_dropped=n_dropped,
            seconds=time.perf_counter() - began,
            oracles={a.label: Priced(a.largest, a.proposal.n_seen) for a in self.answers},
        )

    @property
    def largest(self) -> float:
        """Largest ratio that any oracle has found."""
        return max((answer.largest for answer in self.answers), default=0.0)

    def better_than(self, best: LowerBound | None) -> LowerBound | None:
        """Return the higher of two bounds: ``best``, and what exact pricing of the point gives."""
        bound = self.bound
        known = (each for each in (best, bound) if each is not None)
        return max(known, key=lambda each: each.value, default=None)

    @cached_property
    def bound(self) -> LowerBound | None:
        """The point scaled into feasibility over all that was priced, where that was exact."""
        exact = {id(a.site) for a in self.answers if a.proposal.largest_ratio is not None}
        if exact != {id(site) for site in self.sites}:
            return None
        return priced_bound(
            self.problem,
            self.point,
            self.largest,
            max_feature=self.sites[0].max_feature,
            least_weight=min(site.least_weight for site in self.sites),
        )
