"""FIRST-LAST-XOR, whether the first and the last bit of a string differ (arXiv:2605.08022).

    python examples/xor.py RUN --layers 3

A tapped delay line of recurrent threshold units (`convexon.train.witnesses.threshold`) brings all
bits to the last step; pricing then finds which of them matter. Layers above are priced on the
active neurons of the layer below. With 3 hidden layers the network is proved to be globally
optimal: no network of any depth, width or weights does better on these strings.
"""

from __future__ import annotations

from run_folder import keep, script, watch
from strings import first_last_xor, parser, parts

from convexon.convex.model.losses import Squared
from convexon.convex.model.penalty import L1
from convexon.errors import InputError
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.train.fit import Plan, fit
from convexon.train.generation import GenerationBudget
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.site import site_on
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import WitnessFamily

UNITS = WitnessFamily(fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True)
"""Threshold units of two ternary synapses: ANDs and ORs of taps and of each other."""


def plan(*, n_layers: int, readout_bits: int = 8) -> Plan:
    """Return the plan for ``n_layers`` hidden layers.

    The paper's L counts the readout, so that its L = 3 has two hidden layers.

    Raises
    ------
    InputError
        If there are fewer than two hidden layers.
    """
    if n_layers < 2:
        raise InputError(f"n_layers must be at least 2, taps and units, not {n_layers!r}")
    mode = ReadoutMode.LAST
    return Plan(
        mode=mode,
        sites=lambda data, rows: [
            site_on(
                data,
                rows,
                UNITS,
                trunk=[delay_line(data.n_inputs, data.n_steps)],
                name="taps",
            )
        ],
        oracles=[Enumeration()],
        loss=Squared(),
        penalty=L1(),
        rhos=(0.1, 0.03, 0.01),
        budget=GenerationBudget(max_rounds=12, columns_per_round=64),
        deeper=(UNITS,) * (n_layers - 2),
        readout_bits=readout_bits,
    )


def main() -> None:
    """Fit, test on strings that were not trained on, and write the run folder."""
    options = parser(__doc__)
    options.add_argument("--layers", type=int, default=2, help="hidden layers, 2 or more")
    given = options.parse_args()
    train, validation, test = parts(first_last_xor(given.length), given)
    chosen = plan(n_layers=given.layers, readout_bits=given.readout_bits)
    fitted = fit(chosen, train, validation, seed=given.seed, progress=watch)
    keep(given, train, test, fitted)


if __name__ == "__main__":
    script(main)
