"""Why a program failed: the line of its log that says so, and the log itself, kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from convexon.errors import ToolError
from convexon.tools.environment import CACHE_VARIABLE, cache_folder

_FORMS = (
    # Verilator and compilers go on after an error, and the first is what the others follow from.
    (r"%Error(?:-\w+)?: (?!Exiting due to)(.+)", 0),
    (r"(\S.*?: (?:fatal |internal compiler )?error: .+|\S+:\d+: syntax error)", 0),
    # Yosys and nextpnr end with theirs; of Python's exceptions the last is what was not handled.
    (r"(\S+:\d+: )?ERROR: (.+)", -1),
    (r"[ \t]*((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)(?:: .*)?)", -1),
    (r"make(?:\[\d+\])?: \*\*\* (.+)", -1),
    (r"\S*(?:ld|collect2): (.+)", 0),
)
"""How each tool writes an error, in the order in which they are looked for, and which one tells."""

LOGS = 20
"""Logs that are kept, the newest."""

_SPACE = re.compile(r"No space left on device|Bus error|\[Errno 28\]")
"""What programs say on a full disk; one that writes through memory is ended by SIGBUS."""

_FULL_BYTES = 1 << 20
"""Free space below which a disk is full: what a program failed to write was larger."""


def reason_of(log: str, code: int = 1) -> str:
    """Return the line of a log that says best what went wrong.

    Parameters
    ----------
    log : str
        All that a program wrote.
    code : int
        Its exit status; negative for the signal that ended it.
    """
    for form, which in _FORMS:
        found = [match.groups("") for match in re.finditer(f"^{form}$", log, re.MULTILINE)]
        if found:
            return "".join(found[which]).strip()
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if code >= 0 and lines:
        return lines[-1]
    status = f"exit status {code}" if code >= 0 else f"it was ended by {signal_name(-code)}"
    return f"{status} ({lines[-1] if lines else 'no output'})"


def signal_name(number: int) -> str:
    """Return a signal's name, such as SIGTERM."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def failure(name: str, log: str, *, code: int = 1, folder: Path | None = None) -> ToolError:
    """Return the error of a program that failed, in one line that names its log.

    Parameters
    ----------
    name : str
        What the program is called.
    log : str
    code : int
        As `reason_of`.
    folder : Path or None
        Where it wrote.
    """
    told = reason_of(log, code)
    if _SPACE.search(log) or code == -signal.SIGBUS or any(map(_is_full, _places(folder))):
        told = f"{told}: the disk is full, free space, or set {CACHE_VARIABLE} to another"
    kept = keep_log(name, log)
    return ToolError(f"{name} failed: {told}{f' (log: {kept})' if kept else ''}")


def _places(folder: Path | None) -> Iterator[Path]:
    """Where a program may have written."""
    if folder is not None:
        yield folder
    with suppress(ToolError):
        yield cache_folder()


def _is_full(place: Path) -> bool:
    try:
        return shutil.disk_usage(place).free < _FULL_BYTES
    except OSError:
        return False


def keep_log(name: str, log: str) -> Path | None:
    """Write a log into the cache, and return its file; None where that cannot be, or it is empty.

    The same log is kept once; of others the newest `LOGS`.
    """
    stem = re.sub(r"[^\w+.-]+", "-", name).strip("-.")[:40] or "tool"
    data = log.encode(errors="replace")
    if not data:
        return None
    try:
        folder = cache_folder() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}.log"
        file.write_bytes(data)
        old = sorted(folder.glob("*.log"), key=os.path.getmtime)[:-LOGS]
        for each in old:
            each.unlink(missing_ok=True)
    except (OSError, ToolError):
        return None
    return file
