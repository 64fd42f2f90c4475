"""Every choice of stage ``solve``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from convexon.convex.model.loss import LossKind
from convexon.data.coding import Coding
from convexon.errors import InputError
from convexon.snn.neuron import INTEGRATE, Leak, ReadoutMode, Reset
from convexon.train.cost import CostKind
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import WitnessFamily

MOST = {
    "n_steps": 1 << 16,
    "n_witnesses": 1 << 24,
    "max_neurons": 1 << 16,
    "depth": 64,
    "hidden": 1 << 16,
}
"""Beyond these a run would end in want of memory or time, and never in a network."""


@dataclass(frozen=True, kw_only=True)
class SolveSettings:
    """Every choice of the stage; all of them are part of the artefacts' recipes.

    Members
    -------
    data : str
        ``digits``, or the path of an npz with features and labels.
    coding, n_steps, bits
        Of the encoder (`convexon.data.coding`).
    loss : LossKind
        Of the certified program. Squared tells one class from the rest by regression, and leaves
        accurate networks with a dense readout; softmax and hinge a sparse one.
    readout_mode : ReadoutMode
        What the readout weighs.
    n_witnesses : int
        Witnesses to draw, over all families.
    fan_in : int
        Synapses of a witness.
    depth, hidden : int
        Layers of a branch, and neurons of each below the last.
    alphabet : str
        What a hidden weight may be: ``ternary``, ``intB`` or ``pow2-B`` of B bits.
    pricing_rounds : int
        Rounds of column generation that add witnesses to the drawn ones; 0 for none.
    cost : CostKind or None
        What a witness costs, as its penalty weight; None for equal weights.
    max_neurons : int
        Columns that the selecting program may hand to the certified one.
    selection_rho : float
        Strength of the row-group penalty of the selecting program.
    rhos : tuple of float
        Strengths of the l1 penalty to choose from on validation.
    readout_bits : int
        Bits of a readout weight.
    tolerance : float
        Duality gap to reach, absolute and relative.
    seed : int
        Of the split and of the witnesses.

    Raises
    ------
    InputError
        If a member is out of its range.
    """

    data: str = "digits"
    coding: Coding = Coding.THRESHOLD
    n_steps: int = 8
    bits: int = 1
    loss: LossKind = LossKind.SQUARED
    readout_mode: ReadoutMode = ReadoutMode.COUNT
    n_witnesses: int = 2000
    fan_in: int = 8
    depth: int = 1
    hidden: int = 128
    alphabet: str = "ternary"
    pricing_rounds: int = 0
    cost: CostKind | None = None
    max_neurons: int = 256
    selection_rho: float = 0.003
    rhos: tuple[float, ...] = (1e-2, 5e-3, 2e-3)
    readout_bits: int = 8
    tolerance: float = 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_steps", "n_witnesses", "max_neurons", "depth", "hidden"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise InputError(f"{name} must be at most {most}, not {getattr(self, name)!r}")
        for name in ("rhos", "selection_rho", "tolerance"):
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or not all(0 < number < math.inf for number in numbers):
                raise InputError(f"{name} must be positive and finite, not {value!r}")
        if not 2 <= self.readout_bits <= 24:
            raise InputError(f"readout_bits must be 2 to 24, not {self.readout_bits!r}")
        if self.pricing_rounds < 0:
            raise InputError(f"pricing_rounds must be at least 0, not {self.pricing_rounds!r}")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, not {self.seed!r}")
        if self.depth > 1 and self.fan_in > self.hidden:
            raise InputError(
                f"fan_in must be at most the {self.hidden} hidden neurons below, not {self.fan_in}"
            )
        _ = self.families  # they check fan_in and alphabet, before anything is written
        if self.readout_mode is ReadoutMode.STEP:
            raise InputError("readout_mode must give one decision a sample: last, sign or count")

    @property
    def families(self) -> tuple[WitnessFamily, ...]:
        """Families of witnesses, a branch each: one integrates, one leaks a quarter a step."""
        often = 6.0 if self.readout_mode is ReadoutMode.COUNT else 1.0
        return tuple(
            WitnessFamily(
                fan_in=self.fan_in,
                alphabet=Alphabet.parse(self.alphabet),
                leak=leak,
                reset=Reset.SUBTRACT,
                at_last=self.readout_mode is ReadoutMode.LAST,
                spikes_per_sample=often,
            )
            for leak in (INTEGRATE, Leak(1, 2))
        )

    def recipe(self, *names: str) -> dict[str, Any]:
        """Return the named members in JSON form."""
        values = {name: getattr(self, name) for name in names}
        return {name: getattr(value, "value", value) for name, value in values.items()} | {
            name: list(value) for name, value in values.items() if isinstance(value, tuple)
        }


Choice = TypeVar("Choice", bound=Enum)


def choice(kind: type[Choice], value: str, name: str) -> Choice:
    """Return the member of an enumeration with this value.

    Raises
    ------
    InputError
        If there is none; the text lists those that there are.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise InputError(f"{name} must be one of {known}, not {value!r}") from None
