"""``convexon map``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convexon.cli.options import Run

if TYPE_CHECKING:
    from convexon.data.encoder import Encoder
    from convexon.snn.decision import Decision


def map(
    run: Run = Path("build/run"),
    file: Annotated[
        Path | None, typer.Option(help="A TOML file with the choice for every layer.")
    ] = None,
    luts: Annotated[int | None, typer.Option(help="Most LUT4s.", min=1)] = None,
    block_rams: Annotated[int | None, typer.Option(help="Most block RAMs.", min=0)] = None,
    latency_cycles: Annotated[
        int | None, typer.Option(help="Most cycles of an inference, on average.", min=1)
    ] = None,
    clock: Annotated[
        float | None, typer.Option(help="Clock in MHz that pipeline registers are chosen for.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="ecp5, ice40 or gowin; ecp5 by default.")
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(help="Board to fit: its part, less the link, and its oscillator's clock."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="On chip: threshold, latency, bit-plane, rate or hold."),
    ] = None,
    encoder_bits: Annotated[
        int | None, typer.Option(help="Bits of a level that the encoder reads; 8 by default.")
    ] = None,
    encoder_seed: Annotated[int | None, typer.Option(help="Seed of the rate encoder.")] = None,
    decision: Annotated[
        str, typer.Option(help="When an inference ends: end, certain or threshold.")
    ] = "end",
    threshold: Annotated[
        int | None, typer.Option(help="Score that ends an inference, for --decision threshold.")
    ] = None,
) -> None:
    """Choose for every layer whether it stands in logic or in block RAM.

    Without options everything stands in logic, which is fastest. With a budget, the fastest mapping
    that fits it is chosen. With an encoder, the chip makes the steps of one vector of levels per
    inference; with an early decision, an inference may end before its last step. The next emit and
    verify take it.
    """
    from convexon.cli.console import Console
    from convexon.flow import stage
    from convexon.flow.run import RunFolder
    from convexon.snn import simulate

    limits = {
        "luts": luts,
        "block_rams": block_rams,
        "latency_cycles": latency_cycles,
        "clock_hz": _hertz(clock),
    }
    options = {
        "budget": _budget(family, limits, board),
        "encoder": _encoder(run, encoder, encoder_bits, encoder_seed),
        "decision": _decision(decision, threshold),
    }
    if file is not None:
        _require_alone(any(x is not None for x in (board, *limits.values())), options)
    with Console() as console:
        with console.stage("map") as line:
            result = stage("map")(
                RunFolder(run), file=file, progress=line, model=simulate.run, **options
            )
        console.line(result.summary)


def _budget(family: str | None, limits: dict[str, int | float | None], board: str | None) -> Any:
    """Budget of the options; the family is the board's where one is named."""
    from convexon.errors import InputError
    from convexon.plan.family import Family
    from convexon.train.settings import choice

    if board is None:
        chosen = choice(Family, family or "ecp5", "family")
        return importlib.import_module("convexon.plan.cost.budget").Budget(family=chosen, **limits)
    if family is not None:
        raise InputError("family must be left out where a board is given: it has its own")
    return importlib.import_module("convexon_boards.capacity").budget_of(board, **limits)


def _hertz(clock: float | None) -> float | None:
    """The clock in Hz; `InputError` if it is none."""
    from convexon.errors import InputError

    if clock is not None and not 0 < clock < 10_000:
        raise InputError(f"clock must be a number of MHz, not {clock!r}")
    return None if clock is None else clock * 1e6


def _decision(name: str, threshold: int | None) -> Decision:
    """Decision rule of the options."""
    from convexon.snn.decision import Decision, Rule
    from convexon.train.settings import choice

    return Decision(rule=choice(Rule, name, "decision"), threshold=threshold)


def _require_alone(limited: bool, options: dict[str, Any]) -> None:
    """Raise `InputError` where a file comes with options that it has tables for."""
    from convexon.errors import InputError

    if limited:
        raise InputError("file must stand alone: a mapping by hand has no budget and no clock")
    if options["encoder"] is not None or options["decision"].is_early:
        raise InputError("file must stand alone: write tables [encoder] and [decision] in it")


def _encoder(run: Path, name: str | None, bits: int | None, seed: int | None) -> Encoder | None:
    """Encoder that the options name; levels that are held are as wide as the network reads them."""
    from convexon.data.encoder import Encoder, EncoderKind
    from convexon.errors import InputError
    from convexon.flow.run import RunFolder
    from convexon.snn.card import CARD
    from convexon.train.settings import choice

    if name is None:
        if bits is not None or seed is not None:
            raise InputError("encoder must be named for its bits and its seed: add --encoder")
        return None
    kind = choice(EncoderKind, name, "encoder")
    if bits is None:
        held = kind is EncoderKind.HOLD
        bits = RunFolder(run).read("card", CARD).value.input_bits if held else 8
    return Encoder(kind=kind, bits=bits, seed=seed)
