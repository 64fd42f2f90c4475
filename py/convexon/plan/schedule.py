"""The cycles of an accelerator: one definition, that estimator and benches share.

The estimator prints them, and the benches compare every simulated inference with them, without
tolerance. Clock edges are numbered from the one that takes the first step of a run, or the first
levels where an encoder reads them, which is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.mapping import Mapping, registers_in
from convexon.plan.pipeline import Cycles, run_pipeline, spatial_cycles, steps_used
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Cycles of ``network`` under ``mapping``."""

    network: FixedPointNetwork
    mapping: Mapping

    @classmethod
    def of(cls, network: FixedPointNetwork, mapping: Mapping) -> Schedule:
        """Schedule of ``network`` under ``mapping``; `InputError` if they do not fit."""
        mapping.check(network)
        return cls(network=network, mapping=mapping)

    @property
    def is_constant(self) -> bool:
        """Whether every inference takes the same cycles, whatever it reads."""
        return self.mapping.is_spatial and not self.mapping.decision.is_early

    @property
    def stages(self) -> tuple[int, ...]:
        """Pipeline registers of every layer depth, of the readout, and of the decision.

        A buffer behind a stage counts as one.
        """
        depths = [
            1
            + self.mapping.is_buffered(depth)
            + max(registers_in(choice) for choice in self.mapping.at_depth(depth).values())
            for depth in range(self.network.depth)
        ]
        readout = 1 + registers_in(self.mapping.readout)
        decision = self.mapping.decision.registers(self.mapping.decision_registers)
        return (*depths, readout, decision)

    @property
    def latency_cycles(self) -> int:
        """Clock edges from the one that takes the first step to the one that hands over the result.

        Where there is a result per step, the last one is meant. Step t is taken at edge t - 1 and
        moves one register at each edge; the edge after the last register is filled hands it over:
        T - 1 + registers, and 1 more where an encoder takes levels instead. `InputError` where the
        cycles are not constant.
        """
        self._require_constant()
        return int(self._encodes) + self.network.n_steps - 1 + sum(self.stages)

    @property
    def initiation_interval_cycles(self) -> int:
        """Clock edges between results in a row: T. `InputError` where they are not constant."""
        self._require_constant()
        return self.network.n_steps

    @property
    def summary(self) -> str:
        """Latency and interval in words."""
        if not self.is_constant:
            return "cycles follow from the spikes"  # of folded layers, or of an early decision
        return (
            f"latency {self.latency_cycles} cycles, a new inference every "
            f"{self.initiation_interval_cycles}"
        )

    def cycles(self, inputs: npt.NDArray[np.uint8], trace: SpikeTrace) -> Cycles:
        """Return the cycles of a run; the arguments are those of `run_pipeline`."""
        if not self.mapping.is_spatial:
            return run_pipeline(self.network, self.mapping, inputs, trace)
        return spatial_cycles(
            steps_used(self.network, self.mapping, trace),
            n_steps=self.network.n_steps,
            registers=sum(self.stages),
            encodes=self._encodes,
        )

    @property
    def _encodes(self) -> bool:
        return self.mapping.makes_steps

    def _require_constant(self) -> None:
        if not self.is_constant:
            raise InputError(
                "cycles of a folded network, and of an early decision, follow from the spikes: "
                "use Schedule.cycles"
            )
