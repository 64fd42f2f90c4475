"""A run folder: the artefacts of one chain, each made again only when its origins change."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import convexon_boards
import convexon_hdl
import convexon_sim
from convexon import version
from convexon.errors import ArtefactError
from convexon.registry import plugins
from convexon.store.artefact import (
    Record,
    atomic_write,
    canonical,
    load,
    open_artefact,
    pretty,
    remove_drafts,
    save,
)
from convexon.store.codec import Codec, from_json
from convexon.store.untrusted import Amount, parse_json, read_text
from convexon_hdl.emit.bundle import SCHEMA, SCHEMA_VERSION, RtlBundle

T = TypeVar("T")

WITHIN = ("rtl", "export", "build", "build/*")
"""Folders that are written within a run's."""

_TIMING = threading.Lock()
"""Stages that run side by side note their times in one file."""


@cache
def source_digest() -> str:
    """Digest of Convexon's own source, and of what plug-ins there are in which version.

    An update never takes for current what the last one made.
    """
    digest = hashlib.sha256(canonical(plugins()))
    for module in (version, convexon_hdl, convexon_sim, convexon_boards):
        root = Path(str(module.__file__)).parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.relative_to(root).as_posix().encode() + b"\0")
                digest.update(path.read_bytes())
    return "sha256:" + digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Made(Generic[T]):
    """An artefact of a run.

    Members
    -------
    value : the artefact
    record : Record
        Head of its file; ``record.digest`` is what children name as their parent.
    reused : bool
        Whether it was there already.
    """

    value: T
    record: Record
    reused: bool


class Keeper:
    """Where stages keep what they make: here nowhere, so that nothing is written or reused.

    A `Run` keeps it in a folder.
    """

    def current(
        self, name: str, codec: Codec[T], is_current: Callable[[Record], bool]
    ) -> Made[T] | None:
        """Return the artefact ``name`` if it is there and current."""
        return None

    def keep(
        self,
        name: str,
        codec: Codec[T],
        value: T,
        *,
        parents: Mapping[str, str],
        recipe: Mapping[str, Any],
    ) -> Made[T]:
        """Keep an artefact, and return it."""
        return Made(value, Record(codec.schema, codec.version, "", parents, recipe), False)

    def time(self, stage: str, seconds: float, *, first: bool = False) -> None:
        """Note the wall time of a stage."""


@dataclass(frozen=True)
class Run(Keeper):
    """A folder with one artefact of each kind.

    Members
    -------
    path : Path
    edited : bool
        Whether its Verilog is taken as it is, where the card emits other.
    """

    path: Path
    edited: bool = False

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
            content = parse_json(read_text(self.file("timing")))
            return from_json(dict[str, Amount], content)
        except (OSError, ValueError):
            return {}  # a damaged note of times is no reason to fail

    def time(self, stage: str, seconds: float, *, first: bool = False) -> None:
        """Note the wall time of a stage; the ``first`` of a chain forgets those of the last one."""
        with _TIMING:
            before = {} if first else self.timing()
            timing = dict(sorted({**before, stage: round(seconds, 3)}.items()))
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

    def current(
        self, name: str, codec: Codec[T], is_current: Callable[[Record], bool]
    ) -> Made[T] | None:
        """Return the artefact on disk, or None where it is missing, damaged or not current.

        It must be of this schema and made by this source of Convexon, besides what ``is_current``
        asks of its head; only then is the rest of it read.
        """
        if not self.has(name):
            return None
        try:
            opened = open_artefact(codec, self.file(name))
            fresh = opened.record.source == source_digest() and is_current(opened.record)
            return Made(opened.value(), opened.record, True) if fresh else None
        except ArtefactError:
            return None

    def keep(
        self,
        name: str,
        codec: Codec[T],
        value: T,
        *,
        parents: Mapping[str, str],
        recipe: Mapping[str, Any],
    ) -> Made[T]:
        """Write an artefact, and return it; raises `ArtefactError` if it cannot be written."""
        path, source = self.file(name), source_digest()
        record = save(codec, value, path, parents=parents, recipe=recipe, source=source)
        return Made(value, record, False)

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

        `convexon.flow.stage` records what a recipe is; this is for recipes that are known before.
        """
        known = dict(recipe or {})
        digests = {role: parent.record.digest for role, parent in (parents or {}).items()}
        found = self.current(
            name,
            codec,
            lambda record: (
                dict(record.parents) == digests and canonical(record.recipe) == canonical(known)
            ),
        )
        if found is not None:
            return found
        return self.keep(name, codec, make(), parents=digests, recipe=known)

    @contextmanager
    def locked(self, *, new: bool = False) -> Iterator[Run]:
        """Hold the folder, so that no other process makes artefacts in it meanwhile.

        ``new`` makes it where it is not there; a folder that is missing is left so otherwise, and
        whatever is read of it says what makes it.

        Raises
        ------
        ArtefactError
            If another process holds it, it cannot be written, or a folder in it is a link.
        """
        is_below_file = any(parent.is_file() for parent in self.path.parents)
        if not new and not self.path.exists() and not is_below_file:
            yield self
            return
        missing = [place for place in (self.path, *self.path.parents) if not place.exists()]
        try:
            with _lock_of(self.path):
                for place in _places(self.path, WITHIN):
                    remove_drafts(place)
                yield self
        except BaseException:
            _remove_empty(missing)
            raise


def _remove_empty(folders: Iterable[Path]) -> None:
    """Take back folders, the innermost first, in which nothing but a lock was made."""
    for folder in folders:
        with suppress(OSError):
            if all(path.name == ".lock" for path in folder.iterdir()):
                (folder / ".lock").unlink(missing_ok=True)
            folder.rmdir()


def _places(path: Path, within: Iterable[str]) -> list[Path]:
    """A folder, and those within that are there; `ArtefactError` if one leads out of it."""
    found = [place for pattern in within for place in path.glob(pattern)]
    for place in found:
        if place.is_symlink():
            raise ArtefactError(f"{place} must be a folder, not a link to another: remove the link")
    return [path, *(place for place in found if place.is_dir())]


@contextmanager
def _lock_of(path: Path) -> Iterator[None]:
    """A lock on a folder, which goes with the process however that ends."""
    stream: IO[bytes] | None = None
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            stream = os.fdopen(os.open(path / ".lock", flags, 0o666), "ab")
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with tempfile.TemporaryFile(dir=path):  # said before anything is computed
                pass
        except BlockingIOError:
            raise ArtefactError(
                f"{path} is in use by another convexon: wait for it, or choose another folder"
            ) from None
        except OSError as error:
            raise ArtefactError(
                f"{path} cannot be written: {error.strerror or error}; choose another folder"
            ) from error
        yield
    finally:
        if stream is not None:
            stream.close()


@contextmanager
def joined(path: Path, within: Iterable[str] = ()) -> Iterator[None]:
    """Hold a folder in which others may write too, if they hold it so.

    Who comes first removes the drafts of processes that were killed, there and in the folders
    ``within``, which are patterns.

    Raises
    ------
    ArtefactError
        If the folder cannot be made, or one of those within is a link.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise ArtefactError(
            f"{path} cannot be written: {error.strerror or error}; choose another folder"
        ) from error
    try:
        places = _places(path, within)
        with suppress(OSError):  # others are there, or the file system has no such locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for place in places:
                remove_drafts(place)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)
