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

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.models.simulate import accuracy
from convexon.snn.network import Branch, Layer, Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.dictionary import patterns
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

    ``stacks`` are the layers to train of each parallel branch. ``lower`` are fixed layers below all
    of them, such as delays, and part of every branch that is returned. The budget of ``plan``
    covers the choice of the rate too.

    Raises `InputError` and `FormatError` as `drawn_network`, `train` and `tuned`.
    """
    last_only = all(layer.family.memoryless for stack in stacks for layer in stack)
    above = _above(lesson, lower, mode, last_only)

    def build() -> SpikingNetwork:
        generator = np.random.default_rng(plan.seed)
        return drawn_network(stacks, above.train, mode=mode, generator=generator)

    result = tuned(build, above, plan, learning_rates=learning_rates)
    return replace(result, network=_stacked(result.network, lower, lesson.train))


def fine_tune(
    network: Network,
    lesson: Lesson,
    plan: TrainingPlan,
    *,
    learning_rates: Sequence[float] = FINE_TUNING_RATES,
    fixed_layers: int = 0,
) -> Training:
    """Train a reconstructed network further, hidden part and readout (CVX then SG).

    The result keeps every layer's format and fan-in, and on validation it is never worse than
    ``network``, by the exact simulation: where training does not help, it is ``network`` itself,
    and `Training.best` is epoch 0. The first ``fixed_layers``, which all branches share, stay as
    they are. The budget of ``plan`` covers the choice of the rate too.

    Raises `InputError` and `FormatError` as `network_from`, `train` and `tuned`, or if the branches
    do not share the fixed layers.
    """
    lower, upper = _split(network, fixed_layers)
    last_only = all(layer.memoryless for branch in upper.branches for layer in branch.layers)
    above = _above(lesson, lower, network.readout_mode, last_only)
    upper = replace(upper, n_steps=above.train.n_steps)
    result = tuned(lambda: network_from(upper), above, plan, learning_rates=learning_rates)
    result = replace(result, network=_stacked(result.network, lower, lesson.train))
    start, held = result.history[0], lesson.validation
    # Training reads out in floats of its own; what counts is what the network does in float64.
    before, after = (accuracy(n, held.inputs, held.labels) for n in (network, result.network))
    helped = result.best.epoch > 0 and after >= before
    return result if helped else replace(result, network=network, best=start)


def _above(lesson: Lesson, lower: Branch | None, mode: ReadoutMode, last_only: bool) -> Lesson:
    """The samples as layers above ``lower`` see them."""
    seen, held = (
        _lifted(data, lower, mode=mode, memoryless=last_only)
        for data in (lesson.train, lesson.validation)
    )
    return Lesson(train=seen, validation=held)


def _lifted(
    dataset: SpikeDataset, lower: Branch | None, *, mode: ReadoutMode, memoryless: bool
) -> SpikeDataset:
    """Return ``dataset`` as layers above ``lower`` see it.

    Where these are ``memoryless`` and the readout looks at the last step, they see that step alone.

    Raises `InputError` if the inputs of ``lower`` are not those of the data set.
    """
    last_only = memoryless and mode in (ReadoutMode.LAST, ReadoutMode.SIGN)
    if lower is None:
        return replace(dataset, inputs=dataset.inputs[:, -1:]) if last_only else dataset
    if lower.n_inputs != dataset.n_inputs:
        raise InputError(
            f"lower must have the {dataset.n_inputs} inputs of the data set, not {lower.n_inputs}"
        )
    readout = ReadoutMode.LAST if last_only else ReadoutMode.STEP
    seen = patterns([lower], dataset, readout).reshape(dataset.n_samples, -1, lower.n_outputs)
    return replace(dataset, inputs=seen, input_bits=1)


def _stacked(network: Network, lower: Branch | None, dataset: SpikeDataset) -> Network:
    """Return ``network``, trained on what `_lifted` made of ``dataset``, on top of ``lower``."""
    below = () if lower is None else lower.layers
    return replace(
        network,
        branches=tuple(Branch((*below, *branch.layers)) for branch in network.branches),
        n_steps=dataset.n_steps,
        input_bits=dataset.input_bits,
    )


def _split(network: Network, depth: int) -> tuple[Branch | None, Network]:
    """Split off the first ``depth`` layers, which all branches must share.

    Returns them, None for no layer, and the network of the layers above, whose ``n_steps`` is
    still that of the whole.

    Raises `InputError` if a branch has no layer above them, or the branches do not share them.
    """
    shallowest = min(branch.depth for branch in network.branches)
    if not 0 <= depth < shallowest:
        raise InputError(f"fixed_layers must be 0 to {shallowest - 1}, not {depth!r}")
    if not depth:
        return None, network
    lower = network.branches[0].layers[:depth]
    for branch in network.branches[1:]:
        if not all(map(_same, lower, branch.layers[:depth])):
            raise InputError(
                f"branches must share their first {depth} layers to have them fixed: keep those "
                "unpruned"
            )
    upper = tuple(Branch(branch.layers[depth:]) for branch in network.branches)
    return Branch(lower), replace(network, branches=upper, input_bits=1)


def _same(one: Layer, other: Layer) -> bool:
    """Whether two layers compute the same."""
    arrays = ("weights", "thresholds", "biases", "recurrent")
    rest = ("leak", "reset", "saturation")
    return all(np.array_equal(getattr(one, a), getattr(other, a)) for a in arrays) and all(
        getattr(one, r) == getattr(other, r) for r in rest
    )
