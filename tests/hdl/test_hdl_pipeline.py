# amaranth: UnusedElaboratable=no
"""Pipelined accelerators against the golden model and the schedule, and mutants of them."""

from __future__ import annotations

import dataclasses
import re
from itertools import cycle

import numpy as np
import pytest
from amaranth.hdl import Module
from hdl_bench import WatchedAccelerator, WatchedStage, random_layer, random_network, simulate

from convexon.errors import InputError
from convexon.plan.mapping import Folded, Mapping, Spatial, Sums
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon_hdl.core.readout import Argmax, Readout
from convexon_hdl.core.stage import Stage, StepLayout
from convexon_hdl.streams import Chain
from tiers import leading


def _networks() -> dict[str, FixedPointNetwork]:
    rng = np.random.default_rng(11)
    networks = {}
    for mode, reset in zip(ReadoutMode, cycle(Reset), strict=False):
        deep = (random_layer(rng, 5, 4, reset=reset), random_layer(rng, 4, 3, leak=Leak(10, 10)))
        lateral = (random_layer(rng, 5, 3, recurrent=True, reset=reset),)
        networks[mode.value] = random_network(rng, (lateral, deep), mode=mode)
    narrow = random_layer(rng, 6, 4, saturation=QFormat(4), recurrent=True)
    networks["saturating"] = random_network(rng, ((narrow,),), input_bits=2, n_classes=1)
    networks["five-classes"] = random_network(
        rng, ((random_layer(rng, 4, 4),),), n_classes=5, n_steps=1
    )
    return networks


NETWORKS = _networks()


def pipelined(network: FixedPointNetwork, registers: int, sums: Sums) -> Mapping:
    """All registers as given, but for branch 0, which leaves them to the others of its depth."""
    mapping = Mapping.spatial(network, Spatial(registers=registers, sums=sums))
    layers = mapping.layers
    if len(layers) > 1:
        layers = (tuple(Spatial(sums=sums) for _ in layers[0]), *layers[1:])
    return dataclasses.replace(mapping, layers=layers, decision_registers=registers)


def inputs_of(network: FixedPointNetwork, samples: int) -> np.ndarray:
    rng = np.random.default_rng(12)
    return rng.integers(0, 1 << network.input_bits, (samples, network.n_steps, network.n_inputs))


@pytest.mark.parametrize("registers", leading([2, 0, 1, 3]))
@pytest.mark.parametrize("name", NETWORKS)
def test_pipelined_accelerator_equals_golden_model(name: str, registers: int) -> None:
    network = NETWORKS[name]
    sums = list(Sums)[(registers + list(NETWORKS).index(name)) % len(Sums)]
    mapping = pipelined(network, registers, sums)
    inputs = inputs_of(network, 8)
    expected = golden.run(network, inputs)
    readouts = expected.labels.shape[1]
    schedule = Schedule.of(network, mapping)
    for idle, stall in ((0.0, 0.0), (0.3, 0.5)):
        accelerator = WatchedAccelerator(network, mapping=mapping)
        seen = simulate(accelerator, inputs, idle=idle, stall=stall)
        assert seen.agrees_with(expected)
        if idle == 0:
            taken = seen.taken_at[:: network.n_steps]
            given = seen.given_at[readouts - 1 :: readouts]
            latencies = {b - a for a, b in zip(taken, given, strict=True)}
            assert latencies == {schedule.latency_cycles}
            assert set(np.diff(given).tolist()) == {schedule.initiation_interval_cycles}


class _UndelayedTagStage(WatchedStage):
    """Begins an inference by the tag of a step that has not arrived yet."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.arriving.first.eq(self.i.payload.first)
        return m


class _SkippingStage(WatchedStage):
    """Its first register is written even where the second one is stalled."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.chain.advance[0].eq(1)
        return m


@pytest.mark.parametrize("mutant", [_UndelayedTagStage, _SkippingStage])
def test_mutant_of_the_pipeline_is_noticed(mutant: type[WatchedStage]) -> None:
    network = NETWORKS["step"]
    mapping = pipelined(network, 2, Sums.TABLES)
    inputs = inputs_of(network, 8)
    expected = golden.run(network, inputs)
    right = simulate(WatchedAccelerator(network, mapping=mapping), inputs, stall=0.5)
    assert right.agrees_with(expected)
    broken = WatchedAccelerator(network, mapping=mapping, Stage=mutant)
    try:
        wrong = simulate(broken, inputs, stall=0.5, limit=1000)
    except AssertionError:
        return
    assert not wrong.agrees_with(expected)


def test_stage_of_some_branches_has_their_payload_and_the_depth_s_registers() -> None:
    network = NETWORKS["count"]
    mapping = pipelined(network, 2, Sums.TABLES)
    stage = Stage(network, depth=0, mapping=mapping, branches=(0,))
    assert (stage.branches, stage.registers, stage.mapping) == ((0,), 2, mapping)
    assert list(stage.i.payload.shape().members) == ["inputs", "first", "last"]
    assert list(stage.o.payload.shape().members) == ["branch0", "first", "last"]
    assert Stage(network, depth=1).branches == (0, 1)
    assert list(StepLayout(network, 2, branches=[1]).members) == ["branch1", "first", "last"]


def test_ctor_arguments_are_mirrored() -> None:
    network = NETWORKS["count"]
    choice = Spatial(registers=2, sums=Sums.SHARED)
    readout = Readout(network, choice=choice)
    assert (readout.choice, readout.registers) == (choice, 2)
    assert Argmax(network, registers=3).registers == 3
    assert Chain((1, 0)).advance == (1, 0)


def test_bad_arguments_are_refused() -> None:
    network = NETWORKS["count"]
    message = re.escape("branches must be some of 0 to 1, ascending, not (1, 0)")
    with pytest.raises(InputError, match=f"^{message}$"):
        Stage(network, depth=0, branches=(1, 0))
    with pytest.raises(InputError, match=r"^branches must be some of 0 to 1, ascending, not \(\)$"):
        StepLayout(network, 1, branches=())
    with pytest.raises(InputError, match=r"^registers must be 0 or more, not -1$"):
        Argmax(network, registers=-1)
    mapping = Mapping.spatial(network)
    folded = dataclasses.replace(mapping, layers=((Folded(lanes=1),), mapping.layers[1]))
    message = "mapping of branch 0 layer 0 must be Spatial, not Folded("
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        Stage(network, depth=0, mapping=folded)
