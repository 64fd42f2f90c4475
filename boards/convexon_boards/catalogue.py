"""Boards by name: one TOML file each, those of the user too.

::

    title = "iCEBreaker"
    part = "iCE40UP5K-SG48"       # as its maker calls it
    oscillator_mhz = 12.0
    loader = "ice40_generic"      # the board's name in openFPGALoader
    source = "amaranth-boards"    # where the pins are stated

    [pins]                        # sites in the package, "!" before one that is active when low
    clock = "35"
    rx = "6"                      # the serial line: the board listens on rx
    tx = "9"
    led = "!37"                   # may be left out, as may reset and the four of SPI
    reset = "!10"
    cs_n = "4"
    sck = "45"
    copi = "2"
    cipo = "47"

    [high]                        # sites that must be driven high, by names of your own
    flash_cs_n = "16"

There may be ``note``, what a user must connect; ``io``, the electrical standard of all pins;
``pll_from_pad`` on iCE40, whether the clock's pad is the PLL's own; and ``vendor``, which is vivado
or quartus, for a part that open tools do not know. The file's name is the board's.

A board is named by `board_of`: one of the catalogue, a path that ends in .toml, or one that another
package announces by an entry point of the group ``convexon.boards``: a `Board`, or a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from convexon.errors import InputError
from convexon.registry import Registry
from convexon.store.codec import from_json
from convexon.store.untrusted import read_toml
from convexon_boards.board import Board, Part, Pin, SpiPins, Stated
from convexon_boards.families import part_of


def _check(board: object) -> None:
    if not isinstance(board, Board | Path | str):
        raise InputError(f"a board must be a Board, or a path of its file, not {board!r}")


BOARDS: Registry[Board | Path | str] = Registry("board", "convexon.boards", _check)
"""Boards, or paths of their files, by name."""

for _file in sorted(Path(str(files("convexon_boards") / "catalogue")).glob("*.toml")):
    BOARDS.add(_file.stem, _file)

_SITE = r"[A-Za-z0-9_]+", "a site of the package, of letters and digits"
_SIGNAL = r"[a-z][a-z0-9_]*", "a name of small letters, digits and underscores"
_WORD = r"[A-Za-z0-9._ -]*", "of letters, digits, dots, hyphens and spaces"
_FORMS = {
    "name": (r"[a-z0-9][a-z0-9_-]*", "of small letters, digits and hyphens"),
    "part": (r"[A-Za-z0-9/-]+", "a part's name, of letters, digits, / and -"),
    "io": _WORD,
    "loader": _WORD,
}
"""Patterns of what goes into scripts, constraints and file names, and the same in words."""

_PORTS = ("clock", "rx", "tx", "cs_n", "sck", "copi", "cipo", "led", "button")


@dataclass(frozen=True, kw_only=True)
class _Pins:
    """The table of pins in a board's file."""

    clock: str
    rx: str
    tx: str
    led: str | None = None
    reset: str | None = None
    cs_n: str | None = None
    sck: str | None = None
    copi: str | None = None
    cipo: str | None = None


@dataclass(frozen=True, kw_only=True)
class _File(Stated):
    """A board's file."""

    part: str
    pins: _Pins


def board_of(name: str) -> Board:
    """Return the board ``name``, or that of a path which ends in .toml.

    Raises
    ------
    InputError
        If there is none, or its file is not one of a board: it says which field is wrong.
    """
    if name.endswith(".toml"):
        return read_board(Path(name))
    board = BOARDS[name]
    return board if isinstance(board, Board) else _kept(Path(board), name)


@cache
def _kept(path: Path, name: str) -> Board:
    return read_board(path, name)


def read_board(path: Path, name: str | None = None) -> Board:
    """Read the board in a TOML file; its name is that of the file where none is given.

    Raises
    ------
    InputError
        If the file cannot be read, or a field is missing, unknown or not what it must be.
    """
    content = read_toml(path, "a board")
    try:
        return _board(path.stem if name is None else name, "" if name else str(path), content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _board(name: str, path: str, content: dict[str, Any]) -> Board:
    """The board of a file's content."""
    stated = from_json(_File, content, "a board")
    pins = stated.pins
    for where, (pattern, words) in _FORMS.items():
        _require(where, name if where == "name" else getattr(stated, where), pattern, words)
    for signal, site in {**vars(pins), **stated.high}.items():
        if site is not None:
            _require(signal, site.removeprefix("!" if signal in ("led", "reset") else ""), *_SITE)
    if not stated.oscillator_mhz > 0:
        raise InputError(f"oscillator_mhz must be above 0, not {stated.oscillator_mhz!r}")
    lines = [pins.cs_n, pins.sck, pins.copi, pins.cipo]
    spi = [site for site in lines if site is not None]
    if len(spi) not in (0, len(lines)):
        raise InputError("pins must have all of cs_n, sck, copi, cipo, or none of them")
    board = Board(
        name=name,
        file=path,
        part=_part(stated),
        clock=pins.clock,
        rx=pins.rx,
        tx=pins.tx,
        spi=SpiPins(*spi) if spi else None,
        led=_pin(pins.led),
        reset=_pin(pins.reset),
        **{member.name: getattr(stated, member.name) for member in fields(Stated)},
    )
    _require_distinct(board)
    return board


def _require(what: str, value: str, pattern: str, words: str) -> None:
    if not re.fullmatch(pattern, value):
        raise InputError(f"{what} must be {words}, not {value!r}")


def _part(stated: _File) -> Part | str:
    if stated.vendor is not None:
        return stated.part
    try:
        return part_of(stated.part)
    except InputError as error:
        raise InputError(f'{error}; or add vendor = "vivado" or "quartus"') from None


def _pin(text: str | None) -> Pin | None:
    return None if text is None else Pin(text.removeprefix("!"), text.startswith("!"))


def _require_distinct(board: Board) -> None:
    """Raise `InputError` if signals that a design has at once share a site, or a name."""
    for name in board.high:
        _require("a name in [high]", name, *_SIGNAL)
        if name in _PORTS:
            raise InputError(f"{name} of [high] must have another name: it is that of a port")
    common = {"clock": board.clock}
    common |= {name: pin.site for name in ("led", "reset") if (pin := getattr(board, name))}
    serial = {**common, "rx": board.rx, "tx": board.tx, **board.high}
    for signals in (serial, {**common, **(vars(board.spi) if board.spi else {})}):
        taken: dict[str, str] = {}
        for name, site in signals.items():
            if site in taken:
                raise InputError(f"{name} must have a site of its own: {taken[site]} is at {site}")
            taken[site] = name
