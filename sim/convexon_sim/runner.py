"""Running the bench: a bundle, a network and a data set in, a verdict out."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.artefact import Arrays, Codec, Json, atomic_write, pretty, save
from convexon.bundle import PORTS_NAME, VERILOG_NAME, RtlBundle
from convexon.errors import InputError, ToolError
from convexon.mapping import Schedule
from convexon.simulator import Simulator, SimulatorKind
from convexon.trace import TRACE, SpikeTrace
from convexon_sim.job import JOB_VARIABLE, SMOOTH, Job, Traffic

CACHE_VARIABLE = "CONVEXON_CACHE"
"""Environment variable that moves the build cache."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Verdict of one simulation against the golden model.

    Members
    -------
    simulator, version : str
    inferences : int
        Samples that came out whole and were compared.
    mismatches : int
        Samples of them that differ anywhere.
    first : str or None
        The first difference, or what else went wrong; None when all is equal.
    latency_cycles : tuple of int
        All latencies that occurred, each once.
    clocks : int
        Clocks simulated.
    """

    simulator: str
    version: str
    inferences: int
    mismatches: int
    first: str | None
    latency_cycles: tuple[int, ...]
    clocks: int

    @property
    def passed(self) -> bool:
        """Whether every comparison was equal."""
        return self.first is None and self.mismatches == 0 and self.inferences > 0


def cache_folder() -> Path:
    """Return the folder of the build cache: ``$CONVEXON_CACHE``, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "convexon"


def build_folder(bundle: RtlBundle, simulator: Simulator) -> Path:
    """Return where the compiled simulation of ``bundle`` is cached: keyed by the RTL's digest."""
    key = bundle.digest.removeprefix("sha256:")[:20]
    return cache_folder() / _tool_key(simulator) / key


def runtime_folder(simulator: Simulator) -> Path:
    """Return where objects that all designs share are kept: they depend on the compiler too."""
    try:
        command = ["c++", "-dumpfullversion", "-dumpmachine"]
        compiler = subprocess.run(command, capture_output=True).stdout
    except FileNotFoundError:
        if simulator.kind is SimulatorKind.VERILATOR:
            raise ToolError("c++ is missing, which Verilator needs: apt-get install g++") from None
        compiler = b""  # Icarus has no such objects
    key = hashlib.sha256(compiler).hexdigest()[:12]
    return cache_folder() / _tool_key(simulator) / f"runtime-{key}"


def _tool_key(simulator: Simulator) -> str:
    """Name what else a compiled simulation depends on: the simulator, and Python inside it."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{simulator.kind.value}-{simulator.version}-python{python}"


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
        If the traffic asks for a reset at a sample that does not exist.
    ToolError
        If the simulator does not compile the design, fails, or runs out of time.
    """
    for sample in traffic.resets:
        if not 0 <= sample < len(inputs):
            raise InputError(f"resets must name samples 0..{len(inputs) - 1}, not {sample!r}")
    with tempfile.TemporaryDirectory(prefix="convexon-sim-") as name:
        folder = Path(name)
        bundle.write(folder)
        np.save(folder / "inputs.npy", inputs)
        save(TRACE, expected, folder / "expected.json")
        job = Job(
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
        atomic_write(folder / "job.json", pretty(job.to_json()).encode())
        order = {
            "simulator": simulator.kind.value,
            "simulator_folder": str(simulator.folder),
            "environment": {**simulator.environment, JOB_VARIABLE: str(folder / "job.json")},
            "build_folder": str(build_folder(bundle, simulator)),
            "runtime_folder": str(runtime_folder(simulator)),
            "test_folder": str(folder),
            "verilog": str(folder / VERILOG_NAME),
            "top": bundle.top,
            "seed": traffic.seed,
        }
        _run_worker(order, folder, timeout_seconds, job.outcome)
        outcome = json.loads(job.outcome.read_text())
    return Verification(
        simulator=simulator.kind.value,
        version=simulator.version,
        inferences=outcome["inferences"],
        mismatches=outcome["mismatches"],
        first=outcome["first"],
        latency_cycles=tuple(outcome.get("latency", ())),
        clocks=outcome["clocks"],
    )


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


def _encode(result: Verification) -> tuple[Json, Arrays]:
    return {**vars(result), "latency_cycles": list(result.latency_cycles)}, {}


def _decode(content: Json, _: Arrays) -> Verification:
    return Verification(**{**content, "latency_cycles": tuple(content["latency_cycles"])})


VERIFICATION: Codec[Verification] = Codec("convexon.verification", 1, _encode, _decode)
"""File form of a `Verification`."""
