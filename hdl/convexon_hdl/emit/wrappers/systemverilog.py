"""SystemVerilog: a package with the parameters and payloads, and an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convexon_hdl.emit.wrappers.port import stream_ports

PACKAGE = "accelerator_sv_pkg"
EXAMPLE = "accelerator_sv_example"


def package(description: Mapping[str, Any], constants: Mapping[str, int]) -> str:
    """Package `PACKAGE` for the accelerator that ``description``, content of ports.json, describes.

    It holds ``constants``, the place of every field of both payloads, and the payloads as types:
    ``step_t``, input i at index i, and ``result_t``, a packed structure.
    """
    streams = description["streams"]
    lines = [
        "// verilator lint_off UNUSEDPARAM",
        f"package {PACKAGE};",
        *(_parameter(name, value) for name, value in constants.items()),
    ]
    for prefix, stream in (("I", streams["i"]), ("O", streams["o"])):
        lines.append(_parameter(f"{prefix}_WIDTH", stream["width"]))
        for field in stream["fields"]:
            place = f"{prefix}_{field['name'].upper()}"
            lines.append(_parameter(f"{place}_OFFSET", field["offset"]))
            lines.append(_parameter(f"{place}_WIDTH", field["width"]))
    (inputs,) = streams["i"]["fields"]
    lines += [
        "",
        f"  typedef logic [{inputs['count'] - 1}:0][{inputs['width'] - 1}:0] step_t;",
        *(_type(field) for field in streams["o"]["fields"]),
        "",
        "  typedef struct packed {",
        *_members(streams["o"]["fields"]),
        "  } result_t;",
        "endpackage",
        "// verilator lint_on UNUSEDPARAM",
        "",
    ]
    return "\n".join(lines)


def example(description: Mapping[str, Any]) -> str:
    """Module `EXAMPLE`: the accelerator with typed payloads, whose widths it checks."""
    top, clock, reset = description["top"], description["clock"], description["reset"]
    i, o = description["streams"]["i"], description["streams"]["o"]
    others = stream_ports(description)[8:]  # behind clock, reset and two streams
    declared = "".join(
        f",\n  {'input ' if port.is_input else 'output'} logic {_bits(port.width)}{port.name}"
        for port in others
    )
    connected = "".join(f",\n    .{port.name}({port.name})" for port in others)
    return f"""\
module {EXAMPLE}
  import {PACKAGE}::*;
(
  input  logic    {clock},
  input  logic    {reset},
  input  step_t   step,
  input  logic    step_valid,
  output logic    step_ready,
  output result_t result,
  output logic    result_valid,
  input  logic    result_ready{declared}
);
  if ($bits(step_t) != I_WIDTH) begin : check_step
    $error("step_t is not as wide as the payload");
  end
  if ($bits(result_t) != O_WIDTH) begin : check_result
    $error("result_t is not as wide as the payload");
  end

  {top} core (
    .{clock}({clock}),
    .{reset}({reset}),
    .{i["payload"]}(step),
    .{i["valid"]}(step_valid),
    .{i["ready"]}(step_ready),
    .{o["payload"]}(result),
    .{o["valid"]}(result_valid),
    .{o["ready"]}(result_ready){connected}
  );
endmodule
"""


def _parameter(name: str, value: int) -> str:
    return f"  localparam int unsigned {name} = {value};"


def _bits(width: int) -> str:
    """Range of a port."""
    return "" if width == 1 else f"[{width - 1}:0] "


def _type(field: Mapping[str, Any]) -> str:
    """Type of one element of a field, so that elements of an array keep their sign."""
    sign = " signed" if field["signed"] else ""
    return f"  typedef logic{sign} [{field['width'] - 1}:0] {field['name']}_t;"


def _members(fields: Sequence[Mapping[str, Any]]) -> list[str]:
    """Members of a packed structure, of which the first is the highest."""
    ordered = sorted(fields, key=lambda field: -int(field["offset"]))
    return [f"    {field['name']}_t{_range(field)} {field['name']};" for field in ordered]


def _range(field: Mapping[str, Any]) -> str:
    return "" if field["count"] == 1 else f" [{field['count'] - 1}:0]"
