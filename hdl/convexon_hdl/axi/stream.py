"""Words of an AXI4-Stream inside the design."""

from __future__ import annotations

from amaranth.lib import data

from convexon.errors import InputError

WIDTHS = (32, 64, 128)
"""Widths of tdata, in bits."""


def require_width(width: int) -> int:
    """Return ``width`` if it is one of `WIDTHS`; `InputError` otherwise."""
    if width not in WIDTHS:
        raise InputError(f"width must be one of {', '.join(map(str, WIDTHS))} bits, not {width!r}")
    return width


class WordLayout(data.StructLayout):
    """One transfer of an AXI4-Stream.

    Members
    -------
    data : unsigned(width)
        ``tdata``.
    last : unsigned(1)
        ``tlast``.
    """

    def __init__(self, width: int) -> None:
        super().__init__({"data": width, "last": 1})


class ResultWordLayout(data.StructLayout):
    """`WordLayout` of results, with a mark for those of an inference that was given up.

    Members
    -------
    data, last : as `WordLayout`
    aborted : unsigned(1)
        The word is of the record of an aborted inference.
    """

    def __init__(self, width: int) -> None:
        super().__init__({**WordLayout(width).members, "aborted": 1})
