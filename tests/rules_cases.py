"""A network, its mapping with an encoder and a rule, and what the bench needs of them."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from convexon.data.encoder import encode_transfers
from convexon.plan.mapping import Mapping
from convexon.plan.schedule import Schedule
from convexon.snn.decision import decided_trace
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.trial import Trial

N_SAMPLES = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A network with a mapping."""

    network: FixedPointNetwork
    mapping: Mapping

    @functools.cached_property
    def bundle(self) -> RtlBundle:
        return emit(self.network, self.mapping)

    @functools.cached_property
    def levels(self) -> np.ndarray:
        rng = np.random.default_rng(7)
        encoder = self.mapping.encoder
        limit = 1 << (self.network.input_bits if encoder is None else encoder.bits)
        transfers = 1 if self.mapping.makes_steps else self.network.n_steps
        values = self.network.n_inputs // (1 if encoder is None else encoder.inputs_per_level)
        shape = (N_SAMPLES, transfers, values)
        return rng.integers(0, limit, shape, dtype=np.uint8)

    @functools.cached_property
    def steps(self) -> np.ndarray:
        """What the network reads."""
        if self.mapping.encoder is None:
            return self.levels
        return encode_transfers(self.mapping.encoder, self.levels, n_steps=self.network.n_steps)

    @functools.cached_property
    def expected(self) -> SpikeTrace:
        trace = golden.run(self.network, self.steps)
        return decided_trace(self.mapping.decision, self.network, trace)

    def trial(
        self,
        traffic: Traffic = SMOOTH,
        bundle: RtlBundle | None = None,
        image: bytes | None = None,
    ) -> Trial:
        schedule = Schedule.of(self.network, self.mapping)
        return Trial(
            bundle=bundle or self.bundle,
            inputs=self.levels,
            expected=self.expected,
            cycles=schedule.cycles(self.steps, self.expected),
            traffic=traffic,
            image=image,
        )
