"""SIGTERM and SIGHUP as interrupts: what runs is cleared up, and shells are told the signal."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_SOON = 0.01
"""Seconds after which a signal comes again whose exception was lost."""


class Stopped(KeyboardInterrupt):
    """A signal asked for an end.

    Members
    -------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def ending(interrupt: BaseException | None) -> tuple[str, int]:
    """Return what an interrupt was, and the exit code that shells have for it.

    130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    number = interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT
    if number == signal.SIGINT:
        return "interrupted", 128 + number
    return f"ended by {signal.Signals(number).name}", 128 + number


def as_interrupts() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise `Stopped`; what nohup has switched off stays so.

    A second one ends the process at once, without clearing up.
    """
    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _again


def at_the_end() -> None:
    """Let a signal end the process at once again: nothing is left to clear up."""
    for number in _STOPPING:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:
    at_the_end()
    raise Stopped(number)


def _again(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal once more that came within a finalizer, where Python drops what is raised."""
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)
        return
    as_interrupts()
    again = threading.Timer(_SOON, os.kill, (os.getpid(), lost.exc_value.number))
    again.daemon = True
    again.start()
