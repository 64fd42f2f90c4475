"""Verilator's linter on the emitted Verilog, which states its own waivers."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

from convexon.tools.process import run, with_deep_stack
from convexon.tools.scratch import Scratch
from convexon_hdl.emit.bundle import VERILOG_NAME, RtlBundle
from convexon_sim.simulator import Simulator, SimulatorKind, find

UNITS = MappingProxyType(
    {
        "accelerator_axi": ("accelerator_axi.v",),
        "accelerator_vhdl": ("accelerator_vhdl.v", VERILOG_NAME),
        "accelerator_sv_example": (
            "accelerator_sv_pkg.sv",
            "accelerator_sv_example.sv",
            VERILOG_NAME,
        ),
    }
)
"""Further top modules of a bundle, and the files that each is compiled from."""

LINT_SECONDS = 600.0
"""Wall time after which the linter is stopped."""


def lint(bundle: RtlBundle) -> tuple[str, ...]:
    """Run ``verilator --lint-only -Wall``; return the warnings, of which there should be none.

    Every top module of the bundle is linted: the accelerator, and those of `UNITS` that it has.

    Raises
    ------
    ToolError
        If Verilator is missing or too old.
    """
    verilator = find(SimulatorKind.VERILATOR)
    units: dict[str, tuple[str, ...]] = {bundle.top: (VERILOG_NAME,)}
    units |= {top: files for top, files in UNITS.items() if files[0] in bundle.files}
    found: list[str] = []
    with Scratch() as folder:
        for file_name, text in bundle.files.items():
            (folder / file_name).write_text(text, encoding="utf-8")
        for top, files in units.items():
            found += _warnings(verilator, folder, top, files)
    return tuple(found)


def _warnings(
    verilator: Simulator, folder: Path, top: str, files: tuple[str, ...]
) -> tuple[str, ...]:
    """Warnings and errors of one top module."""
    sources = [str(folder / file) for file in files]
    command = [verilator.program("verilator"), "--lint-only", "-Wall", "--top-module", top]
    ended = run(
        with_deep_stack([*command, *sources]),
        name="verilator",
        timeout=LINT_SECONDS,
        folder=folder,
        variables=verilator.environment,
    )
    found = [line for line in ended.output.splitlines() if re.match(r"%(Warning|Error)", line)]
    if ended.code and not found:
        raise ended.failure
    return tuple(found)
