"""The bench: runs inside the simulator, under cocotb, and sees only the Verilog and its files.

It drives the accelerator as `convexon_sim.job.Traffic` says, watches every layer, and holds what it
saw against the golden model's trace: spikes and membranes of every layer and step, scores, labels,
which result is an inference's last, and, where nothing stalls, the cycles that the schedule
promises. A run that does not come to its end is judged by the samples that came out whole.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from convexon.artefact import atomic_write, load, pretty, save
from convexon.errors import MismatchError
from convexon.trace import (
    TRACE,
    LayerTrace,
    Mismatch,
    SpikeTrace,
    first_mismatch,
    mismatched_samples,
)
from convexon_sim.agents import LayerMonitor, Sink, Source, StreamMonitor
from convexon_sim.job import JOB_VARIABLE, Job
from convexon_sim.packing import field_of, pack, unpack, unpack_field

CLOCK_NS = 10
RESET_CLOCKS = 2
QUIET_CLOCKS = 16
"""Clocks to watch after the last result: nothing more may come."""


class Bench:
    """Drivers, monitors and the record of one run."""

    def __init__(self, dut: Any, job: Job) -> None:
        ports = json.loads(job.ports.read_text())
        self.job = job
        self.inputs = np.load(job.inputs)
        self.expected, _ = load(TRACE, job.expected)
        self.per_sample: int = self.expected.labels.shape[1]
        self.ports = ports
        traffic = job.traffic
        streams = ports["streams"]
        self.source = Source(dut, streams["i"], traffic.idle, traffic.seed)
        self.sink = Sink(dut, streams["o"], traffic.back_pressure, traffic.seed + 1)
        self.taken = StreamMonitor(dut, streams["i"], "i")
        self.given = StreamMonitor(dut, streams["o"], "o")
        self.layers = [LayerMonitor(dut, probe) for probe in ports["probes"]]
        self.clock = getattr(dut, ports["clock"])
        self.reset = getattr(dut, ports["reset"])
        self.cycle = 0
        self.taken_at: list[int] = []
        self.results: list[int] = []
        self.given_at: list[int] = []
        width = field_of(streams["i"], "inputs")["width"]
        self.vectors = [[pack(step, width) for step in sample] for sample in self.inputs]

    async def edge(self) -> None:
        """Move one clock: monitors first, then drivers."""
        await RisingEdge(self.clock)
        self.cycle += 1
        taken = self.taken.sample(self.cycle)
        if taken is not None:
            self.taken_at.append(self.cycle)
        result = self.given.sample(self.cycle)
        if result is not None:
            self.results.append(result)
            self.given_at.append(self.cycle)
        for layer in self.layers:
            layer.sample()
        self.source.drive(taken is not None)
        self.sink.drive()

    async def start(self) -> None:
        """Start the clock and reset; the sink refuses until the first sample."""
        Clock(self.clock, CLOCK_NS, unit="ns").start()
        self.sink.refuse()
        await self.pulse_reset()

    async def pulse_reset(self) -> None:
        """Hold the reset for a few clocks with both streams at rest."""
        self.source.stop()
        self.reset.value = 1
        for _ in range(RESET_CLOCKS):
            await RisingEdge(self.clock)
            self.cycle += 1
        self.reset.value = 0
        self.taken.forget()
        self.given.forget()

    async def until_results(self, count: int) -> None:
        """Move clocks until ``count`` results have come, within a generous limit."""
        traffic = self.job.traffic
        missing = count - len(self.results)
        work = missing * self.job.n_steps + self.job.latency_cycles + QUIET_CLOCKS
        limit = int(work * 4 / ((1 - traffic.idle) * (1 - traffic.back_pressure))) + 1000
        for _ in range(limit):
            if len(self.results) >= count:
                return
            await self.edge()
        raise MismatchError(
            f"{len(self.results)} of {count} results came within {limit} clocks: steps were lost, "
            "or a stream is stuck"
        )

    async def interrupted(self, sample: int, generator: random.Random) -> None:
        """Send part of ``sample``, reset in the middle, and rewind the record to before it."""
        done = sample * self.job.n_steps
        self.sink.closed = True  # a whole inference may be inside: its result must not get out
        await self.edge()
        self.source.send(self.vectors[sample][: generator.randint(1, self.job.n_steps)])
        for _ in range(generator.randint(1, 2 * self.job.n_steps + self.job.latency_cycles)):
            await self.edge()
        await self.pulse_reset()
        self.sink.closed = False
        del self.taken_at[done:]
        for layer in self.layers:
            layer.rewind(done)

    async def run(self) -> None:
        """Send every sample, with the resets that the traffic asks for."""
        generator = random.Random(self.job.traffic.seed + 2)
        begin = 0
        for end in [*sorted(self.job.traffic.resets), len(self.vectors)]:
            self.source.send([vector for sample in self.vectors[begin:end] for vector in sample])
            await self.until_results(end * self.per_sample)
            if end < len(self.vectors):
                await self.interrupted(end, generator)
            begin = end
        for _ in range(QUIET_CLOCKS):
            await self.edge()

    def trace(self, n_samples: int) -> SpikeTrace:
        """Return what the monitors saw of the first ``n_samples`` samples."""
        steps = self.job.n_steps
        layers: list[list[LayerTrace]] = []
        for monitor in self.layers:
            spikes = _steps(monitor.spikes, monitor.probe["spikes"], False, n_samples, steps)
            membranes = _steps(
                monitor.membranes, monitor.probe["membranes"], True, n_samples, steps
            )
            if monitor.probe["layer"] == 0:
                layers.append([])
            layers[-1].append(LayerTrace(spikes.astype(np.uint8), membranes))
        results = self.results[: n_samples * self.per_sample]
        output = self.ports["streams"]["o"]
        scores = unpack_field(results, field_of(output, "scores"))
        labels = unpack_field(results, field_of(output, "label"))
        first = np.array(self.taken_at[: n_samples * steps : steps], dtype=np.int64)
        return SpikeTrace(
            layers=tuple(tuple(branch) for branch in layers),
            scores=scores.reshape(n_samples, self.per_sample, -1),
            labels=labels.reshape(n_samples, self.per_sample),
            latency_cycles=self.ends(n_samples) - first,
        )

    def ends(self, n_samples: int) -> npt.NDArray[np.int64]:
        """Return the clock that handed over the last result of each of the first samples."""
        given = self.given_at[: n_samples * self.per_sample]
        return np.array(given[self.per_sample - 1 :: self.per_sample], dtype=np.int64)

    def n_whole(self) -> int:
        """Return how many samples came out whole: every step of every layer, and every result."""
        steps = min(len(self.taken_at), *(len(layer.spikes) for layer in self.layers))
        whole = min(len(self.results) // self.per_sample, steps // self.job.n_steps)
        return min(whole, len(self.vectors))

    def count_faults(self) -> Iterator[str]:
        """Yield what a run that came to its end did too often or too rarely."""
        extra = len(self.results) - len(self.vectors) * self.per_sample
        if extra:
            yield f"{extra} results came after the last sample's: steps were doubled"
        steps = len(self.vectors) * self.job.n_steps
        for layer in self.layers:
            if len(layer.spikes) != steps:
                yield (
                    f"branch {layer.probe['branch']} layer {layer.probe['layer']} completed "
                    f"{len(layer.spikes)} of {steps} steps: steps were lost or doubled"
                )

    def last_faults(self, n_samples: int) -> list[Mismatch]:
        """Return the results whose ``last`` does not say whether they end their inference."""
        results = self.results[: n_samples * self.per_sample]
        have = unpack_field(results, field_of(self.ports["streams"]["o"], "last"))
        have = have.reshape(n_samples, self.per_sample)
        want = np.zeros_like(have)
        want[:, -1] = 1
        return [
            Mismatch("last", int(k), int(want[k, step]), int(have[k, step]), step=int(step))
            for k, step in np.argwhere(have != want)
        ]

    def cycle_faults(self, trace: SpikeTrace) -> list[tuple[int, str]]:
        """Return samples whose latency, or distance from the one before, is not the schedule's."""
        job, intervals = self.job, np.diff(self.ends(trace.n_samples))
        checks = (
            ("latency", job.latency_cycles, np.asarray(trace.latency_cycles), 0),
            ("interval", job.interval_cycles, intervals, 1),
        )
        faults = [
            (int(k) + first, f"{name} at sample {k + first}: expected {want} clocks, got {have[k]}")
            for name, want, have, first in checks
            for k in np.flatnonzero(have != want)
        ]
        return sorted(faults, key=lambda fault: fault[0])

    def compare(self, trace: SpikeTrace) -> tuple[set[int], str | None]:
        """Return the samples of ``trace`` that differ anywhere, and the first difference.

        Wrong values are named before wrong cycles, which often follow from them.
        """
        n = trace.n_samples
        expected = _samples(self.expected, slice(n))
        wrong = {k for k in range(n) if mismatched_samples(*_pair(expected, trace, k))}
        last = self.last_faults(n)
        cycles = self.cycle_faults(trace) if self.job.traffic.is_smooth else []
        wrong |= {fault.sample for fault in last} | {sample for sample, _ in cycles}
        found = [m for m in (first_mismatch(expected, trace), *last[:1]) if m is not None]
        if found:
            return wrong, str(min(found, key=lambda mismatch: mismatch.sample))
        return wrong, cycles[0][1] if cycles else None

    def verdict(self, failure: str | None) -> dict[str, Any]:
        """Return the outcome; ``failure`` says what kept the run from its end, if anything did."""
        n = self.n_whole()
        wrong: set[int] = set()
        first: str | None = None
        latency: set[int] = set()
        if n:
            trace = self.trace(n)
            save(TRACE, trace, self.job.actual)
            wrong, first = self.compare(trace)
            latency = {int(x) for x in np.asarray(trace.latency_cycles)}
        reason = failure or next(self.count_faults(), None)
        finished = failure is None and n == len(self.vectors)
        if reason:
            first = f"{reason}; {first}" if first else reason
            if finished:  # something came after the last sample, or within one that then differs
                wrong = wrong or {n - 1}
        return {
            "finished": finished,
            "inferences": n,
            "mismatches": len(wrong),
            "first": first,
            "latency": sorted(latency),
            "clocks": self.cycle,
        }


def _steps(
    vectors: list[int], layout: dict[str, Any], signed: bool, n_samples: int, steps: int
) -> npt.NDArray[np.int64]:
    """Unpack a layer's record, shape (samples, steps, neurons)."""
    count = layout["count"]
    values = unpack(vectors[: n_samples * steps], width=layout["width"], count=count, signed=signed)
    return values.reshape(n_samples, steps, count)


def _samples(trace: SpikeTrace, part: slice) -> SpikeTrace:
    """Return some samples of a trace, without their cycles."""
    return SpikeTrace(
        layers=tuple(
            tuple(LayerTrace(layer.spikes[part], layer.membranes[part]) for layer in branch)
            for branch in trace.layers
        ),
        scores=trace.scores[part],
        labels=trace.labels[part],
    )


def _pair(expected: SpikeTrace, actual: SpikeTrace, k: int) -> tuple[SpikeTrace, SpikeTrace]:
    """Return sample ``k`` of both traces."""
    part = slice(k, k + 1)
    return _samples(expected, part), _samples(actual, part)


@cocotb.test()
async def network_equals_golden_model(dut: Any) -> None:
    """Spikes, membranes, scores, labels and cycles equal the golden model's and the schedule's."""
    job = Job.from_json(json.loads(Path(os.environ[JOB_VARIABLE]).read_text()))
    bench = Bench(dut, job)
    failure: str | None = None
    try:
        await bench.start()
        await bench.run()
    except MismatchError as error:
        failure = str(error)
    outcome = bench.verdict(failure)
    atomic_write(job.outcome, pretty(outcome).encode())
    assert outcome["first"] is None, outcome["first"]
