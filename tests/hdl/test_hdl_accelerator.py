# amaranth: UnusedElaboratable=no
"""Whole small accelerators against the golden model, cycles against the schedule."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from amaranth.hdl import Const, ResetInserter, Signal, Value
from amaranth.sim import Simulator
from hdl_bench import (
    WatchedAccelerator,
    WatchedStage,
    random_layer,
    random_network,
    simulate,
    words_of,
)

from convexon.plan.mapping import Mapping
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import Branch, FixedPointNetwork
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode, Reset
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.core.readout import Argmax, Readout
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.core.stage import Stage
from faulty_parts import mutated


def _networks() -> dict[str, FixedPointNetwork]:
    rng = np.random.default_rng(1)
    networks = {}
    for mode in ReadoutMode:
        for reset in Reset:
            layer = random_layer(rng, 5, 4, reset=reset)
            networks[f"{mode.value}-{reset.value}"] = random_network(rng, ((layer,),), mode=mode)
    for mode in (ReadoutMode.SIGN, ReadoutMode.COUNT):
        deep = (random_layer(rng, 4, 5), random_layer(rng, 5, 3, leak=Leak(3, 3)))
        shallow = (random_layer(rng, 4, 3, reset=Reset.ZERO),)
        deepest = (*deep, random_layer(rng, 3, 2, leak=INTEGRATE))
        networks[f"uneven-{mode.value}"] = random_network(rng, (shallow, deepest, deep), mode=mode)
    recurrent = random_layer(rng, 4, 4, recurrent=True, leak=Leak(10, 10))
    networks["recurrent"] = random_network(rng, ((recurrent,),), mode=ReadoutMode.STEP)
    intense = random_layer(rng, 4, 3, leak=Leak(5, 4))
    networks["intensities"] = random_network(rng, ((intense,),), input_bits=3)
    narrow = random_layer(rng, 6, 4, saturation=QFormat(4), leak=INTEGRATE)
    networks["saturating"] = random_network(rng, ((narrow,),), mode=ReadoutMode.COUNT, n_steps=6)
    memoryless = random_layer(rng, 4, 4, leak=MEMORYLESS)
    networks["one-step"] = random_network(rng, ((memoryless,),), n_steps=1)
    networks["one-neuron"] = random_network(rng, ((random_layer(rng, 1, 1),),), n_classes=1)
    networks["two-classes"] = random_network(rng, ((random_layer(rng, 3, 2),),), n_classes=2)
    networks["five-classes"] = random_network(rng, ((random_layer(rng, 3, 4),),), n_classes=5)
    return networks


NETWORKS = _networks()


def random_inputs(network: FixedPointNetwork, samples: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    shape = (samples, network.n_steps, network.n_inputs)
    return rng.integers(0, 1 << network.input_bits, shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_accelerator_equals_golden_model(name: str) -> None:
    network = NETWORKS[name]
    mapping = Mapping.spatial(network)
    inputs = random_inputs(network, 12)
    expected = golden.run(network, inputs)
    readouts = expected.labels.shape[1]
    schedule = Schedule.of(network, mapping)
    for idle, stall in ((0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.3, 0.6)):
        accelerator = WatchedAccelerator(network, mapping=mapping)
        seen = simulate(accelerator, inputs, idle=idle, stall=stall)
        assert seen.agrees_with(expected)
        assert seen.last == [int(k % readouts == readouts - 1) for k in range(12 * readouts)]
        if idle == stall == 0:
            taken = seen.taken_at[:: network.n_steps]
            given = seen.given_at[readouts - 1 :: readouts]
            latencies = {b - a for a, b in zip(taken, given, strict=True)}
            assert latencies == {schedule.latency_cycles}
            assert set(np.diff(given).tolist()) == {schedule.initiation_interval_cycles}


def agrees(
    accelerator: WatchedAccelerator, network: FixedPointNetwork, *, stall: float = 0.0
) -> bool:
    """Whether the accelerator does what the golden model of ``network`` does."""
    inputs = random_inputs(network, 16)
    try:
        seen = simulate(accelerator, inputs, stall=stall, limit=2000)
    except AssertionError:
        return False
    return seen.agrees_with(golden.run(network, inputs))


def with_weight_changed(network: FixedPointNetwork, i: int, j: int, by: int) -> FixedPointNetwork:
    """The network with one weight of its first layer changed."""
    first, *others = network.branches[0].layers
    weights = first.weights.copy()
    weights[i, j] += by
    layer = dataclasses.replace(first, weights=weights, weight_format=QFormat(6))
    return dataclasses.replace(network, branches=(Branch((layer, *others)), *network.branches[1:]))


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("i", range(5))
def test_one_weight_off_by_one_is_noticed(i: int, by: int) -> None:
    network = NETWORKS["count-subtract"]
    mapping = Mapping.spatial(network)
    mutant = WatchedAccelerator(with_weight_changed(network, i, i % 4, by), mapping=mapping)
    assert not agrees(mutant, network)


class _OverwritingStage(WatchedStage):
    """Takes a step even while its own is not taken, which is then lost."""

    def can_accept(self) -> Value:
        return Const(1)


class _OverwritingReadout(Readout):
    def can_accept(self) -> Value:
        return Const(1)


_HighestArgmax = mutated(Argmax, "right.score > left.score", "right.score >= left.score")
"""Gives a tie to the highest class."""

_PeakOfAllInferences = mutated(Readout, "self.arriving.first | larger", "larger")
_PeakOfMagnitudes = mutated(Readout, "larger.eq(own > held)", "larger.eq(abs(own) > abs(held))")


@pytest.mark.parametrize(
    ("part", "mutant", "name"),
    [
        ("Stage", _OverwritingStage, "step-zero"),
        ("Readout", _OverwritingReadout, "step-zero"),
        ("Argmax", _HighestArgmax, "tied"),
        ("Readout", _PeakOfAllInferences, "peak-none"),
        ("Readout", _PeakOfMagnitudes, "peak-none"),
    ],
)
def test_mutant_of_the_pipeline_is_noticed(part: str, mutant: type, name: str) -> None:
    network = TIED if name == "tied" else NETWORKS[name]
    mapping = Mapping.spatial(network)
    assert agrees(WatchedAccelerator(network, mapping=mapping), network, stall=0.5)
    broken = WatchedAccelerator(network, mapping=mapping, **{part: mutant})
    assert not agrees(broken, network, stall=0.5)


TIED = dataclasses.replace(
    NETWORKS["last-zero"],
    readout_weights=np.array([[1, 1, 0], [0, 2, 2], [-1, -1, 1], [3, 0, 3]]),
    readout_biases=np.array([0, 0, 0]),
)
"""A network whose classes often have equal scores."""


@pytest.mark.parametrize("edges", range(1, 9))
def test_reset_in_mid_inference_loses_that_inference_alone(edges: int) -> None:
    network = NETWORKS["uneven-count"]
    inputs = random_inputs(network, 2)
    expected = golden.run(network, inputs)
    words = words_of(inputs, network.input_bits)
    reset = Signal()
    accelerator = Accelerator(network, mapping=Mapping.spatial(network))
    seen: list[tuple[int, list[int]]] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(accelerator.o.ready, 1)
        ctx.set(accelerator.i.valid, 1)
        for k in range(edges):  # the start of an inference, cut off by the reset
            ctx.set(accelerator.i.payload, words[::-1][k % len(words)])
            await ctx.tick()
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for k in range(40):
            ctx.set(accelerator.i.valid, int(k < len(words)))
            ctx.set(accelerator.i.payload, words[min(k, len(words) - 1)])
            if ctx.get(accelerator.o.valid):
                payload = ctx.get(accelerator.o.payload)
                seen.append((payload.label, list(payload.scores)))
            await ctx.tick()

    simulator = Simulator(ResetInserter(reset)(accelerator))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    scores = expected.scores[:, 0].tolist()
    assert seen == list(zip(expected.labels[:, 0].tolist(), scores, strict=True))


def test_ctor_arguments_are_mirrored() -> None:
    network = NETWORKS["uneven-count"]
    mapping = Mapping.spatial(network)
    accelerator = Accelerator(network, mapping=mapping)
    assert (accelerator.network, accelerator.mapping) == (network, mapping)
    assert accelerator.schedule == Schedule.of(network, mapping)
    stage = Stage(network, depth=1)
    assert (stage.network, stage.depth) == (network, 1)
    assert Sequencer(network).n_steps == network.n_steps
