"""Running the bench: trials in, verdicts out.

Many trials run in one process of the simulator: its start is most of what a small network takes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import find_libpython
from cocotb_tools import config

from convexon.errors import InputError, ToolError
from convexon.store.artefact import load, save
from convexon.tools.environment import import_path
from convexon.tools.process import Ended, run
from convexon.tools.scratch import Scratch
from convexon_sim.bench.batch import Batch, Instance, combine
from convexon_sim.bench.job import JOBS, JOBS_VARIABLE, RECORDS, Job
from convexon_sim.bench.record import SEEN
from convexon_sim.build import bench_program
from convexon_sim.scoreboard import Scoreboard
from convexon_sim.simulator import Simulator, SimulatorKind
from convexon_sim.trial import Observation, Trial
from convexon_sim.verification import Verification

TIMEOUT_SECONDS = 1800.0
"""Wall time after which a simulation is stopped."""


def simulate_all(
    trials: Sequence[Trial], simulator: Simulator, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> tuple[Verification, ...]:
    """Run all ``trials`` one after the other, as `observe_all`, and return the verdicts."""
    observed = observe_all(trials, simulator, timeout_seconds=timeout_seconds)
    return tuple(observation.verification for observation in observed)


def observe_all(
    trials: Sequence[Trial], simulator: Simulator, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> tuple[Observation, ...]:
    """Run all ``trials`` one after the other in one process of the simulator.

    Trials of the same bundle share one instance of it, which a reset clears in between.

    Raises
    ------
    InputError
        If there is no trial.
    ToolError
        If the simulator does not compile the design, fails, or runs out of time.
    """
    if not trials:
        raise InputError("trials must be at least 1, not 0")
    batch = combine([trial.bundle for trial in trials])
    jobs = tuple(_job(trial, batch.instances[trial.bundle.digest]) for trial in trials)
    program = bench_program(
        batch.verilog,
        simulator,
        top=batch.top,
        public=_public(batch, trials),
        timeout=timeout_seconds,
    )
    with Scratch() as folder:
        file = folder / "jobs.json"
        save(JOBS, jobs, file)
        began = time.monotonic()
        tests = CocotbTests(
            top=batch.top,
            module="convexon_sim.bench.bench",
            seed=trials[0].traffic.seed,
            variables={JOBS_VARIABLE: str(file)},
        )
        ended = run_bench(program, simulator, tests, folder=folder, timeout=timeout_seconds)
        seconds = time.monotonic() - began
        if not file.with_name(RECORDS).exists():
            raise ended.failure
        records, _ = load(SEEN, file.with_name(RECORDS))
    return tuple(
        Scoreboard(trial).observation(record, simulator, seconds)
        for trial, record in zip(trials, records, strict=True)
    )


def _job(trial: Trial, place: Instance) -> Job:
    return Job(
        ports=trial.bundle.ports,
        inputs=trial.inputs,
        n_steps=trial.n_steps,
        per_sample=trial.per_sample,
        slowest=trial.slowest,
        image=trial.image,
        scope=place.scope,
        design=place.design,
        traffic=trial.traffic,
    )


def _public(batch: Batch, trials: Sequence[Trial]) -> Iterator[tuple[str, str]]:
    """Yield module and variable of every signal that the bench reads or drives, once."""
    yield (batch.top, "*") if len(batch.instances) == 1 else ("scope*", "*")
    bundles = {trial.bundle.digest: trial.bundle for trial in trials}
    yield from dict.fromkeys(
        signal for bundle in bundles.values() for signal in probed(bundle.ports)
    )


def probed(ports: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield module and variable of every signal that the probes of ports.json read."""
    for probe in ports["probes"]:
        for signal in probe.values():
            path = signal["path"] if isinstance(signal, dict) else signal
            if isinstance(path, list):
                yield ".".join(["*", *path[:-1]]) if path[1:] else "*", path[-1]


@dataclass(frozen=True, kw_only=True)
class CocotbTests:
    """The tests of a module, on a top module; ``variables`` is what they read of them."""

    top: str
    module: str
    seed: int
    variables: Mapping[str, str]


def run_bench(
    program: Path, simulator: Simulator, tests: CocotbTests, *, folder: Path, timeout: float
) -> Ended:
    """Run cocotb tests in a compiled simulation; results.xml is left in ``folder``.

    The variables are those that cocotb documents for its libraries.

    Raises
    ------
    ToolError
        If the simulation cannot be started, or runs out of time.
    """
    command = [str(program)]
    if simulator.kind is SimulatorKind.ICARUS:
        library = config.lib_entry("vpi", "icarus")
        command = [simulator.program("vvp"), "-m", str(library), str(program), "-none"]
    cocotb = {
        "COCOTB_TOPLEVEL": tests.top,
        "COCOTB_TEST_MODULES": tests.module,
        "COCOTB_RANDOM_SEED": str(tests.seed),
        "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
        "COCOTB_TRUST_INERTIAL_WRITES": str(int(simulator.kind is SimulatorKind.VERILATOR)),
        "TOPLEVEL_LANG": "verilog",
        "PYTHONPATH": os.pathsep.join(import_path()),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{_libpython()};{config.pygpi_entry_point()}",
        "PATH": os.pathsep.join([os.environ.get("PATH", ""), str(config.libs_dir)]),
    }
    return run(
        command,
        name=simulator.kind.value,
        folder=folder,
        variables={**simulator.environment, **cocotb, **tests.variables},
        timeout=timeout,
    )


@cache
def _libpython() -> str:
    """Return the shared library of this Python, which cocotb loads into the simulator.

    Raises
    ------
    ToolError
        If this Python has none.
    """
    found: str | None = find_libpython.find_libpython()
    if found is None:
        raise ToolError("python has no shared library, which cocotb needs: install libpython3")
    return found
