"""Importers: files of other programs, and of Convexon's own, as networks of integers.

An importer is one class. Another package adds one with an entry point of the group
``convexon.importers``, and ``convexon import`` then knows it by name and by the ends of file names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from convexon.errors import InputError
from convexon.registry import Registry
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import load


class Importer(ABC):
    """Reads networks from files.

    Members
    -------
    suffixes : ends of the names of the files that it reads: ``.card.json``
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def read(self, path: Path) -> FixedPointNetwork:
        """Return the network of a file; raises `ConvexonError` in one line if it holds none."""


def _check(importer: Importer) -> None:
    if not isinstance(importer, Importer) or not importer.suffixes:
        raise InputError(
            "an importer must be an instance of convexon.interop.importers.Importer with suffixes, "
            f"not {importer!r}"
        )


IMPORTERS: Registry[Importer] = Registry("format", "convexon.importers", _check)
"""Every importer by its name."""


class CardImporter(Importer):
    """The silicon card itself."""

    suffixes = (".json",)

    def read(self, path: Path) -> FixedPointNetwork:
        """Read the card; raises `ArtefactError` if it is damaged or of another version."""
        return load(CARD, path)[0]


IMPORTERS.add("card", CardImporter())


def importer_for(path: Path, name: str | None = None) -> Importer:
    """Return the importer of this name, or the one that reads files of such a name.

    Raises
    ------
    InputError
        If there is none; it lists those that there are.
    """
    if name is not None:
        return IMPORTERS[name]
    fitting = [IMPORTERS[each] for each in IMPORTERS]
    suffixes = [(suffix, each) for each in fitting for suffix in each.suffixes]
    longest = sorted(suffixes, key=lambda pair: -len(pair[0]))
    found = next((each for suffix, each in longest if path.name.endswith(suffix)), None)
    if found is None:
        raise InputError(f"format of {path.name} must be given: one of {', '.join(IMPORTERS)}")
    return found
