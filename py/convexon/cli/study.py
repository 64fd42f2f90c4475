"""``convexon study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Run, Seed


def study(
    task: Annotated[str, typer.Argument(help="addition, xor, automaton or mnist.")],
    run: Run = Path("build/study"),
    base: Annotated[int, typer.Option(help="addition: base of the numbers.")] = 2,
    carry: Annotated[
        bool, typer.Option(help="addition: the carry is an input; without, it is remembered.")
    ] = True,
    length: Annotated[int, typer.Option(help="xor, automaton: symbols of a string.")] = 11,
    layers: Annotated[int, typer.Option(help="xor: hidden layers.")] = 2,
    disjoint: Annotated[
        bool, typer.Option(help="xor, automaton: no test string is a training string.")
    ] = True,
    states: Annotated[int, typer.Option(help="automaton: states.")] = 5,
    symbols: Annotated[int, typer.Option(help="automaton: symbols.")] = 2,
    data: Annotated[
        str, typer.Option(help="mnist: folder with the idx files.", envvar="CONVEXON_DATA")
    ] = "",
    train: Annotated[int, typer.Option(help="Training samples to draw.")] = 2000,
    test: Annotated[int, typer.Option(help="Test strings to draw.")] = 2000,
    steps: Annotated[int, typer.Option(help="mnist: T, chunks of an image.")] = 4,
    neurons: Annotated[int, typer.Option(help="mnist: most last-layer neurons.")] = 1024,
    seconds: Annotated[float, typer.Option(help="mnist: time for surrogate training.")] = 180.0,
    readout_bits: Annotated[int, typer.Option(help="Bits of a readout weight.")] = 8,
    seed: Seed = 0,
) -> None:
    """Run one of the paper's experiments; its run folder can be emitted and verified.

    Addition digit by digit, FIRST-LAST-XOR, random automata, and sequential MNIST.
    """
    from convexon.chain import stage
    from convexon.cli.console import Console
    from convexon.run import RunFolder
    from convexon.study.stage import StudySettings

    settings = StudySettings(
        task=task,
        seed=seed,
        base=base,
        carry_input=carry,
        length=length,
        layers=layers,
        disjoint=disjoint,
        states=states,
        symbols=symbols,
        data=data,
        n_train=train,
        n_test=test,
        n_steps=steps,
        neurons=neurons,
        seconds=seconds,
        readout_bits=readout_bits,
    )
    with Console() as console:
        with console.stage("study") as line:
            result = stage("study")(RunFolder(run), settings, line)
        console.line(result.summary)
        for text in result.certificate_lines:
            console.line(text)
