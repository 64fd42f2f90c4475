"""From the silicon card to the RTL bundle and the exports; and the design that they are of."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from convexon.errors import ArtefactError, ToolError
from convexon.flow.run import Made, Run, source_digest
from convexon.interop.export import write_exports
from convexon.plan.mapping import MAPPING, Mapping
from convexon.plan.schedule import Schedule
from convexon.progress import QUIET, Progress
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import atomic_write
from convexon.store.untrusted import DIGEST
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import Host, emit, host_name, host_of, tools
from convexon_sim.build import kept


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
            If there is no sound bundle, it is of another card or mapping, or it is not what they
            emit, unless ``run.edited`` asks for it.
        """
        bundle = run.bundle()
        own, stated = self.digests, dict(bundle.record.parents)
        if stated != own:
            names = [name for name in (*own, *stated) if own.get(name) != stated.get(name)]
            raise ArtefactError(
                f"{run.rtl} is of another {names[0]} than {run.file(names[0])}: "
                f"run `convexon emit {run.path}` again"
            )
        emission = Emission(self, *host_of(bundle.value.ports["host"]))
        if not run.edited and bundle.record.digest != emission.digest:
            raise ArtefactError(
                f"{run.rtl} is not what {run.file('card')} emits: run `convexon emit {run.path}` "
                "again, or give --edited to take it as it is"
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


@dataclass(frozen=True, eq=False)
class Emission:
    """What a design emits for a host: the same bundle, whenever it is asked for.

    Members
    -------
    design : Design
    host : Host
    axi_width : int
    """

    design: Design
    host: Host
    axi_width: int

    @cached_property
    def bundle(self) -> RtlBundle:
        """The bundle, emitted."""
        design = self.design
        return emit(
            design.network,
            design.mapping,
            parents=design.digests,
            host=self.host,
            axi_width=self.axi_width,
        )

    @cached_property
    def digest(self) -> str:
        """Its digest, from the user's own cache where it is there: a folder's word is not taken."""
        key = {
            "emitted": self.design.digests,
            "host": host_name(self.host, self.axi_width),
            "tools": tools(),
            "source": source_digest(),
        }

        def make(folder: Path) -> None:
            (folder / _DIGEST).write_text(self.bundle.digest)

        try:
            file = kept(key, _DIGEST, make)
            known = file.read_text(errors="replace")
            if not DIGEST.fits(known):  # cut off, as where the power fails
                known = self.bundle.digest
                atomic_write(file, known.encode())
            return known
        except (OSError, ToolError, ArtefactError):  # no cache, or none that can be written
            return self.bundle.digest


_DIGEST = "digest"
"""Name of the file in the cache."""


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
    emission = Emission(Design.of(run), host, axi_width)
    design, bundle = emission.design, _sound(run)
    if bundle is None or bundle.record.digest != emission.digest:
        began = time.monotonic()
        progress.begin("elaborating and emitting")
        emission.bundle.write(run.rtl)
        bundle = replace(run.bundle(), reused=False)
        _ = emission.digest  # kept for what reads the folder next
        run.time("emit", time.monotonic() - began)
    exports = write_exports(design.network, run.path / "export", digest=design.digests["card"])
    return EmitResult(
        bundle=bundle,
        schedule=design.schedule,
        exports=tuple(exports),
    )


def _sound(run: Run) -> Made[RtlBundle] | None:
    """The bundle on disk, or None if it is missing or damaged."""
    try:
        return run.bundle()
    except ArtefactError:
        return None
