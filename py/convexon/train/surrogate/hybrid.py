"""Surrogate gradient beside and together with the convex program.

arXiv:2605.08022 names the hybrids. SG: a network trained end to end (`train_end_to_end`). SG-CVX:
the branches of trained networks as witnesses of the convex program. CVX then SG: a reconstructed
solution that is trained further (`fine_tune`). All of them stay on the integer grid throughout, so
none has a gap between what was trained and what is deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convexon.snn.network import Branch, Network
from convexon.snn.neuron import ReadoutMode
from convexon.snn.simulate import accuracy
from convexon.train.surrogate.grid import WeightGrid
from convexon.train.surrogate.lower import lifted, split, stacked
from convexon.train.surrogate.model import LayerPlan, SpikingNetwork, drawn_network, network_from
from convexon.train.surrogate.train import Lesson, Training, TrainingPlan, tuned

LEARNING_RATES = (0.03, 0.1, 0.3)
"""Rates that a training from random weights is tuned over."""

FINE_TUNING_RATES = (0.003, 0.01, 0.03)
"""Rates that fine-tuning is tuned over: lower, as the start is already good."""


def train_end_to_end(
    stacks: Sequence[Sequence[LayerPlan]],
    lesson: Lesson,
    mode: ReadoutMode,
    plan: TrainingPlan,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    lower: Branch | None = None,
) -> Training:
    """Train a network end to end from random weights, its learning rate chosen on validation.

    Parameters
    ----------
    stacks : sequence of sequences of LayerPlan
        The layers to train of each parallel branch.
    lesson : Lesson
    mode : ReadoutMode
    plan : TrainingPlan
        Its budget covers the choice of the rate too.
    learning_rates : sequence of float
        One rate is not tuned: it gets the whole budget.
    lower : Branch or None
        Fixed layers below all stacks, such as delays; part of every branch that is returned.

    Raises
    ------
    InputError, FormatError
        As `drawn_network`, `train` and `tuned`.
    """
    last_only = all(layer.family.memoryless for stack in stacks for layer in stack)
    above = _lifted(lesson, lower, mode, last_only)

    def build() -> SpikingNetwork:
        return drawn_network(
            stacks,
            above.train,
            mode=mode,
            surrogate=plan.surrogate,
            generator=np.random.default_rng(plan.seed),
        )

    result = tuned(build, above, plan, learning_rates=learning_rates)
    return replace(result, network=stacked(result.network, lower, lesson.train))


def fine_tune(
    network: Network,
    lesson: Lesson,
    plan: TrainingPlan,
    *,
    learning_rates: Sequence[float] = FINE_TUNING_RATES,
    grids: Sequence[Sequence[WeightGrid]] | None = None,
    fixed_layers: int = 0,
) -> Training:
    """Train a reconstructed network further, hidden part and readout (CVX then SG).

    The result is on the same grid, and on validation never worse than ``network``, by the exact
    simulation: where training does not help, it is ``network`` itself, and `Training.best` is
    epoch 0.

    Parameters
    ----------
    network : Network
    lesson : Lesson
    plan : TrainingPlan
        Its budget covers the choice of the rate too.
    learning_rates : sequence of float
    grids : sequence, one a branch, of sequences, one a trained layer, of WeightGrid; or None
        None keeps every layer's format and fan-in.
    fixed_layers : int
        First layers, which all branches share, that stay as they are.

    Raises
    ------
    InputError, FormatError
        As `network_from`, `train` and `tuned`, or if the branches do not share the fixed layers.
    """
    lower, upper = split(network, fixed_layers)
    last_only = all(layer.memoryless for branch in upper.branches for layer in branch.layers)
    above = _lifted(lesson, lower, network.readout_mode, last_only)
    upper = replace(upper, n_steps=above.train.n_steps)

    def build() -> SpikingNetwork:
        return network_from(upper, grids=grids, surrogate=plan.surrogate)

    result = tuned(build, above, plan, learning_rates=learning_rates)
    result = replace(result, network=stacked(result.network, lower, lesson.train))
    start, held = result.history[0], lesson.validation
    # Training reads out in floats of its own; what counts is what the network does in float64.
    before, after = (accuracy(n, held.inputs, held.labels) for n in (network, result.network))
    helped = result.best.epoch > 0 and after >= before
    return result if helped else replace(result, network=network, best=start)


def _lifted(lesson: Lesson, lower: Branch | None, mode: ReadoutMode, last_only: bool) -> Lesson:
    """The samples as layers above ``lower`` see them."""
    seen, held = (
        lifted(data, lower, mode=mode, memoryless=last_only)
        for data in (lesson.train, lesson.validation)
    )
    return Lesson(train=seen, validation=held)
