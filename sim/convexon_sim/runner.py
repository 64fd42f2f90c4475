"""Running the bench: a bundle, a network and a data set in, a verdict out."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cocotb_tools import config

from convexon.artefact import Json, atomic_write, digest_of, pretty, save
from convexon.bundle import PORTS_NAME, VERILOG_NAME, RtlBundle
from convexon.errors import InputError, ToolError
from convexon.schedule import Schedule
from convexon.simulator import Simulator, SimulatorKind
from convexon.trace import TRACE, SpikeTrace
from convexon.verification import Verification
from convexon_sim.job import JOB_VARIABLE, SMOOTH, Job, Traffic

CACHE_VARIABLE = "CONVEXON_CACHE"
"""Environment variable that moves the build cache."""

TIMESCALE = ("1ns", "1ps")
"""The emitted Verilog has none, so that it fits any project; a simulation needs one."""

VERILATOR_ARGUMENTS = ("-Wno-fatal", "-O3", "--x-initial", "unique")
"""Lint is a check of its own (`convexon_hdl.lint`), so warnings do not stop a simulation."""


def cache_folder() -> Path:
    """Return the folder of the build cache: ``$CONVEXON_CACHE``, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "convexon"


def build_folder(bundle: RtlBundle, simulator: Simulator) -> Path:
    """Return where the compiled simulation of ``bundle`` is cached.

    It is keyed by the RTL's digest and by everything else that goes into it: what compiles it, and
    the cocotb and the Python that it is linked with and finds again by their absolute paths.

    Raises
    ------
    ToolError
        If Verilator has no compiler.
    """
    linked = {
        "cocotb": importlib.metadata.version("cocotb"),
        "cocotb libraries": str(config.libs_dir),
        "python": list(sys.version_info[:2]),
    }
    key = {**_compilation(simulator), **linked, "rtl": bundle.digest}
    return _tool_folder(simulator) / _short(key)


def runtime_folder(simulator: Simulator) -> Path:
    """Return where objects that all designs share are kept, keyed by all that compiles them.

    Raises
    ------
    ToolError
        If Verilator has no compiler.
    """
    return _tool_folder(simulator) / f"runtime-{_short(_compilation(simulator))}"


def _tool_folder(simulator: Simulator) -> Path:
    return cache_folder() / f"{simulator.kind.value}-{simulator.version}"


def _short(key: Json) -> str:
    """Return the name of a cache entry."""
    return digest_of(key).removeprefix("sha256:")[:20]


def _compilation(simulator: Simulator) -> Json:
    """Return what the compilation of any design depends on."""
    return {
        "simulator": simulator.kind.value,
        "version": simulator.version,
        "folder": str(simulator.folder),
        "environment": dict(simulator.environment),
        "arguments": list(_arguments(simulator)),
        "timescale": list(TIMESCALE),
        "compiler": _compiler() if simulator.kind is SimulatorKind.VERILATOR else None,
    }


def _arguments(simulator: Simulator) -> tuple[str, ...]:
    return VERILATOR_ARGUMENTS if simulator.kind is SimulatorKind.VERILATOR else ()


def _compiler() -> list[str]:
    """Return version and machine of the C++ compiler, which answers one question at a time."""
    questions = ("-dumpfullversion", "-dumpmachine")
    try:
        answers = [
            subprocess.run(["c++", question], capture_output=True, text=True).stdout
            for question in questions
        ]
    except FileNotFoundError:
        raise ToolError("c++ is missing, which Verilator needs: apt-get install g++") from None
    return [answer.strip() for answer in answers]


def simulate(
    bundle: RtlBundle,
    simulator: Simulator,
    *,
    inputs: npt.NDArray[np.uint8],
    expected: SpikeTrace,
    schedule: Schedule,
    traffic: Traffic = SMOOTH,
    timeout_seconds: float = 1800.0,
) -> Verification:
    """Run ``bundle`` on ``inputs`` and compare everything with ``expected``.

    Parameters
    ----------
    bundle : RtlBundle
    simulator : Simulator
    inputs : uint8 array, shape (samples, steps, inputs)
    expected : SpikeTrace
        The golden model's trace of ``inputs``.
    schedule : Schedule
        Cycles that must be met exactly when ``traffic`` never stalls.
    traffic : Traffic
    timeout_seconds : float
        Wall time after which the simulator is stopped.

    Raises
    ------
    InputError
        If there is no sample, or the traffic asks for a reset at one that does not exist.
    ToolError
        If the simulator does not compile the design, fails, or runs out of time.
    """
    if not len(inputs):
        raise InputError("inputs must have at least 1 sample, not 0")
    for sample in traffic.resets:
        if not 0 <= sample < len(inputs):
            raise InputError(f"resets must name samples 0..{len(inputs) - 1}, not {sample!r}")
    with tempfile.TemporaryDirectory(prefix="convexon-sim-") as name:
        folder = Path(name)
        bundle.write(folder)
        np.save(folder / "inputs.npy", inputs)
        save(TRACE, expected, folder / "expected.json")
        job = _job(folder, schedule, traffic)
        atomic_write(folder / "job.json", pretty(job.to_json()).encode())
        _run_worker(
            _order(folder, bundle, simulator, traffic), folder, timeout_seconds, job.outcome
        )
        outcome = json.loads(job.outcome.read_text())
    return Verification(
        simulator=simulator.kind.value,
        version=simulator.version,
        finished=outcome["finished"],
        inferences=outcome["inferences"],
        mismatches=outcome["mismatches"],
        first=outcome["first"],
        latency_cycles=tuple(outcome["latency"]),
        clocks=outcome["clocks"],
    )


def _job(folder: Path, schedule: Schedule, traffic: Traffic) -> Job:
    """Return what the bench is to do, its files all in ``folder``."""
    return Job(
        ports=folder / PORTS_NAME,
        inputs=folder / "inputs.npy",
        expected=folder / "expected.json",
        actual=folder / "actual.json",
        outcome=folder / "outcome.json",
        n_steps=schedule.n_steps,
        latency_cycles=schedule.latency_cycles,
        interval_cycles=schedule.initiation_interval_cycles,
        traffic=traffic,
    )


def _order(folder: Path, bundle: RtlBundle, simulator: Simulator, traffic: Traffic) -> Json:
    """Return what the worker is to compile and run."""
    return {
        "simulator": simulator.kind.value,
        "simulator_folder": str(simulator.folder),
        "environment": {**simulator.environment, JOB_VARIABLE: str(folder / "job.json")},
        "build_folder": str(build_folder(bundle, simulator)),
        "runtime_folder": str(runtime_folder(simulator)),
        "test_folder": str(folder),
        "verilog": str(folder / VERILOG_NAME),
        "build_arguments": list(_arguments(simulator)),
        "timescale": list(TIMESCALE),
        "top": bundle.top,
        "seed": traffic.seed,
    }


def _run_worker(order: dict[str, Any], folder: Path, timeout: float, outcome: Path) -> None:
    """Run the worker; a failing bench leaves an outcome, anything else is a `ToolError`."""
    atomic_write(folder / "order.json", pretty(order).encode())
    log = folder / "worker.log"
    name = order["simulator"]
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "convexon_sim.worker", str(folder / "order.json")]
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{name} did not end within {timeout:g} seconds") from None
        finally:
            if process.poll() is None:  # out of time, or interrupted: the simulator ends with it
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if not outcome.exists():
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines[-1:] or ["no output"]
        raise ToolError(f"{name} failed before the bench ended: {telling[0].strip()}")
