"""Fit a network by column generation, its regularisation strength chosen on validation samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from convexon.convex.model.loss import Loss
from convexon.convex.model.penalty import Penalty
from convexon.convex.model.problem import Problem
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import path
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.quantizer.readout import quantize
from convexon.snn.models.simulate import accuracy
from convexon.snn.network import Branch, FixedPointNetwork, Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.dictionary import SpikeDictionary
from convexon.train.columns.rows import Rows, distinct_rows
from convexon.train.generation import Generated, GenerationBudget, Round, deepened, generate
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.site import Site
from convexon.train.witnesses.reconstruct import reconstruct
from convexon.train.witnesses.witness import WitnessFamily

Sites = Callable[[SpikeDataset, Rows], Sequence[Site]]
"""Sites on a data set and its rows."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """How a network is fitted."""

    mode: ReadoutMode
    sites: Sites  # where neurons may stand
    oracles: Sequence[Oracle]
    loss: Loss  # two classes are told apart by one score where the loss can do so
    penalty: Penalty
    rhos: tuple[float, ...]  # regularisation strengths to choose from on validation
    budget: GenerationBudget
    # Of further layers, each of which reads the active neurons of the one before; the last stays.
    deeper: tuple[WitnessFamily, ...] = ()
    readout_bits: int = 8  # bits of a readout weight on the card that validation measures


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """A fitted network with what certifies it."""

    problem: Problem  # what was minimised, over the distinct training rows
    generated: Generated  # solution over the dictionary that pricing grew
    sites: Sequence[Site]  # where its neurons stand
    oracles: Sequence[Oracle]  # those that priced them
    network: Network
    card: FixedPointNetwork
    validation: Mapping[float, float]  # accuracy by regularisation strength

    @property
    def rho(self) -> float:
        """The regularisation strength that did best on validation."""
        return self.problem.rho

    @property
    def score(self) -> float:
        """Accuracy on validation."""
        return self.validation[self.rho]


def fit(
    plan: Plan,
    train: SpikeDataset,
    validation: SpikeDataset,
    *,
    seed: int,
    progress: Callable[[Round], None] | None = None,
) -> Fitted:
    """Fit on ``train`` for every rho of the plan; keep the one that is best on ``validation``.

    Of equals the larger rho is kept, whose network is the sparser. A rho that leaves no neuron,
    or too few in a layer for the next to read, is passed over.

    Raises `InputError` if the plan has no rho, or no rho leaves a neuron; and `SolverError` if a
    master's gap is not reached.
    """
    if not plan.rhos:
        raise InputError("rhos must hold at least one strength, not none")
    rows = distinct_rows(train, plan.mode)
    sites = plan.sites(train, rows)
    n_outputs = plan.loss.outputs_for(train.n_classes, single=True)
    best: Fitted | None = None
    reached: dict[float, float] = {}
    for rho in sorted(plan.rhos, reverse=True):
        problem = rows.problem(plan.loss, plan.penalty, rho, n_outputs=n_outputs)
        generator = np.random.default_rng([seed, 7])
        generated, last = _generated(plan, problem, sites, generator, progress)
        if not last:
            continue
        rebuild = rebuilding(generated.branches, generated.dictionary, train, plan.mode)
        network = rebuild(generated.solution.W)
        card = quantize(network, bits=plan.readout_bits)
        reached[rho] = accuracy(card, validation.inputs, validation.labels)
        if best is None or reached[rho] > best.score:
            best = Fitted(
                problem=problem,
                generated=generated,
                sites=last,
                oracles=plan.oracles,
                network=network,
                card=card,
                validation=reached,
            )
    if best is None:
        raise InputError(
            f"rhos must leave a neuron active, not {plan.rhos!r}: lower them, "
            "or take more training samples"
        )
    return best


Rebuild = Callable[[FloatArray], Network]
"""The network of weights (P + 1, C) of a dictionary's columns and the always-firing one."""


def rebuilding(
    branches: Sequence[Branch], dictionary: SpikeDictionary, data: SpikeDataset, mode: ReadoutMode
) -> Rebuild:
    """Return what makes networks of a dictionary's weights, for samples like those of ``data``."""
    return partial(
        reconstruct,
        branches,
        dictionary,
        n_steps=data.n_steps,
        input_bits=data.input_bits,
        readout_mode=mode,
    )


def best_on_path(
    program: ConvexProgram,
    rebuild: Rebuild,
    validation: SpikeDataset,
    *,
    rhos: Sequence[float],
    tolerance: float,
    start: FloatArray | None = None,
    max_seconds: float | None = None,
) -> Network:
    """Weigh the columns of a program anew for every rho; return the network best on validation.

    Of equals that of the larger rho is kept, whose network is the sparser.

    Raises `InputError` if no rho leaves a neuron; and `SolverError` if a gap is not reached, and no
    time was set.

    The program is over a dictionary and, last, the always-firing column; its own rho does not
    matter. The largest rho starts from ``start``, (P + 1, C), or from zeros. The time is for each
    rho; the best weights that were found by then are taken.
    """
    ordered = sorted(rhos, reverse=True)
    solutions = path(program, ordered, tolerance=tolerance, start=start, max_seconds=max_seconds)
    networks = [rebuild(solution.W) for solution in solutions if solution.W[:-1].any()]
    if not networks:
        raise InputError(f"rhos must leave a neuron active, not {tuple(rhos)!r}: lower them")
    return max(networks, key=lambda n: accuracy(n, validation.inputs, validation.labels))


def _generated(
    plan: Plan,
    problem: Problem,
    sites: Sequence[Site],
    generator: np.random.Generator,
    progress: Callable[[Round], None] | None,
) -> tuple[Generated, Sequence[Site]]:
    """Grow the dictionary on the sites, then layer by layer on top; returns the last sites too.

    There are none of them where a layer is left with too few active neurons for the next.
    """

    def grown(on: Sequence[Site]) -> Generated:
        return generate(
            problem, on, plan.oracles, budget=plan.budget, generator=generator, progress=progress
        )

    generated = grown(sites)
    for depth, family in enumerate(plan.deeper, start=1):
        sites = [
            deepened(generated, site, family, name=f"layer {depth}")
            for site in sites
            if len(generated.active(site)) >= family.fan_in
        ]
        if not sites:
            return generated, ()
        generated = grown(sites)
    return generated, sites if generated.solution.W[:-1].any() else ()
