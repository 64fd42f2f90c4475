# amaranth: UnusedElaboratable=no
"""Weights that are loaded at run time: images, refusals, and loads between inferences."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from amaranth.hdl import Const, Module, ResetInserter, Signal
from amaranth.sim import Simulator
from hdl_bench import random_layer, random_network, words_of
from lite_bench import Host as LiteHost
from lite_bench import run as run_axi

from convexon.plan.family import Family
from convexon.plan.fold import FoldPlan, plans_at
from convexon.plan.image import MAGIC, weight_image
from convexon.plan.mapping import Folded, Mapping, Spatial, Weights
from convexon.plan.schedule import Schedule
from convexon.snn.decision import Decision, Rule
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import Branch, FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.axi.accelerator import AxiAccelerator
from convexon_hdl.emit.emitter import to_verilog
from convexon_hdl.folded.loader import Loader, LoadGate
from convexon_hdl.folded.weights import WeightBank
from faulty_parts import mutated
from strategies import image_words

RNG = np.random.default_rng(6)
N_STEPS = 3
LOADED = Weights.LOADED
MAPPING = Mapping(
    layers=(
        (Folded(lanes=3, banks=2, weights=LOADED), Folded(lanes=12, weights=LOADED)),
        (Folded(lanes=3, banks=2, weights=LOADED), Spatial()),
    ),
    readout=Folded(lanes=3, banks=2),
)

"""An engine for two first layers, a wide one whose rows are two words, and a spatial layer."""


def _network(mode: ReadoutMode = ReadoutMode.COUNT) -> FixedPointNetwork:
    first, other = random_layer(RNG, 7, 5), random_layer(RNG, 7, 2)
    deep = random_layer(RNG, 5, 12, recurrent=True)
    return random_network(
        RNG, ((first, deep), (other, random_layer(RNG, 2, 2))), mode=mode, n_steps=N_STEPS
    )


def with_loaded(network: FixedPointNetwork, make: Callable[[tuple[int, ...]], np.ndarray]):  # type: ignore[no-untyped-def]
    """The network with other weights where they are loaded."""
    branches = []
    for branch, choices in zip(network.branches, MAPPING.layers, strict=True):
        layers = []
        for layer, choice in zip(branch.layers, choices, strict=True):
            if isinstance(choice, Folded):
                lateral = None if layer.recurrent is None else make(layer.recurrent.shape)
                new = make(layer.weights.shape)
                layer = dataclasses.replace(layer, weights=new, recurrent=lateral)
            layers.append(layer)
        branches.append(Branch(tuple(layers)))
    return dataclasses.replace(network, branches=tuple(branches))


A = _network()
B = with_loaded(A, lambda shape: RNG.integers(-8, 8, shape))
INPUTS = RNG.integers(0, 2, (6, N_STEPS, 7)).astype(np.uint8)
IMAGE_A, IMAGE_B = (image_words(weight_image(network, MAPPING)) for network in (A, B))


class Host:
    """Drives an accelerator from one testbench, a clock at a time."""

    def __init__(self, accelerator: Accelerator, reset: Signal) -> None:
        self.accelerator = accelerator
        self.reset = reset
        self.clock = 0
        self.taken: list[int] = []
        self.given: list[int] = []
        self.results: list[tuple[int, list[int]]] = []
        self.words_left = 0

    async def tick(self, ctx) -> tuple[bool, bool]:  # type: ignore[no-untyped-def]
        """One clock: whether it takes a step, and whether it takes a word."""
        device = self.accelerator
        step = bool(ctx.get(device.i.valid) and ctx.get(device.i.ready))
        word = bool(ctx.get(device.load.valid) and ctx.get(device.load.ready))
        if step:
            self.taken.append(self.clock)
        if ctx.get(device.o.valid) and ctx.get(device.o.ready):
            payload = ctx.get(device.o.payload)
            self.results.append((payload.label, list(payload.scores)))
            self.given.append(self.clock)
        await ctx.tick()
        self.clock += 1
        return step, word

    async def load(self, ctx, words: list[int]) -> tuple[int, int]:  # type: ignore[no-untyped-def]
        """Send words; the flags afterwards."""
        device = self.accelerator
        for word in words:
            ctx.set(device.load.payload, word)
            ctx.set(device.load.valid, 1)
            for _ in range(500):
                if (await self.tick(ctx))[1]:
                    break
            else:
                raise AssertionError("a word is not taken")
        ctx.set(device.load.valid, 0)
        await self.tick(ctx)
        return ctx.get(device.loaded), ctx.get(device.refused)

    async def run(self, ctx, inputs: np.ndarray, limit: int = 4000) -> list:  # type: ignore[no-untyped-def]
        """Send samples without a pause; the results that came within the limit."""
        device = self.accelerator
        words = words_of(inputs, 1)
        self.results, self.taken, self.given = [], [], []
        ctx.set(device.o.ready, 1)
        position = 0
        for _ in range(limit):
            ctx.set(device.i.valid, int(position < len(words)))
            ctx.set(device.i.payload, words[min(position, len(words) - 1)])
            position += (await self.tick(ctx))[0]
            if len(self.results) == len(inputs):
                break
        ctx.set(device.i.valid, 0)
        return list(self.results)


Script = Callable[[object, Host], Awaitable[None]]


def play(accelerator: Accelerator, script: Script) -> None:
    """Run a script in the simulator."""
    reset = Signal()
    simulator = Simulator(ResetInserter(reset)(accelerator))
    simulator.add_clock(1e-6)
    host = Host(accelerator, reset)

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        await script(ctx, host)

    simulator.add_testbench(bench)
    simulator.run()


def results_of(trace: SpikeTrace) -> list[tuple[int, list[int]]]:
    return list(zip(trace.labels.ravel().tolist(), trace.scores[:, 0].tolist(), strict=True))


def expected(network: FixedPointNetwork, inputs: np.ndarray = INPUTS) -> list:  # type: ignore[type-arg]
    return results_of(golden.run(network, inputs))


def test_networks_differ_in_what_they_give() -> None:
    assert expected(A) != expected(B)


def test_one_network_after_the_other() -> None:
    extreme = with_loaded(A, lambda shape: RNG.choice([-8, 7], shape))
    least = with_loaded(A, lambda shape: np.full(shape, -8))
    most = with_loaded(A, lambda shape: np.full(shape, 7))

    async def script(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        assert not ctx.get(host.accelerator.loaded)
        for network in (A, B, extreme, least, most, A):
            image = image_words(weight_image(network, MAPPING))
            assert await host.load(ctx, image) == (1, 0)
            inputs = np.concatenate([INPUTS, np.ones((1, N_STEPS, 7), dtype=np.uint8)])
            assert await host.run(ctx, inputs) == expected(network, inputs)
            trace = golden.run(network, inputs)
            cycles = Schedule.of(network, MAPPING).cycles(inputs, trace)
            start = host.taken[0]
            assert [edge - start for edge in host.given] == cycles.given.tolist()
            assert [edge - start for edge in host.taken[::N_STEPS]] == cycles.taken.tolist()

    play(Accelerator(A, mapping=MAPPING), script)


BROKEN = {
    "magic": 0,
    "fingerprint": 1,
    "length": 2,
    "first row": 3,
    "middle row": len(IMAGE_A) // 2,
    "last row": len(IMAGE_A) - 2,
    "crc": len(IMAGE_A) - 1,
}


def corrupted(place: int, bit: int = 9) -> list[int]:
    return [word ^ (1 << bit if k == place else 0) for k, word in enumerate(IMAGE_B)]


async def _refuses(ctx, host: Host, words: list[int]) -> None:  # type: ignore[no-untyped-def]
    """The words are refused, and nothing runs; then the right image is taken."""
    assert await host.load(ctx, IMAGE_A) == (1, 0)
    assert await host.load(ctx, words) == (0, 1)
    assert await host.run(ctx, INPUTS[:1], limit=60) == []
    assert not host.taken
    assert await host.load(ctx, IMAGE_A) == (1, 0)
    assert await host.run(ctx, INPUTS[:2]) == expected(A)[:2]


def test_a_wrong_image_is_refused() -> None:
    other = dataclasses.replace(A, readout_biases=A.readout_biases[::-1] + 1)
    foreign = image_words(weight_image(other, MAPPING))
    assert len(foreign) == len(IMAGE_A)

    async def script(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        for place in BROKEN.values():
            await _refuses(ctx, host, corrupted(place))
        await _refuses(ctx, host, foreign)

    play(Accelerator(A, mapping=MAPPING), script)


def test_after_a_transfer_that_broke_off_the_image_is_sent_until_it_is_taken() -> None:
    async def script(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        for sent in (1, 2, 3, 10, len(IMAGE_A) - 1):
            assert await host.load(ctx, IMAGE_B[:sent]) == (0, 0)
            assert await host.run(ctx, INPUTS[:1], limit=40) == []
            assert await host.load(ctx, IMAGE_A) == (0, 1)
            assert await host.run(ctx, INPUTS[:1], limit=40) == []
            assert await host.load(ctx, IMAGE_A) == (1, 0)
            assert await host.run(ctx, INPUTS[:2]) == expected(A)[:2]

    play(Accelerator(A, mapping=MAPPING), script)


def test_a_reset_keeps_what_is_loaded_and_gives_up_a_load() -> None:
    async def restart(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        ctx.set(host.reset, 1)
        await host.tick(ctx)
        ctx.set(host.reset, 0)

    async def script(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        for sent in (1, 2, 10, len(IMAGE_A) - 1):
            assert await host.load(ctx, IMAGE_B) == (1, 0)
            await host.run(ctx, INPUTS, limit=15 + sent % 7)
            await restart(ctx, host)
            assert ctx.get(host.accelerator.loaded)
            assert await host.run(ctx, INPUTS[:3]) == expected(B)[:3]
            await host.load(ctx, IMAGE_A[:sent])
            await restart(ctx, host)
            assert not ctx.get(host.accelerator.loaded)
            assert await host.run(ctx, INPUTS[:1], limit=40) == []
            assert await host.load(ctx, IMAGE_A) == (1, 0)
            assert await host.run(ctx, INPUTS[:2]) == expected(A)[:2]

    play(Accelerator(A, mapping=MAPPING), script)


def mixed_run(
    accelerator: Accelerator, begin: int, *, stall: float, samples: int = 10
) -> tuple[list, list, list]:  # type: ignore[type-arg]
    """Load B while inferences with A's weights are under way; results, and those of A and of B.

    Checks on the way that every result is that of the weights with which its inference began.
    """
    inputs = RNG.integers(0, 2, (samples, N_STEPS, 7)).astype(np.uint8)
    words = words_of(inputs, 1)
    chance = np.random.default_rng(begin)
    seen: list = []  # type: ignore[type-arg]

    async def script(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        device = host.accelerator
        assert await host.load(ctx, IMAGE_A) == (1, 0)
        position = place = 0
        offers = False
        for _ in range(6000):
            offers = position < len(words) and (offers or chance.random() >= stall / 2)
            ctx.set(device.i.valid, int(offers))
            if offers:
                ctx.set(device.i.payload, words[position])
            ctx.set(device.o.ready, int(chance.random() >= stall))
            loads = position >= begin and place < len(IMAGE_B)
            ctx.set(device.load.valid, int(loads))
            ctx.set(device.load.payload, IMAGE_B[min(place, len(IMAGE_B) - 1)])
            step, word = await host.tick(ctx)
            position, place, offers = position + step, place + word, offers and not step
            if len(host.results) == samples:
                break
        seen.extend(host.results)

    play(accelerator, script)
    return seen, expected(A, inputs), expected(B, inputs)


def switches_once(seen: list, first: list, then: list) -> bool:  # type: ignore[type-arg]
    """Whether results are of the one network up to some inference, and then of the other."""
    return any(seen == [*first[:k], *then[k:]] for k in range(1, len(first)))


@pytest.mark.parametrize(("begin", "stall"), [(1, 0.6), (9, 0.0), (11, 0.6)])
def test_a_load_waits_for_inferences_under_way(begin: int, stall: float) -> None:
    accelerator = Accelerator(A, mapping=MAPPING)
    seen, first, then = mixed_run(accelerator, begin, stall=stall)
    assert switches_once(seen, first, then)


def test_an_early_decision_does_not_mislead_the_gate() -> None:
    mapping = dataclasses.replace(
        MAPPING, readout=Spatial(), decision=Decision(rule=Rule.THRESHOLD, threshold=9)
    )
    images = [image_words(weight_image(network, mapping)) for network in (A, B)]

    async def script(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        labels = []
        for image in (*images, images[0]):
            assert await host.load(ctx, image) == (1, 0)
            labels.append(await host.run(ctx, INPUTS))
        assert labels[0] == labels[2] != labels[1]
        assert all(len(one) == len(INPUTS) for one in labels)

    play(Accelerator(A, mapping=mapping), script)


Credulous = mutated(Loader, "agrees = word == checksum.crc", "agrees = Const(1)", Const=Const)
"""Ignores the CRC-32."""

Hasty = mutated(LoadGate, "(closed | ~stalled)", "1")
"""Withdraws a step that is on offer."""

Careless = mutated(LoadGate, "closed & first & ~under_way.any()", "closed & first")
"""Lets a load begin while inferences are under way."""


class Dozy(LoadGate):
    """Opens a clock later than it says."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        held = Signal()
        m.d.sync += held.eq(self.idle)
        with m.If(held):
            m.d.comb += [self.o.valid.eq(0), self.i.ready.eq(0)]
        return m


class Deaf(WeightBank):
    """Takes the rows of its neighbour."""

    def __init__(self, plan: FoldPlan, *, bank: int) -> None:
        super().__init__(plan, bank=bank)
        self.bank ^= 1


def test_a_loader_that_ignores_the_crc_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convexon_hdl.accelerator.Loader", Credulous)
    for part in ("first row", "last row", "crc"):

        async def script(ctx, host: Host, place: int = BROKEN[part]) -> None:  # type: ignore[no-untyped-def]
            await _refuses(ctx, host, corrupted(place))

        with pytest.raises(AssertionError):
            play(Accelerator(A, mapping=MAPPING), script)


def gate_keeps_the_rules(gate: LoadGate, clocks: int = 1500) -> bool:
    """Whether no offer is withdrawn, and nothing is under way or begins while the gate is idle.

    And whether ``idle`` stays one clock longer than ``hold``, and steps pass from then on.
    """
    chance = np.random.default_rng(3)
    fine, idles = [True], [0]

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        step = under_way = 0
        offers = held = hold = idle = False
        for clock in range(clocks):
            was_idle, was_held = idle, hold or not clock  # a reset closes the gate, as hold does
            offers = offers or chance.random() < 0.6
            hold = chance.random() < 0.1 if not hold else not (idle and chance.random() < 0.3)
            ends = bool(under_way and chance.random() < 0.2)
            ctx.set(gate.i.valid, int(offers))
            ctx.set(gate.o.ready, int(chance.random() < 0.4))
            ctx.set(gate.hold, int(hold))
            ctx.set(gate.ended, int(ends))
            valid, ready = ctx.get(gate.o.valid), ctx.get(gate.o.ready)
            idle = bool(ctx.get(gate.idle))
            idles[0] += idle
            fine[0] &= not (held and not valid) and not (idle and (under_way or step or valid))
            fine[0] &= ctx.get(gate.i.ready) == 0 or bool(ready)
            fine[0] &= idle if not clock or (was_idle and was_held) else True
            fine[0] &= was_held or (bool(valid) == offers and not idle)
            held = bool(valid and not ready)
            taken = bool(valid and ready)
            under_way += (taken and step == 0) - ends
            step = (step + taken) % gate.n_steps
            offers = offers and not ctx.get(gate.i.ready)
            await ctx.tick()

    simulator = Simulator(gate)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert idles[0] > 50
    return fine[0]


@pytest.mark.parametrize("n_steps", [1, 3])
def test_gate_keeps_the_rules_of_streams(n_steps: int) -> None:
    assert gate_keeps_the_rules(LoadGate(width=4, n_steps=n_steps))
    for mutant in (Hasty, Careless, Dozy):
        assert not gate_keeps_the_rules(mutant(width=4, n_steps=n_steps))


def test_a_load_amid_inferences_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convexon_hdl.accelerator.LoadGate", Careless)
    assert not switches_once(*mixed_run(Accelerator(A, mapping=MAPPING), 11, stall=0.6))


def test_a_bank_that_takes_other_rows_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convexon_hdl.folded.accumulator.WeightBank", Deaf)

    async def script(ctx, host: Host) -> None:  # type: ignore[no-untyped-def]
        assert await host.load(ctx, IMAGE_B) == (1, 0)
        assert await host.run(ctx, INPUTS) != expected(B)

    play(Accelerator(A, mapping=MAPPING), script)


def test_weights_are_loaded_over_axi() -> None:
    top = AxiAccelerator(Accelerator(A, mapping=MAPPING))
    seen: list[int] = []

    async def clock(host: LiteHost) -> bool:
        taken = host.ctx.get(top.s_axis_tvalid) and host.ctx.get(top.s_axis_tready)
        if host.ctx.get(top.m_axis_tvalid):
            seen.append(host.ctx.get(top.m_axis_tdata))
        await host.clock()
        return bool(taken)

    async def push(host: LiteHost, words: list[int]) -> int:
        for word in words:
            assert await host.write(host.at["WEIGHTS"], word, data_first=False) == 0
        status = (await host.read(host.at["STATUS"]))[0] >> 2
        assert status >> 3  # ready for another word
        return status & 0b111

    async def scenario(host: LiteHost) -> None:
        assert await push(host, []) == 0b001  # loadable, and not loaded
        assert await push(host, corrupted(BROKEN["last row"])) == 0b101
        assert await push(host, IMAGE_B) == 0b011
        await host.write(host.at["CONTROL"], 1, data_first=False)  # gives up inferences alone
        assert await push(host, []) == 0b011
        host.ctx.set(top.m_axis_tready, 1)
        for sample in INPUTS[:3]:
            for step, word in enumerate(words_of(sample[None], 1)):
                host.ctx.set(top.s_axis_tdata, word)
                host.ctx.set(top.s_axis_tlast, int(step == N_STEPS - 1))
                host.ctx.set(top.s_axis_tvalid, 1)
                while not await clock(host):
                    pass
            host.ctx.set(top.s_axis_tvalid, 0)
        for _ in range(400):
            await clock(host)

    run_axi(top, scenario)
    results = [[label, *(score % (1 << 32) for score in scores)] for label, scores in expected(B)]
    assert seen == [word for result in results[:3] for word in result]


def test_a_bank_that_is_loaded_costs_no_more_than_one_that_is_fixed() -> None:
    network = random_network(RNG, ((random_layer(RNG, 64, 16),),))
    cells = []
    for weights in (Weights.FIXED, LOADED):
        (plan,) = plans_at(network, {0: Folded(lanes=16, weights=weights)}, 0)
        verilog = to_verilog(WeightBank(plan, bank=0), "bank")
        cells.append(synthesize_verilog(verilog, "bank", Family.ECP5).cells)
    fixed, loaded = cells
    assert loaded.block_ram == fixed.block_ram > 0
    # Logic that mends a row which is read while it is written would be a flip-flop for each bit.
    assert loaded.ff <= fixed.ff + 2
    assert loaded.lut4 <= fixed.lut4 + 4


def test_magic_is_the_first_word() -> None:
    assert IMAGE_A[0] == MAGIC
    assert Accelerator(A, mapping=MAPPING).is_loadable
    fixed = Accelerator(A, mapping=Mapping.spatial(A))
    assert not hasattr(fixed, "load")
    assert not hasattr(fixed, "loaded")
