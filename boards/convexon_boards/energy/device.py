"""Energies of the parts' resources: every constant with its range, its source, and how it came.

Where a range is of several causes, its ends are the ends of all of them together. All dynamic
energies go with the square of the supply; they are stated at ``Device.volts``.

What carries the constants of iCE40 is a published measurement of an iCE40UP5K's core rail
(`TINYVISION`): of counters of several lengths, and of a multiplier of 8 by 8 bits in LUTs, all
under one clock of 12 MHz. Their circuits, synthesized and counted as any network is
(`convexon_boards.energy.measured`), give:

- a counter that grows from 28 to 224 bits toggles no more often, so that what it takes more is its
  flip-flops' share of the clock;
- what the multiplier takes more than the counter beside it is that of its toggles: 58.1 of LUTs,
  6.4 of flip-flops and 186.0 of routed pins a clock, of which 87.7 pins are behind LUTs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from convexon.errors import InputError
from convexon_boards.board import Part

TINYVISION = "tinyVision.ai, ice40_power (github.com/tinyvision-ai-inc/ice40_power), Joulescope"
SHANG = "Shang, Kaviani and Bathala, FPGA 2002 (doi 10.1145/503048.503072), abstract"
CZAJKOWSKI = "Czajkowski, Fast toggle rate computation for FPGA circuits, introduction"
GLITCHLESS = "Lamoureux, Lemieux and Wilton, IEEE TVLSI 16(11), 2008"
DONATH = "Donath, IEEE Trans. Circuits and Systems 26(4), 1979; Landman and Russo, 1971"
HOROWITZ = "Horowitz, ISSCC 2014, figure 1.1.9, 45 nm, 0.9 V"
ASSUMED = "assumed"

PICO = 1e-12

MEASURED_VOLTS = 1.219
"""Core supply of the measured iCE40UP5K."""

MULTIPLIER_CELLS = 206
"""LUTs of the multiplier that routing is measured on, with its counters."""

_LOGIC_SHARE = 16 / (16 + 60)
"""Logic's share of the energy of logic and routing: 16 % and 60 % of the total in `SHANG`."""

_MULTIPLIER = 35.66 - 16 * 0.0135
"""Picojoules a clock that the multiplier's toggles take: 351 uA at 12 MHz, less 16 clock pins."""

_CELL_TOGGLES = {1: 64.5, 2: 122.6}
_PIN_TOGGLES = {1: 186.0, 2: 273.8}
"""Toggles a clock of the multiplier's cells and pins, by the factor of glitches behind LUTs."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A constant of an estimate: a range, and where it is from.

    Members
    -------
    low, high : float
    unit : str
    source : str
        Publication or measurement; ``assumed`` where there is none.
    derivation : str
        How the range came of the source.

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
    part : str
        Name of the part, without speed and package.
    volts : float
        Supply at which energies are stated.
    constants : mapping of str to Constant
        ``supply`` in volts; ``static`` in amperes of the whole part; ``clock`` in joules a clock of
        the clock network, and ``clock_pin`` of each flip-flop on it; ``cell`` in joules of a toggle
        inside a cell, ``carry`` on a link of a carry chain, ``pin`` of routing to one pin;
        ``memory`` of an access to a block memory; ``glitch``, toggles that there are for each one
        counted behind LUTs; ``spread``, the exponent by which routing grows with a design's cells.
    """

    part: str
    volts: float
    constants: Mapping[str, Constant]


def _scaled(constant: Constant, low: float, high: float, how: str) -> Constant:
    """Another part's constant, by factors of its ends."""
    return Constant(
        low=constant.low * low,
        high=constant.high * high,
        unit=constant.unit,
        source=constant.source,
        derivation=f"{constant.derivation}; {how}",
    )


_GLITCH = Constant(
    low=1.0,
    high=2.0,
    unit="1",
    source=f"{CZAJKOWSKI}; {GLITCHLESS}",
    derivation="glitches as much as double the toggle rate; taking 87 % of them away saved 17 % of "
    "the power of whole FPGAs on average, of which 62 % is dynamic: a factor of 1.5",
)
_SPREAD = Constant(
    low=0.0,
    high=0.25,
    unit="1",
    source=DONATH,
    derivation="a connection's average length goes with the cells to the power p - 1/2, for Rent "
    f"exponents p of 1/2 to 3/4; from {MULTIPLIER_CELLS} cells, those of the measured multiplier",
)

_UP5K = {
    "supply": Constant(
        low=1.14,
        high=1.26,
        unit="V",
        source="Lattice FPGA-DS-02008, iCE40 UltraPlus family data sheet",
        derivation="recommended core supply",
    ),
    "static": Constant(
        low=85.6e-6 / 2,
        high=92.1e-6 * 4,
        unit="A",
        source=TINYVISION,
        derivation="85.6 uA of a blank design to 92.1 uA of a halted one; chips and temperatures "
        "other than that of the measurement: half to four times, assumed",
    ),
    "clock": Constant(
        low=40 * PICO,
        high=53 * PICO,
        unit="J",
        source=TINYVISION,
        derivation="slopes of the core current over the clock, at 1.219 V: 34.0 uA/MHz (PLL, 32 to "
        "48 MHz), 42.8 (oscillator, 6 to 48 MHz), 43.4 (external, 0 to 12 MHz); the counter of 24 "
        "or 28 bits that is part of them takes 0.3 to 1.5 pJ",
    ),
    "clock_pin": Constant(
        low=0.0114 * PICO,
        high=0.0155 * PICO,
        unit="J",
        source=TINYVISION,
        derivation="counters of 28, 56, 112 and 224 bits at 12 MHz and 1.219 V: 3.15, 7.55 and "
        "17.1 uA for 28, 56 and 112 flip-flops more",
    ),
    "cell": Constant(
        low=_LOGIC_SHARE * _MULTIPLIER / _CELL_TOGGLES[2] * PICO,
        high=_LOGIC_SHARE * _MULTIPLIER / _CELL_TOGGLES[1] * PICO,
        unit="J",
        source=f"{TINYVISION}; {SHANG}",
        derivation="the multiplier's 35.4 pJ a clock, 21 % of it logic (16 of 16 + 60 %), by its "
        "toggles of cells, with glitches as often as counted toggles, or none",
    ),
    "carry": Constant(
        low=0.0,
        high=_LOGIC_SHARE * _MULTIPLIER / _CELL_TOGGLES[1] * PICO,
        unit="J",
        source=ASSUMED,
        derivation="a link within a block: between nothing and a toggle of a cell",
    ),
    "pin": Constant(
        low=(1 - _LOGIC_SHARE) * _MULTIPLIER / _PIN_TOGGLES[2] * PICO,
        high=(1 - _LOGIC_SHARE) * _MULTIPLIER / _PIN_TOGGLES[1] * PICO,
        unit="J",
        source=f"{TINYVISION}; {SHANG}",
        derivation="the other 79 % of the multiplier's energy, by its toggles of routed pins, with "
        "glitches as often as counted toggles behind LUTs, or none",
    ),
    "memory": Constant(
        low=10 * PICO * 16 / 64 / 2 * (MEASURED_VOLTS / 0.9) ** 2,
        high=10 * PICO * (MEASURED_VOLTS / 0.9) ** 2,
        unit="J",
        source=HOROWITZ,
        derivation="a read of 64 bits from 8 KiB takes 10 pJ: all of it at most, though the "
        "block has 512 bytes and words of 16 bits; a quarter for the word and half for the size, "
        "assumed, at least; by the square of the supply",
    ),
    "glitch": _GLITCH,
    "spread": _SPREAD,
}

_ECP5_VOLTS = 1.1
_SUPPLY = (_ECP5_VOLTS / MEASURED_VOLTS) ** 2
_OTHER = "another family of 40 nm: from the same to twice of iCE40's, assumed, at 1.1 V"


def _ecp5(luts: int, milliamperes: float) -> dict[str, Constant]:
    """Return the constants of an ECP5 of so many LUTs; iCE40UP5K has 5280."""
    larger = luts / 5280
    same = {name: _scaled(_UP5K[name], _SUPPLY, 2 * _SUPPLY, _OTHER) for name in ("cell", "carry")}
    return {
        "supply": Constant(
            low=1.045,
            high=1.155,
            unit="V",
            source="Lattice FPGA-DS-02012, ECP5 and ECP5-5G family data sheet",
            derivation="recommended core supply, 1.1 V and 5 %",
        ),
        "static": Constant(
            low=milliamperes * 1e-3 / 4,
            high=milliamperes * 1e-3,
            unit="A",
            source="Lattice FPGA-DS-02012, ECP5 and ECP5-5G family data sheet, core supply current "
            "(as butterstick-hardware, issue 2, states it)",
            derivation=f"{milliamperes:g} mA, which supplies are laid out for; a cool chip takes a "
            "quarter at least, assumed",
        ),
        "clock": _scaled(
            _UP5K["clock"],
            larger**0.5 * _SUPPLY,
            larger * _SUPPLY,
            f"a part of {luts} LUTs: by the side to the area of the part, assumed, at 1.1 V",
        ),
        "clock_pin": _scaled(_UP5K["clock_pin"], _SUPPLY, 2 * _SUPPLY, _OTHER),
        "pin": _scaled(
            _UP5K["pin"],
            _SUPPLY,
            2 * _SUPPLY,
            f"{_OTHER}; {SHANG} gives 5.9 pJ a clock and CLB at 150 nm and 1.5 V, 60 % of it "
            "routing: at 12.5 % toggles, 3 pins a net and 8 nets a CLB, 0.17 to 0.33 pJ a pin at "
            "40 nm and 1.1 V, for capacitances by the feature size or its root",
        ),
        "memory": Constant(
            low=10 * PICO * 18 / 64 / 2 * (_ECP5_VOLTS / 0.9) ** 2,
            high=10 * PICO * (_ECP5_VOLTS / 0.9) ** 2,
            unit="J",
            source=HOROWITZ,
            derivation="as iCE40's, for a block of 2.25 KiB with words of 18 bits and more",
        ),
        "glitch": _GLITCH,
        "spread": _SPREAD,
        **same,
    }


_DEVICES = {
    "iCE40UP5K": Device(part="iCE40UP5K", volts=MEASURED_VOLTS, constants=MappingProxyType(_UP5K)),
    **{
        f"LFE5U-{size}F": Device(
            part=f"LFE5U-{size}F",
            volts=_ECP5_VOLTS,
            constants=MappingProxyType(_ecp5(luts, milliamperes)),
        )
        for size, luts, milliamperes in ((12, 24288, 77.0), (25, 24288, 77.0), (85, 83640, 212.0))
    },
}

DEVICES: Mapping[str, Device] = MappingProxyType(_DEVICES)
"""By the part's name, those whose energies have sources. A 12F is a 25F of which half is sold."""


def device_of(part: Part) -> Device:
    """Return the energies of a part; `InputError` if none with a source are known."""
    found = [device for name, device in DEVICES.items() if part.name.startswith(f"{name}-")]
    if not found:
        raise InputError(
            f"energy must be of one of {', '.join(DEVICES)}, not of {part.name}: "
            "its energies are not published"
        )
    return found[0]


def constants_table(device: Device) -> list[tuple[str, ...]]:
    """Return a row for each constant of a device: name, low, high, unit, source, derivation."""
    return [
        (name, f"{c.low:.3g}", f"{c.high:.3g}", c.unit, c.source, c.derivation)
        for name, c in device.constants.items()
    ]
