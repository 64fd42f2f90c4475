"""Surrogate gradient beside and together with the convex program.

arXiv:2605.08022 names the hybrids. SG: a network trained end to end (`surrogate_baseline`). SG-CVX:
the neurons of trained networks as witnesses of the convex program (`surrogate_witnesses`). CVX then
SG: a reconstructed solution that is trained further (`fine_tune`). All of them stay on the integer
grid throughout, so none has a gap between what was trained and what is deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.network import Branch, Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.surrogate.grid import WeightGrid
from convexon.train.surrogate.layer import Surrogate
from convexon.train.surrogate.lower import lifted, memoryless, split, stacked
from convexon.train.surrogate.model import LayerPlan, SpikingNetwork, drawn_network, network_from
from convexon.train.surrogate.train import Progress, Training, TrainingPlan, accuracy, tuned

LEARNING_RATES = (0.03, 0.1, 0.3)
"""Rates that a training from random weights is tuned over."""

FINE_TUNING_RATES = (0.003, 0.01, 0.03)
"""Rates that fine-tuning is tuned over: lower, as the start is already good."""

Stacks = Sequence[Sequence[LayerPlan]]


def surrogate_baseline(
    stacks: Stacks,
    train_set: SpikeDataset,
    validation: SpikeDataset,
    *,
    mode: ReadoutMode,
    plan: TrainingPlan,
    learning_rates: Sequence[float] = LEARNING_RATES,
    surrogate: Surrogate | None = None,
    lower: Branch | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train a network end to end from random weights, its learning rate chosen on validation.

    Parameters
    ----------
    stacks : sequence of sequences of LayerPlan
        The layers to train of each parallel branch.
    train_set, validation : SpikeDataset
    mode : ReadoutMode
    plan : TrainingPlan
        Its budget covers the choice of the rate too.
    learning_rates : sequence of float
        One rate is not tuned: it gets the whole budget.
    surrogate : Surrogate or None
        None for the default one.
    lower : Branch or None
        Fixed layers below all stacks, such as delays; part of every branch that is returned.
    progress : callable, optional
        Called with each `Epoch`.

    Raises
    ------
    InputError, FormatError
        As `drawn_network`, `train` and `tuned`.
    """
    last_only = all(layer.memoryless for stack in stacks for layer in stack)
    seen, held = (
        lifted(dataset, lower, mode=mode, memoryless=last_only)
        for dataset in (train_set, validation)
    )

    def build() -> SpikingNetwork:
        return drawn_network(
            stacks,
            seen,
            mode=mode,
            surrogate=surrogate or Surrogate(),
            generator=np.random.default_rng(plan.seed),
        )

    result = tuned(build, seen, held, plan, learning_rates=learning_rates, progress=progress)
    return replace(result, network=stacked(result.network, lower, train_set))


def surrogate_witnesses(
    stacks: Stacks,
    train_set: SpikeDataset,
    validation: SpikeDataset,
    *,
    mode: ReadoutMode,
    plan: TrainingPlan,
    n_networks: int = 1,
    learning_rates: Sequence[float] = LEARNING_RATES,
    surrogate: Surrogate | None = None,
    lower: Branch | None = None,
    progress: Progress | None = None,
) -> tuple[Branch, ...]:
    """Return the branches of surrogate-trained networks: witnesses for the program (SG-CVX).

    The networks differ by seed, from the plan's on, and share its budget in seconds evenly. The
    first one chooses the learning rate for all. Other parameters as for `surrogate_baseline`.

    Raises
    ------
    InputError
        If there is no network to train, and as `surrogate_baseline`.
    """
    if n_networks < 1:
        raise InputError(f"n_networks must be at least 1, not {n_networks!r}")
    seconds = None if plan.seconds is None else plan.seconds / n_networks
    branches: list[Branch] = []
    rates = learning_rates
    for k in range(n_networks):
        result = surrogate_baseline(
            stacks,
            train_set,
            validation,
            mode=mode,
            plan=replace(plan, seconds=seconds, seed=plan.seed + k),
            learning_rates=rates,
            surrogate=surrogate,
            lower=lower,
            progress=progress,
        )
        branches += result.network.branches
        rates = (result.plan.learning_rate,)
    return tuple(branches)


def fine_tune(
    network: Network,
    train_set: SpikeDataset,
    validation: SpikeDataset,
    *,
    plan: TrainingPlan,
    learning_rates: Sequence[float] = FINE_TUNING_RATES,
    grids: Sequence[Sequence[WeightGrid]] | None = None,
    fixed_layers: int = 0,
    surrogate: Surrogate | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train a reconstructed network further, hidden part and readout (CVX then SG).

    The result is on the same grid, and on validation never worse than ``network``, by the exact
    simulation: where training does not help, it is ``network`` itself, and `Training.best` is
    epoch 0.

    Parameters
    ----------
    network : Network
    train_set, validation : SpikeDataset
    plan : TrainingPlan
        Its budget covers the choice of the rate too.
    learning_rates : sequence of float
    grids : sequence, one a branch, of sequences, one a trained layer, of WeightGrid; or None
        None keeps every layer's format and fan-in.
    fixed_layers : int
        First layers, which all branches share, that stay as they are.
    surrogate : Surrogate or None
    progress : callable, optional

    Raises
    ------
    InputError, FormatError
        As `network_from`, `train` and `tuned`, or if the branches do not share the fixed layers.
    """
    lower, upper = split(network, fixed_layers)
    last_only = all(memoryless(layer) for branch in upper.branches for layer in branch.layers)
    seen, held = (
        lifted(dataset, lower, mode=network.readout_mode, memoryless=last_only)
        for dataset in (train_set, validation)
    )
    upper = replace(upper, n_steps=seen.n_steps)

    def build() -> SpikingNetwork:
        return network_from(upper, grids=grids, surrogate=surrogate or Surrogate())

    result = tuned(build, seen, held, plan, learning_rates=learning_rates, progress=progress)
    result = replace(result, network=stacked(result.network, lower, train_set))
    start = result.history[0]
    # Training reads out in floats of its own; what counts is what the network does in float64.
    helped = result.best.epoch > 0 and (
        accuracy(result.network, validation) >= accuracy(network, validation)
    )
    return result if helped else replace(result, network=network, best=start)
