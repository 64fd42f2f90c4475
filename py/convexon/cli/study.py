"""``convexon study``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from convexon.cli.options import Run, Seed
from convexon.errors import InputError


def study(
    ctx: typer.Context,
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
    train: Annotated[int, typer.Option(help="All but addition: training samples.")] = 2000,
    test: Annotated[int, typer.Option(help="xor, automaton: test strings to draw.")] = 2000,
    steps: Annotated[int, typer.Option(help="mnist: T, chunks of an image.")] = 4,
    neurons: Annotated[int, typer.Option(help="mnist: most last-layer neurons.")] = 1024,
    seconds: Annotated[float, typer.Option(help="mnist: time for surrogate training.")] = 180.0,
    readout_bits: Annotated[int, typer.Option(help="Bits of a readout weight.")] = 8,
    seed: Seed = 0,
) -> None:
    """Run one of the paper's experiments; its run folder can be emitted and verified.

    Addition digit by digit, FIRST-LAST-XOR, random automata, and sequential MNIST.
    """
    from convexon.cli.console import Console
    from convexon.flow import stage
    from convexon.flow.run import RunFolder
    from convexon.study.settings import StudySettings

    given = {
        "base": base,
        "carry": carry,
        "length": length,
        "layers": layers,
        "disjoint": disjoint,
        "states": states,
        "symbols": symbols,
        "data": data,
        "train": train,
        "test": test,
        "steps": steps,
        "neurons": neurons,
        "seconds": seconds,
    }
    settings = StudySettings(
        task=task, seed=seed, readout_bits=readout_bits, **_chosen(ctx, task, given)
    )
    with Console() as console:
        with console.stage("study") as line:
            result = stage("study")(RunFolder(run), settings, line)
        console.line(result.summary)
        for text in result.certificate_lines:
            console.line(text)


_OPTIONS: Mapping[str, str] = {
    "carry_input": "carry",
    "n_train": "train",
    "n_test": "test",
    "n_steps": "steps",
}
"""Options whose names are not those of the settings' members."""


def _chosen(ctx: typer.Context, task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's choices by member; refuse an option on the command line that it lacks.

    Raises
    ------
    InputError
        If there is such an option, or no such task.
    """
    from convexon.study.settings import choices_of

    own = {_OPTIONS.get(member, member): member for member in choices_of(task)}
    for option in given:
        source = ctx.get_parameter_source(option)
        if option not in own and source is not None and source.name == "COMMANDLINE":
            has = ", ".join(f"--{name}" for name in own)
            raise InputError(f"--{option} must be left out for {task}, which has {has}")
    return {member: given[option] for option, member in own.items()}
