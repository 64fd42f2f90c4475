"""Importers: files of other programs, and of Convexon's own, as networks.

An importer is one class. Another package adds one with an entry point of the group
``convexon.importers``, and ``convexon import`` then knows it by name and by the ends of file names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from convexon.errors import InputError
from convexon.interop.layer_list import read_layer_list
from convexon.interop.nir import DEFAULT_PROFILE, read_nir
from convexon.interop.profiles import PROFILES
from convexon.interop.pytorch.exported import read_exported
from convexon.registry import Registry
from convexon.settings import Settings, setting
from convexon.snn.card import CARD
from convexon.snn.models.real import RealNetwork
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import READINGS
from convexon.store.artefact import load


@dataclass(frozen=True, kw_only=True)
class ReadingSettings(Settings):
    """What a file of another tool leaves open.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    profile: str = setting(
        DEFAULT_PROFILE, "Whose reading of spiking nodes counts.", names=PROFILES.__iter__
    )
    dt: float | None = setting(
        None, "Step in seconds; by default what the file or the tool says.", above=0
    )
    integrators: str = setting(
        READINGS[0],
        "What is read of leaky integrators: their membranes of the last step, or the largest.",
        names=READINGS.__iter__,
    )


class Importer(ABC):
    """Reads networks from files.

    Members
    -------
    suffixes : tuple of str
        Ends of the names of the files that it reads: ``.card.json``.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def read(self, path: Path, reading: ReadingSettings) -> FixedPointNetwork | RealNetwork:
        """Return the network of a file, of integers or of real numbers, which are then quantized.

        Raises
        ------
        ConvexonError
            In one line, if the file holds no network.
        """


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

    def read(self, path: Path, reading: ReadingSettings) -> FixedPointNetwork:
        """Read the card; raises `ArtefactError` if it is damaged or of another version."""
        return load(CARD, path)[0]


class NirImporter(Importer):
    """A graph of the neuromorphic intermediate representation."""

    suffixes = (".nir",)

    def read(self, path: Path, reading: ReadingSettings) -> RealNetwork:
        """Read the graph; raises as `convexon.interop.nir.read_nir`."""
        return read_nir(
            path, profile=reading.profile, dt=reading.dt, integrators=reading.integrators
        )


class LayerListImporter(Importer):
    """A list of layers over a state_dict of PyTorch."""

    suffixes = (".toml",)

    def read(self, path: Path, reading: ReadingSettings) -> RealNetwork:
        """Read the list; raises as `convexon.interop.layer_list.read_layer_list`."""
        return read_layer_list(path)


class ExportedImporter(Importer):
    """A program of PyTorch, as ``torch.export.save`` writes it."""

    suffixes = (".pt2",)

    def read(self, path: Path, reading: ReadingSettings) -> RealNetwork:
        """Read the program; raises as `convexon.interop.pytorch.exported.read_exported`."""
        return read_exported(path)


IMPORTERS.add("card", CardImporter())
IMPORTERS.add("nir", NirImporter())
IMPORTERS.add("layers", LayerListImporter())
IMPORTERS.add("exported", ExportedImporter())


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
