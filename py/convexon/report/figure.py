"""Figures, and the one form in which every run and every benchmark states them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from convexon.errors import ArtefactError, InputError
from convexon.store.artefact import atomic_write, pretty
from convexon.store.codec import from_json, to_json
from convexon.store.untrusted import parse_json, read_text

SCHEMA = "convexon.report"
SCHEMA_VERSION = 1


class FigureKind(Enum):
    """How a figure came to be known."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    ASSUMED = "assumed"
    PROVED = "proved"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Members
    -------
    name : dotted, lower case, stable
    value : finite. A figure that was not obtained is left out, never zero or null.
    unit : such as ``cycles``, ``seconds``, ``1`` for a pure number
    source : tool, artefact or publication

    Raises
    ------
    InputError
        If the name is not dotted lower case, or the value is not finite.
    """

    name: str
    value: int | float
    unit: str
    kind: FigureKind
    source: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", self.name):
            raise InputError(f"name must be dotted lower case, not {self.name!r}")
        if isinstance(self.value, bool) or not math.isfinite(self.value):
            raise InputError(f"value of {self.name} must be a finite number, not {self.value!r}")


def write_figures(figures: Iterable[Figure], path: Path) -> None:
    """Write figures in the form of DESIGN section 8; raises on a name that is there twice.

    Raises
    ------
    InputError
        If two figures have one name.
    ArtefactError
        If the file cannot be written.
    """
    rows = list(figures)
    names = [figure.name for figure in rows]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"figures must have names of their own, and {name!r} is there twice")
    content = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "figures": [to_json(figure) for figure in rows],
    }
    atomic_write(path, pretty(content).encode())


def read_figures(path: Path) -> dict[str, Figure]:
    """Read figures by name.

    Raises
    ------
    ArtefactError
        If the file is missing, damaged, or of another schema.
    """
    try:
        content = parse_json(read_text(path))
        head = (content["schema"], content["schema_version"])
        if head != (SCHEMA, SCHEMA_VERSION):
            raise ArtefactError(f"{path} must be {SCHEMA} version {SCHEMA_VERSION}, not {head}")
        figures = [from_json(Figure, row) for row in content["figures"]]
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing: run the command that writes it") from None
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise ArtefactError(f"{path} is truncated or damaged: {error}") from error
    return {figure.name: figure for figure in figures}
