"""Try to cheat `convexon certify`: `python benchmarks/tampers.py [--every N]`.

Every leaf of certificate, card, network, dictionary and solution of five runs is changed to values
small, large and special, digests made again; and every attack of docs/certificates.md is tried. A
judge that shares nothing with Convexon says of whatever was accepted whether it is true. Both are
in tests/certify. Writes the figures trust.tampers and trust.attacks to
benchmarks/results/trust.json, beside those of others.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from convexon.report.figure import Figure, FigureKind, read_figures, write_figures

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "trust.json"
sys.path.append(str(ROOT / "tests" / "certify"))

from attacks import ATTACKS, BASES, told_of  # noqa: E402  (what the tests share)
from forgery import Forger  # noqa: E402
from tampering import RUNS, Outcome, Trial, tampers  # noqa: E402


def tampered(folder: Path, every: int) -> Outcome:
    """Try every so many of all tampers of all runs."""
    outcome = Outcome()
    for k, (name, make) in enumerate(RUNS.items()):
        before = outcome.total
        trial = Trial(make(folder / f"run{k}"), folder / f"tampered{k}")
        for tamper in list(tampers(trial.forger))[::every]:
            trial.run(tamper, outcome)
        print(f"{name}: {outcome.total - before} tampers", flush=True)
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
    with tempfile.TemporaryDirectory() as folder:
        outcome = tampered(Path(folder), arguments.every)
        attacks = stopped(Path(folder))
    for line in (*outcome.false, *outcome.tracebacks):
        print(line)
    rows = [
        ("tampers.total", outcome.total, "tampers"),
        ("tampers.accepted_false", len(outcome.false), "tampers"),
        ("tampers.tracebacks", len(outcome.tracebacks), "tampers"),
        ("attacks.total", len(attacks), "attacks"),
        ("attacks.stopped", sum(attacks), "attacks"),
    ]
    source = "benchmarks/tampers.py, five certificates"
    figures = {
        f"trust.{name}": Figure(
            name=f"trust.{name}", value=value, unit=unit, kind=FigureKind.MEASURED, source=source
        )
        for name, value, unit in rows
    }
    known = read_figures(RESULT) if RESULT.exists() else {}
    write_figures({**known, **figures}.values(), RESULT)
    print(f"{outcome.accepted} of {outcome.total} tampers accepted, all of them true"
          if not outcome.false else f"{len(outcome.false)} tampers believed")  # fmt: skip
    for name, figure in figures.items():
        print(name, figure.value)


if __name__ == "__main__":
    main()
