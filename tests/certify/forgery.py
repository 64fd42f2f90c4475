"""A run folder in an attacker's hands: whatever is changed, its digests are made again.

Files are written here without Convexon's store, as anybody could write them. Values are changed as
artefacts (`Forger.set`), or as bare JSON and arrays (`Forger.raw`), which no class ever checks.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from convexon.certify.certificate import CERTIFICATE
from convexon.data.dataset import DATASET
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import ConvexonError
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.quantizer.readout import READOUT
from convexon.snn.card import CARD
from convexon.store.codec import DERIVED, Codec
from convexon.train.columns.dictionary import DICTIONARY
from convexon.train.settings import SolveSettings
from convexon.train.solved import BRANCHES, NETWORK, SOLVED

CODECS: Mapping[str, Codec[Any]] = {
    "samples-train": SAMPLES,
    "samples-test": SAMPLES,
    "train": DATASET,
    "test": DATASET,
    "branches": BRANCHES,
    "dictionary": DICTIONARY,
    "solution": SOLVED,
    "network": NETWORK,
    "readout": READOUT,
    "card": CARD,
    "certificate": CERTIFICATE,
}
"""Every file of a run, each after those that it is made from."""

ALIASES = {("train", "samples"): "samples-train", ("test", "samples"): "samples-test"}


def parent_of(name: str, role: str) -> str:
    """The file that another one names by a role."""
    others = {"samples": "samples-train", "reference": "samples-train"}
    return ALIASES.get((name, role), others.get(role, role))


@dataclass(eq=False)
class Forged:
    """A file in parts."""

    head: dict[str, Any]
    arrays: dict[str, np.ndarray]


@dataclass(eq=False)
class Forger:
    """A run folder that is rewritten at will.

    Members
    -------
    path : Path
    files : mapping of str to Forged
    """

    path: Path
    files: dict[str, Forged] = field(init=False)
    touched: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.files = {}
        for name in CODECS:
            file = self.path / f"{name}.json"
            if file.exists():
                head = json.loads(file.read_text())
                arrays = {}
                if head["arrays"]:
                    with np.load(self._npz(name, head["digest"])) as archive:
                        arrays = {key: archive[key] for key in archive.files}
                self.files[name] = Forged(head, arrays)

    def _npz(self, name: str, digest: str) -> Path:
        return self.path / f"{name}.{digest.removeprefix('sha256:')[:12]}.npz"

    def get(self, name: str) -> Any:
        """An artefact."""
        file = self.files[name]
        return CODECS[name].decode(copy.deepcopy(file.head["content"]), dict(file.arrays))

    def set(self, name: str, value: Any) -> None:
        """Put another artefact in its place."""
        file = self.raw(name)
        file.head["content"], file.arrays = CODECS[name].encode(value)

    def change(self, name: str, **members: Any) -> None:
        """Change members of an artefact."""
        self.set(name, replace(self.get(name), **members))

    def raw(self, name: str) -> Forged:
        """A file to change as JSON and arrays."""
        self.touched.add(name)
        return self.files[name]

    def remove(self, name: str) -> None:
        """Take a file away."""
        del self.files[name]
        (self.path / f"{name}.json").unlink()

    def sign(self) -> None:
        """Write what was changed, and what was made from it, with all digests made again."""
        for name, file in self.files.items():
            for role in file.head["parents"]:
                origin = parent_of(name, role)
                if origin in self.files and origin in self.touched:
                    self.touched.add(name)
                    file.head["parents"][role] = self.files[origin].head["digest"]
            if name in self.touched:
                self._write(name, file)
        self.touched.clear()

    def _write(self, name: str, file: Forged) -> None:
        head, codec = file.head, CODECS[name]
        head["arrays"] = {key: describe(array) for key, array in sorted(file.arrays.items())}
        if codec.derived is not None:
            _derive(codec, head["content"], file.arrays)
        before = self._npz(name, head["digest"])
        head["digest"] = digest_of({**head, "digest": "", "source": ""})
        text = json.dumps(head)
        if file.arrays:
            with self._npz(name, head["digest"]).open("wb") as stream:
                np.savez(stream, **file.arrays)
        (self.path / f"{name}.json").write_text(text)
        if before != self._npz(name, head["digest"]):
            before.unlink(missing_ok=True)


def _derive(codec: Codec[Any], content: Any, arrays: dict[str, np.ndarray]) -> None:
    """Put in what follows from the content, where it is sound enough for that."""
    if not isinstance(content, dict):
        return
    plain = {key: value for key, value in content.items() if key != DERIVED}
    try:
        artefact = replace(codec, derived=None).decode(copy.deepcopy(plain), dict(arrays))
        content[DERIVED] = codec.derived(artefact)
    except (ConvexonError, ArithmeticError, TypeError, ValueError):
        pass  # such a file is refused anyway


def describe(array: np.ndarray) -> dict[str, Any]:
    """What a digest covers of an array."""
    plain = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    return {
        "dtype": plain.dtype.str,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(plain.tobytes()).hexdigest(),
    }


def digest_of(value: Any) -> str:
    """A digest as Convexon makes it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def optimal_samples() -> Samples:
    """Two classes over three inputs, one of which has both labels: every column can be had."""
    inputs = np.repeat([0, 1, 2], [10, 8, 6])
    labels = np.concatenate([np.zeros(10, int), np.ones(8, int), [0, 0, 0, 1, 1, 1]])
    return Samples.of(np.eye(3)[inputs], labels, name="optimal")


def optimal_settings(**changes: Any) -> SolveSettings:
    """Settings under which the weights are globally optimal on `optimal_samples`."""
    members: dict[str, Any] = {
        "coding": "threshold",
        "guide": "difference",
        "steps": 1,
        "witnesses": 300,
        "fan_in": 2,
        "max_neurons": 24,
        "selection_rho": 1e-5,
        "rho": (0.01,),
        "readout": "last",
    }
    return SolveSettings(**{**members, **changes})


def optimal_run(path: Path, **changes: Any) -> Path:
    """A run of which `convexon certify` says that it is globally optimal."""
    solve(Run(path), optimal_samples(), optimal_settings(**changes))
    return path
