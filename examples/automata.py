"""Random automata: whether a random finite automaton accepts a string (arXiv:2605.08022).

    python examples/automata.py RUN --states 5 --symbols 2

All symbols reach the last step through a tapped delay line; one layer of priced threshold units
reads them. Sums of a few taps are what such a layer can tell, so automata that count far do worse.
"""

from __future__ import annotations

from collections.abc import Callable

from run_folder import keep, script, watch
from strings import parser, parts, random_automaton

from convexon.convex.model.losses import Logistic
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.train.fit import Fitted, Plan, fit
from convexon.train.generation import GenerationBudget, Round
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.site import site_on
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import WitnessFamily

FAN_INS = (8, 16)
"""Fan-ins to choose from on validation: few synapses generalise, more tell more strings apart."""


def plan(*, fan_in: int, readout_bits: int = 8) -> Plan:
    """Return the plan for units of a fan-in, which is at most all taps."""
    mode = ReadoutMode.LAST
    family = WitnessFamily(
        fan_in=fan_in, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True
    )
    return Plan(
        mode=mode,
        sites=lambda data, rows: [
            site_on(
                data,
                rows,
                family,
                trunk=[delay_line(data.n_inputs, data.n_steps)],
                name="taps",
            )
        ],
        oracles=[LocalSearch(n_candidates=128, n_moves=60, n_rows=2048)],
        loss=Logistic(),
        penalty=L1(),
        rhos=(1e-2, 3e-3, 1e-3),
        budget=GenerationBudget(
            max_rounds=8, columns_per_round=64, tolerance=1e-4, max_columns=1024
        ),
        readout_bits=readout_bits,
    )


def fit_automaton(
    train: SpikeDataset,
    validation: SpikeDataset,
    *,
    seed: int,
    readout_bits: int = 8,
    progress: Callable[[Round], None] | None = None,
) -> Fitted:
    """Fit an automaton's strings; rho and fan-in are chosen on strings that no fit has seen.

    A fan-in of more than all taps is cut to them; of equals the smaller fan-in is kept.

    Raises
    ------
    InputError
        If strings are too few or short to be fitted.
    """
    taps = train.n_inputs * train.n_steps
    fits = [
        fit(
            plan(fan_in=fan_in, readout_bits=readout_bits),
            train,
            validation,
            seed=seed,
            progress=progress,
        )
        for fan_in in sorted({min(fan_in, taps) for fan_in in FAN_INS})
    ]
    return max(fits, key=lambda fitted: fitted.score)


def main() -> None:
    """Fit, test on strings that were not trained on, and write the run folder."""
    options = parser(__doc__)
    options.add_argument("--states", type=int, default=5, help="of the automaton")
    options.add_argument("--symbols", type=int, default=2, help="of the automaton")
    given = options.parse_args()
    task = random_automaton(
        n_states=given.states, n_symbols=given.symbols, length=given.length, seed=given.seed
    )
    train, validation, test = parts(task, given)
    fitted = fit_automaton(
        train, validation, seed=given.seed, readout_bits=given.readout_bits, progress=watch
    )
    keep(given, train, test, fitted)


if __name__ == "__main__":
    script(main)
