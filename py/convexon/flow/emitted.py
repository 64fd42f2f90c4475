"""What was emitted in a run folder, with the network and the mapping that it was made of."""

from __future__ import annotations

from convexon.errors import ArtefactError
from convexon.flow.run import Made, Run
from convexon.plan.mapping import MAPPING, Mapping
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.emit.bundle import RtlBundle


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
