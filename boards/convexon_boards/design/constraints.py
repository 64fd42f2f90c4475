"""Files that tell the tools where a design's ports are, and how fast its clock is."""

from __future__ import annotations

from collections.abc import Callable

from convexon.plan.cost.cells import Family
from convexon_boards.boards import Vendor
from convexon_boards.design.top import Design, Port
from convexon_boards.tools.nextpnr import Constraints


def constraints_of(design: Design) -> Constraints:
    """Return the constraints for nextpnr; `InputError` if the board needs its vendor's tool."""
    family = design.board.open_part.family
    name, write, options = _OPEN[family]
    return Constraints(name, write(design), options)


def _pull(port: Port) -> str:
    """Where an input goes that nothing drives."""
    return "UP" if port.pull_up else "NONE" if port.is_clock else "DOWN"


def _pcf(design: Design) -> str:
    return "".join(
        f"set_io {'-pullup yes ' if port.pull_up else ''}{port.name} {port.site}\n"
        for port in design.ports
    )


def _lpf(design: Design) -> str:
    lines = []
    for port in design.ports:
        pull = f" PULLMODE={_pull(port)}" if port.is_input else ""
        lines.append(f'LOCATE COMP "{port.name}" SITE "{port.site}";\n')
        lines.append(f'IOBUF PORT "{port.name}" IO_TYPE={design.board.io}{pull};\n')
        if port.is_clock:
            lines.append(f'FREQUENCY PORT "{port.name}" {design.board.oscillator_mhz:g} MHZ;\n')
    return "".join(lines)


def _cst(design: Design) -> str:
    lines = []
    for port in design.ports:
        pull = f" PULL_MODE={_pull(port)}" if port.is_input else ""
        lines.append(f'IO_LOC "{port.name}" {port.site};\n')
        lines.append(f'IO_PORT "{port.name}" IO_TYPE={design.board.io}{pull};\n')
    return "".join(lines)


_OPEN: dict[Family, tuple[str, Callable[[Design], str], tuple[str, ...]]] = {
    Family.ICE40: ("board.pcf", _pcf, ("--pcf", "board.pcf")),
    Family.ECP5: ("board.lpf", _lpf, ("--lpf", "board.lpf")),
    Family.GOWIN: ("board.cst", _cst, ("--vopt", "cst=board.cst")),
}
"""For each family the file, what writes it, and how nextpnr is told of it."""


def xdc(design: Design) -> str:
    """Constraints for Vivado."""
    lines = []
    for port in design.ports:
        pull = " PULLUP true" if port.pull_up else ""
        lines.append(
            f"set_property -dict {{PACKAGE_PIN {port.site} IOSTANDARD {design.board.io}{pull}}} "
            f"[get_ports {port.name}]\n"
        )
        if port.is_clock:
            period = 1000 / design.board.oscillator_mhz
            lines.append(
                f"create_clock -name {port.name} -period {period:.3f} [get_ports {port.name}]\n"
            )
    return "".join(lines)


def qsf(design: Design) -> str:
    """Pin assignments for Quartus, as Tcl."""
    lines = []
    for port in design.ports:
        lines.append(f"set_location_assignment PIN_{port.site} -to {port.name}\n")
        lines.append(
            f'set_instance_assignment -name IO_STANDARD "{design.board.io}" -to {port.name}\n'
        )
        if port.pull_up:
            lines.append(
                f"set_instance_assignment -name WEAK_PULL_UP_RESISTOR ON -to {port.name}\n"
            )
    return "".join(lines)


def sdc(design: Design) -> str:
    """Clocks for Quartus."""
    period = 1000 / design.board.oscillator_mhz
    (clock,) = (port.name for port in design.ports if port.is_clock)
    return (
        f"create_clock -name {clock} -period {period:.3f} [get_ports {clock}]\n"
        "derive_pll_clocks\nderive_clock_uncertainty\n"
    )


VENDOR_NAMES = {Vendor.VIVADO: "board.xdc", Vendor.QUARTUS: "board.sdc"}
"""Files of the clocks, and with Vivado of the pins."""
