"""The content of ports.json: how to drive and to watch an emitted accelerator.

A bench reads this and the Verilog, and never the generator. Paths are relative to the top module. A
*probe* of kind ``registers`` says: at a rising clock edge at which ``valid`` and ``ready`` are both
high, ``spikes`` and ``membranes`` hold what the layer computed in one step, neuron j at bits
``j * width`` and up. One of kind ``updates``: at an edge at which ``valid`` is high, they hold what
was computed for group ``base``, which is neurons ``base * count - offset`` and up of the layer; a
step has ``groups`` groups. Where ``spread`` neurons of a convolution share the weights of each of
``lanes``, these are places instead: neuron ``(p / lanes / spread * lanes + p % lanes) * spread + p
/ lanes % spread`` stands at place p.

``transfers_per_inference`` is the number of transfers of ``i`` that make an inference: its steps,
whose field is ``inputs``, or with an encoder 1, or of a series one for each step, whose field is
``levels``. ``decision`` is the rule that ends it. Where that may be before the last step, layers
take fewer steps of some inferences, and each probe has ``first``: the signal, and the bit of it,
that is high where a step, or a group, begins an inference.

Where weights are loaded at run time there is a stream ``load`` into the accelerator, for the words
of an image (`convexon.plan.image`), and ``weights`` names the ports that say what became of it, the
accelerator's fingerprint, and the words of a whole image.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from convexon.plan.fold import FoldPlan, plans_at
from convexon.plan.image import HEADER_WORDS, WORD_BITS, fingerprint, loaded_plans, row_words
from convexon.plan.mapping import Mapping
from convexon.plan.windows import WindowPlan
from convexon.snn.network import FixedPointNetwork
from convexon.snn.ranges import LayerRanges
from convexon.store.codec import to_json
from convexon_hdl.accelerator import (
    Accelerator,
    input_width,
    transfer_width,
    transfers_per_inference,
    values_per_transfer,
)
from convexon_hdl.core.stage import StepLayout

SCHEMA = "convexon.ports"
SCHEMA_VERSION = 2


def describe(accelerator: Accelerator, *, top: str) -> dict[str, Any]:
    """Describe the ports and the probes of ``accelerator`` as the module ``top``."""
    network, mapping = accelerator.network, accelerator.mapping
    encodes = mapping.encoder is not None
    bits = input_width(mapping, network)
    inputs = _field("levels" if encodes else "inputs", bits, values_per_transfer(mapping, network))
    layout = accelerator.o.payload.shape()
    streams = {
        "i": _stream("i", transfer_width(mapping, network), [inputs]),
        "o": _stream("o", layout.size, [_member(name, field) for name, field in layout]),
    }
    weights: dict[str, Any] = {}
    if accelerator.is_loadable:
        streams["load"] = _stream("load", WORD_BITS, [_field("word", WORD_BITS)])
        weights["weights"] = _weights(network, mapping)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "top": top,
        "clock": "clk",
        "reset": "rst",
        "streams": streams,
        **weights,
        "transfers_per_inference": transfers_per_inference(mapping, network),
        "decision": to_json(mapping.decision),
        "probes": probes(accelerator),
        "components": accelerator.metadata.as_json(),
    }


def _weights(network: FixedPointNetwork, mapping: Mapping) -> dict[str, Any]:
    """What a host needs to know to load weights."""
    rows = sum(row_words(plan) for plan in loaded_plans(network, mapping))
    return {
        "loaded": "loaded",
        "refused": "refused",
        "fingerprint": fingerprint(network, mapping),
        "words": HEADER_WORDS + rows + 1,
    }


def _stream(name: str, width: int, fields: list[dict[str, Any]]) -> dict[str, Any]:
    """One stream: its ports by Amaranth's flattening of names, and the fields of its payload."""
    ports = {part: f"{name}__{part}" for part in ("payload", "valid", "ready")}
    return {**ports, "width": width, "fields": fields}


def _field(
    name: str, width: int, count: int = 1, *, offset: int = 0, signed: bool = False
) -> dict[str, Any]:
    """One field of a payload; an array is ``count`` elements side by side."""
    return {"name": name, "offset": offset, "width": width, "count": count, "signed": signed}


def _member(name: str, field: data.Field) -> dict[str, Any]:
    """The field that is a member of a layout."""
    shape, count = field.shape, 1
    if isinstance(shape, data.ArrayLayout):
        shape, count = shape.elem_shape, shape.length
    shape = Shape.cast(shape)
    return _field(name, shape.width, count, offset=field.offset, signed=shape.signed)


def probes(accelerator: Accelerator) -> list[dict[str, Any]]:
    """One probe for every layer of every branch, with the place of ``first`` where it matters."""
    network, mapping = accelerator.network, accelerator.mapping
    found = []
    for depth in range(network.depth):
        folded = mapping.folded_at(depth)
        for k, plan in enumerate(plans_at(network, folded, depth)):
            updater = [f"stage{depth}", f"engine{k}", "updater"]
            tag = {"path": [*updater, "first_of_group"], "bit": 0}
            found += [{**probe, "first": tag} for probe in _update_probes(network, plan, updater)]
        inside = [f"stage{depth}", "spatial"] if folded else [f"stage{depth}"]
        rest = [b for b in range(len(network.branches)) if b not in folded]
        for b in (b for b in rest if depth < network.branches[b].depth):
            layout = StepLayout(network, depth + 1, branches=rest)
            tag = {"path": [*inside, "o__payload"], "bit": layout["first"].offset}
            found.append({**_register_probe(network, b, depth, inside), "first": tag})
    if not mapping.decision.is_early:
        found = [{k: v for k, v in probe.items() if k != "first"} for probe in found]
    return sorted(found, key=lambda probe: (probe["branch"], probe["layer"]))


def _register_probe(
    network: FixedPointNetwork, branch: int, depth: int, stage: list[str]
) -> dict[str, Any]:
    """Probe of a layer whose spikes and membranes stand in registers."""
    ranges, layer = network.ranges[branch][depth], [*stage, f"branch{branch}"]
    return {
        "kind": "registers",
        "branch": branch,
        "layer": depth,
        "valid": [*stage, "o__valid"],
        "ready": [*stage, "o__ready"],
        **_watched(layer, ranges, count=len(ranges.membrane)),
    }


def _watched(component: list[str], ranges: LayerRanges, *, count: int) -> dict[str, Any]:
    """Spikes and membranes of as many neurons, on ports of a component."""
    widths = {"spikes": 1, "membranes": ranges.membrane_width}
    return {
        name: {"path": [*component, name], "width": width, "count": count}
        for name, width in widths.items()
    }


def _order(plan: FoldPlan) -> dict[str, int]:
    """How neurons are ordered where it is not by their numbers."""
    if not isinstance(plan, WindowPlan):
        return {}
    return {"lanes": plan.choice.lanes, "spread": plan.shared.spread}


def _update_probes(
    network: FixedPointNetwork, plan: FoldPlan, updater: list[str]
) -> list[dict[str, Any]]:
    """Probes of the layers of one engine, which updates them a group at a time."""
    found, offset = [], 0
    for branch in plan.branches:
        count = network.branches[branch].layers[plan.depth].n_neurons
        found.append(
            {
                "kind": "updates",
                "branch": branch,
                "layer": plan.depth,
                "neurons": count,
                "offset": offset,
                "groups": plan.folds * plan.groups,
                "valid": [*updater, "valid"],
                "base": {"path": [*updater, "group"]},
                **_watched(updater, plan.ranges, count=plan.choice.updates),
                **_order(plan),
            }
        )
        offset += count
    return found
