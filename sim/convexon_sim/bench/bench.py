"""The bench: runs inside the simulator, under cocotb, and sees only the Verilog and its files.

It drives the accelerator as `convexon_sim.bench.job.Traffic` says, watches every layer, and has
`convexon_sim.bench.scoreboard` hold what it saw against the golden model's trace: spikes and
membranes of every layer and step, scores, labels, which result is an inference's last, and, where
nothing stalls, the cycles that the schedule promises for every sample. A run that does not come to
its end is judged by the samples that came out whole.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from convexon.errors import MismatchError
from convexon.plan.pipeline import Cycles
from convexon.snn.trace import TRACE
from convexon.store.artefact import atomic_write, load, pretty, save
from convexon_sim.bench.agents import Loader, Sink, Source, StreamMonitor, descend, layer_monitor
from convexon_sim.bench.job import JOB_VARIABLE, Job, Order
from convexon_sim.bench.packing import pack
from convexon_sim.bench.scoreboard import Record, Scoreboard

CLOCK_NS = 10
RESET_CLOCKS = 2
QUIET_CLOCKS = 16
"""Clocks to watch after the last result: nothing more may come."""


class Bench:
    """Drivers, monitors and the record of one job."""

    def __init__(self, top: Any, job: Job) -> None:
        ports = json.loads(job.ports.read_text())
        self.job = job
        inputs = np.load(job.inputs)
        self.transfers: int = inputs.shape[1]
        expected, _ = load(TRACE, job.expected)
        self.n_steps: int = expected.layers[0][0].spikes.shape[1]
        with np.load(job.cycles) as arrays:
            self.cycles = Cycles(taken=arrays["taken"], given=arrays["given"])
        traffic = job.traffic
        promised = self.cycles if traffic.is_smooth else None
        self.scoreboard = Scoreboard(ports, expected, promised, self.transfers)
        scope, streams = descend(top, job.scope), ports["streams"]
        self.source = Source(scope, streams["i"], traffic.idle, traffic.seed)
        self.sink = Sink(scope, streams["o"], traffic.back_pressure, traffic.seed + 1)
        self.taken = StreamMonitor(scope, streams["i"], "i")
        self.given = StreamMonitor(scope, streams["o"], "o")
        design = descend(top, job.design)
        self.record = Record(layers=[layer_monitor(design, probe) for probe in ports["probes"]])
        self.loader = Loader(scope, ports) if job.image is not None else None
        self.clock = getattr(scope, ports["clock"])
        self.reset = getattr(scope, ports["reset"])
        (field,) = streams["i"]["fields"]
        width = field["width"]
        self.vectors = [[pack(step, width) for step in sample] for sample in inputs]

    async def edge(self) -> None:
        """Move one clock: monitors first, then drivers."""
        await RisingEdge(self.clock)
        record = self.record
        record.clocks += 1
        taken = self.taken.sample(record.clocks)
        if taken is not None:
            record.taken_at.append(record.clocks)
        result = self.given.sample(record.clocks)
        if result is not None:
            record.results.append(result)
            record.given_at.append(record.clocks)
        for layer in record.layers:
            layer.sample(record.clocks)
        self.source.drive(taken is not None)
        self.sink.drive()

    async def pulse_reset(self) -> None:
        """Hold the reset for a few clocks with both streams at rest."""
        self.source.stop()
        self.reset.value = 1
        for _ in range(RESET_CLOCKS):
            await RisingEdge(self.clock)
            self.record.clocks += 1
        self.reset.value = 0
        self.taken.forget()
        self.given.forget()

    def slowest(self) -> int:
        """Return the clocks that no sample should exceed in a run that never stalls."""
        cycles = self.cycles
        return int(max(cycles.latency.max(), cycles.interval.max(initial=0), self.n_steps))

    async def until_results(self, count: int) -> None:
        """Move clocks until ``count`` results have come, within a generous limit."""
        traffic, results = self.job.traffic, self.record.results
        samples = -(-(count - len(results)) // self.scoreboard.per_sample)
        work = (samples + 1) * self.slowest() + QUIET_CLOCKS
        limit = int(work * 4 / ((1 - traffic.idle) * (1 - traffic.back_pressure))) + 1000
        for _ in range(limit):
            if len(results) >= count:
                return
            await self.edge()
        raise MismatchError(
            f"{len(results)} of {count} results came within {limit} clocks: steps were lost, "
            "or a stream is stuck"
        )

    async def until_taken(self, count: int) -> None:
        """Move clocks until ``count`` transfers were taken: a result may come before the last."""
        for _ in range(int(4 * self.slowest() / (1 - self.job.traffic.idle)) + 1000):
            if len(self.record.taken_at) >= count:
                return
            await self.edge()
        raise MismatchError(
            f"{len(self.record.taken_at)} of {count} transfers were taken: a stream is stuck"
        )

    async def interrupted(self, sample: int, clocks: int | None, chance: random.Random) -> None:
        """Reset within ``sample``, after ``clocks`` if given, and rewind the record to before it.

        At random it is sent in part; otherwise the source goes on, with the samples after it.
        """
        self.sink.closed = True  # a whole inference may be inside: its result must not get out
        await self.edge()
        if clocks is None:
            self.source.send(self.vectors[sample][: chance.randint(1, self.transfers)])
            clocks = chance.randint(1, self.slowest() + self.n_steps)
        else:
            self.source.send([vector for vectors in self.vectors[sample:] for vector in vectors])
        for _ in range(clocks):
            await self.edge()
        await self.pulse_reset()
        self.sink.closed = False
        del self.record.taken_at[sample * self.transfers :]
        for layer in self.record.layers:
            layer.rewind(layer.steps_before(sample, self.n_steps))

    async def load(self) -> None:
        """Send the weight image, if there is one; no reset forgets what is loaded."""
        if self.loader is None or self.job.image is None:
            return
        words = np.fromfile(self.job.image, dtype="<u4").tolist()
        self.loader.send(words)
        for _ in range(2 * len(words) + QUIET_CLOCKS):
            await self.edge()
            if self.loader.is_done(self.record.clocks):
                return
        raise MismatchError(f"an image of {len(words)} words was not loaded")

    async def send(self) -> None:
        """Send every sample, with the resets that the traffic asks for."""
        traffic = self.job.traffic
        chance = random.Random(traffic.seed + 2)
        moments = traffic.reset_after or (None,) * len(traffic.resets)
        begin = 0
        ends = sorted(zip(traffic.resets, moments, strict=True), key=lambda pair: pair[0])
        for end, clocks in [*ends, (len(self.vectors), None)]:
            self.source.send([vector for sample in self.vectors[begin:end] for vector in sample])
            await self.until_results(end * self.scoreboard.per_sample)
            await self.until_taken(end * self.transfers)
            if end < len(self.vectors):
                await self.interrupted(end, clocks, chance)
            begin = end
        for _ in range(QUIET_CLOCKS):
            await self.edge()

    async def run(self) -> str | None:
        """Do the job, and return what kept it from its end, if anything did."""
        clock = Clock(self.clock, CLOCK_NS, unit="ns")
        clock.start()
        self.sink.refuse()
        try:
            await self.pulse_reset()
            await self.load()
            await self.send()
        except MismatchError as error:
            return str(error)
        finally:
            clock.stop()
        return None

    def verdict(self, failure: str | None) -> dict[str, Any]:
        """Return the outcome, and keep the trace where the job asks for it."""
        trace = self.scoreboard.trace(self.record, self.scoreboard.n_whole(self.record))
        if self.job.actual is not None:
            save(TRACE, trace, self.job.actual)
        return self.scoreboard.verdict(self.record, trace, failure)


@cocotb.test()
async def hardware_equals_golden_model(top: Any) -> None:
    """Spikes, membranes, scores, labels and cycles equal the golden model's and the schedule's."""
    order = Order.from_json(json.loads(Path(os.environ[JOB_VARIABLE]).read_text()))
    outcomes = []
    for job in order.jobs:
        bench = Bench(top, job)
        outcomes.append(bench.verdict(await bench.run()))
    atomic_write(order.outcomes, pretty(outcomes).encode())
    differences = [outcome["first"] for outcome in outcomes if outcome["first"] is not None]
    assert not differences, differences[0]
