"""Folders for what a program reads and writes, which are gone afterwards, whatever happens.

A folder goes with its context. That of a process which was killed is removed by the next one that
needs a folder beside it: each holds a lock, which a process loses when it ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO

from convexon.errors import ToolError

PREFIX = "convexon-scratch-"
_LOCK = "lock"
_swept: set[Path] = set()


class Scratch:
    """A temporary folder; a context manager that gives its path, and removes it.

    Parameters
    ----------
    beside : Path or None
        The folder to make it in; the system's for temporary files by default.

    Members
    -------
    path : Path

    Raises
    ------
    ToolError
        If it cannot be made.
    """

    def __init__(self, beside: Path | None = None) -> None:
        place = Path(tempfile.gettempdir()) if beside is None else beside
        sweep(place)
        try:
            folder, lock = _locked_folder(place)
            self.path = folder / "files"
            self.path.mkdir()
        except OSError as error:
            raise ToolError(
                f"no temporary folder can be made in {place}: {error.strerror or error}; "
                "free space, or set TMPDIR or CONVEXON_CACHE"
            ) from error
        self._remove = weakref.finalize(self, _remove, folder, lock)

    def close(self) -> None:
        """Remove it."""
        self._remove()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *error: object) -> None:
        self.close()


def _locked_folder(place: Path) -> tuple[Path, IO[bytes]]:
    """Make a folder that this process has locked.

    Between the two steps a sweep may take it for another's leftover: then there is no file any more
    where the lock was, and another is made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        with suppress(FileNotFoundError):
            lock = (folder / _LOCK).open("ab")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                return folder, lock
            lock.close()


def sweep(place: Path) -> None:
    """Remove the folders in ``place`` that this user's ended processes left, once a process."""
    if place in _swept:
        return
    _swept.add(place)
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            try:  # opened for writing, as network file systems want of an exclusive lock
                lock = (folder / _LOCK).open("r+b")
            except FileNotFoundError:  # its process ended, or is, between two steps
                folder.rmdir()
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            _remove(folder, lock)


def _remove(folder: Path, lock: IO[bytes]) -> None:
    """Remove a folder, and then give up its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
