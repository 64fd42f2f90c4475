"""The judge of an accelerator: a whole test set as fast as it goes, and a part of it under stalls.

Verilator drives smooth traffic with no Python within a clock. Icarus, which knows unknown bits, and
all traffic that stalls have the cocotb bench.
"""

from __future__ import annotations

import dataclasses

from convexon_sim.bench.job import Traffic
from convexon_sim.bench.runner import TIMEOUT_SECONDS, observe_all
from convexon_sim.programs.volume import run_volume
from convexon_sim.simulator import Simulator, SimulatorKind
from convexon_sim.trial import Observation, Trial

STALLING = Traffic(idle=0.2, back_pressure=0.4, resets=(0, 3, 7), seed=1)
"""What the bench adds to smooth traffic, on the first samples."""

STALLED_SAMPLES = 12


def observe(
    trial: Trial, simulator: Simulator, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> Observation:
    """Run a trial by the fastest way that sees all of it; what is wrong has the same words in both.

    Where the bench runs smooth traffic, the first samples come again with idle clocks,
    back-pressure and resets: a fault that only those show is named as such.

    Raises
    ------
    ToolError
        If the simulator does not compile the design, fails, or runs out of time.
    """
    if not trial.traffic.is_smooth:
        return observe_all([trial], simulator, timeout_seconds=timeout_seconds)[0]
    if simulator.kind is SimulatorKind.VERILATOR:
        return run_volume(trial, simulator, timeout_seconds=timeout_seconds)
    n = min(STALLED_SAMPLES, len(trial.inputs))
    resets = tuple(sample for sample in STALLING.resets if sample < n)
    stalled = trial.head(n, dataclasses.replace(STALLING, resets=resets))
    smooth, stalls = observe_all([trial, stalled], simulator, timeout_seconds=timeout_seconds)
    if not smooth.verification.passed or stalls.verification.passed:
        return smooth
    verdict = dataclasses.replace(
        smooth.verification,
        finished=stalls.verification.finished,
        mismatches=stalls.verification.mismatches,
        first=f"with idle clocks, back-pressure and resets: {stalls.verification.first}",
    )
    return dataclasses.replace(smooth, verification=verdict)
