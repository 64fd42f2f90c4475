"""What a simulation is given, and what it showed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.pipeline import Cycles
from convexon.snn.models.trace import SpikeTrace
from convexon_hdl.emit.bundle import RtlBundle
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.verification import Verification


@dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """An accelerator, what goes in, and what must come out.

    Members
    -------
    inputs : uint8 array, shape (samples, transfers, inputs)
        What the host hands over: T steps of each sample, or its levels in 1 transfer where an
        encoder makes the steps.
    expected : the golden model's trace, under the rule that ends inferences
        (`convexon.snn.decision.decided_trace`)
    cycles : cycles of every sample, which must be met exactly when ``traffic`` never stalls
    image : weights (`convexon.plan.image`), where the accelerator loads them at run time

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

    @property
    def n_steps(self) -> int:
        """Steps of an inference, T."""
        return int(self.expected.layers[0][0].spikes.shape[1])

    @property
    def per_sample(self) -> int:
        """Results of a sample."""
        return int(self.expected.labels.shape[1])

    @property
    def slowest(self) -> int:
        """Clocks that no sample should exceed in a run that never stalls."""
        cycles = self.cycles
        return int(max(cycles.latency.max(), cycles.interval.max(initial=0), self.n_steps))

    def head(self, n_samples: int, traffic: Traffic) -> Trial:
        """Return the trial of the first samples under other traffic."""
        cycles = self.cycles
        return dataclasses.replace(
            self,
            inputs=self.inputs[:n_samples],
            expected=self.expected.head(n_samples),
            cycles=Cycles(taken=cycles.taken[:n_samples], given=cycles.given[:n_samples]),
            traffic=traffic,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Observation:
    """What a simulation showed.

    Members
    -------
    actual : what the hardware did in the samples that came out whole, possibly none
    seconds : wall time of the simulation, without compiling it
    """

    verification: Verification
    actual: SpikeTrace
    seconds: float
