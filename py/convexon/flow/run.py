"""A run folder: the artefacts of one chain, each made again only when its origins change."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from convexon import __version__
from convexon.store.artefact import Codec, Record, atomic_write, is_current, load, pretty, save
from convexon_hdl.emit.bundle import SCHEMA, SCHEMA_VERSION, RtlBundle

T = TypeVar("T")

_TIMING = threading.Lock()
"""Stages that run side by side note their times in one file."""


@dataclass(frozen=True, eq=False)
class Made(Generic[T]):
    """An artefact of a run folder.

    Members
    -------
    value : the artefact
    record : head of its file; ``record.digest`` is what children name as their parent
    reused : whether it was there already
    """

    value: T
    record: Record
    reused: bool


@dataclass(frozen=True)
class RunFolder:
    """A folder with one artefact of each kind.

    Members
    -------
    path : Path
    """

    path: Path

    def file(self, name: str) -> Path:
        """Return where the artefact ``name`` lies."""
        return self.path / f"{name}.json"

    @property
    def rtl(self) -> Path:
        """Folder of the emitted bundle."""
        return self.path / "rtl"

    def timing(self) -> dict[str, float]:
        """Return the wall time in seconds of every stage that ran; no artefact depends on it."""
        try:
            content = json.loads(self.file("timing").read_text())
            return {name: float(content[name]) for name in content if content[name] >= 0}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # a damaged note of times is no reason to fail

    def time(self, stage: str, seconds: float, *, first: bool = False) -> None:
        """Note the wall time of a stage; the ``first`` of a chain forgets those of the last one."""
        with _TIMING:
            before = {} if first else self.timing()
            timing = {**before, stage: round(seconds, 3)}
            atomic_write(self.file("timing"), pretty(timing).encode())

    def read(self, name: str, codec: Codec[T]) -> Made[T]:
        """Read what an earlier stage made; raises `ArtefactError` if it is not sound."""
        value, record = load(codec, self.file(name))
        return Made(value, record, True)

    def bundle(self) -> Made[RtlBundle]:
        """Read the emitted bundle; raises `ArtefactError` if it is not sound."""
        bundle = RtlBundle.read(self.rtl)
        head = Record(SCHEMA, SCHEMA_VERSION, bundle.digest, dict(bundle.parents), {})
        return Made(bundle, head, True)

    def has(self, name: str) -> bool:
        """Whether the artefact's file exists."""
        return self.file(name).exists()

    def made(
        self,
        name: str,
        codec: Codec[T],
        make: Callable[[], T],
        *,
        parents: Mapping[str, Made[Any]] | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> Made[T]:
        """Return the artefact ``name``: the one on disk if current, else a new one from ``make``.

        Current means sound, of this schema, from these parents and by this recipe, and made by this
        version of Convexon.
        """
        recipe = {**(recipe or {}), "convexon": __version__}
        digests = {role: parent.record.digest for role, parent in (parents or {}).items()}
        path = self.file(name)
        if is_current(codec, path, parents=digests, recipe=recipe):
            return self.read(name, codec)
        value = make()
        record = save(codec, value, path, parents=digests, recipe=recipe)
        return Made(value, record, False)
