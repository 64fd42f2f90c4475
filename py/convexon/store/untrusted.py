"""What a file may hold: one statement of the limits, which every reader keeps to.

A run folder, a card, samples, a mapping, a sweep, a board's file may come from anywhere. They are
regular files of limited size, and so are the arrays in them (`convexon.store.archive`); their JSON
and TOML is nested to a limited depth; their texts are single printable lines, so that no file
speaks to a terminal; and what reaches a tool is an identifier.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any

from convexon.errors import InputError

LIMIT_VARIABLE = "CONVEXON_LIMIT_MB"
"""Environment variable that raises, or lowers, the limit on sizes."""

LIMIT_MB = 1024
"""Most megabytes of a file, and of the arrays that it unpacks to, unless the variable says else."""

TEXT_SHARE = 16
"""A text may have this part of the limit: as objects it takes many times its size."""

VALUE_BYTES = 16
"""JSON may have a value for so many bytes of its limit: `[[],[],` takes 20 times its size."""

MAX_DEPTH = 64
"""Most levels of JSON and TOML."""

MAX_TEXT = 10_000
"""Most characters of a text within."""

MAX_INTEGER = (1 << 63) - 1
"""Largest integer of a file; the least is its complement."""

MAX_BITS = 14_000
"""Most bits of any integer, so that it can be told in a message: Python limits its digits."""

MAX_TOML = 1_000_000
"""Most characters of TOML, which people write."""

_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_DOTTED = re.compile(rf"(?<![\w-])(?:{_PART}){{{MAX_DEPTH}}}")
"""A key of TOML of too many parts, which take their number squared to read."""


# -- values ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Within:
    """Bounds of a number, in a hint: ``Annotated[int, Within(0)]``."""

    least: float = -math.inf
    most: float = math.inf

    def require(self, value: Any, place: str) -> None:
        """Raise `InputError` unless ``value`` lies within."""
        if not self.least <= value <= self.most:
            told = f"{self.least:g} to {self.most:g}"
            if math.isinf(self.most):
                told = f"{self.least:g} or more"
            raise InputError(f"{place} must be {told}, not {value!r}")


class AnyWidth:
    """Of an integer, in a hint: it is unsigned, and may be wider than 64 bits."""

    def require(self, value: Any, place: str) -> None:
        """Raise `InputError` unless ``value`` is such an integer."""
        if type(value) is not int or value < 0:
            raise InputError(f"{place} must be an integer of 0 or more, not {str(value)[:40]!r}")


@dataclass(frozen=True)
class Form:
    """Form of a text, in a hint: a pattern, and the same in words."""

    pattern: str
    words: str

    def fits(self, value: object) -> bool:
        """Whether ``value`` is a text of this form."""
        return isinstance(value, str) and re.fullmatch(self.pattern, value, re.ASCII) is not None

    def require(self, value: Any, place: str) -> None:
        """Raise `InputError` unless ``value`` is of this form."""
        if not self.fits(value):
            raise InputError(f"{place} must be {self.words}, not {value!r}")


Payload = Annotated[int, AnyWidth()]
"""What a stream carries in a transfer."""

Count = Annotated[int, Within(0)]
Size = Annotated[int, Within(1)]
Amount = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]

IDENTIFIER = Form("[A-Za-z_][A-Za-z0-9_]{0,199}", "an identifier of letters, digits and _")
FILE_NAME = Form(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", "a plain file name")
DIGEST = Form("sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits")

Identifier = Annotated[str, IDENTIFIER]
"""What may reach a tool: a module, a port, a net."""


def require_identifier(value: str, place: str) -> str:
    """Return ``value`` if a script may hold it as a name; raises `InputError`."""
    IDENTIFIER.require(value, place)
    return value


def printable(text: str) -> str:
    """Return ``text`` with all that a terminal would not simply show as escapes of Python's."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def require_line(text: str, place: str) -> str:
    """Return ``text`` if it is one printable line of a sensible length; raises `InputError`."""
    if not text.isprintable():
        raise InputError(f"{place} must be one line of printable text, not {text[:40]!r}")
    if len(text) > MAX_TEXT:
        raise InputError(f"{place} must be text of at most {MAX_TEXT} characters, not {len(text)}")
    return text


def require_plain(value: object, place: str = "content", depth: int = MAX_DEPTH) -> None:
    """Raise `InputError` unless texts are lines, integers short, and nothing is nested too deep."""
    if isinstance(value, str):
        require_line(value, place)
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise InputError(f"{place} must have integers of at most {MAX_BITS} bits")
    elif isinstance(value, dict | list | tuple):
        if not depth:
            raise InputError(f"{place} must be nested at most {MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            for name, item in value.items():
                require_plain(item, require_line(str(name), "a name"), depth - 1)
            return
        for item in value:
            if type(item) is not float:
                require_plain(item, place, depth - 1)


# -- files -----------------------------------------------------------------------------------------


def limit_bytes() -> int:
    """Most bytes of a file; `InputError` if the variable that states it is no number."""
    stated = os.environ.get(LIMIT_VARIABLE) or str(LIMIT_MB)
    if not re.fullmatch("[0-9]{1,9}", stated, re.ASCII) or int(stated) < 1:
        raise InputError(f"{LIMIT_VARIABLE} must be a number of megabytes, not {stated!r}")
    return int(stated) * 1_000_000


def open_regular(path: Path, most: int | None = None) -> BufferedReader:
    """Open a regular file of at most ``most`` bytes for reading, without ever waiting for one.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or is larger.
    """
    most = limit_bytes() if most is None else most
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if status.st_size > most:
            raise _too_large(path, status.st_size, most)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_text(path: Path) -> str:
    """Read a text of UTF-8, with or without a byte order mark, and line ends as they are.

    Raises
    ------
    OSError
        As `open_regular`.
    UnicodeDecodeError
        If it is no UTF-8.
    """
    most = limit_bytes() // TEXT_SHARE
    with open_regular(path, most) as stream:
        data = stream.read(most + 1)
    if len(data) > most:  # a file that grows, or does not state its size
        raise _too_large(path, len(data), most)
    return data.decode("utf-8-sig")


def _too_large(path: Path, size: int, most: int) -> OSError:
    told = f"it has {size:,} bytes, over the limit of {most:,}: raise {LIMIT_VARIABLE}"
    return OSError(errno.EFBIG, told, str(path))


def parse_json(text: str, without: Collection[str] = ()) -> Any:
    """Parse JSON, less some keys, and check it as `require_plain`; raises `ValueError`."""
    most = limit_bytes() // TEXT_SHARE // VALUE_BYTES
    if sum(map(text.count, "[{,")) > most:  # before there are any, which take the memory
        raise InputError(f"content must have at most {most:,} values: raise {LIMIT_VARIABLE}")

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key not in without}

    try:
        value = json.loads(text, object_pairs_hook=kept if without else None)
    except RecursionError:
        raise InputError(f"content must be nested at most {MAX_DEPTH} levels deep") from None
    require_plain(value)
    return value


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file that a person wrote, such as ``what`` ("a mapping").

    Raises
    ------
    InputError
        If it cannot be read, or is not TOML.
    """
    try:
        return parse_toml(read_text(path))
    except OSError as error:
        told = error.strerror or error
        raise InputError(f"{path} cannot be read: {told}: give a TOML file with {what}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except ValueError as error:
        raise InputError(f"{path} must be TOML: {printable(str(error))}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML, and check it as `require_plain`; raises `ValueError`."""
    if len(text) > MAX_TOML:
        raise InputError(f"it must have at most {MAX_TOML:,} characters, not {len(text):,}")
    try:
        if _DOTTED.search(text):
            raise RecursionError
        value = tomllib.loads(text)
    except RecursionError:
        raise InputError(f"content must be nested at most {MAX_DEPTH} levels deep") from None
    require_plain(value)
    return value
