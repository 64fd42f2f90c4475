"""The scoreboard: holds the record of a run against the golden model and the schedule.

It judges whatever recorded the run: spikes and membranes of every layer and step, scores, labels,
which result is an inference's last, and, where nothing stalls, the cycles that the schedule
promises for every sample. A run that does not come to its end is judged by the samples that came
out whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from convexon.plan.pipeline import Cycles
from convexon.snn.models.trace import (
    LayerTrace,
    Mismatch,
    SpikeTrace,
    differing_samples,
    first_mismatch,
)
from convexon_sim.bench.packing import field_of, unpack_field
from convexon_sim.bench.record import LayerRecord, Record
from convexon_sim.simulator import Simulator
from convexon_sim.trial import Observation, Trial
from convexon_sim.verification import Verification

IntArray = npt.NDArray[np.int64]


class Scoreboard:
    """Judges a record of a trial."""

    def __init__(self, trial: Trial) -> None:
        self.output = trial.bundle.ports["streams"]["o"]
        self.expected = trial.expected
        self.cycles = trial.cycles if trial.traffic.is_smooth else None
        self.transfers: int = trial.inputs.shape[1]
        self.n_steps = trial.n_steps
        self.n_samples = len(trial.inputs)
        self.per_sample = trial.per_sample

    def n_whole(self, record: Record) -> int:
        """Return how many samples came out whole: every step of every layer, and every result."""
        results = len(record.results) // self.per_sample
        inputs = len(record.taken_at) // self.transfers
        layers = (self._n_whole_of(layer) for layer in record.layers)
        return min(results, inputs, self.n_samples, *layers)

    def _n_whole_of(self, layer: LayerRecord) -> int:
        """Return how many samples a layer is done with, as far as they are known to be over."""
        if layer.begins is None or self.expected.steps is None:
            return len(layer.spikes) // self.n_steps
        n = len(layer.begins)
        if not n or n > self.n_samples:
            return min(n, self.n_samples)
        due = int(self.expected.steps[n - 1])
        return n - (len(layer.spikes) - layer.begins[-1] < due)

    def lengths(self, layer: LayerRecord, n_samples: int) -> IntArray:
        """Return the steps that a layer took of each of the first samples: T, or fewer if early."""
        ends = [layer.steps_before(sample, self.n_steps) for sample in range(n_samples + 1)]
        return np.array([end - begin for begin, end in pairwise(ends)], dtype=np.int64)

    def trace(self, record: Record, n_samples: int) -> SpikeTrace:
        """Return what the monitors saw of the first ``n_samples`` samples."""
        layers: list[list[LayerTrace]] = []
        for layer in record.layers:
            if layer.layer == 0:
                layers.append([])
            layers[-1].append(self._layer_trace(layer, n_samples))
        results = record.results[: n_samples * self.per_sample]
        scores = unpack_field(results, field_of(self.output, "scores"))
        labels = unpack_field(results, field_of(self.output, "label"))
        return SpikeTrace(
            layers=tuple(tuple(branch) for branch in layers),
            scores=scores.reshape(n_samples, self.per_sample, scores.shape[1]),
            labels=labels.reshape(n_samples, self.per_sample),
            latency_cycles=self.ends(record, n_samples) - self.starts(record, n_samples),
            steps=self._steps(record, n_samples),
        )

    def _steps(self, record: Record, n_samples: int) -> IntArray | None:
        """Return the steps that all layers took of each sample, None where none may end early."""
        if self.expected.steps is None:
            return None
        steps = np.full(n_samples, self.n_steps, dtype=np.int64)
        for layer in record.layers:
            steps = np.minimum(steps, self.lengths(layer, n_samples))
        return steps

    def _layer_trace(self, layer: LayerRecord, n_samples: int) -> LayerTrace:
        """Return what a layer did; steps that it did not take are 0."""
        n_neurons = layer.spikes.shape[1]
        if layer.begins is None:
            shape = (n_samples, self.n_steps, n_neurons)
            n = n_samples * self.n_steps
            return LayerTrace(layer.spikes[:n].reshape(shape), layer.membranes[:n].reshape(shape))
        taken = np.arange(self.n_steps) < self.lengths(layer, n_samples)[:, None]
        begins = [layer.steps_before(sample, self.n_steps) for sample in range(n_samples)]
        place = (np.array(begins, dtype=np.int64)[:, None] + np.arange(self.n_steps))[taken]
        spikes = np.zeros((*taken.shape, n_neurons), dtype=np.uint8)
        membranes = np.zeros((*taken.shape, n_neurons), dtype=np.int64)
        spikes[taken] = layer.spikes[place]
        membranes[taken] = layer.membranes[place]
        return LayerTrace(spikes, membranes)

    def starts(self, record: Record, n_samples: int) -> IntArray:
        """Return the clock that took the first transfer of each of the first samples."""
        taken = record.taken_at[: n_samples * self.transfers : self.transfers]
        return np.array(taken, dtype=np.int64)

    def ends(self, record: Record, n_samples: int) -> IntArray:
        """Return the clock that handed over the last result of each of the first samples."""
        given = record.given_at[: n_samples * self.per_sample]
        return np.array(given[self.per_sample - 1 :: self.per_sample], dtype=np.int64)

    def last_faults(self, record: Record, n_samples: int) -> list[Mismatch]:
        """Return the results whose ``last`` does not say whether they end their inference."""
        results = record.results[: n_samples * self.per_sample]
        have = unpack_field(results, field_of(self.output, "last"))
        return last_mismatches(have.reshape(n_samples, self.per_sample))

    def count_faults(self, record: Record) -> Iterator[str]:
        """Yield what a run that came to its end did too often or too rarely."""
        extra = len(record.results) - self.n_samples * self.per_sample
        if extra:
            yield f"{extra} results came after the last sample's: steps were doubled"
        if self.expected.steps is not None:
            yield from self._early_faults(record)
            return
        steps = self.n_samples * self.n_steps
        for layer in record.layers:
            if len(layer.spikes) != steps:
                yield (
                    f"{layer.name} completed {len(layer.spikes)} of {steps} steps: "
                    "steps were lost or doubled"
                )

    def _early_faults(self, record: Record) -> Iterator[str]:
        """Yield which layers did not take each sample once, or took too much or less of one.

        Where nothing resets the pipeline, all layers take the same steps of each sample; the last
        one may still be on its way.
        """
        first, *others = (self.lengths(layer, self.n_samples) for layer in record.layers)
        for layer in record.layers:
            begun = 0 if layer.begins is None else len(layer.begins)
            if begun != self.n_samples:
                yield (
                    f"{layer.name} began {begun} of {self.n_samples} samples: "
                    "steps were lost or doubled"
                )
        for layer, lengths in zip(record.layers, (first, *others), strict=True):
            for sample in np.flatnonzero(lengths > self.n_steps).tolist():
                yield f"{layer.name} took {lengths[sample]} steps of sample {sample}"
            if self.cycles is None:
                continue
            for sample in np.flatnonzero(lengths[:-1] != first[:-1]).tolist():
                yield (
                    f"{layer.name} took {lengths[sample]} steps of sample {sample}, of which "
                    f"{record.layers[0].name} took {first[sample]}: steps were lost or doubled"
                )

    def compare(self, record: Record, trace: SpikeTrace) -> tuple[set[int], str | None]:
        """Return the samples of ``trace`` that differ anywhere, and the first difference.

        Wrong values are named before wrong cycles, which often follow from them.
        """
        n = trace.n_samples
        expected = self.expected.head(n)
        wrong = {int(k) for k in np.flatnonzero(differing_samples(expected, trace))}
        last = self.last_faults(record, n)
        late: list[tuple[int, str]] = []
        if self.cycles is not None:
            have = Cycles(taken=self.starts(record, n), given=self.ends(record, n))
            late = cycle_faults(self.cycles, have)
        wrong |= {fault.sample for fault in last} | {sample for sample, _ in late}
        found = [m for m in (first_mismatch(expected, trace), *last[:1]) if m is not None]
        if found:
            return wrong, str(min(found, key=lambda mismatch: mismatch.sample))
        return wrong, late[0][1] if late else None

    def observation(self, record: Record, simulator: Simulator, seconds: float) -> Observation:
        """Return the verdict, and what the hardware did in the samples that came out whole.

        ``seconds`` is how long the simulation took.
        """
        n = self.n_whole(record)
        trace = self.trace(record, n)
        wrong, first = self.compare(record, trace)
        reason = record.failure or next(self.count_faults(record), None)
        finished = record.failure is None and n == self.n_samples
        if reason:
            first = f"{reason}; {first}" if first else reason
            if finished:  # something came after the last sample, or within one that then differs
                wrong = wrong or {n - 1}
        verification = Verification(
            simulator=simulator.kind.value,
            version=simulator.version,
            finished=finished,
            inferences=n,
            mismatches=len(wrong),
            first=first,
            latency_cycles=tuple(sorted({int(x) for x in np.asarray(trace.latency_cycles)})),
            clocks=record.clocks,
        )
        return Observation(verification=verification, actual=trace, seconds=seconds)


def last_mismatches(have: IntArray) -> list[Mismatch]:
    """Return where ``last``, shape (samples, readouts), is not 1 for the last readout alone."""
    want = np.zeros_like(have)
    want[:, -1:] = 1
    return [
        Mismatch("last", int(k), int(want[k, step]), int(have[k, step]), step=int(step))
        for k, step in np.argwhere(have != want)
    ]


def cycle_faults(want: Cycles, have: Cycles) -> list[tuple[int, str]]:
    """Return samples whose latency, or distance from the one before, differs, and how, in order.

    ``have`` may hold fewer samples than ``want``.
    """
    n = len(have.given)
    checks = (
        ("latency", want.latency[:n], have.latency, 0),
        ("interval", want.interval[: max(n - 1, 0)], have.interval, 1),
    )
    faults = [
        (
            int(k) + first,
            f"{name} at sample {k + first}: expected {expected[k]} clocks, got {actual[k]}",
        )
        for name, expected, actual, first in checks
        for k in np.flatnonzero(expected != actual)
    ]
    return sorted(faults, key=lambda fault: fault[0])
