"""Programs around a design: C++ and the Verilog that Verilator makes of it, compiled and kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from convexon.errors import ToolError
from convexon.store.artefact import digest_of
from convexon_sim.bench.runner import build_folder
from convexon_sim.simulator import Simulator


def compiled(
    name: str, sources: Mapping[str, str], *, top: str, simulator: Simulator, timeout: float
) -> Path:
    """Return the program of ``sources``, from the cache if it is there.

    Parameters
    ----------
    name : str
        Of the program.
    sources : mapping of str to str
        Files by name: design.v, NAME.cpp with the main function, and what they include.
    top : str
        Module that the program drives, as the class ``V`` and its name.
    simulator : Simulator
        A Verilator.
    timeout : float
        Seconds that compiling may take.

    Raises
    ------
    ToolError
        If Verilator or the compiler fails, or runs out of time.
    """
    folder = build_folder(digest_of([name, top, dict(sources)]), simulator)
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists():
            return program
        for file, text in sources.items():
            (folder / file).write_text(text)
        command = [
            *(str(simulator.folder / "verilator"), "--cc", "--exe", "--build", "-j", "2"),
            *("-O3", "-Wno-fatal", "--x-initial", "unique", "-CFLAGS", "-O1"),
            *("--top-module", top, "--Mdir", "objects", "-o", f"../{name}.new"),
            *("-CFLAGS", f"-I{folder}", "design.v", str(folder / f"{name}.cpp")),
        ]
        call(command, folder, {**os.environ, **simulator.environment}, timeout)
        (folder / f"{name}.new").rename(program)  # a build that was cut off is done again
        shutil.rmtree(folder / "objects")
    return program


def call(command: list[str], folder: Path, environment: Mapping[str, str], timeout: float) -> None:
    """Run a program to its end; `ToolError` if it fails or does not end in time."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{name} did not end within {timeout:g} seconds") from None
    except OSError as error:
        raise ToolError(f"{name} cannot be run: {error}") from error
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines[-1:] or ["no output"]
        raise ToolError(f"{name} failed: {telling[0].strip()}")
