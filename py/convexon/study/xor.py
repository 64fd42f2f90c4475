"""FIRST-LAST-XOR: whether the first and the last bit of a string differ (arXiv:2605.08022).

A tapped delay line of recurrent threshold units (`convexon.train.witnesses.threshold`) brings all
bits to the last step; pricing then finds which of them matter. Layers above are priced on the
active neurons of the layer below.
"""

from __future__ import annotations

from collections.abc import Callable

from convexon.convex.model.loss import LossKind
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.study.fit import Fitted, Plan, fit, held_out
from convexon.train.generation import GenerationBudget, Round
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.site import site_on
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import WitnessFamily

VALIDATION_SHARE = 0.2
"""Share of the distinct training strings on which rho is chosen."""

UNITS = WitnessFamily(fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True)
"""Threshold units of two ternary synapses: ANDs and ORs of taps and of each other."""


def plan(
    n_steps: int,
    *,
    n_layers: int,
    rhos: tuple[float, ...] = (0.1, 0.03, 0.01),
    readout_bits: int = 8,
) -> Plan:
    """Return the plan for strings of ``n_steps`` bits and ``n_layers`` hidden layers.

    The paper's L counts the readout, so that its L = 3 has two hidden layers.

    Raises
    ------
    InputError
        If there are fewer than two hidden layers.
    """
    if n_layers < 2:
        raise InputError(f"n_layers must be at least 2, taps and units, not {n_layers!r}")
    return Plan(
        mode=ReadoutMode.LAST,
        sites=lambda data, rows: [
            site_on(
                data,
                ReadoutMode.LAST,
                rows,
                UNITS,
                trunk=[delay_line(data.n_inputs, n_steps)],
                name="taps",
            )
        ],
        oracles=[Enumeration()],
        loss=LossKind.SQUARED,
        penalty=L1(),
        rhos=rhos,
        budget=GenerationBudget(max_rounds=12, columns_per_round=64),
        deeper=(UNITS,) * (n_layers - 2),
        readout_bits=readout_bits,
    )


def fit_xor(
    train: SpikeDataset,
    *,
    n_layers: int,
    seed: int,
    validation: SpikeDataset | None = None,
    readout_bits: int = 8,
    progress: Callable[[Round], None] | None = None,
) -> Fitted:
    """Fit FIRST-LAST-XOR strings, rho chosen on strings that the fit has not seen.

    Those are the ``validation`` strings; where none are given, `VALIDATION_SHARE` of the distinct
    strings of ``train`` is held out.

    Raises
    ------
    InputError
        If there are fewer than two hidden layers, or strings are too few or short to be fitted.
    """
    if validation is None:
        train, validation = held_out(train, VALIDATION_SHARE, seed=seed)
    chosen = plan(train.n_steps, n_layers=n_layers, readout_bits=readout_bits)
    return fit(chosen, train, validation, seed=seed, progress=progress)
