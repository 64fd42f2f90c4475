"""Addition in a base, with the carry as an input or without it (arXiv:2605.08022).

With the carry the task has no memory: whether ``a + b + c >= k`` is one threshold unit, and the
leak is chosen on validation. Without it the network has to carry by itself: units beside the
readout units excite themselves (`convexon.train.witnesses.threshold.self_exciting`), and pricing
finds which of them is the carry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from convexon.convex.model.loss import LossKind
from convexon.convex.model.penalty import GroupL2
from convexon.data.dataset import SpikeDataset
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.neuron import MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.snn.simulate import decisions, scores
from convexon.study.fit import Fitted, Plan, fit
from convexon.tasks.addition import Addition, Decide
from convexon.train.generation import GenerationBudget, Round
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.site import site_on
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.threshold import self_exciting
from convexon.train.witnesses.witness import WitnessFamily

LEAKS = (MEMORYLESS, Leak(1, 2), Leak(10, 10))
"""Leaks to choose from on validation; the last is about the paper's 0.99."""

N_TRAIN, N_VALIDATION, N_TEST, N_STEPS = 2304, 256, 1000, 6
"""Sums to train on, as in the paper; to choose on; to test on; and their digits."""


def data_of(task: Addition, *, seed: int) -> tuple[SpikeDataset, SpikeDataset]:
    """Return training and validation sums, teacher-forced."""
    generator = np.random.default_rng([seed, 11])
    train = task.dataset(N_TRAIN, N_STEPS, generator, name="train")
    return train, task.dataset(N_VALIDATION, N_STEPS, generator, name="validation")


def fresh_sums(task: Addition, *, seed: int) -> SpikeDataset:
    """Return fresh sums of the training length, teacher-forced: they have no say in any choice.

    In a small base some of them are training sums too, as there are few sums of that length.
    """
    generator = np.random.default_rng([seed, 17])
    return task.dataset(N_TEST, N_STEPS, generator, name="test")


def plan(
    task: Addition, leak: Leak, *, rhos: tuple[float, ...] = (1e-3,), readout_bits: int = 8
) -> Plan:
    """Return the plan for units of a leak; without the carry as an input they have none."""
    memoryless = leak == MEMORYLESS
    family = WitnessFamily(
        fan_in=3,
        alphabet=TERNARY,
        leak=leak,
        reset=Reset.NONE if memoryless else Reset.SUBTRACT,
    )
    mode = ReadoutMode.STEP
    budget = GenerationBudget(max_rounds=40, columns_per_round=64, tolerance=1e-5)
    if task.carry_input:
        return Plan(
            mode=mode,
            sites=lambda data, rows: [site_on(data, mode, rows, family, name="input")],
            oracles=[Enumeration()],
            loss=LossKind.SOFTMAX,
            penalty=GroupL2(),
            rhos=rhos,
            budget=budget,
            readout_bits=readout_bits,
        )
    return Plan(
        mode=mode,
        sites=lambda data, rows: [
            site_on(
                data,
                mode,
                rows,
                family,
                beside=self_exciting(data.inputs[:256], data.input_range, alphabet=TERNARY),
                name="beside self-exciting units",
            )
        ],
        oracles=[LocalSearch(n_candidates=64, n_moves=20)],
        loss=LossKind.SOFTMAX,
        penalty=GroupL2(),
        rhos=rhos,
        budget=budget,
        readout_bits=readout_bits,
    )


def fit_addition(
    task: Addition,
    *,
    seed: int,
    readout_bits: int = 8,
    progress: Callable[[Round], None] | None = None,
) -> tuple[Fitted, Leak]:
    """Fit a base; of the leaks the one that does best on validation is kept.

    Leaks are tried in order, from none of the past to most of it, and of equals the first is kept.
    """
    train, validation = data_of(task, seed=seed)
    best: tuple[Fitted, Leak] | None = None
    for leak in LEAKS if task.carry_input else LEAKS[:1]:
        chosen = plan(task, leak, readout_bits=readout_bits)
        fitted = fit(chosen, train, validation, seed=seed, progress=progress)
        if best is None or fitted.validation[fitted.rho] > best[0].validation[best[0].rho]:
            best = fitted, leak
        if best[0].validation[best[0].rho] == 1.0:
            break  # nothing can be better
    assert best is not None  # noqa: S101  # there is a leak
    return best


def decider(network: Network | FixedPointNetwork) -> Decide:
    """Return what `Addition.accuracy` asks: classes at every step of inputs of any length."""

    def decide(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        longer = replace(network, n_steps=inputs.shape[1])
        return decisions(scores(longer, inputs))

    return decide
