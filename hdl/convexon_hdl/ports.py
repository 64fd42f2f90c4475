"""The content of ports.json: how to drive and to watch an emitted accelerator.

A bench reads this and the Verilog, and never the generator. Paths are relative to the top module. A
*probe* says: at a rising clock edge at which ``valid`` and ``ready`` are both high, ``spikes`` and
``membranes`` hold what the layer computed in one step, neuron j at bits ``j * width`` and up.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from convexon_hdl.accelerator import Accelerator

SCHEMA = "convexon.ports"
SCHEMA_VERSION = 1


def describe(accelerator: Accelerator, *, top: str) -> dict[str, Any]:
    """Describe the ports and the probes of ``accelerator`` as the module ``top``."""
    network = accelerator.network
    inputs = {
        "name": "inputs",
        "offset": 0,
        "width": network.input_bits,
        "count": network.n_inputs,
        "signed": False,
    }
    layout = accelerator.o.payload.shape()
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "top": top,
        "clock": "clk",
        "reset": "rst",
        "streams": {
            "i": _stream("i", network.n_inputs * network.input_bits, [inputs]),
            "o": _stream("o", layout.size, [_field(name, field) for name, field in layout]),
        },
        "probes": probes(accelerator),
        "components": accelerator.metadata.as_json(),
    }


def _stream(name: str, width: int, fields: list[dict[str, Any]]) -> dict[str, Any]:
    """One stream: its ports by Amaranth's flattening of names, and the fields of its payload."""
    ports = {part: f"{name}__{part}" for part in ("payload", "valid", "ready")}
    return {**ports, "width": width, "fields": fields}


def _field(name: str, field: data.Field) -> dict[str, Any]:
    """One field of a payload; an array is ``count`` elements side by side."""
    shape, count = field.shape, 1
    if isinstance(shape, data.ArrayLayout):
        shape, count = shape.elem_shape, shape.length
    shape = Shape.cast(shape)
    return {
        "name": name,
        "offset": field.offset,
        "width": shape.width,
        "count": count,
        "signed": shape.signed,
    }


def probes(accelerator: Accelerator) -> list[dict[str, Any]]:
    """One probe for every layer of every branch."""
    found = []
    for b, layers in enumerate(accelerator.network.ranges):
        for depth, ranges in enumerate(layers):
            stage = f"stage{depth}"
            count = len(ranges.membrane)
            spikes = {"path": [stage, f"branch{b}", "spikes"], "width": 1, "count": count}
            membranes = {
                "path": [stage, f"branch{b}", "membranes"],
                "width": ranges.membrane_width,
                "count": count,
            }
            found.append(
                {
                    "branch": b,
                    "layer": depth,
                    "valid": [stage, "o__valid"],
                    "ready": [stage, "o__ready"],
                    "spikes": spikes,
                    "membranes": membranes,
                }
            )
    return found
