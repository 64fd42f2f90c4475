"""What a program sees of the environment, and the cache that survives it.

Programs get an allow-list and nothing else, so that a variable meant for another project, such as
CXXFLAGS, MAKEFLAGS, WAVES or COCOTB_TESTCASE, changes neither what is built nor what is run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from convexon.errors import ToolError

ALLOWED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
"""Variables that are passed on: where programs, their libraries, and a place to write are."""

STATED = {"LC_ALL": "C", "PYTHONUTF8": "1"}
"""Variables that every program gets: their messages are read, so they must be in English."""

CACHE_VARIABLE = "CONVEXON_CACHE"
"""Environment variable that moves the cache."""


def environment(**more: str) -> dict[str, str]:
    """Return the whole environment of a program: the allow-list, and ``more``."""
    passed = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    return {**passed, **STATED, **more}


def import_path() -> list[str]:
    """Return where this process imports from, in absolute paths: a child runs elsewhere."""
    return [str(Path(entry).absolute()) for entry in sys.path]


def cache_folder() -> Path:
    """Return the folder of the cache: ``$CONVEXON_CACHE``, or the user's cache folder.

    Raises
    ------
    ToolError
        If neither is set, and the user has no home.
    """
    for variable, below in (
        (CACHE_VARIABLE, "."),
        ("XDG_CACHE_HOME", "convexon"),
        ("HOME", ".cache/convexon"),
    ):
        if os.environ.get(variable):
            return Path(os.environ[variable], below).absolute()
    try:
        return Path.home() / ".cache" / "convexon"
    except RuntimeError:
        raise ToolError(
            f"the cache has no place, as HOME is not set: set {CACHE_VARIABLE} to a folder"
        ) from None


def require_cache() -> Path:
    """Return the folder of the cache, in which files can be made.

    Raises
    ------
    ToolError
        If they cannot.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"\0")
    except OSError as error:
        raise ToolError(
            f"the cache cannot be written in {folder}, {error.strerror or error}: "
            f"set {CACHE_VARIABLE} to a folder that can be"
        ) from error
    return folder
