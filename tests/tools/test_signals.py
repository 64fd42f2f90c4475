"""A signal ends a command wherever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

FINALIZER = """
import os, sys, time
from convexon.tools.signals import Stopped, as_interrupts

class Signalled:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        sum(range(100))

as_interrupts()
try:
    Signalled()
    time.sleep(30)
except Stopped as stopped:
    print(stopped.number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_within_a_finalizer_is_not_lost(number: signal.Signals) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FINALIZER, str(int(number))],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        timeout=60,
    )
    assert (ended.stdout, ended.stderr) == (f"{int(number)}\n", "")
