"""What tests ask of processes."""

from __future__ import annotations

import time
from pathlib import Path


def pid_in(file: Path, seconds: float = 15) -> int:
    """Wait until a process has written its number, whole, into a file."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{file.name} did not start")


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def ends(*pids: int, seconds: float = 10) -> bool:
    """Whether all processes have ended, or do soon."""
    deadline = time.monotonic() + seconds
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(runs, pids))
