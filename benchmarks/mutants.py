"""Mutants of emitted Verilog against the benches: `python benchmarks/mutants.py`.

Each mutant has one fault, of the kinds of `mutation`, in one of the designs of
`mutant_subjects`: spatial and folded layers, weights that are fixed, loaded and of a seed, every
encoder, early decisions, and the top module with AXI. It is caught if the bench on Icarus rejects
it under smooth or under stalling traffic, or else if `convexon prove` does not prove its text: it
refutes it, or finds no proof in the time that the design's own takes. What both let pass is proved
equal to the design by Yosys, or else must be proved right though it is not equal, by obligations
that leave nothing of its module to simulation; neither counts. Prints the list, the score of each
design and how many of each kind there were, and writes benchmarks/results/mutants.json.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from functools import cache
from pathlib import Path

from mutant_subjects import AxiSubject, Subject, subjects
from mutation import Mutant, chosen, is_equivalent

from convexon.report.figure import Figure, FigureKind, write_figures
from convexon_hdl.formal.network import left_to_simulation, obligations
from convexon_hdl.formal.obligation import prove_all
from convexon_hdl.formal.prover import Verdict

SEED = 1
CAUGHT, REFUTED, UNPROVED = "caught", "refuted", "unproved"
EQUAL, RIGHT, MISSED = "equal", "right", "MISSED"

SPECIFIED = r"(scanner|bank|lane)\d+$|gate$|loader|encoder|sequencer|decision|argmax"
"""Modules of which a proof by parts leaves nothing to simulation, in folded networks too."""


def verdicts(subject: Subject | AxiSubject, count: int) -> list[tuple[Mutant, str, str]]:
    """Return each mutant of a subject with the verdict on it, and what was said of it first."""
    mutants = chosen(subject.verilog, count, seed=SEED, within=subject.within)
    firsts = subject.findings([mutant.verilog for mutant in mutants])
    return [
        (mutant, CAUGHT, first) if first else (mutant, *without_bench(subject, mutant))
        for mutant, first in zip(mutants, firsts, strict=True)
    ]


def without_bench(subject: Subject | AxiSubject, mutant: Mutant) -> tuple[str, str]:
    """Return the verdict on a mutant that the bench lets pass, and the reason."""
    open_proof = ""
    if isinstance(subject, Subject):
        due = obligations(subject.of, subject.mapping, mutant.verilog)
        for proof in prove_all(due, known=proved_keys(subject)):
            where = f"{proof.kind} of {proof.where}"
            if proof.verdict is Verdict.REFUTED:
                return REFUTED, where
            if proof.verdict is Verdict.UNDECIDED:
                open_proof = open_proof or where
    if is_equivalent(subject.verilog, mutant, top=subject.top):
        return EQUAL, ""
    if open_proof:
        return UNPROVED, open_proof
    if isinstance(subject, AxiSubject):
        return MISSED, ""
    left = left_to_simulation(subject.of, subject.mapping)
    return (RIGHT if not left or re.search(SPECIFIED, mutant.module) else MISSED), ""


@cache
def proved_keys(subject: Subject) -> frozenset[str]:
    """Return keys of all that is proved of the design itself."""
    proofs = prove_all(obligations(subject.of, subject.mapping, subject.verilog))
    return frozenset(p.key for p in proofs if p.verdict is Verdict.PROVED) - {""}


def totals(counts: Counter[str]) -> tuple[int, int]:
    """Return how many mutants were caught, and how many count."""
    caught = counts[CAUGHT] + counts[REFUTED] + counts[UNPROVED]
    return caught, caught + counts[MISSED]


def score(counts: Counter[str]) -> str:
    """Return the score, and how many there were of each verdict."""
    caught, total = totals(counts)
    kinds = ", ".join(f"{verdict} {count}" for verdict, count in sorted(counts.items()))
    return f"{caught} of {total} mutants caught ({kinds})"


def main() -> None:
    """Print the lists and the scores, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one design, whose figures are not written")
    only = parser.parse_args().only
    every: Counter[str] = Counter()
    for subject in subjects():
        if only and subject.name != only:
            continue
        found = verdicts(subject, subject.count)
        for mutant, verdict, first in found:
            print(f"{verdict}: {mutant}")
            if first:
                print(f"    {first}")
        counts = Counter(verdict for _, verdict, _ in found)
        print(f"{subject.name}: {score(counts)}", flush=True)
        every += counts
    print(score(every))
    if not only:
        keep(every)


def keep(every: Counter[str]) -> None:
    """Write the figures."""
    source = (
        f"benchmarks/mutants.py, Icarus, then convexon prove, seed {SEED}; "
        "those proved equal or right are not of the total"
    )
    caught, total = totals(every)
    rows = {
        "caught": caught,
        "total": total,
        "by_bench": every[CAUGHT],
        "refuted": every[REFUTED],
        "unproved": every[UNPROVED],
        "equal": every[EQUAL],
        "right": every[RIGHT],
    }
    figures = [
        Figure(
            name=f"hw.mutants.{name}",
            value=value,
            unit="mutants",
            kind=FigureKind.MEASURED,
            source=source,
        )
        for name, value in rows.items()
    ]
    write_figures(figures, Path(__file__).parent / "results" / "mutants.json")


if __name__ == "__main__":
    main()
