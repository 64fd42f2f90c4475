"""Mini-batch surrogate-gradient training whose every iterate is an integer network.

Softmax cross-entropy on a float readout, Adam on latent weights and thresholds, the iterate that
does best on validation kept. Learning rates are in units of the grid: a rate of 0.01 moves a weight
by up to one hundredth of the largest one a batch, whatever the bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError, require_positive
from convexon.snn.network import Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.surrogate.layer import Surrogate
from convexon.train.surrogate.model import EVALUATION_ENTRIES, SpikingNetwork
from convexon.train.surrogate.optimizer import Decay, GridOptimizer


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The settings of one training.

    Members
    -------
    epochs : int
    seconds : float or None
        Wall time after which training ends, at the end of a batch. The schedule follows whichever
        budget is spent faster. With None, the same seed gives the same network on a CPU.
    batch_size : int
    learning_rate : float
        In units of the largest weight of each layer's grid.
    decay : Decay
    weight_decay : float
        Decoupled decay of the readout's weights.
    dropout, input_dropout : float
        Share of the features, and of the inputs, that are left out at random in training.
    label_smoothing : float
    surrogate : Surrogate
        What stands for the derivative of a spike.
    seed : int

    Raises
    ------
    InputError
        If a member is out of its range.
    """

    epochs: int = 60
    seconds: float | None = None
    batch_size: int = 128
    learning_rate: float = 0.01
    decay: Decay = Decay.COSINE
    weight_decay: float = 0.0
    dropout: float = 0.0
    input_dropout: float = 0.0
    label_smoothing: float = 0.0
    surrogate: Surrogate = field(default_factory=Surrogate)
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(
            epochs=self.epochs,
            batch_size=self.batch_size,
            seconds=self.seconds,
            learning_rate=self.learning_rate,
        )
        if not 0.0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay must be 0 or more, not {self.weight_decay!r}")
        for name in ("dropout", "input_dropout", "label_smoothing"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be in 0..1, 1 excluded, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the training set came to; epoch 0 is the start.

    Members
    -------
    epoch : int
    loss : float
        Mean training loss over the batches; NaN for the start.
    validation_loss, validation_accuracy : float
        Of the integer network, without dropout.
    firing : tuple of float
        Mean feature of each branch on validation: for spikes, the share that fires.
    seconds : float
        Since training began.
    """

    epoch: int
    loss: float
    validation_loss: float
    validation_accuracy: float
    firing: tuple[float, ...]
    seconds: float

    @property
    def merit(self) -> tuple[float, float]:
        """What the best epoch has the largest of: accuracy, then the loss below others'."""
        return self.validation_accuracy, -self.validation_loss


@dataclass(frozen=True, kw_only=True)
class Training:
    """A trained network and how it came about.

    Members
    -------
    network : Network
        The best epoch's: integer branches, and the readout.
    history : tuple of Epoch
    best : Epoch
    plan : TrainingPlan
    """

    network: Network
    history: tuple[Epoch, ...]
    best: Epoch
    plan: TrainingPlan


Progress = Callable[[Epoch], None]


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The samples to train on, and those to choose on.

    Labels have shape (samples,), or (samples, steps) for `ReadoutMode.STEP`.
    """

    train: SpikeDataset
    validation: SpikeDataset


def train(
    model: SpikingNetwork,
    lesson: Lesson,
    plan: TrainingPlan,
    *,
    progress: Progress | None = None,
) -> Training:
    """Train ``model`` in place and return the best epoch's network, the start included.

    Raises
    ------
    InputError
        If the data sets do not fit each other, the model or its readout mode.
    """
    _check(model, lesson)
    started = time.monotonic()
    train_set, validation = lesson.train, lesson.validation
    run = _Run(model, train_set, plan, started)
    history = [_evaluated(model, validation, 0, math.nan, started)]
    best, kept = history[0], _state(model)
    for epoch in range(1, plan.epochs + 1):
        loss = run.epoch()
        history.append(_evaluated(model, validation, epoch, loss, started))
        if history[-1].merit > best.merit:
            best, kept = history[-1], _state(model)
        if progress is not None:
            progress(history[-1])
        if run.spent() >= 1.0:
            break
    model.load_state_dict(kept)
    network = model.to_network(n_steps=train_set.n_steps, input_bits=train_set.input_bits)
    return Training(network=network, history=tuple(history), best=best, plan=plan)


def tuned(
    build: Callable[[], SpikingNetwork],
    lesson: Lesson,
    plan: TrainingPlan,
    *,
    learning_rates: Sequence[float],
    share: float = 1.0,
    progress: Progress | None = None,
) -> Training:
    """Choose the learning rate on validation, within the budget of ``plan``.

    Each rate gets a whole schedule on an equal part of ``share`` of the budget, in epochs and in
    seconds. If that leaves a rest, the best rate starts afresh with it. The best of all these
    trainings on validation is returned. Short trials favour high rates, which a longer training
    does worse with; hence the default, where all trials are as long as what is returned.

    Parameters
    ----------
    build : callable
        Returns the model to train, the same at every call.
    lesson, plan, progress
        As for `train`; the plan's own rate is not used.
    learning_rates : sequence of float
        A single one gets the whole budget.
    share : float
        Of the budget, for the trials.

    Raises
    ------
    InputError
        If there is no rate, or the share is not within 0..1, 0 excluded.
    """
    if not learning_rates:
        raise InputError("learning_rates must hold at least one rate, not none")
    if not 0.0 < share <= 1.0:
        raise InputError(f"share must be in 0..1, 0 excluded, not {share!r}")
    if len(learning_rates) == 1:
        share = 1.0

    def trained(rate: float, part: float) -> Training:
        trial = replace(_scaled(plan, part), learning_rate=rate)
        return train(build(), lesson, trial, progress=progress)

    trials = [trained(rate, share / len(learning_rates)) for rate in learning_rates]
    best = max(trials, key=lambda trial: trial.best.merit)
    if share == 1.0:
        return best
    final = trained(best.plan.learning_rate, 1.0 - share)
    return final if final.best.merit >= best.best.merit else best


def _scaled(plan: TrainingPlan, share: float) -> TrainingPlan:
    """``plan`` with a share of its budget, at least one epoch."""
    return replace(
        plan,
        epochs=max(1, round(plan.epochs * share)),
        seconds=None if plan.seconds is None else plan.seconds * share,
    )


class _Run:
    """The moving parts of one training: optimizer, random numbers, schedule."""

    def __init__(
        self, model: SpikingNetwork, dataset: SpikeDataset, plan: TrainingPlan, started: float
    ) -> None:
        self.model, self.plan, self.started = model, plan, started
        self.device = model.readout_weights.device
        self.generator = torch.Generator(self.device).manual_seed(plan.seed)
        self.inputs = _tensor(dataset.inputs, self.device)
        self.targets = _targets(dataset).to(self.device)
        self.loss = nn.CrossEntropyLoss(label_smoothing=plan.label_smoothing)
        self.optimizer = GridOptimizer(model.spiking_layers, readout_groups(model, plan))
        self.steps_done = 0
        self.steps_due = plan.epochs * math.ceil(dataset.n_samples / plan.batch_size)

    def spent(self) -> float:
        """Share of the budget that is spent, of epochs or of seconds, whichever is larger."""
        by_steps = self.steps_done / self.steps_due
        if self.plan.seconds is None:
            return by_steps
        return max(by_steps, (time.monotonic() - self.started) / self.plan.seconds)

    def epoch(self) -> float:
        """One pass over the samples in a new order; returns the mean loss."""
        total, count = 0.0, 0
        self.model.train()
        for rows in self._batches():
            spent = self.spent()
            if spent >= 1.0 and count:
                break
            rate = self.plan.learning_rate * self.plan.decay.factor(spent)
            total += self._step(rows, rate) * len(rows)
            count += len(rows)
        return total / count

    def _batches(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.inputs), generator=self.generator, device=self.device)
        return iter(order.split(self.plan.batch_size))

    def _step(self, rows: Tensor, rate: float) -> float:
        inputs = self.inputs[rows].to(self.model.readout_weights.dtype)
        inputs = self._dropped(inputs, self.plan.input_dropout)
        features = self.model.features(inputs)
        kept = self._dropped(features, self.plan.dropout) / (1.0 - self.plan.dropout)
        scores = self.model.scores(kept)
        loss = self.loss(scores.flatten(0, 1), self.targets[rows].flatten())
        self.optimizer.step(loss, rate)
        self.steps_done += 1
        return float(loss.detach())

    def _dropped(self, values: Tensor, share: float) -> Tensor:
        """``values`` with a random share of them zero; not scaled, so that integers stay so."""
        if not share:
            return values
        drawn = torch.rand(
            values.shape, generator=self.generator, dtype=values.dtype, device=values.device
        )
        return values * (drawn >= share)


def readout_groups(model: SpikingNetwork, plan: TrainingPlan) -> list[dict[str, Any]]:
    """Return the groups of the readout's parameters for `GridOptimizer`."""
    unit = 1.0 / math.sqrt(model.readout_weights.shape[1])
    return [
        {"params": [model.readout_weights], "lr": unit, "weight_decay": plan.weight_decay},
        {"params": [model.readout_biases], "lr": unit, "weight_decay": 0.0},
    ]


@torch.no_grad()
def _evaluated(
    model: SpikingNetwork, dataset: SpikeDataset, epoch: int, loss: float, started: float
) -> Epoch:
    """Loss, accuracy and firing of the integer network on ``dataset``, in chunks."""
    model.eval()
    device = model.readout_weights.device
    widest = max(dataset.n_inputs, model.readout_weights.shape[1]) * dataset.n_steps
    size = max(1, EVALUATION_ENTRIES // widest)
    total, correct, firing = 0.0, 0, torch.zeros(len(model.branches))
    targets = _targets(dataset)
    inputs = _tensor(dataset.inputs, torch.device("cpu"))
    widths = [branch.n_outputs for branch in model.branches]
    for chunk, wanted in zip(inputs.split(size), targets.split(size), strict=True):
        features = model.features(chunk.to(device))
        scores = model.scores(features).flatten(0, 1).cpu()
        labels = wanted.flatten()
        total += float(nn.functional.cross_entropy(scores, labels, reduction="sum"))
        correct += int((scores.argmax(dim=1) == labels).sum())
        means = [part.mean() for part in features.split(widths, dim=2)]
        firing += torch.stack(means).cpu() * (len(chunk) / len(inputs))
    return Epoch(
        epoch=epoch,
        loss=loss,
        validation_loss=total / targets.numel(),
        validation_accuracy=correct / targets.numel(),
        firing=tuple(firing.tolist()),
        seconds=time.monotonic() - started,
    )


def _check(model: SpikingNetwork, lesson: Lesson) -> None:
    """Raise `InputError` unless the data sets fit each other and the model."""
    train_set = lesson.train
    steps = model.mode is ReadoutMode.STEP
    n_inputs = model.spiking_layers[0].n_inputs
    n_classes = len(model.readout_biases)
    for name, dataset in (("train", train_set), ("validation", lesson.validation)):
        if dataset.has_step_labels != steps:
            raise InputError(
                f"{name} must have labels of shape (samples, steps) for readout mode step, and "
                f"(samples,) for every other, not {dataset.labels.shape} for {model.mode.value}"
            )
        shape = (train_set.n_steps, n_inputs, train_set.input_bits)
        if (dataset.n_steps, dataset.n_inputs, dataset.input_bits) != shape:
            raise InputError(
                f"{name} must have steps, inputs and input bits {shape}, "
                f"not {(dataset.n_steps, dataset.n_inputs, dataset.input_bits)}"
            )
        if dataset.n_classes != max(2, n_classes):
            raise InputError(
                f"{name} must have {max(2, n_classes)} classes, as the readout has, "
                f"not {dataset.n_classes}"
            )


def _state(model: SpikingNetwork) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _targets(dataset: SpikeDataset) -> Tensor:
    labels = dataset.labels.reshape(dataset.n_samples, -1)
    return torch.from_numpy(labels.copy())


def _tensor(inputs: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    # Data sets are read-only, and torch has no read-only tensors: what it shares it must not write.
    return torch.from_numpy(inputs.copy()).to(device)
