"""The bench: runs inside the simulator, under cocotb, and sees only the Verilog and its files.

It drives the accelerator as `convexon_sim.job.Traffic` says, watches every layer, and holds what it
saw against the golden model's trace: spikes and membranes of every layer and step, scores, labels,
and, where nothing stalls, the cycles that the schedule promises.
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
from convexon.trace import TRACE, LayerTrace, SpikeTrace, first_mismatch, mismatched_samples
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
        self.per_sample = self.expected.labels.shape[1]
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
            f"or a stream is stuck{self.first_difference_so_far()}"
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
        extra = len(self.results) - len(self.vectors) * self.per_sample
        if extra:
            raise MismatchError(f"{extra} results came after the last sample's: steps were doubled")
        for layer in self.layers:
            if len(layer.spikes) != (steps := len(self.vectors) * self.job.n_steps):
                raise MismatchError(
                    f"branch {layer.probe['branch']} layer {layer.probe['layer']} completed "
                    f"{len(layer.spikes)} of {steps} steps: steps were lost or doubled"
                    f"{self.first_difference_so_far()}"
                )

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
        last = np.array(self.given_at[: len(results)][self.per_sample - 1 :: self.per_sample])
        return SpikeTrace(
            layers=tuple(tuple(branch) for branch in layers),
            scores=scores.reshape(n_samples, self.per_sample, -1),
            labels=labels.reshape(n_samples, self.per_sample),
            latency_cycles=last.astype(np.int64) - first,
        )

    def first_difference_so_far(self) -> str:
        """Return where the complete samples of an unfinished run first differ, as a clause."""
        n = min(len(self.results) // self.per_sample, len(self.vectors))
        n = min([n, *(len(layer.spikes) // self.job.n_steps for layer in self.layers)])
        if not n:
            return ""
        mismatch = first_mismatch(_head(self.expected, n), self.trace(n))
        return "" if mismatch is None else f"; {mismatch}"

    def cycle_faults(self, trace: SpikeTrace) -> Iterator[str]:
        """Yield the first sample whose latency, or distance to the next, is not the schedule's."""
        promised = {
            "latency": (self.job.latency_cycles, trace.latency_cycles),
            "interval": (
                self.job.interval_cycles,
                np.diff(self.given_at[self.per_sample - 1 :: self.per_sample]),
            ),
        }
        for name, (want, have) in promised.items():
            wrong = np.flatnonzero(np.asarray(have) != want)
            if len(wrong):
                got = int(np.asarray(have)[wrong[0]])
                yield f"{name} at sample {wrong[0]}: expected {want} clocks, got {got}"


def _steps(
    vectors: list[int], layout: dict[str, Any], signed: bool, n_samples: int, steps: int
) -> npt.NDArray[np.int64]:
    """Unpack a layer's record, shape (samples, steps, neurons)."""
    count = layout["count"]
    values = unpack(vectors[: n_samples * steps], width=layout["width"], count=count, signed=signed)
    return values.reshape(n_samples, steps, count)


def _head(trace: SpikeTrace, n: int) -> SpikeTrace:
    """Return the first ``n`` samples of a trace."""
    return SpikeTrace(
        layers=tuple(
            tuple(LayerTrace(layer.spikes[:n], layer.membranes[:n]) for layer in branch)
            for branch in trace.layers
        ),
        scores=trace.scores[:n],
        labels=trace.labels[:n],
    )


@cocotb.test()
async def network_equals_golden_model(dut: Any) -> None:
    """Spikes, membranes, scores, labels and cycles equal the golden model's and the schedule's."""
    job = Job.from_json(json.loads(Path(os.environ[JOB_VARIABLE]).read_text()))
    outcome: dict[str, Any] = {"inferences": 0, "mismatches": 0, "first": None, "clocks": 0}
    bench: Bench | None = None
    try:
        bench = Bench(dut, job)
        await bench.start()
        await bench.run()
        trace = bench.trace(len(bench.vectors))
        save(TRACE, trace, job.actual)
        difference = first_mismatch(bench.expected, trace)
        faults = list(bench.cycle_faults(trace)) if job.traffic.is_smooth else []
        outcome["inferences"] = trace.n_samples
        outcome["mismatches"] = mismatched_samples(bench.expected, trace)
        outcome["latency"] = sorted({int(x) for x in np.asarray(trace.latency_cycles)})
        outcome["first"] = str(difference) if difference else next(iter(faults), None)
    except MismatchError as error:
        outcome["first"] = str(error)
    if bench is not None:
        outcome["clocks"] = bench.cycle
    atomic_write(job.outcome, pretty(outcome).encode())
    assert outcome["first"] is None, outcome["first"]
