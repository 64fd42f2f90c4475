"""Accelerators with encoders and early decisions in an Amaranth testbench, and their twins."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator
from hdl_bench import words_of

from convexon.data.encoder import Encoder, encode_levels
from convexon.plan.mapping import Mapping, Spatial
from convexon.plan.pipeline import Cycles
from convexon.snn.decision import Decision, decided_trace
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.accelerator import Accelerator


class Pipeline(Accelerator):
    """A network with a rule, spatial unless a mapping says otherwise, and any capacity."""

    def __init__(
        self,
        network: FixedPointNetwork,
        *,
        decision: Decision,
        encoder: Encoder | None = None,
        registers: int = 0,
        capacity: int | None = None,
        mapping: Mapping | None = None,
    ) -> None:
        choice = Spatial(registers=registers)
        mapping = mapping or dataclasses.replace(
            Mapping.spatial(network, choice), decision_registers=registers
        )
        super().__init__(
            network, mapping=dataclasses.replace(mapping, decision=decision, encoder=encoder)
        )
        self._chosen_capacity = capacity

    @property
    def capacity(self) -> int | None:
        return super().capacity if self._chosen_capacity is None else self._chosen_capacity


@dataclass(frozen=True)
class Stimulus:
    """Words for the input of a pipeline, and what its twins make of them."""

    words: list[int]
    expected: SpikeTrace
    cycles: Cycles


@dataclass
class Observed:
    labels: list[int] = field(default_factory=list)
    scores: list[list[int]] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)


def simulate(
    pipeline: Pipeline, words: list[int], n_results: int, *, idle: float = 0.0, stall: float = 0.0,
    seed: int = 9, reset_at: int | None = None,
) -> Observed:  # fmt: skip
    """Results of ``words``, and every edge; after a reset, all words are sent once more.

    Runs on for a while after the last result, so that one too many is seen.
    """
    rng = np.random.default_rng(seed)
    seen = Observed()
    reset = Signal()

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        position, offered, held, spare = 0, False, None, 30
        for edge in range(6000):
            ctx.set(reset, int(edge == reset_at))
            offered = position < len(words) and (offered or rng.random() >= idle)
            ctx.set(pipeline.i.valid, int(offered))
            ctx.set(pipeline.i.payload, words[position] if offered else 0)
            ready = bool(rng.random() >= stall)
            ctx.set(pipeline.o.ready, int(ready))
            valid, payload = ctx.get(pipeline.o.valid), ctx.get(pipeline.o.payload)
            assert held is None or (valid and payload == held), "a stalled result was not held"
            held = payload if valid and not ready else None
            if offered and ctx.get(pipeline.i.ready):
                seen.taken.append(edge)
                position, offered = position + 1, False
            if valid and ready:
                seen.given.append(edge)
                seen.labels.append(payload.label)
                seen.scores.append(list(payload.scores))
                seen.last.append(payload.last)
            if edge == reset_at:
                position, offered, held = 0, False, None
                for entries in vars(seen).values():
                    entries.clear()
            await ctx.tick()
            done = len(seen.labels) >= n_results and position == len(words)
            spare -= done and (reset_at is None or edge > reset_at)
            if not spare:
                return
        raise AssertionError(f"only {len(seen.labels)} of {n_results} results came")

    simulator = Simulator(ResetInserter(reset)(pipeline))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def stimulus(pipeline: Pipeline, samples: int) -> Stimulus:
    """Random words, and what is to become of them."""
    rng = np.random.default_rng(4)
    network, encoder = pipeline.network, pipeline.mapping.encoder
    if encoder is None:
        shape = (samples, network.n_steps, network.n_inputs)
        inputs = rng.integers(0, 1 << network.input_bits, shape)
        words = words_of(inputs, network.input_bits)
    else:
        levels = rng.integers(0, encoder.max_level + 1, (samples, network.n_inputs))
        inputs = encode_levels(encoder, levels, n_steps=network.n_steps)
        words = words_of(levels[:, None], encoder.bits)
    inputs = inputs.astype(np.uint8)
    expected = decided_trace(pipeline.mapping.decision, network, golden.run(network, inputs))
    return Stimulus(words, expected, pipeline.schedule.cycles(inputs, expected))


def agrees(seen: Observed, expected: SpikeTrace) -> bool:
    """Whether labels and scores are those of the twins."""
    scores = expected.scores.reshape(-1, expected.scores.shape[2]).tolist()
    return seen.labels == expected.labels.ravel().tolist() and seen.scores == scores


def keeps_time(seen: Observed, stimulus: Stimulus) -> bool:
    """Whether every inference begins and ends at the promised edges, in a run that never stalls."""
    per_sample = len(stimulus.words) // stimulus.expected.n_samples
    per_result = stimulus.expected.labels.shape[1]
    return (
        seen.taken[::per_sample] == stimulus.cycles.taken.tolist()
        and seen.given[per_result - 1 :: per_result] == stimulus.cycles.given.tolist()
    )
