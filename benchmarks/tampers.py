"""Try to cheat `convexon certify`: `python benchmarks/tampers.py [--every N]`.

Every leaf of certificate, card, network, dictionary and solution of each of `RUNS` is changed to
values small, large and special, digests made again; and every attack of docs/certificates.md is
tried. A judge that shares nothing with Convexon says of whatever was accepted whether it is true.
Both are in tests/certify. Writes the figures trust.tampers and trust.attacks to
benchmarks/results/trust.json, beside those of others.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from convexon.report.figure import Figure, FigureKind, read_figures, write_figures

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "trust.json"
sys.path.append(str(ROOT / "tests" / "certify"))

from attacks import ATTACKS, BASES, told_of  # noqa: E402  (what the tests share)
from forgery import Forger  # noqa: E402
from tampering import RUNS, Outcome, Trial, tampers  # noqa: E402


def tampered(name: str, folder: Path, every: int) -> Outcome:
    """Try every so many of all tampers of a run."""
    folder.mkdir()
    outcome, trial = Outcome(), Trial(RUNS[name](folder / "run"), folder / "tampered")
    for tamper in list(tampers(trial.forger))[::every]:
        trial.run(tamper, outcome)
    print(f"{name}: {outcome.accepted} of {outcome.total} tampers accepted", flush=True)
    return outcome


def stopped(folder: Path) -> list[bool]:
    """Whether each attack was told."""
    bases = {name: make(folder / name) for name, make in BASES.items()}
    told = []
    for name, attack in ATTACKS.items():
        forger = Forger(Path(shutil.copytree(bases[attack.base], folder / f"attack-{name}")))
        attack.forge(forger)
        forger.sign()
        said = told_of(forger.path)
        told.append(bool(re.search(attack.told, said)) and "globally optimal" not in said)
    return told


def main() -> None:
    """Try everything, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="of how many tampers one is tried")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, ProcessPoolExecutor() as pool:
        folder = Path(made)
        tasks = [pool.submit(tampered, n, folder / f"run{k}", arguments.every)
                 for k, n in enumerate(RUNS)]  # fmt: skip
        outcomes = [task.result() for task in tasks]
        attacks = stopped(folder)
    false = [line for outcome in outcomes for line in outcome.false]
    tracebacks = [line for outcome in outcomes for line in outcome.tracebacks]
    for line in (*false, *tracebacks):
        print(line)
    rows = [
        ("tampers.total", sum(outcome.total for outcome in outcomes), "tampers"),
        ("tampers.accepted_false", len(false), "tampers"),
        ("tampers.tracebacks", len(tracebacks), "tampers"),
        ("attacks.total", len(attacks), "attacks"),
        ("attacks.stopped", sum(attacks), "attacks"),
    ]
    source = f"benchmarks/tampers.py, {len(RUNS)} certificates"
    figures = {
        f"trust.{name}": Figure(
            name=f"trust.{name}", value=value, unit=unit, kind=FigureKind.MEASURED, source=source
        )
        for name, value, unit in rows
    }
    known = read_figures(RESULT) if RESULT.exists() else {}
    write_figures({**known, **figures}.values(), RESULT)
    for name, figure in figures.items():
        print(name, figure.value)


if __name__ == "__main__":
    main()
