"""The bench: runs inside the simulator, under cocotb, and sees only the Verilog and its ports.

It drives the accelerator as `convexon_sim.bench.job.Traffic` says, watches every layer, and records
what it saw. It knows nothing of what the golden model did: that is for
`convexon_sim.scoreboard` to compare, outside.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from convexon.errors import MismatchError
from convexon.store.artefact import load, save
from convexon_sim.bench.agents import LayerMonitor, Loader, Sink, Source, StreamMonitor, descend
from convexon_sim.bench.job import (
    JOBS,
    JOBS_VARIABLE,
    QUIET_CLOCKS,
    RECORDS,
    RESET_CLOCKS,
    Job,
    clock_limit,
)
from convexon_sim.bench.packing import pack
from convexon_sim.bench.record import SEEN, Record

CLOCK_NS = 10


class Bench:
    """Drivers, monitors and the record of one job."""

    def __init__(self, top: Any, job: Job) -> None:
        self.job = job
        self.transfers: int = job.inputs.shape[1]
        traffic = job.traffic
        scope, streams = descend(top, job.scope), job.ports["streams"]
        self.source = Source(scope, streams["i"], traffic.idle, traffic.seed)
        self.sink = Sink(scope, streams["o"], traffic.back_pressure, traffic.seed + 1)
        self.taken = StreamMonitor(scope, streams["i"], "i")
        self.given = StreamMonitor(scope, streams["o"], "o")
        design = descend(top, job.design)
        self.layers = [LayerMonitor(design, probe) for probe in job.ports["probes"]]
        self.record = Record()
        self.loader = Loader(scope, job.ports) if job.image is not None else None
        self.clock = getattr(scope, job.ports["clock"])
        self.reset = getattr(scope, job.ports["reset"])
        (field,) = streams["i"]["fields"]
        width = field["width"]
        self.vectors = [[pack(step, width) for step in sample] for sample in job.inputs]

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
        for layer in self.layers:
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

    async def until_results(self, count: int) -> None:
        """Move clocks until ``count`` results have come, within a generous limit."""
        job, results = self.job, self.record.results
        limit = clock_limit(
            count - len(results),
            per_sample=job.per_sample,
            slowest=job.slowest,
            traffic=job.traffic,
        )
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
        for _ in range(int(4 * self.job.slowest / (1 - self.job.traffic.idle)) + 1000):
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
            clocks = chance.randint(1, self.job.slowest + self.job.n_steps)
        else:
            self.source.send([vector for vectors in self.vectors[sample:] for vector in vectors])
        for _ in range(clocks):
            await self.edge()
        await self.pulse_reset()
        self.sink.closed = False
        del self.record.taken_at[sample * self.transfers :]
        for layer in self.layers:
            layer.rewind(layer.steps_before(sample, self.job.n_steps))

    async def load(self) -> None:
        """Send the weight image, if there is one; no reset forgets what is loaded."""
        if self.loader is None or self.job.image is None:
            return
        words = np.frombuffer(self.job.image, dtype="<u4").tolist()
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
            await self.until_results(end * self.job.per_sample)
            await self.until_taken(end * self.transfers)
            if end < len(self.vectors):
                await self.interrupted(end, clocks, chance)
            begin = end
        for _ in range(QUIET_CLOCKS):
            await self.edge()

    async def run(self) -> Record:
        """Do the job, and return what was seen."""
        clock = Clock(self.clock, CLOCK_NS, unit="ns")
        clock.start()
        self.sink.refuse()
        try:
            await self.pulse_reset()
            await self.load()
            await self.send()
        except MismatchError as error:
            self.record.failure = str(error)
        finally:
            clock.stop()
        self.record.layers = [layer.record() for layer in self.layers]
        return self.record


@cocotb.test()
async def record_jobs(top: Any) -> None:
    """Do all jobs, one after the other, and leave their records."""
    file = Path(os.environ[JOBS_VARIABLE])
    jobs, _ = load(JOBS, file)
    records = tuple([await Bench(top, job).run() for job in jobs])
    save(SEEN, records, file.with_name(RECORDS))
