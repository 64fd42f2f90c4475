"""Vivado, for Xilinx 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convexon_boards.board import Board, Vendor
from convexon_boards.toolchain import Clocking, Port, VendorTool, pairs

_COMMAND = "vivado -mode batch -source build.tcl"


def _plls(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of MMCME2_BASE: oscillator 600 to 1200 MHz."""
    for d, f in pairs(range(1, 11), range(2, 65)):
        vco = board.oscillator_mhz / d * f
        if not (board.oscillator_mhz / d >= 10 and 600 <= vco <= 1200):
            continue
        o = max(1, min(128, round(vco / mhz)))
        period = f"{1000 / board.oscillator_mhz:.3f}"
        yield Clocking(
            vco / o,
            "  wire made, feedback;\n"
            f"  MMCME2_BASE #(.CLKIN1_PERIOD({period}), .DIVCLK_DIVIDE({d}),\n"
            f"    .CLKFBOUT_MULT_F({f}.0), .CLKOUT0_DIVIDE_F({o}.0)) pll(.CLKIN1(clock),\n"
            "    .CLKFBIN(feedback), .CLKFBOUT(feedback), .CLKOUT0(made), .LOCKED(locked),\n"
            "    .RST(1'b0), .PWRDWN(1'b0));\n"
            "  BUFG buffer(.I(made), .O(clk));\n",
        )


def _xdc(board: Board, ports: Sequence[Port]) -> str:
    """Pins and clock."""
    lines = []
    for port in ports:
        pull = " PULLUP true" if port.pull_up else ""
        lines.append(
            f"set_property -dict {{PACKAGE_PIN {port.site} IOSTANDARD {board.io}{pull}}} "
            f"[get_ports {port.name}]\n"
        )
        if port.is_clock:
            period = 1000 / board.oscillator_mhz
            lines.append(
                f"create_clock -name {port.name} -period {period:.3f} [get_ports {port.name}]\n"
            )
    return "".join(lines)


def _project(
    board: Board, ports: Sequence[Port], top: str, sources: Sequence[str]
) -> dict[str, str]:
    reads = "".join(f"read_verilog {name}\n" for name in sources)
    script = (
        f"# {board.title}: {_COMMAND}\n"
        f"{reads}"
        "read_xdc board.xdc\n"
        f"synth_design -top {top} -part {board.part}\n"
        "opt_design\n"
        "place_design\n"
        "phys_opt_design\n"
        "route_design\n"
        "report_utilization -file utilization.rpt\n"
        "report_timing_summary -file timing.rpt\n"
        f"write_bitstream -force {top}.bit\n"
    )
    return {"board.xdc": _xdc(board, ports), "build.tcl": script}


VIVADO = VendorTool(vendor=Vendor.VIVADO, plls=_plls, project=_project, command=_COMMAND)
