"""Verilator's linter on the emitted Verilog, with every waiver and its reason."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from types import MappingProxyType

from convexon.bundle import RtlBundle
from convexon.errors import ToolError
from convexon.simulator import Simulator, SimulatorKind, find

WAIVERS = MappingProxyType(
    {
        "DECLFILENAME": "the whole hierarchy is one file, named after its top module alone",
        "PROCASSINIT": "a register states its value at power-up beside its value after reset",
        "UNUSEDSIGNAL": "fields of payloads and ports of parts keep their names where other nets "
        "carry the bits",
        "WIDTHEXPAND": "Yosys writes operands in their own widths; Verilog extends them as the "
        "cells do. Truncation (WIDTHTRUNC) is not waived",
    }
)
"""Warnings of ``verilator --lint-only -Wall`` that are not errors here, and why."""


def lint(bundle: RtlBundle) -> tuple[str, ...]:
    """Run ``verilator --lint-only -Wall`` with `WAIVERS`; return the warnings that are left.

    Raises
    ------
    ToolError
        If Verilator is missing or too old.
    """
    verilator = find(SimulatorKind.VERILATOR)
    with tempfile.TemporaryDirectory(prefix="convexon-lint-") as name:
        path = Path(name) / f"{bundle.top}.v"
        path.write_text(bundle.verilog, encoding="utf-8")
        waivers = [f"-Wno-{rule}" for rule in WAIVERS]
        done = subprocess.run(
            [
                str(_program(verilator)),
                "--lint-only",
                "-Wall",
                *waivers,
                "--top-module",
                bundle.top,
                path.name,
            ],
            cwd=name,
            env={**os.environ, **verilator.environment},
            capture_output=True,
            text=True,
            check=False,
        )
    lines = done.stderr.splitlines()
    found = [line for line in lines if re.match(r"%(Warning|Error)", line)]
    if done.returncode and not found:
        raise ToolError(f"Verilator failed: {lines[-1] if lines else 'no output'}")
    return tuple(found)


def _program(verilator: Simulator) -> Path:
    """Return Verilator itself, or its wrapper in Perl where that is all that the folder has."""
    binary = verilator.folder / "verilator_bin"
    return binary if binary.is_file() else verilator.folder / "verilator"
