"""Fit a network by column generation, its regularisation chosen on validation samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convexon.convex.model.labels import targets_for
from convexon.convex.model.loss import LossKind, loss_for
from convexon.convex.model.penalty import Penalty
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.quantize.readout import quantize
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.neuron import ReadoutMode
from convexon.snn.simulate import decisions, scores
from convexon.train.columns.rows import Rows, distinct_rows, input_numbers
from convexon.train.generation import (
    Generated,
    GenerationBudget,
    Round,
    deepened,
    generate,
)
from convexon.train.master import Task
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.site import Cost, Site
from convexon.train.witnesses.reconstruct import reconstruct
from convexon.train.witnesses.witness import WitnessFamily

Sites = Callable[[SpikeDataset, Rows], Sequence[Site]]
"""Sites on a data set and its rows."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """How a network is fitted.

    Members
    -------
    mode : ReadoutMode
    sites : Sites
        Where neurons may stand.
    oracles : sequence of Oracle
    loss : LossKind
    penalty : Penalty
    rhos : tuple of float
        Strengths to choose from on validation.
    budget : GenerationBudget
    deeper : tuple of WitnessFamily
        Families of further layers: each reads the active neurons of the layer before, and only
        neurons of the last are kept.
    cost : Cost, optional
        Penalty weights of columns.
    readout_bits : int
        Bits of a readout weight on the card that validation measures.
    """

    mode: ReadoutMode
    sites: Sites
    oracles: Sequence[Oracle]
    loss: LossKind
    penalty: Penalty
    rhos: tuple[float, ...]
    budget: GenerationBudget
    deeper: tuple[WitnessFamily, ...] = ()
    cost: Cost | None = None
    readout_bits: int = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """A fitted network with what certifies it.

    Members
    -------
    rows : Rows
        Of the training samples.
    task : Task
        What was minimised.
    generated : Generated
        Solution over the dictionary that pricing grew.
    sites : sequence of Site
        Where its neurons stand.
    oracles : sequence of Oracle
        Those that priced them.
    network : Network
    card : FixedPointNetwork
    rho : float
        The strength that did best on validation.
    validation : mapping of float to float
        Accuracy by strength.
    """

    rows: Rows
    task: Task
    generated: Generated
    sites: Sequence[Site]
    oracles: Sequence[Oracle]
    network: Network
    card: FixedPointNetwork
    rho: float
    validation: Mapping[float, float]


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

    Raises
    ------
    InputError
        If the plan has no rho, or no rho leaves a neuron.
    SolverError
        If a master's gap is not reached.
    """
    if not plan.rhos:
        raise InputError("rhos must hold at least one strength, not none")
    rows = distinct_rows(train, plan.mode)
    sites = plan.sites(train, rows)
    best: Fitted | None = None
    accuracies: dict[float, float] = {}
    for rho in sorted(plan.rhos, reverse=True):
        generator = np.random.default_rng([seed, 7])
        task = _task(plan, rows, train.n_classes, rho)
        generated, last = _generated(plan, task, sites, generator, progress)
        if not last:
            continue
        network = reconstruct(
            generated.branches,
            generated.dictionary,
            generated.solution.W,
            n_steps=train.n_steps,
            input_bits=train.input_bits,
            readout_mode=plan.mode,
        )
        card = quantize(network, bits=plan.readout_bits)
        accuracies[rho] = accuracy(card, validation)
        if best is None or accuracies[rho] > accuracies[best.rho]:
            best = Fitted(
                rows=rows,
                task=task,
                generated=generated,
                sites=last,
                oracles=plan.oracles,
                network=network,
                card=card,
                rho=rho,
                validation=accuracies,
            )
    if best is None:
        raise InputError(
            f"rhos must leave a neuron active, not {plan.rhos!r}: lower them, "
            "or take more training samples"
        )
    return best


def _task(plan: Plan, rows: Rows, n_classes: int, rho: float) -> Task:
    """Return the program; two classes are told apart by one score, except by softmax."""
    single = plan.loss is LossKind.LOGISTIC or (
        n_classes == 2 and plan.loss is not LossKind.SOFTMAX
    )
    return Task(
        rows=rows,
        targets=targets_for(plan.loss, rows.labels, 1 if single else n_classes),
        loss=loss_for(plan.loss),
        penalty=plan.penalty,
        rho=rho,
        n_classes=1 if single else n_classes,
        cost=plan.cost,
    )


def _generated(
    plan: Plan,
    task: Task,
    sites: Sequence[Site],
    generator: np.random.Generator,
    progress: Callable[[Round], None] | None,
) -> tuple[Generated, Sequence[Site]]:
    """Grow the dictionary on the sites, then layer by layer on top; returns the last sites too.

    There are none of them where a layer is left with too few active neurons for the next.
    """
    generated = generate(
        task, sites, plan.oracles, budget=plan.budget, generator=generator, progress=progress
    )
    for depth, family in enumerate(plan.deeper, start=1):
        sites = [
            deepened(generated, site, family, name=f"layer {depth}")
            for site in sites
            if _n_active(generated, site) >= family.fan_in
        ]
        if not sites:
            return generated, ()
        generated = generate(
            task, sites, plan.oracles, budget=plan.budget, generator=generator, progress=progress
        )
    return generated, sites if generated.solution.W[:-1].any() else ()


def _n_active(generated: Generated, site: Site) -> int:
    """Return how many neurons of the site have a weight."""
    active = generated.solution.W[:-1].any(axis=1)
    places = generated.dictionary.witnesses[active, 0]
    return sum(generated.sites[b] is site for b in places)


def accuracy(network: Network | FixedPointNetwork, data: SpikeDataset) -> float:
    """Return the share of right decisions of a network, step by step where labels are."""
    labels = data.labels if data.has_step_labels else data.labels[:, None]
    return float((decisions(scores(network, data.inputs)) == labels).mean())


def held_out(train: SpikeDataset, share: float, *, seed: int) -> tuple[SpikeDataset, SpikeDataset]:
    """Split off ``share`` of the *distinct* inputs of a training set for validation.

    Copies of an input go to the same side, so validation asks for inputs that no fit has seen.

    Raises
    ------
    InputError
        If a side lacks a class.
    """
    groups = input_numbers(train)
    n_groups = int(groups.max()) + 1
    generator = np.random.default_rng([seed, 3])
    held = np.zeros(n_groups, dtype=bool)
    held[generator.permutation(n_groups)[: max(1, round(share * n_groups))]] = True
    side = held[groups]
    rest, validation = np.flatnonzero(~side), np.flatnonzero(side)
    for name, part in (("training", rest), ("validation", validation)):
        n_present = len(np.unique(train.labels[part]))
        if n_present < train.n_classes:
            raise InputError(
                f"{name} samples must have all {train.n_classes} classes when validation is held "
                f"out, not {n_present}: take longer strings or more training strings"
            )
    return train.take(rest), train.take(validation)
