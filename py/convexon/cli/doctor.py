"""``convexon doctor``."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from convexon.errors import EXIT_USAGE, ConvexonError

MINIMUM_PYTHON = (3, 11)
PACKAGES = ("numpy", "scipy", "cvxpy", "clarabel", "scs", "scikit-learn", "amaranth", "cocotb")
OPTIONAL_PACKAGES = {"torch": "pip install 'convexon[torch]'"}
PROGRAMS = ("g++", "make", "perl")


@dataclass(frozen=True)
class Check:
    """What was found of one tool.

    Members
    -------
    name, found : str
        The tool, and its version or what is wrong with it.
    fine, needed : bool
        Whether it is there and new enough, and whether something fails without it.
    install : str
        How to install it; empty when it is fine.
    """

    name: str
    found: str
    fine: bool
    needed: bool
    install: str = ""


def checks() -> Iterator[Check]:
    """Check everything that the chain uses, in the order of the chain."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    fine = sys.version_info[:2] >= MINIMUM_PYTHON
    yield Check("python", version, fine, True, "" if fine else "install Python 3.11 or newer")
    for name in PACKAGES:
        yield _package(name, needed=True, install="pip install convexon")
    yield _tool("yosys", _yosys, needed=True)
    for name in ("verilator", "icarus"):
        yield _tool(name, lambda name=name: _simulator(name), needed=name == "verilator")  # type: ignore[misc]
    for name in PROGRAMS:
        found = shutil.which(name)
        install = "" if found else "apt-get install g++ make perl"
        yield Check(name, found or "missing", found is not None, True, install)
    for name, install in OPTIONAL_PACKAGES.items():
        yield _package(name, needed=False, install=install)


def doctor() -> None:
    """Check every tool and its version, and say how to install what is missing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    results = list(checks())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("tool", "found", "", "to mend it"):
        table.add_column(column, overflow="fold")
    for check in results:
        state = "ok" if check.fine else "missing" if check.needed else "optional"
        table.add_row(*(Text(cell) for cell in (check.name, check.found, state, check.install)))
    console = Console(highlight=False)
    console.print(table)
    bad = [check.name for check in results if check.needed and not check.fine]
    if bad:
        console.print(f"not ready: {', '.join(bad)}")
        raise typer.Exit(EXIT_USAGE)
    console.print("ready")


def _package(name: str, *, needed: bool, install: str) -> Check:
    try:
        return Check(name, importlib.metadata.version(name), True, needed)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "missing", False, needed, install)


def _tool(name: str, find: Callable[[], str], *, needed: bool) -> Check:
    """Run a finder; its error is 'what is wrong: how to install it'."""
    try:
        return Check(name, find(), True, needed)
    except ConvexonError as error:
        found, _, install = str(error).rpartition(": ")
        return Check(name, found, False, needed, install)


def _yosys() -> str:
    version: str = importlib.import_module("convexon_hdl.yosys").version()
    return version


def _simulator(name: str) -> str:
    from convexon.simulator import SimulatorKind, find

    simulator = find(SimulatorKind(name))
    return f"{simulator.version} in {simulator.folder}"
