"""Every choice of how a trained network is quantized, and of how its samples come in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from convexon.errors import InputError
from convexon.settings import Settings, setting
from convexon.snn.coding import CODINGS

MAX_BITS = 16
"""Most bits of a hidden weight."""


class Grid(Enum):
    """Integers that a weight of b bits may be.

    ``LINEAR``: all of ``-(2**(b-1) - 1) .. 2**(b-1) - 1``; of 1 bit -1 and 1, of 2 bits -1, 0, 1.
    ``POWER``: 0 and the powers of two among them, of either sign.
    """

    LINEAR = "linear"
    POWER = "power"


class Rounding(Enum):
    """How far the quantizer goes.

    ``NEAREST``: each weight to the nearest integer, at the finest scale. ``FEEDBACK``: the error of
    one weight is made up for by the next, on calibration samples. ``SEARCH``: the better of both
    for each neuron and scale, then steps of thresholds and single weights that restore spikes.
    """

    NEAREST = "nearest"
    FEEDBACK = "feedback"
    SEARCH = "search"


class ReadoutRounding(Enum):
    """How the readout of a convex program becomes integers.

    ``NEAREST``: each weight to the nearest, so that decisions flip least. ``DESCENT``: integers
    from which no single step lowers the program's objective, which few bits need.
    """

    NEAREST = "nearest"
    DESCENT = "descent"


class ReadoutWeights(Enum):
    """Where the readout's weights come from.

    ``TRAINED``: from the network that was brought. ``SOLVE``: from the convex program on the
    quantized spikes of labelled samples, with a certificate.
    """

    TRAINED = "trained"
    SOLVE = "solve"


@dataclass(frozen=True, kw_only=True)
class HiddenSettings(Settings):
    """How hidden layers are quantized.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    bits: tuple[int, ...] = setting(
        (8,), "Bits of a hidden weight; several are of the layers in turn.", least=1, most=MAX_BITS
    )
    grid: Grid = setting(Grid.LINEAR, "Integers that a weight may be: all, or powers of two alone.")
    rounding: Rounding = setting(
        Rounding.SEARCH,
        "How far the quantizer goes: nearest integers, error feedback over the fan-in, or a search "
        "that restores spikes.",
    )
    guard_bits: int = setting(
        4,
        "Bits of a membrane below the last bit of a weight, which stored weights have too.",
        least=0,
        most=MAX_BITS,
    )
    readout: ReadoutWeights = setting(
        ReadoutWeights.TRAINED,
        "Where readout weights come from: training, or the convex program on quantized spikes.",
    )
    readout_bits: int = setting(8, "Bits of a readout weight.", least=2, most=24)
    rho: tuple[float, ...] = setting(
        (1e-2, 5e-3, 2e-3),
        "Regularisation strength of a solved readout; of several, validation chooses.",
        above=0,
    )
    most_lost: float | None = setting(
        None,
        "Share of the accuracy that may go while bits are taken away, layer by layer, from those "
        "given on; none are taken by default.",
        least=0,
        most=1,
    )
    least_rate: float = setting(
        1e-4,
        "Spikes a neuron and step below which a layer is silent, and refused.",
        least=0,
        most=1,
    )

    def bits_of(self, depth: int, n_layers: int) -> int:
        """Bits of a weight of the layer at ``depth``; raises `InputError` if they do not fit."""
        if len(self.bits) == 1:
            return self.bits[0]
        if len(self.bits) != n_layers:
            raise InputError(f"bits must be one number, or one of each of the {n_layers} layers")
        return self.bits[depth]


@dataclass(frozen=True, kw_only=True)
class InputSettings(Settings):
    """How samples of a trained network come in.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    coding: str | None = setting(
        None,
        "What a value becomes over the steps; by default spikes, or a series, as they are where "
        "samples have steps, else the same value at each step.",
        names=CODINGS.__iter__,
    )
    steps: int | None = setting(
        None, "T, the steps of an inference, where samples have none.", least=1, most=1 << 16
    )
    input_bits: int = setting(8, "Bits of a value that is no spike.", least=1, most=8)
