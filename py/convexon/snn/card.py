"""The silicon card: a `FixedPointNetwork` as one readable JSON file.

The golden model, the bench, the Verilog and the C header all come from this one file, unchanged. It
states every integer, every width, and the semantics they follow, so that a person can read it and
another tool can run it. docs/card.md states the file field by field, and ``card.schema.json``
beside this module does so for programs (JSON Schema 2020-12).
"""

from __future__ import annotations

import json
from importlib.resources import files

from convexon.snn.network import FixedPointNetwork
from convexon.store.codec import Codec, Json

SEMANTICS = {
    "current": "I = c + b[j], c = sum_i w[i][j] * x[i] + sum_k r[k][j] * s_before[k]; with tables "
    "I = tables[c][j] + b[j]",
    "synapse": "i = I; with a synapse of leak d_i, f_i: i = i - ((d_i * i) >> f_i) + I",
    "integrate": "u = sat(v - ((d[j] * v) >> f) + i), >> rounds towards minus infinity; with a "
    "late reset u = sat(v - ((d[j] * v) >> f) + i - theta[j] * s_before[j]); d[j] = d, or of leaks",
    "rounding": "down: as above; zero: a leak leaves (2^f - d) * v / 2^f, rounded towards zero",
    "fire": "s = 1 if u >= theta[j] else 0",
    "reset": "subtract: v = sat(u - theta[j] * s); zero: v = z[j] if s else u; none: v = u; "
    "late: v = u; z[j] = 0, or of resets",
    "start": "v = 0, i = 0 and s_before = 0 before the first step of an inference",
    "score": "score[c] = bias[c] + sum_j weight[j][c] * feature[j], j over all last layers",
    "feature": "last: s of step T; sign: v >= 0 after step T; count: sum of s; step: s of each; "
    "membrane: v after step T; peak: the largest v after any step",
    "decision": "the largest score, the lowest class among equals; one score is read as (0, score)",
}
"""The contract of `convexon.snn.neuron` in the words that every card carries."""


def _derived(network: FixedPointNetwork) -> Json:
    """What follows from the integers, for readers of the card."""
    return {
        "semantics": SEMANTICS,
        "n_inputs": network.n_inputs,
        "n_classes": network.n_classes,
        "membrane_widths": [
            [ranges.membrane_width for ranges in branch] for branch in network.ranges
        ],
        "score_width": network.score_width,
    }


CARD: Codec[FixedPointNetwork] = Codec(
    FixedPointNetwork,
    "convexon.card",
    3,
    inline=True,
    derived=_derived,
    made_by="convexon solve",
    accepted_by="convexon card sign",
)
"""File form of a `FixedPointNetwork`. A card that contradicts its own integers is refused."""


def schema() -> Json:
    """Return the JSON Schema of a card's file."""
    text = files("convexon.snn").joinpath("card.schema.json").read_text(encoding="utf-8")
    found: Json = json.loads(text)
    return found
