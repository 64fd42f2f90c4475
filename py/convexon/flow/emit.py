"""Stage ``emit``: from the silicon card to the RTL bundle and the card's exports."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from convexon.errors import ArtefactError
from convexon.flow.run import Made, Run
from convexon.interop.export import write_exports
from convexon.plan.mapping import MAPPING, Mapping
from convexon.plan.schedule import Schedule
from convexon.progress import QUIET, Progress
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.emit.bundle import MANIFEST_NAME, RtlBundle
from convexon_hdl.emit.emitter import Host, emit, host_name, tools


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


def emit_stage(
    folder: Run,
    progress: Progress = QUIET,
    *,
    host: Host = Host.STREAMS,
    axi_width: int = 32,
) -> EmitResult:
    """Emit the card of ``folder`` into ``folder/rtl``, and its exports into ``folder/export``.

    The layers are mapped as the artefact ``mapping`` says, spatially where there is none.

    Raises
    ------
    ConvexonError
        If there is no sound card, the network cannot be mapped, Yosys fails, or the folder cannot
        be written.
    """
    card = folder.read("card", CARD)
    mapping = current_mapping(folder, card)
    parents = {"card": card.record.digest}
    if folder.has("mapping"):
        parents["mapping"] = folder.read("mapping", MAPPING).record.digest
    bundle = current_bundle(folder, parents, host_name(host, axi_width))
    if bundle is None:
        began = time.monotonic()
        progress.begin("elaborating and emitting")
        new = emit(card.value, mapping, parents=parents, host=host, axi_width=axi_width)
        new.write(folder.rtl)
        folder.time("emit", time.monotonic() - began)
        bundle = replace(folder.bundle(), reused=False)
    exports = write_exports(card.value, folder.path / "export", digest=card.record.digest)
    return EmitResult(
        bundle=bundle, schedule=Schedule.of(card.value, mapping), exports=tuple(exports)
    )


def current_mapping(folder: Run, card: Made[FixedPointNetwork]) -> Mapping:
    """Return the mapping that `map_stage` made for ``card``; spatial where none was made.

    Raises
    ------
    ArtefactError
        If the mapping is not sound, or of another card.
    """
    if not folder.has("mapping"):
        return Mapping.spatial(card.value)
    mapping = folder.read("mapping", MAPPING)
    if mapping.record.parents.get("card") != card.record.digest:
        raise ArtefactError(
            f"{folder.file('mapping')} is of another card than {folder.file('card')}: "
            "run convexon map again, or remove it for a spatial mapping"
        )
    return mapping.value


def current_bundle(folder: Run, parents: dict[str, str], host: str) -> Made[RtlBundle] | None:
    """Return the bundle on disk if it is sound, of these parents, by these tools, for ``host``."""
    if not (folder.rtl / MANIFEST_NAME).exists():
        return None
    try:
        bundle = folder.bundle()
    except ArtefactError:
        return None
    if bundle.record.parents != parents or dict(bundle.value.tools) != tools():
        return None
    return bundle if bundle.value.ports.get("host") == host else None


def emitted(
    folder: Run,
) -> tuple[Made[FixedPointNetwork], Made[RtlBundle], Made[Mapping] | None]:
    """Read the card, the bundle that was emitted of it, and the mapping, None where all is spatial.

    Raises
    ------
    ArtefactError
        If the folder lacks a card or a bundle, or the bundle is of another card or mapping.
    """
    card, bundle = folder.read("card", CARD), folder.bundle()
    mapping = folder.read("mapping", MAPPING) if folder.has("mapping") else None
    digests = {"card": card.record.digest}
    if mapping is not None:
        digests["mapping"] = mapping.record.digest
    for name, digest in digests.items():
        if bundle.record.parents.get(name) != digest:
            raise ArtefactError(
                f"{folder.rtl} is of another {name} than {folder.file(name)}: emit again"
            )
    return card, bundle, mapping
