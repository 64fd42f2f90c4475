"""Compiled simulations, made once and kept: programs of Verilator's, and the benches' simulators.

Verilator's C++ is compiled in a few large units without optimisation: most of a small design's time
is that of its headers, and a model runs for some thousand clocks. Verilator's own runtime is the
same for every design, so each of its objects is kept too.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from cocotb_tools import config

from convexon.errors import ToolError
from convexon.store.artefact import digest_of
from convexon.store.codec import Json
from convexon.store.untrusted import Form, require_identifier
from convexon.tools.environment import require_cache
from convexon.tools.process import run, side_by_side, with_deep_stack
from convexon.tools.scratch import Scratch
from convexon_sim.simulator import Simulator, SimulatorKind

TIMESCALE = "1ns/1ps"
"""The emitted Verilog has none, so that it fits any project; a simulation needs one."""

VERILATOR_ARGUMENTS = ("-Wno-fatal", "-O3", "--x-initial", "unique", "--timescale", TIMESCALE)
"""Lint is a check of its own (`convexon_sim.lint`), so warnings do not stop a simulation."""

_FEATURES = ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_SAIF", "TRACE_VCD")
"""What Verilator's runtime can be compiled with, and is not."""

COMPILER_ARGUMENTS = (
    *("-std=gnu++17", "-pthread", "-DVERILATOR=1"),
    *(f"-DVM_{feature}=0" for feature in _FEATURES),
)

UNIT_BYTES = 8 << 20
"""C++ of one unit: larger ones take much memory, smaller ones read the same headers again."""

_RUNTIME = ("verilated", "verilated_threads")
_RUNTIME_OF_BENCHES = (*_RUNTIME, "verilated_vpi")

Signals = Iterable[tuple[str, str]]
"""Pairs of a module and a variable in it, each of which may have ``*`` for any characters."""


def kept(key: Json, name: str, make: Callable[[Path], None]) -> Path:
    """Return file ``name`` from the cache, which ``make`` leaves in its folder if it is not there.

    ``key`` is all that the file depends on. Two processes that want the same file make it once, and
    what was cut off is made again.

    Raises
    ------
    ToolError
        If the cache cannot be written.
    """
    cache = require_cache()
    folder = cache / digest_of(key).removeprefix("sha256:")[:20]
    folder.mkdir(exist_ok=True)
    file = folder / name
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            with Scratch(cache) as scratch:
                make(scratch)
                (scratch / name).rename(file)
    return file


def toolchain(simulator: Simulator) -> Json:
    """Return what everything depends on that is compiled for a simulator.

    Raises
    ------
    ToolError
        If Verilator has no compiler.
    """
    found: dict[str, Any] = {
        "simulator": simulator.kind.value,
        "version": simulator.version,
        "folder": str(simulator.folder),
        "environment": dict(simulator.environment),
        "timescale": TIMESCALE,
    }
    if simulator.kind is SimulatorKind.VERILATOR:
        found["verilator"] = list(VERILATOR_ARGUMENTS)
        found["compiler"] = [*_compiler(), *COMPILER_ARGUMENTS]
    return found


def _compiler() -> list[str]:
    """Return version and machine of the C++ compiler, which answers one question at a time."""
    try:
        return [
            run(["c++", question], timeout=30).output.strip()
            for question in ("-dumpfullversion", "-dumpmachine")
        ]
    except ToolError:
        raise ToolError("c++ is missing, which Verilator needs: apt-get install g++") from None


def bench_key(simulator: Simulator, digest: str) -> Json:
    """Return what the simulation of the design with ``digest`` under cocotb depends on.

    It is linked with cocotb's libraries, and finds them again by their absolute path.
    """
    return {
        **toolchain(simulator),
        "cocotb": metadata.version("cocotb"),
        "libraries": str(config.libs_dir),
        "python": list(sys.version_info[:2]),
        "design": digest,
    }


_SIGNAL = Form("[A-Za-z0-9_.*]+ [A-Za-z0-9_.*]+", "names, with * for any characters")


def bench_program(
    verilog: str, simulator: Simulator, *, top: str, public: Signals, timeout: float
) -> Path:
    """Return the simulation of a design that a bench under cocotb runs in.

    Parameters
    ----------
    top : top module
    public : what the bench reads and drives; Verilator shows it nothing else
    timeout : seconds that each program of the compilation may take

    Raises
    ------
    ToolError
        If a tool is missing, fails, or runs out of time.
    """
    require_identifier(top, "top of a design")
    signals = []
    for module, name in public:
        _SIGNAL.require(f"{module} {name}", "a module and a variable")
        signals.append(f'public_flat_rw -module "{module}" -var "{name}"')
    control = "\n".join(["`verilator_config", *signals, ""])

    def make(folder: Path) -> None:
        (folder / "design.v").write_text(verilog, encoding="utf-8")
        if simulator.kind is SimulatorKind.ICARUS:
            (folder / "timescale.f").write_text(f"+timescale+{TIMESCALE}\n")
            options = ["-g2012", "-s", top, "-f", "timescale.f", "-o", NAME]
            command = [simulator.program("iverilog"), *options, "design.v"]
            run(command, name="icarus", folder=folder, timeout=timeout).checked()
            return
        (folder / "public.vlt").write_text(control)
        libraries = str(config.libs_dir)
        rpath = ("-Xlinker", "-rpath", "-Xlinker", libraries)
        made = _Executable(
            name=NAME,
            files=("--vpi", "--prefix", "Vtop", "--top-module", top, "public.vlt", "design.v"),
            main=config.share_dir / "lib" / "verilator" / "verilator.cpp",
            runtime=_RUNTIME_OF_BENCHES,
            link=(*rpath, f"-L{libraries}", "-lcocotbvpi_verilator"),
        )
        made.build(folder, simulator, timeout=timeout)

    key = bench_key(simulator, digest_of([top, control, verilog]))
    return kept(key, NAME, make)


NAME = "simulation"
"""File of a simulation that a bench runs in."""


def program(
    name: str,
    sources: Mapping[str, str],
    *,
    top: str,
    simulator: Simulator,
    timeout: float,
    optimise: bool = False,
) -> Path:
    """Return a program that drives a design in Verilator.

    Parameters
    ----------
    name : of the program
    sources : files by name: design.v, NAME.cpp with the main function, and what they include
    top : module that the program drives, as the class ``V`` and its name
    simulator : a Verilator
    timeout : seconds that each program of the compilation may take
    optimise : whether the program runs for so long that optimising it pays

    Raises
    ------
    ToolError
        If Verilator or the compiler is missing, fails, or runs out of time.
    """
    require_identifier(top, "top of a design")

    def make(folder: Path) -> None:
        for file, text in sources.items():
            (folder / file).write_text(text, encoding="utf-8")
        made = _Executable(
            name=name,
            files=("--top-module", top, "design.v"),
            main=folder / f"{name}.cpp",
            optimise=optimise,
        )
        made.build(folder, simulator, timeout=timeout)

    key = {**toolchain(simulator), "program": [name, top, optimise], "sources": dict(sources)}
    return kept(key, name, make)


@dataclass(frozen=True, kw_only=True)
class _Executable:
    """A model of a folder's Verilog, compiled and linked with ``main``.

    Members
    -------
    files : the Verilog, and what Verilator is told of it
    runtime : parts of Verilator's own runtime
    link : options of the linker
    """

    name: str
    files: Sequence[str]
    main: Path
    runtime: Sequence[str] = _RUNTIME
    link: Sequence[str] = ()
    optimise: bool = False

    def build(self, folder: Path, simulator: Simulator, *, timeout: float) -> None:
        """Leave the program in the folder, under its name."""
        verilator = simulator.program("verilator")
        own = simulator.environment
        command = [verilator, "--cc", "--Mdir", "model", *VERILATOR_ARGUMENTS, *self.files]
        deep = with_deep_stack(command)
        run(deep, name="verilator", folder=folder, variables=own, timeout=timeout).checked()
        root = run([verilator, "--getenv", "VERILATOR_ROOT"], variables=own, timeout=timeout)
        include = Path(root.checked().strip()) / "include"

        def compiled(source: Path, at: Path, *options: str) -> Path:
            headers = [f"-I{place}" for place in (".", "model", include, include / "vltstd")]
            target = at / f"{source.stem}.o"
            command = ["c++", *COMPILER_ARGUMENTS, *options, *headers, "-c", str(source)]
            run([*command, "-o", target.name], folder=at, timeout=timeout).checked()
            return target

        def of_runtime(source: Path) -> Path:
            def make(scratch: Path) -> None:
                compiled(source, scratch)

            return kept({**toolchain(simulator), "runtime": source.stem}, f"{source.stem}.o", make)

        def of_unit(source: Path) -> Path:
            return compiled(source, folder, "-O1" if self.optimise else "-O0")

        work = [partial(of_runtime, include / f"{name}.cpp") for name in self.runtime]
        work += [partial(of_unit, unit) for unit in _units(folder, self.main)]
        objects = [str(file) for file in side_by_side(lambda make: make(), work)]
        linked = ["c++", "-pthread", "-o", self.name, *objects, *self.link]
        run(linked, folder=folder, timeout=timeout).checked()


def _units(folder: Path, main: Path) -> list[Path]:
    """Write the units to compile: the files of the model together, and ``main`` behind the last.

    Files are named from ``folder``, in which they are compiled: its own name may hold anything.
    """
    (folder / "main.inc").write_bytes(main.read_bytes())
    groups: list[list[Path]] = [[]]
    size = 0
    for file in sorted((folder / "model").glob("*.cpp")):
        size += file.stat().st_size
        if groups[-1] and size > UNIT_BYTES:
            groups.append([])
            size = file.stat().st_size
        groups[-1].append(file)
    groups[-1].append(folder / "main.inc")
    units = [folder / f"unit{k}.cc" for k in range(len(groups))]
    for unit, group in zip(units, groups, strict=True):
        unit.write_text("".join(f'#include "{file.relative_to(folder)}"\n' for file in group))
    return units
