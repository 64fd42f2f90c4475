"""Running the bench: bundles, inputs and expectations in, verdicts out.

`simulate` runs one accelerator; `simulate_all` runs many in one process of the simulator, which
saves the start of the simulator, most of what a small network takes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cocotb_tools import config

from convexon.errors import InputError, ToolError
from convexon.plan.pipeline import Cycles
from convexon.snn.trace import TRACE, SpikeTrace
from convexon.store.artefact import atomic_write, digest_of, load, pretty, save
from convexon.store.codec import Json
from convexon_hdl.emit.bundle import RtlBundle
from convexon_sim.bench.batch import Batch, combine
from convexon_sim.bench.job import JOB_VARIABLE, SMOOTH, Job, Order, Traffic
from convexon_sim.simulator import Simulator, SimulatorKind
from convexon_sim.verification import Verification

CACHE_VARIABLE = "CONVEXON_CACHE"
"""Environment variable that moves the build cache."""

TIMESCALE = ("1ns", "1ps")
"""The emitted Verilog has none, so that it fits any project; a simulation needs one."""

VERILATOR_ARGUMENTS = ("-Wno-fatal", "-O3", "--x-initial", "unique")
"""Lint is a check of its own (`convexon_sim.lint`), so warnings do not stop a simulation."""


def cache_folder() -> Path:
    """Return the folder of the build cache: ``$CONVEXON_CACHE``, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "convexon"


def build_folder(digest: str, simulator: Simulator) -> Path:
    """Return where the compiled simulation of the RTL with ``digest`` is cached.

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
    key = {**_compilation(simulator), **linked, "rtl": digest}
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """An accelerator, what goes in, and what must come out.

    Members
    -------
    bundle : RtlBundle
    inputs : uint8 array, shape (samples, transfers, inputs)
        What the host hands over: T steps of each sample, or its levels in 1 transfer where an
        encoder makes the steps.
    expected : SpikeTrace
        The golden model's trace, under the rule that ends inferences
        (`convexon.snn.decision.decided_trace`).
    cycles : Cycles
        Cycles of every sample, which must be met exactly when ``traffic`` never stalls.
    traffic : Traffic
    image : bytes or None
        Weights (`convexon.plan.image`), where the accelerator loads them at run time.

    Raises
    ------
    InputError
        If there is no sample, another number of them in ``expected`` or ``cycles``, the traffic
        asks for a reset at one that does not exist, or an image is missing or not needed.
    """

    bundle: RtlBundle
    inputs: npt.NDArray[np.uint8]
    expected: SpikeTrace
    cycles: Cycles
    traffic: Traffic = SMOOTH
    image: bytes | None = None

    def __post_init__(self) -> None:
        if ("load" in self.bundle.ports.get("streams", ())) != (self.image is not None):
            state = "no image" if self.image is None else "an image"
            raise InputError(
                "image must be given where weights are loaded at run time, and nowhere else: "
                f"there is {state}"
            )
        n = len(self.inputs)
        if not n:
            raise InputError("inputs must have at least 1 sample, not 0")
        for name, have in (
            ("expected", self.expected.n_samples),
            ("cycles", len(self.cycles.given)),
        ):
            if have != n:
                raise InputError(f"{name} must have the {n} samples of the inputs, not {have}")
        due, transfers = self.bundle.ports["transfers_per_inference"], self.inputs.shape[1]
        if transfers != due:
            raise InputError(
                f"inputs must have {due} transfers a sample, as ports.json says, not {transfers}"
            )
        for sample in self.traffic.resets:
            if not 0 <= sample < n:
                raise InputError(f"resets must name samples 0..{n - 1}, not {sample!r}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Observation:
    """What a simulation showed.

    Members
    -------
    verification : Verification
    actual : SpikeTrace
        What the hardware did in the samples that came out whole, possibly none.
    """

    verification: Verification
    actual: SpikeTrace


def simulate(
    bundle: RtlBundle,
    simulator: Simulator,
    *,
    inputs: npt.NDArray[np.uint8],
    expected: SpikeTrace,
    cycles: Cycles,
    traffic: Traffic = SMOOTH,
    image: bytes | None = None,
    timeout_seconds: float = 1800.0,
) -> Verification:
    """Run ``bundle`` on ``inputs`` and compare everything with ``expected`` and ``cycles``.

    The arguments are the members of a `Trial`; ``timeout_seconds`` is the wall time after which the
    simulator is stopped.

    Raises
    ------
    InputError
        As `Trial`.
    ToolError
        If the simulator does not compile the design, fails, or runs out of time.
    """
    trial = Trial(
        bundle=bundle,
        inputs=inputs,
        expected=expected,
        cycles=cycles,
        traffic=traffic,
        image=image,
    )
    return simulate_all([trial], simulator, timeout_seconds=timeout_seconds)[0]


def simulate_all(
    trials: Sequence[Trial], simulator: Simulator, *, timeout_seconds: float = 1800.0
) -> tuple[Verification, ...]:
    """Run all ``trials`` one after the other in one process of the simulator.

    Trials of the same bundle share one instance of it, which a reset clears in between.

    Raises
    ------
    InputError
        If there is no trial.
    ToolError
        As `simulate`.
    """
    if not trials:
        raise InputError("trials must be at least 1, not 0")
    with tempfile.TemporaryDirectory(prefix="convexon-sim-") as name:
        outcomes = _run(trials, simulator, Path(name), timeout_seconds, keep=False)
    return tuple(_verification(outcome, simulator) for outcome in outcomes)


def observe(trial: Trial, simulator: Simulator, *, timeout_seconds: float = 1800.0) -> Observation:
    """Run one trial as `simulate` does, and return the hardware's trace too."""
    with tempfile.TemporaryDirectory(prefix="convexon-sim-") as name:
        folder = Path(name)
        (outcome,) = _run([trial], simulator, folder, timeout_seconds, keep=True)
        actual, _ = load(TRACE, folder / _ACTUAL)
    return Observation(verification=_verification(outcome, simulator), actual=actual)


_ACTUAL = "actual.json"
"""File of the trace that `observe` keeps."""


def _verification(outcome: Json, simulator: Simulator) -> Verification:
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


def _run(
    trials: Sequence[Trial], simulator: Simulator, folder: Path, timeout: float, *, keep: bool
) -> list[Json]:
    """Run the trials with all files in ``folder``, and return the outcome of each."""
    batch = combine([trial.bundle for trial in trials])
    writer = _JobWriter(folder, batch, keep=keep)
    order = Order(
        jobs=tuple(writer.job(trial) for trial in trials), outcomes=folder / "outcomes.json"
    )
    atomic_write(folder / "job.json", pretty(order.to_json()).encode())
    _run_worker(_order(folder, batch, simulator, trials[0].traffic.seed), timeout, order.outcomes)
    outcomes: list[Json] = json.loads(order.outcomes.read_text())
    return outcomes


class _JobWriter:
    """Writes the files of trials; what several trials share is written once."""

    def __init__(self, folder: Path, batch: Batch, *, keep: bool) -> None:
        self._folder = folder
        self._batch = batch
        self._keep = keep
        self._written: dict[int, Path] = {}

    def job(self, trial: Trial) -> Job:
        """Write what ``trial`` needs."""
        instance = self._batch.instance(trial.bundle)
        return Job(
            ports=self._once(trial.bundle.ports, "ports.json", _write_json),
            inputs=self._once(trial.inputs, "inputs.npy", _write_array),
            expected=self._once(trial.expected, "expected.json", _write_trace),
            cycles=self._once(trial.cycles, "cycles.npz", _write_cycles),
            image=None if trial.image is None else self._once(trial.image, "image.bin", _write),
            actual=self._folder / _ACTUAL if self._keep else None,
            scope=instance.scope,
            design=instance.design,
            traffic=trial.traffic,
        )

    def _once(self, value: object, name: str, write: Callable[[Path, Any], None]) -> Path:
        """Return the file of ``value``, which lives as long as its trial."""
        if id(value) not in self._written:
            self._written[id(value)] = path = self._folder / f"{len(self._written)}-{name}"
            write(path, value)
        return self._written[id(value)]


def _write_json(path: Path, value: Json) -> None:
    path.write_text(pretty(value))


def _write(path: Path, value: bytes) -> None:
    path.write_bytes(value)


def _write_array(path: Path, value: npt.NDArray[np.uint8]) -> None:
    np.save(path, value)


def _write_trace(path: Path, value: SpikeTrace) -> None:
    save(TRACE, value, path)


def _write_cycles(path: Path, value: Cycles) -> None:
    np.savez(path, taken=value.taken, given=value.given)


def _order(folder: Path, batch: Batch, simulator: Simulator, seed: int) -> Json:
    """Return what the worker is to compile and run."""
    verilog = folder / "design.v"
    atomic_write(verilog, batch.verilog.encode())
    return {
        "simulator": simulator.kind.value,
        "simulator_folder": str(simulator.folder),
        "environment": {**simulator.environment, JOB_VARIABLE: str(folder / "job.json")},
        "build_folder": str(build_folder(batch.digest, simulator)),
        "runtime_folder": str(runtime_folder(simulator)),
        "test_folder": str(folder),
        "verilog": str(verilog),
        "build_arguments": list(_arguments(simulator)),
        "timescale": list(TIMESCALE),
        "top": batch.top,
        "seed": seed,
    }


def _run_worker(order: Json, timeout: float, outcomes: Path) -> None:
    """Run the worker; a failing bench leaves its outcomes, anything else is a `ToolError`."""
    folder = Path(order["test_folder"])
    atomic_write(folder / "order.json", pretty(order).encode())
    log = folder / "worker.log"
    name = order["simulator"]
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "convexon_sim.bench.worker", str(folder / "order.json")]
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
    if not outcomes.exists():
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines[-1:] or ["no output"]
        raise ToolError(f"{name} failed before the bench ended: {telling[0].strip()}")
