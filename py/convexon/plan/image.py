"""Weight images: what a host sends to an accelerator whose weights are loaded at run time.

An image is a sequence of words of 32 bits, little-endian as bytes::

    0      MAGIC, the letters CVW and the version of this form
    1      fingerprint of the accelerator
    2      N, the number of words of rows
    3 ...  N words: engine by engine (as `convexon.plan.fold.engines_of` has them), bank by bank,
           address by address; a row's lane k at bits ``k * weight_width`` and up in two's
           complement, each row padded with zeros to whole words, its lowest word first
    3 + N  CRC-32 of the bytes before it

Where an engine has several banks, their row of zeros is not sent. The CRC-32 is that of Ethernet
and of zlib: polynomial 0x04c11db7, bits of each byte lowest first, register and result inverted.

Only the weights of layers with `Weights.LOADED` are loaded; all the rest of a network is in the
accelerator. The *fingerprint* is made of that rest, so that an accelerator refuses the weights of
a network that it is not for.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace

import numpy as np

from convexon.errors import InputError
from convexon.plan.fold import FoldPlan, engines_of
from convexon.plan.mapping import MAPPING, Folded, LayerMapping, Mapping, Weights
from convexon.snn.card import CARD
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.store.artefact import digest_of

WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8

MAGIC = int.from_bytes(b"CVW1", "little")
"""First word of every image."""

HEADER_WORDS = 3
"""Words before the rows."""


def loaded_plans(network: FixedPointNetwork, mapping: Mapping) -> tuple[FoldPlan, ...]:
    """Engines whose weights are loaded, in the order of their rows in an image."""
    return tuple(plan for plan in engines_of(network, mapping) if plan.is_loaded)


def rows_of_bank(plan: FoldPlan) -> int:
    """Rows of a bank that an image brings: all but the row of zeros."""
    return plan.folds * plan.rows


def words_per_row(plan: FoldPlan) -> int:
    """Words of one row."""
    return -(-plan.choice.lanes * plan.weight_width // WORD_BITS)


def row_words(plan: FoldPlan) -> int:
    """Words of all rows of an engine."""
    return plan.choice.banks * rows_of_bank(plan) * words_per_row(plan)


def fingerprint(network: FixedPointNetwork, mapping: Mapping) -> int:
    """Return 32 bits that stand for all that the accelerator does not load.

    They are the first of the SHA-256 of the card, with zeros for the weights that are loaded and
    without what it says of raw samples, which no hardware sees, and of the mapping.
    """
    branches = tuple(
        Branch(tuple(map(_without_loaded, branch.layers, choices)))
        for branch, choices in zip(network.branches, mapping.layers, strict=True)
    )
    card, _ = CARD.encode(replace(network, branches=branches, interface=None))
    choices, _ = MAPPING.encode(mapping)
    digest = digest_of({"card": card, "mapping": choices})
    return int(digest.removeprefix("sha256:")[: WORD_BITS // 4], 16)


def _without_loaded(layer: Layer, choice: LayerMapping) -> Layer:
    """``layer`` with zeros for the weights that are loaded."""
    if not isinstance(choice, Folded) or choice.weights is not Weights.LOADED:
        return layer
    recurrent = None if layer.recurrent is None else np.zeros_like(layer.recurrent)
    return replace(layer, weights=np.zeros_like(layer.matrix), recurrent=recurrent)


def weight_image(
    network: FixedPointNetwork, mapping: Mapping, *, accelerator: int | None = None
) -> bytes:
    """Return the image of the loaded weights of ``network``, under the accelerator's mapping.

    The fingerprint of the ``accelerator`` that the image is for, as its ports.json states it, is by
    default the network's own.

    Raises `InputError` if no layer's weights are loaded, the mapping does not suit the network, or
    the network differs from the accelerator's in more than loaded weights.
    """
    mapping.check(network)
    plans = loaded_plans(network, mapping)
    if not plans:
        raise InputError("mapping must have a layer with loaded weights: there is nothing to load")
    own = fingerprint(network, mapping)
    if accelerator not in (None, own):
        raise InputError(
            f"network must be that of the accelerator {accelerator:08x} but for its loaded "
            f"weights, not {own:08x}: shapes, formats, thresholds, readout or mapping differ"
        )
    rows = b"".join(_rows(plan) for plan in plans)
    header = (MAGIC, own, len(rows) // WORD_BYTES)
    content = b"".join(word.to_bytes(WORD_BYTES, "little") for word in header) + rows
    return content + zlib.crc32(content).to_bytes(WORD_BYTES, "little")


def image_where_loaded(network: FixedPointNetwork, mapping: Mapping) -> bytes | None:
    """Return the image of ``network``, or None where no weights are loaded."""
    return weight_image(network, mapping) if loaded_plans(network, mapping) else None


def _rows(plan: FoldPlan) -> bytes:
    """Rows of an engine."""
    size = words_per_row(plan) * WORD_BYTES
    return b"".join(
        row.to_bytes(size, "little")
        for bank in range(plan.choice.banks)
        for row in plan.packed_bank(bank)[: rows_of_bank(plan)]
    )


def image_digest(image: bytes) -> str:
    """Return ``sha256:`` and the hash of an image."""
    return "sha256:" + hashlib.sha256(image).hexdigest()
