"""The emitter: network and mapping in, Verilog and its description out.

RTLIL goes through Yosys with a full ``proc`` pass. Amaranth's stock Verilog would hold
combinational processes that wait for a change before they first run, so that in an event-driven
simulator outputs stay unknown at time 0.
"""

from __future__ import annotations

import gc
import importlib.metadata
import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from contextlib import contextmanager
from enum import Enum
from types import MappingProxyType

from amaranth.lib import wiring

from convexon.plan.mapping import Mapping
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import pretty
from convexon.version import __version__
from convexon_hdl.accelerator import Accelerator, require_mappable
from convexon_hdl.arith.rtlil import convert
from convexon_hdl.axi.accelerator import AxiAccelerator
from convexon_hdl.axi.framing import require_width
from convexon_hdl.emit import yosys
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.wrappers import systemverilog, vhdl
from convexon_hdl.emit.wrappers.port import member_ports, stream_ports
from convexon_hdl.ports import describe

TOP = "accelerator"
"""Name of the top module."""

AXI_TOP = "accelerator_axi"
"""Name of the top module with AXI."""

DEFAULT_WIDTH = 32
"""Bits of tdata."""

REGISTERS_NAME = "registers.json"
"""Register map of the top module with AXI."""

WAIVERS = MappingProxyType(
    {
        "DECLFILENAME": "the whole hierarchy is one file, named after its top module",
        "PROCASSINIT": "a register states its value at power-up beside its value after reset",
        "UNUSEDSIGNAL": "payloads and ports of parts keep their names where other nets have bits",
        "WIDTHEXPAND": "operands stand in their own widths, and are extended as cells do it",
    }
)
"""Warnings of Verilator's linter that the emitted Verilog turns off, and why."""

_SCRIPT = (
    "read_rtlil design.il",
    "proc -noopt",  # its opt_expr writes !vector for vector == 0, which lint takes for a truncation
    "pmuxtree",  # a parallel multiplexer becomes a function $name, a system function to Icarus 11
    "memory_collect",
    "opt_clean",
    "write_verilog -norename -noattr design.v",
)


_NAME = re.compile(r"(?<=\s)\\\S*\[\d+\]\S*")
"""A name of RTLIL with a number in brackets; part of a net is written with a space between."""


class Host(Enum):
    """Who drives the accelerator: the user's own logic, or a bus.

    ``STREAMS``: the accelerator's streams alone. ``AXI``: also a top module with AXI4-Stream and
    AXI4-Lite, and its register map.
    """

    STREAMS = "streams"
    AXI = "axi"


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without a search for cycles of garbage: the millions of objects of a design are in use."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_uncollected()
def emit(
    network: FixedPointNetwork,
    mapping: Mapping,
    *,
    parents: MappingType[str, str] | None = None,
    host: Host = Host.STREAMS,
    axi_width: int = DEFAULT_WIDTH,
) -> RtlBundle:
    """Generate the accelerator of ``network``.

    The same arguments give the same bytes, in every process. What cannot be mapped is refused
    before anything is generated. Beside the Verilog stand wrappers for VHDL and SystemVerilog, and
    with `Host.AXI` accelerator_axi.v, registers.json and accelerator_axi.h, whose tdata has
    ``axi_width`` bits: 32, 64 or 128.

    ``parents`` are digests of the artefacts that the network came from, by role. The Verilog's
    header states them, and registers hold the first 64 bits of the one whose role is ``card``.

    Raises `InputError` or `FormatError` if the network cannot be mapped or the width is none, and
    `ToolError` if Yosys is missing or fails.
    """
    parents = dict(parents or {})
    require_mappable(network, mapping)
    require_width(axi_width)
    accelerator = Accelerator(network, mapping=mapping)
    header = _header(accelerator, parents)
    ports = {**describe(accelerator, top=TOP), "host": host_name(host, axi_width)}
    others: dict[str, str] = {}
    components = {vhdl.SHIM: stream_ports(ports)}
    if host is Host.AXI:
        inner = Accelerator(network, mapping=mapping)
        hardware = AxiAccelerator(inner, width=axi_width, digest=parents.get("card", ""))
        components[AXI_TOP] = member_ports(hardware)
        others = {
            f"{AXI_TOP}.v": header + to_verilog(hardware, AXI_TOP),
            f"{AXI_TOP}.h": hardware.register_map.c_header(),
            REGISTERS_NAME: pretty(hardware.register_map.to_json()),
        }
    constants = _constants(accelerator)
    return RtlBundle(
        top=TOP,
        verilog=header + to_verilog(accelerator, TOP),
        ports=ports,
        tools=tools(),
        parents=parents,
        others={
            **others,
            f"{vhdl.SHIM}.v": vhdl.shim(TOP, stream_ports(ports)),
            "accelerator.vhd": vhdl.package(components, constants),
            "accelerator_example.vhd": vhdl.example(components),
            f"{systemverilog.PACKAGE}.sv": systemverilog.package(ports, constants),
            f"{systemverilog.EXAMPLE}.sv": systemverilog.example(ports),
        },
    )


def host_name(host: Host, axi_width: int) -> str:
    """What ports.json says of who drives a bundle: ``streams``, or ``axi32`` and the like."""
    return f"axi{axi_width}" if host is Host.AXI else host.value


def host_of(name: str) -> tuple[Host, int]:
    """Inverse of `host_name`: the host, and the bits of tdata."""
    if name == Host.STREAMS.value:
        return Host.STREAMS, DEFAULT_WIDTH
    return Host.AXI, int(name.removeprefix(Host.AXI.value))


def _constants(accelerator: Accelerator) -> dict[str, int]:
    """Parameters of the packages; the cycles only where they are constant."""
    network, schedule = accelerator.network, accelerator.schedule
    constants = {
        "N_INPUTS": network.n_inputs,
        "INPUT_BITS": network.input_bits,
        "N_STEPS": network.n_steps,
        "N_CLASSES": network.n_classes,
    }
    if schedule.is_constant:
        constants["LATENCY_CYCLES"] = schedule.latency_cycles
        constants["INTERVAL_CYCLES"] = schedule.initiation_interval_cycles
    return constants


def to_verilog(component: wiring.Component, top: str) -> str:
    """Verilog of ``component`` as module ``top``; `ToolError` if Yosys is missing or fails.

    No name ends in a number in brackets, as those of an array's elements would: in the files that
    Yosys exchanges with ABC, ``scores[1]`` is also bit 1 of ``scores``, and abc9 then takes one for
    the other and ends with an assertion (``GetSize(conn.first) == GetSize(conn.second)``).
    """
    text = convert(component, top)
    text = _NAME.sub(lambda match: match[0].replace("[", ".").replace("]", ""), text)
    result = yosys.run(_SCRIPT, inputs={"design.il": text}, outputs=["design.v"])
    return _without_banner(result.files["design.v"])


def tools() -> dict[str, str]:
    """Return names and versions of all that an emission depends on besides the network."""
    return {
        "amaranth": importlib.metadata.version("amaranth"),
        "convexon": __version__,
        "yosys": yosys.version(),
    }


def _header(accelerator: Accelerator, parents: MappingType[str, str]) -> str:
    """Comment at the head of the Verilog: what this is, of what it was made, and its cycles."""
    network, schedule = accelerator.network, accelerator.schedule
    lines = [
        f"{TOP}: a spiking network, generated by Convexon. Do not edit: change the network.",
        *(f"{role}: {digest}" for role, digest in sorted(parents.items())),
        f"branches {len(network.branches)}, neurons {network.n_neurons}, synapses "
        f"{network.n_synapses}, inputs {network.n_inputs} of {network.input_bits} bits, "
        f"classes {network.n_classes}, steps {network.n_steps}",
    ]
    if schedule.is_constant:
        lines.append(
            f"latency {schedule.latency_cycles} clocks, a new inference every "
            f"{schedule.initiation_interval_cycles}"
        )
    lines += (f"verilator lint_off {rule}" for rule in WAIVERS)
    return "".join(f"// {line}\n" for line in lines) + "\n"


def _without_banner(verilog: str) -> str:
    """Drop the comment in which Yosys states its version and build."""
    first, _, rest = verilog.partition("\n")
    return rest.lstrip("\n") if first.startswith("/* Generated by Yosys") else verilog
