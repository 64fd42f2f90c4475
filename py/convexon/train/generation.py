"""Column generation: a restricted master and pricing, in turn.

Sampling P witnesses is optimal over those P alone. Here the master is solved over the columns at
hand; its dual point prices what is missing; the worst violators join; columns that stay at zero
leave. It ends when no priced column violates its constraint, or a budget is spent. Each round
records what pricing found, so a reader sees whether proposals still help.

An exact oracle proves more: scaling the dual point by the largest ratio of its set makes it
feasible there, so its dual value bounds the objective of every network of the set (weak duality).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from convexon.convex.bounds.gap import rounded_dual
from convexon.convex.model.loss import UNIT, exact_sum
from convexon.convex.model.problem import Problem
from convexon.convex.solvers.solver import Solution
from convexon.errors import InputError, require_positive
from convexon.snn.fixed import Interval
from convexon.snn.network import Branch
from convexon.snn.simulate import layer_spikes
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import SpikeDictionary
from convexon.train.master import Candidate, Master
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

    def __post_init__(self) -> None:
        require_positive(
            max_rounds=self.max_rounds,
            max_columns=self.max_columns,
            columns_per_round=self.columns_per_round,
            patience=self.patience,
        )
        if not 0.0 < self.tolerance < 1.0:
            raise InputError(f"tolerance must lie within 0..1, not {self.tolerance!r}")


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
) -> Generated:
    """Grow a dictionary by pricing, from nothing but the intercept.

    Every oracle prices every site, each with the rows of the problem, in every round.

    Raises `InputError` if there is no site or no oracle; and `SolverError` if a master's gap is not
    reached.
    """
    budget = budget or GenerationBudget()
    if not sites or not oracles:
        raise InputError("sites and oracles must hold at least one each, not none")
    began = time.perf_counter()
    master = Master.empty(problem, sites[0].max_feature)
    rounds: list[Round] = []
    while True:
        solution = master.solve(budget.tolerance)
        pricing = _Pricing(problem, solution, sites, oracles, budget)
        pricing.ask(generator)
        dropped = master.drop_idle(budget.patience)
        found = pricing.chosen(master)
        record = pricing.record(n_added=len(found), n_dropped=dropped, began=began)
        rounds.append(record)
        if progress is not None:
            progress(record)
        late = budget.max_seconds is not None and record.seconds >= budget.max_seconds
        if not found or late or len(rounds) >= budget.max_rounds:
            break
        master.add(found)
    if dropped:
        solution = master.solve(budget.tolerance)
    return _generated(master, solution, rounds, budget.tolerance)


def _generated(
    master: Master, solution: Solution, rounds: Sequence[Round], tolerance: float
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
    ratios, weights = problem.ratios(site, layer, features), site.weights(layer)
    bits = BitColumns.pack(features, max_value=site.max_feature)
    keys = bits.keys()
    queue = deque(
        Candidate(
            site=site,
            layer=layer.restricted(np.array([j]), np.arange(layer.n_inputs)),
            column=bits.take(np.array([j])),
            key=keys[j],
            weight=float(weights[j]),
        )
        for j in np.argsort(-ratios)
        if ratios[j] > least
    )
    return _Answer(label, site, proposal, max(float(ratios.max()), largest), queue)


@dataclass(eq=False)
class _Pricing:
    """One round: the master's solution, and what the oracles make of its dual point."""

    problem: Problem
    solution: Solution
    sites: Sequence[Site]
    oracles: Sequence[Oracle]
    budget: GenerationBudget
    answers: list[_Answer] = field(default_factory=list)

    def ask(self, generator: np.random.Generator) -> None:
        """Ask every oracle about every site."""
        n_asked = len(self.sites) * len(self.oracles)
        asked = PricingProblem(
            dual=self.solution.dual,
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
        certificate = self.solution.certificate
        exact = {id(a.site) for a in self.answers if a.proposal.largest_ratio is not None}
        largest = max((answer.largest for answer in self.answers), default=0.0)
        every = exact == {id(site) for site in self.sites}
        return Round(
            objective=certificate.primal,
            bound=certificate.dual,
            n_columns=certificate.n_columns - 1,
            n_active=int(self.solution.W[:-1].any(axis=1).sum()),
            largest_ratio=largest,
            exact_bound=self._bound(largest) if every else None,
            n_added=n_added,
            n_dropped=n_dropped,
            seconds=time.perf_counter() - began,
            oracles={a.label: Priced(a.largest, a.proposal.n_seen) for a in self.answers},
        )

    def _bound(self, largest: float) -> float:
        """Return the dual value of the point scaled into feasibility over all that was priced.

        A lower bound in exact arithmetic: what rounding can hide of a ratio is added to it, the
        scaled point is put back into the conjugate's domain, and its value is rounded down.
        """
        loss, encoded = self.problem.loss, self.problem.encoded
        dual, top = self.solution.dual, self.sites[0].max_feature
        least = self.problem.rho * min(site.least_weight for site in self.sites)
        hidden = (len(dual) + 8) * UNIT * top * float(np.abs(dual).sum())
        scale = max(1.0, (largest + hidden / least) * (1.0 + 8.0 * UNIT))
        while True:
            point = loss.dual_in_domain(dual / scale, encoded)
            # No dual norm of a column moves by more than the entries of the point do in all.
            moved = top * exact_sum(np.abs(point - dual / scale)) * (1.0 + 8.0 * UNIT)
            reached = (largest + hidden / least) / scale + moved / least
            if reached * (1.0 + 16.0 * UNIT) <= 1.0:
                return rounded_dual(loss, encoded, point)
            scale *= reached * (1.0 + 64.0 * UNIT)
