"""``convexon map``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from convexon.cli.options import RUN, command, settings
from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.plan.cost.budget import Limits
from convexon.settings import Settings, setting
from convexon.snn.coding import CODINGS
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon_boards.settings import Placement


@dataclass(frozen=True, kw_only=True)
class OnChip(Settings):
    """What stands before and behind the layers."""

    encoder: EncoderKind | None = setting(None, "What makes the steps on chip; the host without.")
    encoder_bits: int | None = setting(None, "Bits of a level that it reads; 8 by default.")
    encoder_seed: int | None = setting(None, "Seed of the rate encoder.")
    encoder_resolution: int | None = setting(
        None, "B of delta and crossing encoders; that of the card's coding by default."
    )
    decision: Rule = setting(Rule.END, "When an inference ends.")
    threshold: int | None = setting(None, "Score that ends an inference, by --decision threshold.")

    def __post_init__(self) -> None:
        super().__post_init__()
        details = (self.encoder_bits, self.encoder_seed, self.encoder_resolution)
        if self.encoder is None and any(each is not None for each in details):
            raise InputError(
                "encoder must be named for its bits, seed and resolution: add --encoder"
            )

    def encoder_for(self, network: FixedPointNetwork) -> Encoder | None:
        """Return the encoder of a network; levels that are held are as wide as its inputs."""
        if self.encoder is None:
            return None
        bits = self.encoder_bits
        if bits is None:
            bits = network.input_bits if self.encoder is EncoderKind.HOLD else 8
        resolution = self.encoder_resolution
        if resolution is None and self.encoder in (EncoderKind.DELTA, EncoderKind.CROSSING):
            interface = network.interface
            resolution = None if interface is None else CODINGS[interface.coding].resolution
        try:
            return Encoder(
                kind=self.encoder, bits=bits, seed=self.encoder_seed, resolution=resolution
            )
        except InputError as error:
            raise InputError(f"encoder_{error}") from None


@command
@RUN
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="A TOML file with the choice for every layer.",
)
@settings(Limits, "limits")
@settings(Placement, "place")
@settings(OnChip, "chip")
def map(run: Path, file: Path | None, limits: Limits, place: Placement, chip: OnChip) -> None:
    """Choose for every layer whether it stands in logic or in block RAM.

    Without options everything stands in logic, which is fastest. With a budget, the fastest mapping
    that fits it is chosen. With an encoder, the chip makes the steps of one vector of levels per
    inference, or of a series the spikes of each step; with an early decision, an inference may end
    before its last step. The next emit and verify take it.
    """
    from convexon.cli.console import Console
    from convexon.flow.hardware.map import map_stage
    from convexon.flow.run import Run
    from convexon.snn.card import CARD

    if place.board is not None and place.family is not None:
        raise InputError("family must be left out where a board is given: it has its own")
    if file is not None:
        if (limits, place) != (Limits(), Placement(family=place.family)):
            raise InputError("file must stand alone: a mapping by hand has no budget and no clock")
        if chip != OnChip():
            raise InputError("file must stand alone: write tables [encoder] and [decision] in it")
    decision = Decision(rule=chip.decision, threshold=chip.threshold)
    with Console() as console, Run(run).locked() as folder:
        encoder = chip.encoder_for(folder.read("card", CARD).value)
        console.show(
            "map",
            lambda line: map_stage(
                folder,
                budget=place.budget(limits),
                file=file,
                encoder=encoder,
                decision=decision,
                progress=line,
            ),
        )
