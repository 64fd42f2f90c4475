"""The files of a run as a checker reads them: each must be the one that the others name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from convexon.certify.exact.dyadic import FloatArray
from convexon.certify.network.columns import Columns
from convexon.certify.statement import IntArray
from convexon.errors import ArtefactError, InputError
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, Network
from convexon.store.artefact import Record, load
from convexon.store.codec import Codec

T = TypeVar("T")

FILES = {
    ("train", "samples"): "samples-train",
    ("test", "samples"): "samples-test",
    ("card", "samples"): "samples-train",
    ("certificate", "samples"): "samples-train",
    ("train", "reference"): "samples-train",
    ("test", "reference"): "samples-train",
}
"""Files that others name by another word, by who names them and the word."""


class NotHere(Exception):  # noqa: N818  (it ends a check, which is no error)
    """What a check needs is not beside the certificate; the text says what."""


@dataclass(eq=False)
class Folder:
    """What lies beside a certificate.

    Every file names the digests of those that it was made from. All of them must name the same
    file where they name one, and what lies there must be it.

    Members
    -------
    path : Path
        Of the certificate.
    """

    path: Path
    _named: dict[str, tuple[str, str]] = field(default_factory=dict)

    def first(self, codec: Codec[T]) -> tuple[T, Record]:
        """Read the certificate itself."""
        found, record = load(codec, self.path)
        self._name("certificate", record)
        return found, record

    def read(self, name: str, codec: Codec[T]) -> tuple[T, Record]:
        """Read a file that another one named.

        Raises
        ------
        NotHere
            If no file names it, or it is missing.
        ArtefactError
            If it is damaged, another one than was named, or made from others than the rest.
        """
        path = self.path.with_name(f"{name}.json")
        if name not in self._named:
            raise NotHere(f"no file says which {path.name} it was made from")
        if not path.exists():
            raise NotHere(f"{path.name} is not beside it")
        found, record = load(codec, path)
        digest, owner = self._named[name]
        if record.digest != digest:
            raise ArtefactError(f"{path} is not the {name} of {owner}: solve again")
        self._name(name, record)
        return found, record

    def _name(self, owner: str, record: Record) -> None:
        """Note which files a file was made from."""
        path = self.path.with_name(f"{owner}.json")
        for word, digest in record.parents.items():
            name = FILES.get((owner, word), word)
            known = self._named.setdefault(name, (digest, str(path)))
            if known[0] != digest:
                raise ArtefactError(f"{path} is of another {name} than {known[1]}: solve again")


@dataclass(frozen=True, eq=False)
class Bits:
    """Bit planes, as they lie in the file."""

    planes: npt.NDArray[np.uint8]
    n_rows: int


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A dictionary's file: columns, the (branch, neuron) that realises each, and what was left out.

    Raises
    ------
    InputError
        If a column has no witness.
    """

    bits: Bits
    witnesses: IntArray
    n_drawn: int
    n_silent: int
    n_constant: int
    n_duplicate: int
    n_complement: int
    max_feature: int

    def __post_init__(self) -> None:
        if self.witnesses.shape != (self.columns.n_columns, 2):
            raise InputError("witnesses must be a branch and a neuron for each column")

    @property
    def columns(self) -> Columns:
        """The columns."""
        return Columns(planes=self.bits.planes, n_rows=self.bits.n_rows)


@dataclass(frozen=True, eq=False)
class Readout:
    """A readout's file: the integers of the weights and, apart, of the biases."""

    weights: IntArray
    biases: IntArray
    weight_format: QFormat
    bias_format: QFormat


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution's file, of which columns, weights and rho are looked at."""

    columns: IntArray
    weights: FloatArray
    W: FloatArray
    dual: FloatArray
    gap: Mapping[str, Any]
    history: FloatArray
    validation: Mapping[str, Any]


DICTIONARY: Codec[Dictionary] = Codec(
    Dictionary, "convexon.dictionary", 3, made_by="convexon solve"
)
BRANCHES: Codec[tuple[Branch, ...]] = Codec(tuple[Branch, ...], "convexon.branches", 2)
NETWORK: Codec[Network] = Codec(Network, "convexon.network", 2)
READOUT: Codec[Readout] = Codec(Readout, "convexon.readout", 1)
SOLUTION: Codec[Solution] = Codec(Solution, "convexon.solution", 4)
