"""The boards: their parts, their clocks, and the pins that a design uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from convexon.errors import InputError
from convexon_boards.parts import ICE40HX8K, ICE40UP5K, Part, gowin, packaged_ecp5


class Vendor(Enum):
    """The vendor's tool that builds for a part which open tools do not."""

    VIVADO = "vivado"
    QUARTUS = "quartus"


@dataclass(frozen=True)
class Pin:
    """A pin of the part.

    Members
    -------
    site : str
        Its name in the package.
    inverted : bool
        Whether the signal is active where the pin is low.
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
class Board:
    """A board.

    Members
    -------
    name, title : str
        What a user types, and what the maker calls it.
    part : Part or str
        The part, or its name for the vendor's tool.
    vendor : Vendor or None
        None where open tools build for it.
    oscillator_mhz : float
    clock : str
        Site of the oscillator.
    rx, tx : str
        Sites of the serial line, as the board sees it: it listens on ``rx``.
    spi : SpiPins or None
    led, reset : Pin or None
    high : mapping of str to str
        Sites that must be driven high for the board's sake, by name.
    io : str
        Electrical standard of all pins.
    pll_from_pad : bool
        On iCE40: whether the clock's pad is the PLL's own.
    loader : str
        The board's name in openFPGALoader.
    source : str
        Where the pins are stated.
    note : str
        What a user must connect or solder; empty for nothing.
    """

    name: str
    title: str
    part: Part | str
    vendor: Vendor | None = None
    oscillator_mhz: float
    clock: str
    rx: str
    tx: str
    spi: SpiPins | None = None
    led: Pin | None = None
    reset: Pin | None = None
    high: Mapping[str, str] = field(default_factory=dict)
    io: str = "LVCMOS33"
    pll_from_pad: bool = False
    loader: str
    source: str
    note: str = ""

    @property
    def open_part(self) -> Part:
        """Part for the open tools; `InputError` if the board needs its vendor's."""
        if isinstance(self.part, str) or self.vendor is not None:
            tool = "its vendor's tool" if self.vendor is None else self.vendor.value
            raise InputError(f"board {self.name} must be built with {tool}: open its project there")
        return self.part


_AMARANTH = "amaranth-boards"
_LITEX = "litex-boards"
_ADAPTER = "connect a USB serial adapter of 3.3 V"


def _ulx3s(size: int) -> Board:
    return Board(
        name=f"ulx3s-{size}f",
        title=f"ULX3S {size}F",
        part=packaged_ecp5(size, "CABGA381", 6),
        oscillator_mhz=25.0,
        clock="G2",
        rx="M1",
        tx="L4",
        spi=SpiPins("B11", "B9", "A10", "A9"),
        led=Pin("B2"),
        reset=Pin("R1"),
        high={"wifi_gpio0": "L2"},  # low, it would make the ESP32 load another design
        loader="ulx3s",
        source=_AMARANTH,
    )


_BOARDS = (
    Board(
        name="icebreaker",
        title="iCEBreaker",
        part=ICE40UP5K,
        oscillator_mhz=12.0,
        clock="35",
        rx="6",
        tx="9",
        spi=SpiPins("4", "45", "2", "47"),
        led=Pin("37", inverted=True),
        reset=Pin("10", inverted=True),
        pll_from_pad=True,
        loader="ice40_generic",
        source=_AMARANTH,
    ),
    Board(
        name="upduino-v3",
        title="UPduino v3",
        part=ICE40UP5K,
        oscillator_mhz=12.0,
        clock="20",
        rx="15",
        tx="14",
        spi=SpiPins("23", "27", "25", "26"),
        led=Pin("39", inverted=True),
        high={"flash_cs_n": "16"},  # the serial line shares the flash's pins
        loader="ice40_generic",
        source=f"{_AMARANTH}; serial line: the vendor's upduino.pcf",
        note="close the OSC jumper, which brings the oscillator to pin 20",
    ),
    Board(
        name="ice40-hx8k",
        title="iCE40-HX8K breakout board",
        part=ICE40HX8K,
        oscillator_mhz=12.0,
        clock="J3",
        rx="B10",
        tx="B12",
        spi=SpiPins("R15", "N16", "P16", "P15"),
        led=Pin("C3"),
        loader="ice40_generic",
        source=_AMARANTH,
    ),
    _ulx3s(12),
    _ulx3s(25),
    _ulx3s(85),
    Board(
        name="orangecrab",
        title="OrangeCrab r0.2 25F",
        part=packaged_ecp5(25, "CSFBGA285", 8),
        oscillator_mhz=48.0,
        clock="A9",
        rx="N17",
        tx="M18",
        spi=SpiPins("B10", "R17", "N16", "N15"),
        led=Pin("M3", inverted=True),
        loader="orangeCrab",
        source=_AMARANTH,
        note=f"{_ADAPTER} to the Feather's pins 0 (the board listens) and 1 (it speaks)",
    ),
    Board(
        name="colorlight-i5",
        title="Colorlight i5 v7.0 on its extension board",
        part=packaged_ecp5(25, "CABGA381", 6),
        oscillator_mhz=25.0,
        clock="P3",
        rx="H18",
        tx="J17",
        spi=SpiPins("C17", "F20", "B18", "B20"),
        led=Pin("U16", inverted=True),
        reset=Pin("K18", inverted=True),
        loader="colorlight-i5",
        source=_LITEX,
    ),
    Board(
        name="tang-nano-9k",
        title="Tang Nano 9K",
        part=gowin("GW1NR-LV9QN88PC6/I5", "GW1N-9C", "GW1NR-9C", 8_640, 26),
        oscillator_mhz=27.0,
        clock="52",
        rx="18",
        tx="17",
        spi=SpiPins("25", "28", "26", "27"),
        led=Pin("10", inverted=True),
        loader="tangnano9k",
        source=_AMARANTH,
    ),
    Board(
        name="tang-nano-20k",
        title="Tang Nano 20K",
        part=gowin("GW2AR-LV18QN88C8/I7", "GW2A-18C", "GW2AR-18C", 20_736, 46),
        oscillator_mhz=27.0,
        clock="4",
        rx="70",
        tx="69",
        spi=SpiPins("73", "85", "74", "75"),
        led=Pin("15", inverted=True),
        reset=Pin("88"),
        loader="tangnano20k",
        source=_LITEX,
    ),
    Board(
        name="arty-a7-35",
        title="Arty A7-35",
        part="xc7a35ticsg324-1L",
        vendor=Vendor.VIVADO,
        oscillator_mhz=100.0,
        clock="E3",
        rx="A9",
        tx="D10",
        spi=SpiPins("G13", "D12", "B11", "A11"),
        led=Pin("H5"),
        reset=Pin("C2", inverted=True),
        loader="arty_a7_35t",
        source=_AMARANTH,
    ),
    Board(
        name="pynq-z2",
        title="PYNQ-Z2",
        part="xc7z020clg400-1",
        vendor=Vendor.VIVADO,
        oscillator_mhz=125.0,
        clock="H16",
        rx="T14",
        tx="U12",
        spi=SpiPins("Y18", "Y17", "Y19", "Y16"),
        led=Pin("R14"),
        reset=Pin("D19"),
        loader="pynq_z2",
        source=_LITEX,
        note=f"{_ADAPTER} to AR0 (the board listens) and AR1 (it speaks)",
    ),
    Board(
        name="de10-nano",
        title="DE10-Nano",
        part="5CSEBA6U23I7",
        vendor=Vendor.QUARTUS,
        oscillator_mhz=50.0,
        clock="V11",
        rx="AG13",
        tx="AF13",
        spi=SpiPins("V12", "D11", "E8", "W12"),
        led=Pin("W15"),
        reset=Pin("AH17", inverted=True),
        io="3.3-V LVTTL",
        loader="de10nano",
        source=_AMARANTH,
        note=f"{_ADAPTER} to the Arduino header's IO0 (the board listens) and IO1 (it speaks)",
    ),
)

BOARDS: Mapping[str, Board] = MappingProxyType({board.name: board for board in _BOARDS})
"""By name."""


def board_of(name: str) -> Board:
    """Return the board ``name``; `InputError` if there is none."""
    if name not in BOARDS:
        raise InputError(f"board must be one of {', '.join(BOARDS)}, not {name!r}")
    return BOARDS[name]
