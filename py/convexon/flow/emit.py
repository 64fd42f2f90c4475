"""From the silicon card to the RTL bundle and the exports; and the design that they are of."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convexon.errors import ArtefactError
from convexon.flow.run import Made, Run
from convexon.interop.export import write_exports
from convexon.plan.mapping import MAPPING, Mapping
from convexon.plan.schedule import Schedule
from convexon.progress import QUIET, Progress
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon.store.codec import Codec
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import Host, emit, tools


@dataclass(frozen=True, eq=False)
class Design:
    """The network of a run folder, and the mapping that was made for it.

    Members
    -------
    card : Made of FixedPointNetwork
    chosen : Made of Mapping, or None
        None where no mapping was made: all is spatial then.
    """

    card: Made[FixedPointNetwork]
    chosen: Made[Mapping] | None

    @classmethod
    def of(cls, run: Run) -> Design:
        """Read the design of a folder.

        Raises
        ------
        ArtefactError
            If there is no sound card, or the mapping is of another one.
        """
        card = run.read("card", CARD)
        chosen = run.read("mapping", MAPPING) if run.has("mapping") else None
        if chosen is not None and chosen.record.parents.get("card") != card.record.digest:
            raise ArtefactError(
                f"{run.file('mapping')} is of another card than {run.file('card')}: "
                f"run `convexon map {run.path}` again, or remove it for a spatial mapping"
            )
        return cls(card, chosen)

    @property
    def network(self) -> FixedPointNetwork:
        """The network."""
        return self.card.value

    @property
    def mapping(self) -> Mapping:
        """Its mapping."""
        return Mapping.spatial(self.network) if self.chosen is None else self.chosen.value

    @property
    def schedule(self) -> Schedule:
        """Its cycles."""
        return Schedule.of(self.network, self.mapping)

    @property
    def parents(self) -> dict[str, Made[Any]]:
        """What a bundle of it is made from, by role."""
        return {"card": self.card, **({} if self.chosen is None else {"mapping": self.chosen})}

    @property
    def digests(self) -> dict[str, str]:
        """Digests of `parents`."""
        return {role: made.record.digest for role, made in self.parents.items()}

    def bundle(self, run: Run) -> Made[RtlBundle]:
        """Read the bundle that was emitted of it.

        Raises
        ------
        ArtefactError
            If there is no sound bundle, or it is of another card or mapping.
        """
        bundle = run.bundle()
        own, stated = self.digests, dict(bundle.record.parents)
        if stated != own:
            names = [name for name in (*own, *stated) if own.get(name) != stated.get(name)]
            raise ArtefactError(
                f"{run.rtl} is of another {names[0]} than {run.file(names[0])}: "
                f"run `convexon emit {run.path}` again"
            )
        return bundle


def emitted(run: Run) -> tuple[Design, Made[RtlBundle]]:
    """Read a folder's design and its bundle; raises as `Design.of` and `Design.bundle`."""
    design = Design.of(run)
    return design, design.bundle(run)


@dataclass(frozen=True, eq=False, kw_only=True)
class EmitResult:
    """What the stage made."""

    bundle: Made[RtlBundle]
    schedule: Schedule
    exports: tuple[Path, ...]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        kilobytes = len(self.bundle.value.verilog) / 1000
        return f"emit: {kilobytes:.0f} kB of Verilog, {self.schedule.summary}"


@dataclass(frozen=True)
class Emitted:
    """Note of a bundle in a run folder: its digest, beside what it was made by."""

    digest: str


EMITTED: Codec[Emitted] = Codec(Emitted, "convexon.emitted", 1, made_by="convexon emit")
"""File form of the note."""


def emit_stage(
    run: Run, progress: Progress = QUIET, *, host: Host = Host.STREAMS, axi_width: int = 32
) -> EmitResult:
    """Emit the card of ``run`` into its folder ``rtl``, and the card's exports into ``export``.

    The layers are mapped as the artefact ``mapping`` says, spatially where there is none.

    Raises
    ------
    ConvexonError
        If there is no sound card, the network cannot be mapped, Yosys fails, or the folder cannot
        be written.
    """
    design = Design.of(run)

    def write() -> Emitted:
        began = time.monotonic()
        progress.begin("elaborating and emitting")
        new = emit(
            design.network, design.mapping, parents=design.digests, host=host, axi_width=axi_width
        )
        new.write(run.rtl)
        run.time("emit", time.monotonic() - began)
        return Emitted(new.digest)

    made = run.made(
        "emitted",
        EMITTED,
        write,
        parents=design.parents,
        recipe={"host": host.value, "axi_width": axi_width, "tools": tools()},
    )
    bundle = _sound(run)
    if bundle is None or bundle.record.digest != made.value.digest:  # changed since
        write()
        bundle = replace(run.bundle(), reused=False)
    exports = write_exports(design.network, run.path / "export", digest=design.digests["card"])
    return EmitResult(
        bundle=replace(bundle, reused=bundle.reused and made.reused),
        schedule=design.schedule,
        exports=tuple(exports),
    )


def _sound(run: Run) -> Made[RtlBundle] | None:
    """The bundle on disk, or None if it is missing or damaged."""
    try:
        return run.bundle()
    except ArtefactError:
        return None
