"""A board and its part, as all that builds for them sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from convexon.errors import InputError
from convexon.plan.family import Family


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part that open tools build for, and how they are told of it.

    Members
    -------
    lut_sites, block_rams : what a user of the part has of either
    options : options of nextpnr for the part, package and speed grade
    pack : options of the tool that makes the bitstream
    most_mhz : clock beyond which no design is tried: twice what place and route reached for a
        network of five neurons with its link
    """

    name: str
    family: Family
    lut_sites: int
    block_rams: int
    options: tuple[str, ...]
    pack: tuple[str, ...] = ()
    most_mhz: float


class Vendor(Enum):
    """The vendor's tool that builds for a part which open tools do not."""

    VIVADO = "vivado"
    QUARTUS = "quartus"


@dataclass(frozen=True)
class Pin:
    """A pin of the part.

    Members
    -------
    site : its name in the package
    inverted : whether the signal is active where the pin is low
    """

    site: str
    inverted: bool = False


@dataclass(frozen=True)
class SpiPins:
    """Sites of an SPI peripheral's lines."""

    cs_n: str
    sck: str
    copi: str
    cipo: str


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a board's file states, and the board has as it stands there.

    Members
    -------
    title : what the maker calls it
    vendor : None where open tools build for it
    high : sites that must be driven high for the board's sake, by name
    io : electrical standard of all pins
    pll_from_pad : on iCE40: whether the clock's pad is the PLL's own
    loader : the board's name in openFPGALoader; empty where it knows none
    source : where the pins are stated
    note : what a user must connect or solder; empty for nothing
    """

    title: str
    vendor: Vendor | None = None
    oscillator_mhz: float
    high: Mapping[str, str] = field(default_factory=dict)
    io: str = "LVCMOS33"
    pll_from_pad: bool = False
    loader: str = ""
    source: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Board(Stated):
    """A board; `convexon_boards.catalogue` reads one from its file.

    Members
    -------
    name : the name of its folder in a run, and what a user types unless there is a file
    file : what a user types for a board of their own: the path of its file
    part : the part, or its name for the vendor's tool
    clock : site of the oscillator
    rx, tx : sites of the serial line, as the board sees it: it listens on ``rx``
    """

    name: str
    file: str = ""
    part: Part | str
    clock: str
    rx: str
    tx: str
    spi: SpiPins | None = None
    led: Pin | None = None
    reset: Pin | None = None

    @property
    def option(self) -> str:
        """What names the board on the command line."""
        return f"--board {self.file or self.name}"

    @property
    def open_part(self) -> Part:
        """Part for the open tools; `InputError` if the board needs its vendor's."""
        if isinstance(self.part, str):
            tool = "its vendor's tool" if self.vendor is None else self.vendor.value
            raise InputError(f"board {self.name} must be built with {tool}: open its project there")
        return self.part
