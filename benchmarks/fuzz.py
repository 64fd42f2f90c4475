"""Files that are wrong against all that reads files: `python benchmarks/fuzz.py [--seconds N]`.

Sound files of every kind (`fuzzing`) are changed, one after the other, and read in processes that
are watched. A crash is an error of any other kind than Convexon's own, or the end of a process. A
hang is a reader that has not ended after `MOST_SECONDS` of computing, or `MOST_WAITING` of
waiting. No process may take `MOST_MB` more memory than it began with. Prints what was found, and
writes the figures into benchmarks/results/trust.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NoReturn

from fuzzing import Fuzzer, verdict, write_corpus

from convexon.report.figure import Figure, FigureKind, read_figures, write_figures

RESULT = Path(__file__).parent / "results" / "trust.json"
MOST_SECONDS, MOST_WAITING = 5.0, 60.0
MOST_MB = 500
LEAST_FILES = 100_000


class _HangError(BaseException):
    """A reader that does not end."""


def _hang(*_: object) -> NoReturn:
    raise _HangError


def work(corpus: Path, seed: int, seconds: float, least: int) -> None:
    """Change and read files for some seconds, and at least so many; print what came of it."""
    warnings.simplefilter("error")  # what a library would print of a file is a fault too
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _hang)
    found: Counter[str] = Counter()
    faults: list[str] = []
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="convexon-fuzz-") as name:
        fuzzer = Fuzzer(corpus, Path(name), seed)
        fuzzer.read_all()  # what readers import is no memory that a file takes
        before = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = before + MOST_MB * 1_000_000
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for case in fuzzer.cases():
            if time.monotonic() > end and found["files"] >= least:
                break
            found["files"] += 1
            signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, MOST_WAITING)
            try:
                error = verdict(fuzzer, case)
            except _HangError:
                found["hangs"] += 1
                faults.append(f"{case.kind}: hang")
                continue
            finally:
                for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
                    signal.setitimer(timer, 0)
            if error is not None:
                found["crashes"] += 1
                faults.append(f"{case.kind}: {type(error).__name__}: {error}"[:300])
                kept = Path(tempfile.gettempdir()) / f"convexon-fault-{seed}-{found['crashes']}"
                shutil.copy(case.path, kept)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({**found, "megabytes": megabytes, "faults": faults}))


def main() -> None:
    """Fuzz, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="at least")
    parser.add_argument("--files", type=int, default=LEAST_FILES, help="at least")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)  # corpus and seed of a process
    given = parser.parse_args()
    least = -(-given.files // given.processes)
    if given.work:
        work(Path(given.work[0]), int(given.work[1]), given.seconds, least)
        return
    with tempfile.TemporaryDirectory(prefix="convexon-corpus-") as name:
        write_corpus(Path(name))
        command = [sys.executable, *sys.argv, "--files", str(given.files)]
        processes = [
            subprocess.Popen(
                [*command, "--work", name, str(given.seed * 1000 + k)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for k in range(given.processes)
        ]
        ended = [(process.communicate()[0], process.returncode) for process in processes]
    total: Counter[str] = Counter(files=0, crashes=0, hangs=0)
    megabytes = 0.0
    for text, code in ended:
        if code:
            total["crashes"] += 1
            print(f"a process ended with {code}")
            continue
        told = json.loads(text)
        megabytes = max(megabytes, told.pop("megabytes"))
        for line in told.pop("faults"):
            print(line)
        total.update(told)
    rows = [
        ("trust.files.fuzzed", total["files"], "files"),
        ("trust.files.crashes", total["crashes"], "files"),
        ("trust.files.hangs", total["hangs"], "files"),
        ("trust.files.megabytes", round(megabytes), "MB"),
    ]
    source = "benchmarks/fuzz.py"
    figures = {
        name: Figure(name=name, value=n, unit=unit, kind=FigureKind.MEASURED, source=source)
        for name, n, unit in rows
    }
    known = read_figures(RESULT) if RESULT.exists() else {}
    write_figures({**known, **figures}.values(), RESULT)
    for name, figure in figures.items():
        print(name, figure.value)
    sys.exit(1 if total["crashes"] or total["hangs"] else 0)


if __name__ == "__main__":
    main()
