"""Random automata: whether a random finite automaton accepts a string (arXiv:2605.08022).

All symbols reach the last step through a tapped delay line; one layer of priced threshold units
reads them. Sums of a few taps are what such a layer can tell, so automata that count far do worse.
"""

from __future__ import annotations

from collections.abc import Callable

from convexon.convex.model.loss import LossKind
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.study.fit import Fitted, Plan, fit, held_out
from convexon.train.generation import GenerationBudget, Round
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.site import site_on
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import WitnessFamily

VALIDATION_SHARE = 0.2
"""Share of the distinct training strings on which rho is chosen."""


def plan(
    n_steps: int,
    *,
    fan_in: int,
    rhos: tuple[float, ...] = (1e-2, 3e-3, 1e-3),
    readout_bits: int = 8,
) -> Plan:
    """Return the plan for strings of ``n_steps`` symbols; all taps must be ``fan_in`` or more."""
    mode = ReadoutMode.LAST
    family = WitnessFamily(
        fan_in=fan_in, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True
    )
    return Plan(
        mode=mode,
        sites=lambda data, rows: [
            site_on(
                data, mode, rows, family, trunk=[delay_line(data.n_inputs, n_steps)], name="taps"
            )
        ],
        oracles=[LocalSearch(n_candidates=128, n_moves=60, n_rows=2048)],
        loss=LossKind.LOGISTIC,
        penalty=L1(),
        rhos=rhos,
        budget=GenerationBudget(
            max_rounds=8, columns_per_round=64, tolerance=1e-4, max_columns=1024
        ),
        readout_bits=readout_bits,
    )


FAN_INS = (8, 16)
"""Fan-ins to choose from on validation: few synapses generalise, more tell more strings apart."""


def fit_automaton(
    train: SpikeDataset,
    *,
    seed: int,
    validation: SpikeDataset | None = None,
    readout_bits: int = 8,
    progress: Callable[[Round], None] | None = None,
) -> Fitted:
    """Fit an automaton's strings; rho and fan-in are chosen on strings that no fit has seen.

    Those are the ``validation`` strings; where none are given, `VALIDATION_SHARE` of the distinct
    strings of ``train`` is held out. A fan-in of more than all taps is cut to them; of equals the
    smaller fan-in is kept.

    Raises
    ------
    InputError
        If strings are too few or short to be fitted.
    """
    if validation is None:
        train, validation = held_out(train, VALIDATION_SHARE, seed=seed)
    taps = train.n_inputs * train.n_steps
    best: Fitted | None = None
    for fan_in in sorted({min(fan_in, taps) for fan_in in FAN_INS}):
        chosen = plan(train.n_steps, fan_in=fan_in, readout_bits=readout_bits)
        fitted = fit(chosen, train, validation, seed=seed, progress=progress)
        if best is None or fitted.validation[fitted.rho] > best.validation[best.rho]:
            best = fitted
    assert best is not None  # noqa: S101  # there is a fan-in
    return best
