"""Cards that were edited by hand, or written by another program: checked, completed, signed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convexon.errors import ArtefactError, ConvexonError, InputError
from convexon.snn.card import CARD, SEMANTICS
from convexon.snn.fixed import MAX_WIDTH, width_of
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import HEAD, digest_of, read_json, save
from convexon.store.codec import DERIVED, from_json
from convexon.store.untrusted import printable

NAMED = ("schema", "schema_version", "content")
"""Fields that the file must have; the others are for signing to fill in."""


def sign(path: Path, output: Path | None = None) -> tuple[FixedPointNetwork, bool]:
    """Check the card at ``path``, and write it with what follows from it and its digest.

    Members that have a default may be missing, and so may all that signing writes: digest, parents,
    recipe and the derived part. A card that states other semantics than Convexon's is refused, as
    its author means another machine. What a signed card was made from is no longer known, so it
    has no parents; one whose digest holds already is left as it is.

    Parameters
    ----------
    output : where to write; ``path`` itself by default

    Returns
    -------
    network : FixedPointNetwork
    changed : whether anything had to be written

    Raises
    ------
    ArtefactError
        If the file is missing or no card, or its content does not fit; it names the place.
    """
    head = _head(path)
    content = dict(head["content"])
    derived = content.pop(DERIVED, None)
    try:
        _require_semantics(derived)
        network = from_json(FixedPointNetwork, content)
        _require_widths(network)
    except ConvexonError as error:
        raise ArtefactError(f"{path} holds bad content: {error}") from error
    except (TypeError, ValueError, ArithmeticError) as error:  # what classes make of odd numbers
        raise ArtefactError(f"{path} garbles {CARD.schema}: {error}") from error
    target = path if output is None else output
    if target == path and _is_signed(head, network):
        return network, False
    save(CARD, network, target, recipe={"signed": printable(path.name)})
    return network, True


def _head(path: Path) -> Mapping[str, Any]:
    """The file's fields, checked to be those of a card of this version."""
    head = read_json(path, "mend it, or name another file")
    if not isinstance(head, dict):
        raise ArtefactError(f"{path} must hold an object with {', '.join(NAMED)}")
    foreign = sorted(set(head) - HEAD)
    if foreign:
        raise ArtefactError(f"{path} must have no field {foreign[0]!r}: docs/card.md lists all")
    missing = [name for name in NAMED if name not in head]
    if missing:
        raise ArtefactError(f"{path} must have a field {missing[0]!r}: docs/card.md lists all")
    stated = (head["schema"], head["schema_version"])
    if stated != (CARD.schema, CARD.version):
        raise ArtefactError(
            f"{path} must state schema {CARD.schema} of version {CARD.version}, not "
            f"{stated[0]!r} of {stated[1]!r}"
        )
    if head.get("arrays"):
        raise ArtefactError(f"{path} must keep its arrays in its content: arrays must be {{}}")
    if not isinstance(head["content"], dict):
        raise ArtefactError(f"{path} must have an object as its content")
    return head


def _require_semantics(derived: Any) -> None:
    """Raise `InputError` where the card states another arithmetic."""
    stated = derived.get("semantics") if isinstance(derived, dict) else None
    if not isinstance(stated, dict):
        return
    for name, text in stated.items():
        if SEMANTICS.get(name) != text:
            told = SEMANTICS.get(name, "left out")
            raise InputError(
                f"{DERIVED}.semantics.{name} must be {told!r}, which is what Convexon computes"
            )


def _require_widths(network: FixedPointNetwork) -> None:
    """Raise `InputError` where a number is wider than the models compute with."""
    for b, branch in enumerate(network.ranges):
        for depth, layer in enumerate(branch):
            for j, interval in enumerate(layer.states):
                width = width_of(interval)
                if width > MAX_WIDTH:
                    raise InputError(
                        f"branches.{b}.layers.{depth} must have membranes of at most {MAX_WIDTH} "
                        f"bits, not {width} in neuron {j}: make weights or steps fewer, leak more, "
                        "or saturate"
                    )
    if network.score_width > MAX_WIDTH:
        raise InputError(
            f"readout must have scores of at most {MAX_WIDTH} bits, not {network.score_width}"
        )


def _is_signed(head: Mapping[str, Any], network: FixedPointNetwork) -> bool:
    """Whether the file is one that `convexon.store.artefact.load` takes."""
    complete = set(head) | {"source"} == HEAD
    content, _ = CARD.encode(network)
    return (
        complete
        and head["content"] == content
        and digest_of({**head, "digest": "", "source": ""}) == head["digest"]
    )
