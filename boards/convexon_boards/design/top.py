"""A board's top module: clock, reset and link around the accelerator, and the pins' places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convexon.errors import InputError
from convexon.link.protocol import DEFAULT_BAUD
from convexon_boards.board import Board, Pin
from convexon_boards.toolchain import Clocking, Port
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.described import require_names
from convexon_hdl.link.link import TOP as LINK
from convexon_hdl.link.link import Line, Spi, Uart, link_verilog
from convexon_hdl.link.shape import LinkShape
from convexon_hdl.link.uart import MINIMUM_DIVISOR

TOP = "convexon_board"
"""Name of the top module."""

BAUD_TOLERANCE = 0.015
"""A serial line may be that far from the rate that was asked for, as a fraction."""

SILENCE_SECONDS = 0.1
"""Silence after which a frame is lost."""

STARTUP_BITS = 12
"""The reset lasts 2 to that power less one clocks: block memories of iCE40 need some microseconds
after configuration."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is built for a board.

    Members
    -------
    files : Verilog, by file name: the top module, the link, and the accelerator
    """

    board: Board
    clocking: Clocking
    line: Line
    ports: tuple[Port, ...]
    files: Mapping[str, str]

    @property
    def verilog(self) -> str:
        """The whole design."""
        return "\n".join(self.files.values())


def serial_line(mhz: float, baud: int = DEFAULT_BAUD) -> Uart:
    """Return the serial line of ``baud`` bits a second under a clock of ``mhz``.

    Raises
    ------
    InputError
        If no whole number of clocks comes near a bit.
    """
    if baud < 1:
        raise InputError(f"baud must be 1 or more, not {baud!r}")
    divisor = max(MINIMUM_DIVISOR, round(mhz * 1e6 / baud))
    actual = mhz * 1e6 / divisor
    if abs(actual - baud) > BAUD_TOLERANCE * baud:
        raise InputError(f"baud must be near {actual:.0f} under a clock of {mhz:g} MHz, not {baud}")
    return Uart(divisor=divisor)


def design_of(
    bundle: RtlBundle,
    board: Board,
    *,
    clocking: Clocking,
    line: Line,
    results: int = 1,
    silence_seconds: float = SILENCE_SECONDS,
) -> Design:
    """Return the design of ``bundle`` on ``board``.

    Parameters
    ----------
    results : most results of an inference
    silence_seconds : silence after which a frame is lost

    Raises
    ------
    InputError
        If the board has no pins for the line, or the line does not suit the clock.
    ToolError
        If Yosys is missing or fails.
    """
    require_names(bundle.ports)
    shape = LinkShape.of(bundle.ports, results=results, digest=bundle.digest)
    timeout = max(1, round(silence_seconds * clocking.mhz * 1e6))
    ports = _ports(board, line)
    files = {
        "top.v": _top(bundle, board, clocking, shape, ports),
        "link.v": link_verilog(shape, line, timeout=timeout),
        "accelerator.v": bundle.verilog,
    }
    return Design(board=board, clocking=clocking, line=line, ports=ports, files=files)


def _ports(board: Board, line: Line) -> tuple[Port, ...]:
    """Ports of the top module."""
    ports = [Port("clock", board.clock, is_input=True, is_clock=True)]
    if isinstance(line, Uart):
        ports += [
            Port("rx", board.rx, is_input=True, pull_up=True),
            Port("tx", board.tx, is_input=False),
        ]
    else:
        if board.spi is None:
            raise InputError(f"board {board.name} must have pins for SPI, and none are known")
        ports += [
            Port("cs_n", board.spi.cs_n, is_input=True, pull_up=True),
            Port("sck", board.spi.sck, is_input=True),
            Port("copi", board.spi.copi, is_input=True),
            Port("cipo", board.spi.cipo, is_input=False),
        ]
    if board.led is not None:
        ports.append(Port("led", board.led.site, is_input=False))
    if board.reset is not None:
        pull_up = board.reset.inverted
        ports.append(Port("button", board.reset.site, is_input=True, pull_up=pull_up))
    if isinstance(line, Uart) or "flash_cs_n" not in board.high:
        ports += [Port(name, site, is_input=False) for name, site in board.high.items()]
    return tuple(ports)


def _level(pin: Pin, signal: str) -> str:
    return f"~{signal}" if pin.inverted else signal


def _top(
    bundle: RtlBundle,
    board: Board,
    clocking: Clocking,
    shape: LinkShape,
    ports: tuple[Port, ...],
) -> str:
    """Return the top module."""
    names = {port.name for port in ports}
    declared = ", ".join(f"{'input' if p.is_input else 'output'} {p.name}" for p in ports)
    pressed, assigns = (
        "1'b0",
        [f"  assign {name} = 1'b1;\n" for name in board.high if name in names],
    )
    button = ""
    if board.reset is not None:
        button = "  reg [1:0] pressed = 2'b00;\n"
        button += (
            f"  always @(posedge clk) pressed <= {{pressed[0], {_level(board.reset, 'button')}}};\n"
        )
        pressed = "pressed[1]"
    if board.led is not None:
        assigns.append(f"  assign led = {_level(board.led, 'answered')};\n")
    pins = [name for name in ("rx", "tx", "cs_n", "sck", "copi", "cipo") if name in names]
    wires, link, core = _wiring(bundle.ports, shape)
    link = [".clk(clk)", ".rst(reset)", *(f".{pin}({pin})" for pin in pins), *link]
    core = [f".{bundle.ports['clock']}(clk)", f".{bundle.ports['reset']}(restarting)", *core]
    return (
        f"// {board.title}, {clocking.mhz:g} MHz: the accelerator behind its link.\n"
        f"module {TOP}({declared});\n"
        "  wire clk, locked;\n"
        f"{clocking.verilog}"
        f"{button}"
        f"  reg [{STARTUP_BITS - 1}:0] startup = {STARTUP_BITS}'d0;\n"
        "  reg reset = 1'b1, restarting = 1'b1;\n"
        "  wire restart, answered;\n"
        "  always @(posedge clk) begin\n"
        f"    if (~locked | {pressed}) startup <= {STARTUP_BITS}'d0;\n"
        f"    else if (~&startup) startup <= startup + {STARTUP_BITS}'d1;\n"
        "    reset <= ~&startup;\n"
        "    restarting <= reset | restart;\n"
        "  end\n"
        f"{''.join(assigns)}"
        f"{wires}"
        f"  {LINK} link({', '.join(link)},\n    .restart(restart), .answered(answered));\n"
        f"  {bundle.top} core({', '.join(core)});\n"
        "endmodule\n"
    )


def _wiring(ports: Mapping[str, Any], shape: LinkShape) -> tuple[str, list[str], list[str]]:
    """Wires between link and accelerator, and the connections of either."""
    wires, link, core = [], [], []
    names = ["i", "o", *(["load"] if shape.is_loadable else [])]
    for name in names:
        stream = ports["streams"][name]
        wires.append(f"  wire [{stream['width'] - 1}:0] {name}_payload;\n")
        wires.append(f"  wire {name}_valid, {name}_ready;\n")
        for part in ("payload", "valid", "ready"):
            link.append(f".{name}__{part}({name}_{part})")
            core.append(f".{stream[part]}({name}_{part})")
    if shape.is_loadable:
        wires.append("  wire loaded, refused;\n")
        for role in ("loaded", "refused"):
            link.append(f".{role}({role})")
            core.append(f".{ports['weights'][role]}({role})")
    return "".join(wires), link, core


def line_name(line: Line) -> str:
    """Return what a recipe says of a line."""
    return "spi" if isinstance(line, Spi) else f"uart/{line.divisor}"
