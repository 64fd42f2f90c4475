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
import tomllib
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from convexon.errors import InputError
from convexon.registry import Registry
from convexon_boards.board import Board, Part, Pin, SpiPins, Vendor
from convexon_boards.families import part_of


def _check(board: object) -> None:
    if not isinstance(board, Board | Path | str):
        raise InputError(f"a board must be a Board, or a path of its file, not {board!r}")


BOARDS: Registry[Board | Path | str] = Registry("board", "convexon.boards", _check)
"""Boards, or paths of their files, by name."""

for _file in sorted(Path(str(files("convexon_boards") / "catalogue")).glob("*.toml")):
    BOARDS.add(_file.stem, _file)

_SPI = ("cs_n", "sck", "copi", "cipo")
_PORTS = ("clock", "rx", "tx", *_SPI, "led", "button")


class _Form(NamedTuple):
    """What a string must be: all of it goes into scripts, file names or constraints."""

    pattern: str
    words: str


_NAME = _Form(r"[a-z0-9][a-z0-9_-]*", "small letters, digits and hyphens")
_SIGNAL = _Form(r"[a-z][a-z0-9_]*", "a name of small letters, digits and underscores")
_SITE = _Form(r"[A-Za-z0-9_]+", "a site in the package, of letters and digits")
_PIN = _Form(rf"!?{_SITE.pattern}", f'{_SITE.words}, with "!" before it if active when low')
_PART = _Form(r"[A-Za-z0-9/-]+", "a part's name, of letters, digits, / and -")
_WORD = _Form(r"[A-Za-z0-9._ -]+", "letters, digits, dots, hyphens and spaces")
_TEXT = _Form(r"[^\x00-\x1f]+", "one line of text")
_VENDOR = _Form("|".join(vendor.value for vendor in Vendor), "vivado or quartus")


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
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        board = _board(path.stem if name is None else name, content)
        return board if name is not None else replace(board, file=str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} must be TOML: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _board(name: str, content: dict[str, Any]) -> Board:
    """The board of a file's content."""
    _require_form(_NAME, "the name of a board", name)
    board = _Table("", content)
    pins = _Table("pins", board.take("pins", dict))
    high = _Table("high", board.take("high", dict, {}))
    spi = [pins.text(line, _SITE) for line in _SPI if line in pins.content]
    if len(spi) not in (0, len(_SPI)):
        raise InputError(f"pins must have all of {', '.join(_SPI)}, or none of them")
    vendor = board.text("vendor", _VENDOR, "")
    made = Board(
        name=name,
        title=board.text("title", _TEXT),
        part=_part(board.text("part", _PART), vendor),
        vendor=Vendor(vendor) if vendor else None,
        oscillator_mhz=_frequency(board.take("oscillator_mhz", (int, float))),
        clock=pins.text("clock", _SITE),
        rx=pins.text("rx", _SITE),
        tx=pins.text("tx", _SITE),
        spi=SpiPins(*spi) if spi else None,
        led=_pin(pins.text("led", _PIN, "")),
        reset=_pin(pins.text("reset", _PIN, "")),
        high={line: high.text(line, _SITE) for line in tuple(high.content)},
        io=board.text("io", _WORD, "LVCMOS33"),
        pll_from_pad=board.take("pll_from_pad", bool, False),
        loader=board.text("loader", _WORD, ""),
        source=board.text("source", _TEXT, ""),
        note=board.text("note", _TEXT, ""),
    )
    for table in (board, pins, high):
        table.require_empty()
    _require_distinct(made)
    return made


class _Table:
    """A table of a file, whose fields are taken one by one."""

    def __init__(self, name: str, content: dict[str, Any]) -> None:
        self.content = dict(content)
        self._where = f" of [{name}]" if name else ""
        self._known: list[str] = []

    def take(self, field: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """Return the field, or the default where there is one."""
        self._known.append(field)
        if field not in self.content:
            if default is None:
                raise InputError(f"{field}{self._where} is missing")
            return default
        value = self.content.pop(field)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"{field}{self._where} must be {_KINDS[kind]}, not {value!r}")
        return value

    def text(self, field: str, form: _Form, default: str | None = None) -> str:
        """Return the field, a string of a form."""
        value = str(self.take(field, str, default))
        if value != default:
            _require_form(form, f"{field}{self._where}", value)
        return value

    def require_empty(self) -> None:
        """Raise `InputError` if there is a field that nobody took."""
        for field in self.content:
            near = get_close_matches(field, self._known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it may have {', '.join(self._known)}"
            raise InputError(f"{field}{self._where} is unknown: {hint}")


def _require_form(form: _Form, what: str, value: str) -> None:
    if not re.fullmatch(form.pattern, value):
        raise InputError(f"{what} must be {form.words}, not {value!r}")


_KINDS: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    dict: "a table",
    (int, float): "a number",
}


def _part(name: str, vendor: str) -> Part | str:
    if vendor:
        return name
    try:
        return part_of(name)
    except InputError as error:
        raise InputError(f'{error}; or add vendor = "vivado" or "quartus"') from None


def _frequency(mhz: float) -> float:
    if not 0 < mhz < float("inf"):
        raise InputError(f"oscillator_mhz must be above 0, not {mhz!r}")
    return float(mhz)


def _pin(text: str) -> Pin | None:
    return Pin(text.removeprefix("!"), text.startswith("!")) if text else None


def _require_distinct(board: Board) -> None:
    """Raise `InputError` if signals that a design has at once share a site, or a name."""
    for name in board.high:
        _require_form(_SIGNAL, "a name in [high]", name)
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
