"""Addition digit by digit, beyond the length that was trained: `python benchmarks/addition.py`.

Training on sums of 6 digits is teacher-forced; tests are autoregressive, at once, twice, five and
ten times the length, 1000 sums each. ``joint`` is the share of steps at which both digit and carry
are right, ``sequence`` that of wholly right sums. Then the harder task, where no carry is an input.

Beside Convexon's method: the paper's (CVX); surrogate gradient, once with its leak chosen on
validation as ours is (``sg``) and once with the paper's leak (``sg_leaky``); the neurons of that
one, weighed by the convex program (``sg_cvx``); our solution, trained further (``cvx_sg``); a ridge
reservoir; and logistic regression on the input of a step. Writes benchmarks/results/addition.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from baselines import (
    PAPER_LEAK,
    logistic_on_raw,
    paper_method,
    ridge_reservoir,
    surrogate_gradient,
    trained_further,
    weighed,
)
from cells import Cells, Measure, arguments
from example import example

from convexon.data.dataset import SpikeDataset
from convexon.snn.neuron import MEMORYLESS, Leak

sums = example("addition")
LEAKS, N_STEPS, N_TRAIN = sums.LEAKS, sums.N_STEPS, sums.N_TRAIN
Addition, Decide, data_of, decider = sums.Addition, sums.Decide, sums.data_of, sums.decider

BASES = (2, 3, 5)
LENGTHS = (1, 2, 5, 10)
N_SUMS = 1000
WIDTHS = (256, 512)
"""P_rec and P_last of the paper, over both branches."""

CVX_RHOS = (1e-3, 1e-4)
CVX_SECONDS = 10.0
"""Wall time of one program of the paper's method."""

SG_RATES = (0.03, 0.1)


def tested(task: Addition, decide: Decide, seed: int) -> dict[str, float]:
    """Return joint and sequence accuracy at every length."""
    figures = {}
    for times in LENGTHS:
        generator = np.random.default_rng([seed, 13, times])
        joint, sequence = task.accuracy(
            decide, times * N_STEPS, n_samples=N_SUMS, generator=generator
        )
        figures |= {f"joint.{times}x": joint, f"sequence.{times}x": sequence}
    return figures


def convexon(task: Addition) -> Measure:
    """Return the measurement of Convexon's method: of its card."""

    def measure(seed: int) -> Mapping[str, float]:
        fitted, leak = sums.fit_addition(task, seed=seed)
        figures = {"neurons": float(fitted.card.n_neurons), "leak": leak.factor}
        return tested(task, decider(fitted.card), seed) | figures

    return measure


def baseline(task: Addition, fit: Callable[..., Decide]) -> Measure:
    """Return the measurement of a baseline that is fitted on (train, validation, seed)."""

    def measure(seed: int) -> Mapping[str, float]:
        train, validation = data_of(task, seed=seed)
        return tested(task, fit(train, validation, seed), seed)

    return measure


def baselines_of(task: Addition, sg_seconds: float) -> Mapping[str, tuple[str, Measure]]:
    """Return settings and measurement of every baseline."""
    trained_for = partial(
        surrogate_gradient, widths=WIDTHS, seconds=sg_seconds, learning_rates=SG_RATES
    )

    def sg(leaks: tuple[Leak, ...]) -> Measure:
        return baseline(
            task,
            lambda train, validation, seed: decider(
                trained_for(train, validation, seed=seed, leaks=leaks)
            ),
        )

    def sg_cvx(train: SpikeDataset, validation: SpikeDataset, seed: int) -> Decide:
        start = trained_for(train, validation, seed=seed, leaks=(PAPER_LEAK,))
        return decider(weighed(start, train, validation, rhos=CVX_RHOS, max_seconds=CVX_SECONDS))

    def cvx_sg(train: SpikeDataset, validation: SpikeDataset, seed: int) -> Decide:
        start = sums.fit_addition(task, seed=seed)[0].network
        return decider(trained_further(start, train, validation, seconds=sg_seconds, seed=seed))

    width = "/".join(map(str, WIDTHS))
    trained = f"K 2, P {width}, rates {SG_RATES}, {sg_seconds:g} s in all on a shared core"
    methods = {
        "cvx": (
            f"K 2, P {width}, leak 0.99, softmax, rho of {CVX_RHOS}, {CVX_SECONDS:g} s a program",
            baseline(
                task,
                lambda train, validation, seed: decider(
                    paper_method(
                        train,
                        validation,
                        widths=WIDTHS,
                        seed=seed,
                        rhos=CVX_RHOS,
                        max_seconds=CVX_SECONDS,
                    )
                ),
            ),
        ),
        "sg": (
            f"{trained}, leak of 0.99 and {0 if task.carry_input else 0.5} chosen on validation",
            sg((MEMORYLESS if task.carry_input else Leak(1, 1), PAPER_LEAK)),
        ),
        "sg_leaky": (f"{trained}, leak 0.99", sg((PAPER_LEAK,))),
        "sg_cvx": (
            f"neurons of sg_leaky, softmax, rho of {CVX_RHOS}, {CVX_SECONDS:g} s a program",
            baseline(task, sg_cvx),
        ),
        "cvx_sg": (f"our solution, {sg_seconds:g} s in all", baseline(task, cvx_sg)),
        "reservoir": (
            f"{WIDTHS[-1]} neurons, alpha chosen on validation",
            baseline(
                task,
                lambda train, validation, seed: decider(
                    ridge_reservoir(train, validation, n_neurons=WIDTHS[-1], seed=seed)
                ),
            ),
        ),
        "logistic": (
            "input of a step, strength chosen on validation",
            baseline(task, lambda train, validation, seed: logistic_on_raw(train, validation)),
        ),
    }
    stated = ("sg_leaky", "sg_cvx", "cvx_sg")  # of the paper's task alone
    return methods if task.carry_input else {k: methods[k] for k in methods if k not in stated}


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, sg_seconds=8.0, seeds=3)
    seeds = range(1 if options.quick else options.seeds)
    settings = f"n_train {N_TRAIN}, T {N_STEPS}, {N_SUMS} sums a length"
    cells = Cells("addition", seeds, settings, options)
    factors = ", ".join(f"{leak.factor:.2f}" for leak in LEAKS)
    for carry_input in (True, False):
        for base in (2,) if options.quick else BASES:
            task = Addition(base=base, carry_input=carry_input)
            name = f"addition.base{base}" + ("" if carry_input else ".nocarry")
            how = f"leak factor of {factors}" if carry_input else "self-exciting units"
            if options.only in ("", "convexon"):
                cells.measure(name, f"{how}, card with 8-bit readout", convexon(task))
            for method, (how, measure) in baselines_of(task, options.sg_seconds).items():
                if options.only not in ("", method):
                    continue
                cells.measure(f"{name}.{method}", how, measure)
    cells.write()


if __name__ == "__main__":
    main()
