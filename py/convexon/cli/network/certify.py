"""``convexon certify``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import RUN, command


@command
@RUN
@click.option("--resolve", help="Solve the program once more by a cone solver: clarabel or scs.")
def certify(run: Path, resolve: str | None) -> None:
    """Check a certificate: its figures, and that they are of this card and these samples.

    RUN is a run folder, or a certificate.json with its dictionary beside. Every figure is
    recomputed in exact or directed-rounding arithmetic, every column by a neuron model of its
    own; no code is the solver's, but for what docs/certificates.md names. The last lines say what
    is claimed, over which sets and to what tolerance. Exit code 1 if a claim does not hold, 2 if
    a file is broken or foreign.
    """
    from convexon.certify.check import check_file
    from convexon.cli.console import Console
    from convexon.convex.solvers.crosscheck import ConeSolver
    from convexon.flow.network.resolve import resolve as second_opinion
    from convexon.flow.run import Run
    from convexon.settings import choice

    solver = None if resolve is None else choice(ConeSolver, resolve, "resolve")
    with Console() as console:
        with console.stage("certify") as line:
            line.begin("checking every claim")
            verdict = check_file(run)
        for finding in verdict.findings:
            console.line(finding.line)
        console.line(verdict.claim)
        console.line(verdict.summary)
        if solver is not None:
            with console.stage("resolve") as line:
                line.begin(f"solving by {solver.value}")
                told = second_opinion(Run(run if run.is_dir() else run.parent), solver)
            console.line(told)
