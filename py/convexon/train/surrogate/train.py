"""Mini-batch surrogate-gradient training whose every iterate is an integer network.

Softmax cross-entropy on a float readout, Adam on latent weights and thresholds, the iterate that
does best on validation kept. Learning rates are in units of the grid: a rate of 0.01 moves a weight
by up to one hundredth of the largest one a batch, whatever the bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError, require_positive
from convexon.snn.network import Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.surrogate.model import EVALUATION_ENTRIES, SpikingNetwork
from convexon.train.surrogate.optimizer import GridOptimizer, cosine


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The settings of one training.

    It ends at the end of a batch after ``seconds`` of wall time, and the learning rate falls along
    half a cosine as the budget is spent, of epochs or of seconds, whichever is spent faster.
    Without ``seconds`` the same seed gives the same network on a CPU.
    """

    epochs: int = 60
    seconds: float | None = None
    batch_size: int = 128
    learning_rate: float = 0.01  # in units of the largest weight of each layer's grid
    input_dropout: float = 0.0  # share of the inputs that are left out at random
    label_smoothing: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(
            epochs=self.epochs,
            batch_size=self.batch_size,
            seconds=self.seconds,
            learning_rate=self.learning_rate,
        )
        for name in ("input_dropout", "label_smoothing"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be in 0..1, 1 excluded, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the training set came to; epoch 0 is the start."""

    epoch: int
    loss: float  # mean training loss over the batches; NaN for the start
    validation_loss: float  # of the integer network, without dropout
    validation_accuracy: float
    seconds: float  # since training began

    @property
    def merit(self) -> tuple[float, float]:
        """What the best epoch has the largest of: accuracy, then the loss below others'."""
        return self.validation_accuracy, -self.validation_loss


@dataclass(frozen=True, kw_only=True)
class Training:
    """A trained network, the best epoch's, and how it came about."""

    network: Network
    history: tuple[Epoch, ...]
    best: Epoch
    plan: TrainingPlan


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The samples to train on, and those to choose on.

    Labels have shape (samples,), or (samples, steps) for `ReadoutMode.STEP`.
    """

    train: SpikeDataset
    validation: SpikeDataset


def train(model: SpikingNetwork, lesson: Lesson, plan: TrainingPlan) -> Training:
    """Train ``model`` in place and return the best epoch's network, the start included.

    Raises `InputError` if the data sets do not fit each other, the model or its readout mode.
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
) -> Training:
    """Train with each learning rate, and return the training that is best on validation.

    Each rate gets a whole schedule on an equal part of the budget of ``plan``, in epochs and in
    seconds, from the model that ``build`` returns, the same at every call. Short trials followed by
    a long training would favour high rates, which a longer training does worse with.

    Raises `InputError` if there is no rate.
    """
    if not learning_rates:
        raise InputError("learning_rates must hold at least one rate, not none")
    share = 1.0 / len(learning_rates)
    trial = replace(
        plan,
        epochs=max(1, round(plan.epochs * share)),
        seconds=None if plan.seconds is None else plan.seconds * share,
    )
    trainings = [
        train(build(), lesson, replace(trial, learning_rate=rate)) for rate in learning_rates
    ]
    return max(trainings, key=lambda training: training.best.merit)


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
        readout = [model.readout_weights, model.readout_biases]
        unit = 1.0 / math.sqrt(model.readout_weights.shape[1])
        further = [{"params": readout, "lr": unit}]
        self.optimizer = GridOptimizer(model.spiking_layers, further)
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
            rate = self.plan.learning_rate * cosine(spent)
            total += self._step(rows, rate) * len(rows)
            count += len(rows)
        return total / count

    def _batches(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.inputs), generator=self.generator, device=self.device)
        return iter(order.split(self.plan.batch_size))

    def _step(self, rows: Tensor, rate: float) -> float:
        inputs = self.inputs[rows].to(self.model.readout_weights.dtype)
        scores = self.model(self._dropped(inputs))
        loss = self.loss(scores.flatten(0, 1), self.targets[rows].flatten())
        self.optimizer.step(loss, rate)
        self.steps_done += 1
        return float(loss.detach())

    def _dropped(self, inputs: Tensor) -> Tensor:
        """``inputs`` with a random share of them zero; not scaled, so that integers stay so."""
        if not self.plan.input_dropout:
            return inputs
        drawn = torch.rand(
            inputs.shape, generator=self.generator, dtype=inputs.dtype, device=inputs.device
        )
        return inputs * (drawn >= self.plan.input_dropout)


@torch.no_grad()
def _evaluated(
    model: SpikingNetwork, dataset: SpikeDataset, epoch: int, loss: float, started: float
) -> Epoch:
    """Loss and accuracy of the integer network on ``dataset``, in chunks."""
    model.eval()
    device = model.readout_weights.device
    widest = max(dataset.n_inputs, model.readout_weights.shape[1]) * dataset.n_steps
    size = max(1, EVALUATION_ENTRIES // widest)
    total, correct = 0.0, 0
    targets = _targets(dataset)
    inputs = _tensor(dataset.inputs, torch.device("cpu"))
    for chunk, wanted in zip(inputs.split(size), targets.split(size), strict=True):
        scores = model(chunk.to(device)).flatten(0, 1).cpu()
        labels = wanted.flatten()
        total += float(nn.functional.cross_entropy(scores, labels, reduction="sum"))
        correct += int((scores.argmax(dim=1) == labels).sum())
    return Epoch(
        epoch=epoch,
        loss=loss,
        validation_loss=total / targets.numel(),
        validation_accuracy=correct / targets.numel(),
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
