"""Small networks, and an Amaranth testbench that runs inferences through an accelerator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from convexon.plan.mapping import Mapping
from convexon.snn.fixed import QFormat
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.core.layer import LIFLayer
from convexon_hdl.core.stage import Stage
from strategies import readout_of


def random_layer(
    rng: np.random.Generator,
    n_inputs: int,
    n_neurons: int,
    *,
    leak: Leak = Leak(1, 2),  # noqa: B008  (frozen)
    reset: Reset = Reset.SUBTRACT,
    recurrent: bool = False,
    saturation: QFormat | None = None,
    synapse: Leak | None = None,
    leaks: Any = None,
    resets: Any = None,
    weight_bits: int = 4,
) -> Layer:
    """Layer with random weights, some of them zero, thresholds and biases."""
    limit = (1 << (weight_bits - 1)) - 1

    def weights(rows: int) -> np.ndarray:
        values = rng.integers(-limit, limit + 1, (rows, n_neurons))
        return np.where(rng.random(values.shape) < 0.3, 0, values)

    return Layer(
        weights=weights(n_inputs),
        thresholds=rng.integers(1, 8, n_neurons),
        biases=rng.integers(-2, 3, n_neurons),
        recurrent=weights(n_neurons) if recurrent else None,
        leak=leak,
        reset=reset,
        weight_format=QFormat(weight_bits),
        threshold_format=QFormat(8),
        saturation=saturation,
        synapse=synapse,
        leaks=leaks,
        resets=resets,
    )


def random_network(
    rng: np.random.Generator,
    branches: tuple[tuple[Layer, ...], ...],
    *,
    mode: ReadoutMode = ReadoutMode.LAST,
    n_steps: int = 4,
    n_classes: int = 3,
    input_bits: int = 1,
) -> FixedPointNetwork:
    """Network of the given layers under a random readout."""
    n_features = sum(layers[-1].n_neurons for layers in branches)
    return FixedPointNetwork(
        branches=tuple(Branch(layers) for layers in branches),
        n_steps=n_steps,
        input_bits=input_bits,
        **readout_of(
            mode,
            rng.integers(-7, 8, (n_features, n_classes)),
            rng.integers(-5, 6, n_classes),
        ),
        readout_format=QFormat(4),
        bias_format=QFormat(6),
    )


class WatchedStage(Stage):
    """A stage that remembers its layers, by branch."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        branches = enumerate(self.network.branches)
        self.layers: dict[int, LIFLayer] = {
            b: m.submodules[f"branch{b}"] for b, branch in branches if self.depth < branch.depth
        }
        return m


class WatchedAccelerator(Accelerator):
    """An accelerator that remembers its stages; ``parts`` take the place of those of its names."""

    def __init__(self, network: FixedPointNetwork, *, mapping: Mapping, **parts: type) -> None:
        super().__init__(network, mapping=mapping)
        self.parts = {"Stage": WatchedStage, **parts}

    def elaborate(self, platform: object) -> Module:
        with pytest.MonkeyPatch.context() as patch:
            for name, part in self.parts.items():
                patch.setattr(f"convexon_hdl.accelerator.{name}", part)
            m = super().elaborate(platform)
        self.stages = [m.submodules[f"stage{depth}"] for depth in range(self.network.depth)]
        return m


Steps = dict[tuple[int, int], list[tuple[list[int], list[int]]]]
"""Spikes and membranes of every step, by branch and layer."""


@dataclass
class Observed:
    """What an accelerator did, and at which clock edges."""

    labels: list[int] = field(default_factory=list)
    scores: list[list[int]] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    taken_at: list[int] = field(default_factory=list)
    given_at: list[int] = field(default_factory=list)
    steps: Steps = field(default_factory=dict)

    def agrees_with(self, trace: SpikeTrace) -> bool:
        """Whether labels, scores and every spike and membrane are those of ``trace``."""
        same = self.labels == trace.labels.ravel().tolist()
        same &= self.scores == trace.scores.reshape(-1, trace.scores.shape[-1]).tolist()
        for branch, depth, layer in trace.flat_layers():
            n = layer.spikes.shape[-1]
            spikes, membranes = zip(*self.steps[branch, depth], strict=True)
            same &= list(spikes) == layer.spikes.reshape(-1, n).tolist()
            same &= list(membranes) == layer.membranes.reshape(-1, n).tolist()
        return same


def words_of(inputs: np.ndarray, input_bits: int) -> list[int]:
    """One input word for each step of each sample."""
    rows = inputs.reshape(-1, inputs.shape[-1]).tolist()
    return [sum(x << (i * input_bits) for i, x in enumerate(row)) for row in rows]


def watch(ctx, stage: WatchedStage, steps: Steps) -> None:  # type: ignore[no-untyped-def]
    """Note what the layers of ``stage`` hold, if it hands over a step at the next edge."""
    if not (ctx.get(stage.o.valid) and ctx.get(stage.o.ready)):
        return
    for branch, layer in stage.layers.items():
        n, width = layer.layer.n_neurons, layer.ranges.membrane_width
        spikes, packed = ctx.get(layer.spikes), ctx.get(layer.membranes)
        fields = [(packed >> (j * width)) & ((1 << width) - 1) for j in range(n)]
        membranes = [value - ((value >> (width - 1)) << width) for value in fields]
        row = ([(spikes >> j) & 1 for j in range(n)], membranes)
        steps.setdefault((branch, stage.depth), []).append(row)


def simulate(
    accelerator: WatchedAccelerator,
    inputs: np.ndarray,
    *,
    idle: float = 0.0,
    stall: float = 0.0,
    limit: int = 5000,
) -> Observed:
    """Run ``inputs``, shape (samples, steps, inputs), through ``accelerator``.

    The source idles and the sink stalls with the given probabilities. Clock edges count from 0.
    Checks on the way that the output is held while it is stalled.
    """
    rng = np.random.default_rng(9)
    network = accelerator.network
    words = words_of(inputs, network.input_bits)
    per_step = network.readout_mode is ReadoutMode.STEP
    n_results = len(inputs) * (network.n_steps if per_step else 1)
    seen = Observed()

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        position, held, offered = 0, None, False
        for edge in range(limit):
            offered = position < len(words) and (offered or rng.random() >= idle)
            ctx.set(accelerator.i.valid, int(offered))
            if offered:
                ctx.set(accelerator.i.payload, words[position])
            ready = rng.random() >= stall
            ctx.set(accelerator.o.ready, int(ready))
            valid, payload = ctx.get(accelerator.o.valid), ctx.get(accelerator.o.payload)
            assert held is None or (valid and payload == held), "a stalled result was not held"
            held = payload if valid and not ready else None
            for stage in accelerator.stages:
                watch(ctx, stage, seen.steps)
            if offered and ctx.get(accelerator.i.ready):
                seen.taken_at.append(edge)
                position, offered = position + 1, False
            if valid and ready:
                seen.given_at.append(edge)
                seen.labels.append(payload.label)
                seen.scores.append(list(payload.scores))
                seen.last.append(payload.last)
            await ctx.tick()
            if len(seen.labels) == n_results:
                return
        raise AssertionError(f"only {len(seen.labels)} of {n_results} results came")

    simulator = Simulator(accelerator)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen
