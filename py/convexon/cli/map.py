"""``convexon map``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convexon.cli.options import RUN, command, settings
from convexon.plan.cost.budget import Limits

if TYPE_CHECKING:
    from convexon.data.encoder import Encoder
    from convexon.plan.cost.budget import Budget
    from convexon.snn.decision import Decision


@command
@RUN
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="A TOML file with the choice for every layer.",
)
@settings(Limits, "limits")
@click.option("--family", help="ecp5, ice40 or gowin; ecp5 by default.")
@click.option("--board", help="Board to fit: its part, less the link, and its oscillator's clock.")
@click.option("--encoder", help="On chip: threshold, latency, bit-plane, rate or hold.")
@click.option(
    "--encoder-bits", type=int, help="Bits of a level that the encoder reads; 8 by default."
)
@click.option("--encoder-seed", type=int, help="Seed of the rate encoder.")
@click.option(
    "--decision",
    default="end",
    show_default=True,
    help="When an inference ends: end, certain or threshold.",
)
@click.option(
    "--threshold", type=int, help="Score that ends an inference, for --decision threshold."
)
def map(
    run: Path,
    file: Path | None,
    family: str | None,
    board: str | None,
    encoder: str | None,
    encoder_bits: int | None,
    encoder_seed: int | None,
    decision: str,
    threshold: int | None,
    limits: Limits,
) -> None:
    """Choose for every layer whether it stands in logic or in block RAM.

    Without options everything stands in logic, which is fastest. With a budget, the fastest mapping
    that fits it is chosen. With an encoder, the chip makes the steps of one vector of levels per
    inference; with an early decision, an inference may end before its last step. The next emit and
    verify take it.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.map import map_stage
    from convexon.flow.run import Run
    from convexon.snn import simulate

    chosen_encoder = _encoder(run, encoder, encoder_bits, encoder_seed)
    chosen_decision = _decision(decision, threshold)
    if file is not None:
        if board is not None or limits != Limits():
            raise InputError("file must stand alone: a mapping by hand has no budget and no clock")
        if chosen_encoder is not None or chosen_decision.is_early:
            raise InputError("file must stand alone: write tables [encoder] and [decision] in it")
    budget = _budget(family, limits.budget, board)
    with Console() as console, Run(run).locked() as folder:
        with console.stage("map") as line:
            result = map_stage(
                folder,
                file=file,
                progress=line,
                model=simulate.run,
                budget=budget,
                encoder=chosen_encoder,
                decision=chosen_decision,
            )
        console.line(result.summary)


def _budget(family: str | None, limits: Budget, board: str | None) -> Budget:
    """Budget of the options; the family is the board's where one is named."""
    from convexon.errors import InputError
    from convexon.plan.family import Family
    from convexon.settings import choice
    from convexon_boards.capacity import budget_of

    if board is None:
        return replace(limits, family=choice(Family, family or "ecp5", "family"))
    if family is not None:
        raise InputError("family must be left out where a board is given: it has its own")
    return budget_of(board, limits)


def _decision(name: str, threshold: int | None) -> Decision:
    """Decision rule of the options."""
    from convexon.settings import choice
    from convexon.snn.decision import Decision, Rule

    return Decision(rule=choice(Rule, name, "decision"), threshold=threshold)


def _encoder(run: Path, name: str | None, bits: int | None, seed: int | None) -> Encoder | None:
    """Encoder that the options name; levels that are held are as wide as the network reads them."""
    from convexon.data.encoder import Encoder, EncoderKind
    from convexon.errors import InputError
    from convexon.flow.run import Run
    from convexon.settings import choice
    from convexon.snn.card import CARD

    if name is None:
        if bits is not None or seed is not None:
            raise InputError("encoder must be named for its bits and its seed: add --encoder")
        return None
    kind = choice(EncoderKind, name, "encoder")
    if bits is None:
        held = kind is EncoderKind.HOLD
        bits = Run(run).read("card", CARD).value.input_bits if held else 8
    try:
        return Encoder(kind=kind, bits=bits, seed=seed)
    except InputError as error:
        raise InputError(f"encoder_{error}") from None
