"""Random finite automata on strings that were not trained on: `python benchmarks/automata.py`.

Strings of 9 symbols, 5000 drawn for training, in the shape of arXiv:2605.08022: with two symbols
there are 512 strings, and a quarter of them are the test. Convexon's method beside the paper's
(CVX), surrogate gradient (SG), SG's neurons weighed by the convex program (SG-CVX), our solution
trained further (CVX then SG), a ridge reservoir and logistic regression on the symbols, each tuned
on the same fifth of the distinct training strings. Writes benchmarks/results/automata.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from baselines import (
    logistic_on_raw,
    on_test,
    paper_method,
    ridge_reservoir,
    right_on,
    surrogate_gradient,
    trained_further,
    weighed,
)
from cells import Cells, Measure, arguments
from example import example

from convexon.data.dataset import SpikeDataset
from convexon.snn.network import Network

automata, strings = example("automata"), example("strings")

CELLS = ((3, 2), (5, 2), (8, 2), (3, 4), (5, 4), (8, 4))
"""States and symbols; the seed draws the automaton, the strings and the fit."""

LENGTH, N_TRAIN, N_TEST = 9, 5000, 2000
WIDTH = 500
SG_WIDTH = 256
SG_RATES = (0.03, 0.1)
CVX_RHOS = (1e-2, 1e-3, 1e-4)
CVX_SECONDS = 5.0
"""Wall time of one program of the paper's method."""


def methods_of(
    n_states: int, n_symbols: int, sg_seconds: float
) -> Mapping[str, tuple[str, Measure]]:
    """Return settings and measurement of every method on one size of automaton."""

    def split(seed: int) -> tuple[SpikeDataset, SpikeDataset, SpikeDataset]:
        task = strings.random_automaton(
            n_states=n_states, n_symbols=n_symbols, length=LENGTH, seed=seed
        )
        train, test = task.split(N_TRAIN, N_TEST, seed=seed)
        return *strings.held_out(train, seed=seed), test

    def convexon(seed: int) -> Mapping[str, float]:
        train, validation, test = split(seed)
        card = automata.fit_automaton(train, validation, seed=seed).card
        return {"": right_on(card, test), "neurons": card.n_neurons}

    trained = partial(
        surrogate_gradient,
        widths=(SG_WIDTH, SG_WIDTH),
        seconds=sg_seconds,
        learning_rates=SG_RATES,
    )

    def sg_cvx(train: SpikeDataset, validation: SpikeDataset, *, seed: int) -> Network:
        start = trained(train, validation, seed=seed)
        return weighed(start, train, validation, rhos=CVX_RHOS, max_seconds=CVX_SECONDS)

    def cvx_sg(train: SpikeDataset, validation: SpikeDataset, *, seed: int) -> Network:
        start = automata.fit_automaton(train, validation, seed=seed).network
        return trained_further(start, train, validation, seconds=sg_seconds, seed=seed)

    return {
        "convexon": (
            f"rho and fan-in of {automata.FAN_INS} on validation, 8-bit readout",
            convexon,
        ),
        "cvx": (
            f"K 2, L 3, P {WIDTH}, leak 0.99, rho of {CVX_RHOS}, {CVX_SECONDS:g} s a program",
            on_test(
                split,
                partial(
                    paper_method, widths=(WIDTH, WIDTH), rhos=CVX_RHOS, max_seconds=CVX_SECONDS
                ),
            ),
        ),
        "sg": (
            f"K 2, L 3, {SG_WIDTH} neurons a layer, leak 0.99, rates {SG_RATES}, {sg_seconds:g} s "
            "in all on a shared core",
            on_test(split, trained),
        ),
        "sg_cvx": (
            f"neurons of sg, rho of {CVX_RHOS}, {CVX_SECONDS:g} s a program",
            on_test(split, sg_cvx),
        ),
        "cvx_sg": (f"our solution, {sg_seconds:g} s in all", on_test(split, cvx_sg)),
        "reservoir": (
            f"{WIDTH} neurons, alpha and readout chosen on validation",
            on_test(split, partial(ridge_reservoir, n_neurons=WIDTH)),
        ),
        "logistic": (
            "one-hot symbols, strength chosen on validation",
            on_test(split, logistic_on_raw),
        ),
    }


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, sg_seconds=12.0, seeds=2)
    seeds = range(1 if options.quick else options.seeds)
    settings = f"strings of {LENGTH}, n_train {N_TRAIN}, disjoint"
    cells = Cells("automata", seeds, settings, options)
    for n_states, n_symbols in CELLS[:1] if options.quick else CELLS:
        for method, (how, measure) in methods_of(n_states, n_symbols, options.sg_seconds).items():
            if options.only in ("", method):
                cells.measure(f"automata.s{n_states}.a{n_symbols}.{method}", how, measure)
    cells.write()


if __name__ == "__main__":
    main()
