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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from convexon.errors import ToolError

PREFIX = "convexon-scratch-"
_LOCK = "lock"
_FILES = "files"
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
            self.path = folder / _FILES
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

    Between the two steps a sweep may take it for another's leftover: then another is made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = _locked(folder, fcntl.LOCK_EX)
        if lock is not None:
            return folder, lock


def _locked(folder: Path, how: int) -> IO[bytes] | None:
    """Lock a folder; None where another process has it locked, or removed it meanwhile."""
    path = folder / _LOCK
    with suppress(FileNotFoundError, BlockingIOError), ExitStack() as stack:
        # opened for writing, as network file systems want of an exclusive lock
        lock = stack.enter_context(path.open("ab"))
        fcntl.flock(lock, how)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            stack.pop_all()
            return lock
    return None


def sweep(place: Path) -> None:
    """Remove the folders in ``place`` that this user's ended processes left, once a process."""
    if place in _swept:
        return
    _swept.add(place)
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is not None:
                _remove(folder, lock)


def _remove(folder: Path, lock: IO[bytes]) -> None:
    """Remove a folder's files, then its lock, which keeps others out until there are none."""
    with lock, suppress(OSError):
        shutil.rmtree(folder / _FILES, ignore_errors=True)
        (folder / _LOCK).unlink()
        folder.rmdir()
