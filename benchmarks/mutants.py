"""Mutants of emitted Verilog against the benches: `python benchmarks/mutants.py`.

Each mutant has one fault, of the kinds of `convexon_sim.mutation`, in one of the designs of
`mutant_subjects`: spatial and folded layers, weights that are fixed, loaded and of a seed, every
encoder, early decisions, and the top module with AXI. It is caught if the bench on Icarus rejects
it under smooth or under stalling traffic, or else if `convexon prove` does not prove its text. What
both let pass must be right, as its module is proved in full, or be proved equal to the design by
Yosys; then it does not count. Prints the list and the score of each design, and writes
benchmarks/results/mutants.json.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from functools import cache
from pathlib import Path

from mutant_subjects import AxiSubject, Subject, subjects

from convexon.report.figure import Figure, FigureKind, write_figures
from convexon_hdl.formal import Verdict
from convexon_hdl.proof.network import left_to_simulation, obligations, prove_network
from convexon_hdl.proof.record import prove_all
from convexon_sim.mutation import Mutant, chosen, is_equivalent

SEED = 1
CAUGHT, REFUTED, RIGHT, EQUAL, MISSED = "caught", "refuted", "right", "equal", "MISSED"

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
    if isinstance(subject, Subject):
        due = obligations(subject.of, subject.mapping, mutant.verilog)
        for proof in prove_all(due, known=proved_keys(subject)):
            if proof.verdict is not Verdict.PROVED:
                return REFUTED, f"{proof.kind} of {proof.where} ({proof.verdict.value})"
        left = left_to_simulation(subject.of, subject.mapping)
        if not left or re.search(SPECIFIED, mutant.module):
            return RIGHT, ""
    same = is_equivalent(subject.verilog, mutant, top=subject.top)
    return (EQUAL if same else MISSED), ""


@cache
def proved_keys(subject: Subject) -> frozenset[str]:
    """Return keys of all that is proved of the design itself."""
    proofs = prove_network(subject.of, subject.mapping, verilog=subject.verilog)
    return frozenset(p.key for p in proofs if p.verdict is Verdict.PROVED) - {""}


def main() -> None:
    """Print the lists and the scores, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one design, whose figures are not written")
    only = parser.parse_args().only
    caught = total = 0
    for subject in subjects():
        if only and subject.name != only:
            continue
        found = verdicts(subject, subject.count)
        for mutant, verdict, first in found:
            print(f"{verdict}: {mutant}")
            if first:
                print(f"    {first}")
        counts = Counter(verdict for _, verdict, _ in found)
        own = counts[CAUGHT] + counts[REFUTED]
        counted = own + counts[MISSED]
        print(f"{subject.name}: {own} of {counted} mutants caught", flush=True)
        caught, total = caught + own, total + counted
    print(f"{caught} of {total} mutants caught")
    if only:
        return
    source = (
        f"benchmarks/mutants.py, Icarus, then convexon prove, seed {SEED}, "
        "mutants proved right or equal left out"
    )
    figures = [
        Figure(
            name=f"hw.mutants.{name}",
            value=value,
            unit="mutants",
            kind=FigureKind.MEASURED,
            source=source,
        )
        for name, value in (("caught", caught), ("total", total))
    ]
    write_figures(figures, Path(__file__).parent / "results" / "mutants.json")


if __name__ == "__main__":
    main()
