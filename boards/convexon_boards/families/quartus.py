"""Quartus, for Cyclone V."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convexon_boards.board import Board, Vendor
from convexon_boards.toolchain import Clocking, Port, VendorTool

_COMMAND = "quartus_sh -t build.tcl"

_PLL_MHZ = (1.2, 400.0)
"""Clocks of a Cyclone V PLL: 600 MHz over 512, and what the slowest grade's clock nets take."""


def _plls(board: Board, mhz: float) -> Iterator[Clocking]:
    """Quartus finds the settings of its altera_pll: the clock that was asked for, if it can."""
    low, high = _PLL_MHZ
    mhz = min(max(mhz, low), high)
    yield Clocking(
        mhz,
        f'  altera_pll #(.reference_clock_frequency("{board.oscillator_mhz:.6f} MHz"),\n'
        '    .operation_mode("direct"), .number_of_clocks(1),\n'
        f'    .fractional_vco_multiplier("false"), .output_clock_frequency0("{mhz:.6f} MHz"),\n'
        "    .duty_cycle0(50)) pll(.refclk(clock),\n"
        "    .outclk(clk), .locked(locked), .rst(1'b0));\n",
    )


def _qsf(board: Board, ports: Sequence[Port]) -> str:
    """Pins, as Tcl."""
    lines = []
    for port in ports:
        lines.append(f"set_location_assignment PIN_{port.site} -to {port.name}\n")
        lines.append(f'set_instance_assignment -name IO_STANDARD "{board.io}" -to {port.name}\n')
        if port.pull_up:
            lines.append(
                f"set_instance_assignment -name WEAK_PULL_UP_RESISTOR ON -to {port.name}\n"
            )
    return "".join(lines)


def _sdc(board: Board, ports: Sequence[Port]) -> str:
    """Clocks."""
    period = 1000 / board.oscillator_mhz
    (clock,) = (port.name for port in ports if port.is_clock)
    return (
        f"create_clock -name {clock} -period {period:.3f} [get_ports {clock}]\n"
        "derive_pll_clocks\nderive_clock_uncertainty\n"
    )


def _project(
    board: Board, ports: Sequence[Port], top: str, sources: Sequence[str]
) -> dict[str, str]:
    reads = "".join(f"set_global_assignment -name VERILOG_FILE {name}\n" for name in sources)
    script = (
        f"# {board.title}: {_COMMAND}\n"
        "load_package flow\n"
        f"project_new {top} -overwrite\n"
        'set_global_assignment -name FAMILY "Cyclone V"\n'
        f"set_global_assignment -name DEVICE {board.part}\n"
        f"set_global_assignment -name TOP_LEVEL_ENTITY {top}\n"
        f"{reads}"
        "set_global_assignment -name SDC_FILE board.sdc\n"
        f"{_qsf(board, ports)}"
        "export_assignments\n"
        "execute_flow -compile\n"
        "project_close\n"
    )
    return {"board.sdc": _sdc(board, ports), "build.tcl": script}


QUARTUS = VendorTool(vendor=Vendor.QUARTUS, plls=_plls, project=_project, command=_COMMAND)
