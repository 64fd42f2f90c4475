"""Projects for vendors' tools: sources, constraints, and the Tcl that builds them."""

from __future__ import annotations

from convexon.errors import InputError
from convexon_boards.boards import Vendor
from convexon_boards.design.constraints import qsf, sdc, xdc
from convexon_boards.design.top import TOP, Design

SCRIPT = "build.tcl"


def files_of(design: Design) -> dict[str, str]:
    """Return all files of the project, by name.

    Raises
    ------
    InputError
        If open tools build for the board.
    """
    vendor = _vendor(design)
    if vendor is Vendor.VIVADO:
        return {**design.files, "board.xdc": xdc(design), SCRIPT: _vivado(design)}
    return {**design.files, "board.sdc": sdc(design), SCRIPT: _quartus(design)}


def command_of(design: Design) -> str:
    """Return the command that builds the project, in its folder."""
    if _vendor(design) is Vendor.VIVADO:
        return f"vivado -mode batch -source {SCRIPT}"
    return f"quartus_sh -t {SCRIPT}"


def _vendor(design: Design) -> Vendor:
    if design.board.vendor is None:
        raise InputError(
            f"board {design.board.name} must be built with open tools: it has no project"
        )
    return design.board.vendor


def _vivado(design: Design) -> str:
    sources = "".join(f"read_verilog {name}\n" for name in design.files)
    return (
        f"# {design.board.title}: vivado -mode batch -source {SCRIPT}\n"
        f"{sources}"
        "read_xdc board.xdc\n"
        f"synth_design -top {TOP} -part {design.board.part}\n"
        "opt_design\n"
        "place_design\n"
        "phys_opt_design\n"
        "route_design\n"
        "report_utilization -file utilization.rpt\n"
        "report_timing_summary -file timing.rpt\n"
        f"write_bitstream -force {TOP}.bit\n"
    )


def _quartus(design: Design) -> str:
    sources = "".join(f"set_global_assignment -name VERILOG_FILE {name}\n" for name in design.files)
    return (
        f"# {design.board.title}: quartus_sh -t {SCRIPT}\n"
        "load_package flow\n"
        f"project_new {TOP} -overwrite\n"
        'set_global_assignment -name FAMILY "Cyclone V"\n'
        f"set_global_assignment -name DEVICE {design.board.part}\n"
        f"set_global_assignment -name TOP_LEVEL_ENTITY {TOP}\n"
        f"{sources}"
        "set_global_assignment -name SDC_FILE board.sdc\n"
        f"{qsf(design)}"
        "export_assignments\n"
        "execute_flow -compile\n"
        "project_close\n"
    )
