"""Energies of the parts' resources, as ice40.toml and ecp5.toml beside this module state them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from convexon.errors import InputError
from convexon_boards.board import Part

MULTIPLIER_CELLS = 206
"""LUTs of the multiplier that routing is measured on, with its counters."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A constant of an estimate: a range, and where it is from.

    Members
    -------
    source : publication or measurement; ``assumed`` where there is none
    derivation : how the range came of the source

    Raises
    ------
    InputError
        If the range is empty, negative or not finite, or there is no unit, source or derivation.
    """

    low: float
    high: float
    unit: str
    source: str
    derivation: str

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < math.inf:
            raise InputError(f"constant must have 0 <= low <= high, not {self.low}, {self.high}")
        if not (self.unit and self.source and self.derivation):
            raise InputError("constant must have a unit, a source and a derivation")


@dataclass(frozen=True, kw_only=True)
class Device:
    """The energies of a part.

    Members
    -------
    part : name of the part, without speed and package
    volts : supply at which energies are stated
    constants : ``supply`` in volts; ``static`` in amperes of the whole part; ``clock`` in joules a
        clock of the clock network, and ``clock_pin`` of each flip-flop on it; ``cell`` in joules of
        a toggle inside a cell, ``carry`` on a link of a carry chain, ``pin`` of routing to one pin;
        ``memory`` of an access to a block memory; ``glitch``, toggles that there are for each one
        counted behind LUTs; ``spread``, the exponent by which routing grows with a design's cells
    """

    part: str
    volts: float
    constants: Mapping[str, Constant]


def _devices(file: str) -> dict[str, Device]:
    """The parts of a file, each with the constants of all of them and its own."""
    content = tomllib.loads((files(__package__) / file).read_text(encoding="utf-8"))
    devices = {}
    for part, own in content["parts"].items():
        rows = {**content["constants"], **own}
        constants = {name: Constant(**row) for name, row in rows.items()}
        devices[part] = Device(part=part, volts=content["volts"], constants=constants)
    return devices


DEVICES: Mapping[str, Device] = MappingProxyType(
    {**_devices("ice40.toml"), **_devices("ecp5.toml")}
)
"""By the part's name, those whose energies have sources."""


def device_of(part: Part) -> Device:
    """Return the energies of a part; `InputError` if none with a source are known."""
    found = [device for name, device in DEVICES.items() if part.name.startswith(f"{name}-")]
    if not found:
        raise InputError(
            f"energy must be of one of {', '.join(DEVICES)}, not of {part.name}: "
            "its energies are not published"
        )
    return found[0]
