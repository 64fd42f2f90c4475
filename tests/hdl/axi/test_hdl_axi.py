# amaranth: UnusedElaboratable=no
"""The AXI side in Amaranth's simulator: counters, weights loaded at run time, and bad arguments."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment, Module, Signal, Value
from amaranth.lib import stream
from amaranth.sim import Simulator
from hdl_bench import random_layer, random_network
from lite_bench import Host, run

from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.plan.mapping import Folded, Mapping
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.axi.accelerator import AxiAccelerator
from convexon_hdl.axi.bank import RegisterBank
from convexon_hdl.axi.counters import Popcount, WideCounter
from convexon_hdl.axi.registers import COUNTERS_OFFSET, WORDS, RegisterMap
from convexon_hdl.axi.taps import activity_taps, find
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import Host as Bus
from convexon_hdl.emit.emitter import emit
from convexon_hdl.ports import probes
from convexon_sim.lint import lint
from tiers import exhaustive


def accelerator(cls: type[Accelerator] = Accelerator) -> Accelerator:
    layers = (random_layer(np.random.default_rng(3), 3, 4),)
    net = random_network(np.random.default_rng(3), (layers,), n_steps=2)
    return cls(net, mapping=Mapping.spatial(net))


@pytest.mark.parametrize("n_bits", [1, 2, 7, 8, 9, 64, 65, 130])
def test_popcount_counts_after_its_latency(n_bits: int) -> None:
    popcount = Popcount(n_bits=n_bits)
    rng = np.random.default_rng(n_bits)
    words = [0, (1 << n_bits) - 1]
    words += [int.from_bytes(rng.bytes(17), "little") % (1 << n_bits) for _ in range(40)]
    counts: list[int] = []

    async def bench(ctx: Any) -> None:
        for word in [*words, *[0] * popcount.latency]:
            ctx.set(popcount.bits, word)
            counts.append(ctx.get(popcount.count))
            await ctx.tick()

    simulator = Simulator(popcount)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert popcount.latency == max(1, int(np.ceil(np.log(n_bits) / np.log(8) - 1e-9)))
    assert counts[popcount.latency :] == [word.bit_count() for word in words]


class LoadableAccelerator(Accelerator):
    """Stands in for one whose weights are loaded: takes words while not busy, refuses one of 9."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.load = stream.Signature(32).create(path=("load",))
        self.loaded, self.refused, self.busy = Signal(), Signal(), Signal()

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.load.ready.eq(~self.busy)
        with m.If(self.load.valid & self.load.ready):
            m.d.sync += [self.loaded.eq(1), self.refused.eq(self.load.payload == 9)]
        return m


OKAY, SLVERR = 0, 2
LOADABLE, LOADED, REFUSED, READY = (1 << k for k in range(2, 6))


def test_weights_are_pushed_in_order() -> None:
    top = AxiAccelerator(accelerator(LoadableAccelerator))
    words = [5, 0xFFFFFFFF, 7, 8, 9]

    async def scenario(host: Host) -> None:
        assert await host.read(host.at["STATUS"]) == (LOADABLE | READY, OKAY)
        for k, word in enumerate(words):
            answer = await host.write(host.at["WEIGHTS"], word, data_first=bool(k % 2))
            assert answer == OKAY
        for strobe in (0, 7, 14):
            assert await host.write(host.at["WEIGHTS"], 3, strobe, data_first=False) == SLVERR
        assert host.pushed == words
        status = LOADABLE | LOADED | REFUSED | READY
        assert await host.read(host.at["STATUS"]) == (status, OKAY)
        assert (await host.read(host.at["WEIGHTS"]))[1] == SLVERR

    run(top, scenario)


def test_a_word_of_weights_that_cannot_be_taken_does_not_hold_up_the_bus() -> None:
    top = AxiAccelerator(accelerator(LoadableAccelerator))

    async def scenario(host: Host) -> None:
        push = partial(host.write, host.at["WEIGHTS"], data_first=False)
        host.ctx.set(top.accelerator.busy, 1)
        assert await push(1) == OKAY
        for word in (2, 3):
            assert await push(word) == SLVERR
            assert await host.read(host.at["STATUS"]) == (LOADABLE, OKAY)
        assert await host.write(host.at["SCRATCH"], 4, data_first=False) == OKAY
        assert await host.read(host.at["SCRATCH"]) == (4, OKAY)
        host.ctx.set(top.accelerator.busy, 0)
        await host.clock()
        assert await push(5) == OKAY
        assert host.pushed == [1, 5]
        host.pushed.clear()
        # What waits at a restart is forgotten with it.
        host.ctx.set(top.accelerator.busy, 1)
        assert await push(6) == OKAY
        assert await host.write(host.at["CONTROL"], 1, data_first=False) == OKAY
        assert (await host.read(host.at["STATUS"]))[0] & READY
        assert await push(7) == OKAY
        host.ctx.set(top.accelerator.busy, 0)
        for _ in range(4):
            await host.clock()
        assert host.pushed == [7]

    run(top, scenario)


def test_fixed_weights_refuse_a_push() -> None:
    top = AxiAccelerator(accelerator())

    async def scenario(host: Host) -> None:
        assert "WEIGHTS" not in host.at
        assert await host.write(0x40, 1, data_first=False) == SLVERR
        assert await host.read(host.at["STATUS"]) == (LOADED, OKAY)

    run(top, scenario)


def test_counter_keeps_its_halves_together() -> None:
    """The high word is that of the moment at which the low word was read."""
    register_map = RegisterMap(layers=((0, 0),))
    low, high = (register_map.counters[1][1] + k >> 2 for k in (0, 4))

    async def bench(ctx: Any) -> None:
        for count, later in ((0x1_FFFF_FFFF, 0x2_0000_0000), (0xABCD_0000_0001, 5)):
            ctx.set(bank.counters[1], count)
            ctx.set(bank.access.read_word, low)
            ctx.set(bank.access.read_valid, 1)
            assert ctx.get(bank.access.read_data) == count & 0xFFFFFFFF
            await ctx.tick()
            ctx.set(bank.counters[1], later)
            ctx.set(bank.access.read_word, high)
            assert ctx.get(bank.access.read_data) == count >> 32
            await ctx.tick()

    bank = RegisterBank(register_map, constants=AxiAccelerator(accelerator()).constants)
    simulator = Simulator(bank)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("n_layers", [1, 40, 1000])
def test_map_has_no_address_twice_and_room_for_all(n_layers: int) -> None:
    layers = tuple((b, 0) for b in range(n_layers))
    register_map = RegisterMap(layers=layers, loadable=True)
    taken = [register.offset for register in register_map.registers]
    assert taken == sorted(set(taken))
    assert all(offset % 4 == 0 for offset in taken)
    assert taken[-1] + 4 <= 1 << register_map.address_bits
    assert register_map.address_bits == (12 if n_layers < 400 else 14)
    for register in register_map.registers:
        bits = [bit for field in register.fields for bit in range(32) if field.mask >> bit & 1]
        assert len(bits) == len(set(bits))


def test_documentation_has_the_map() -> None:
    text = (Path(__file__).parents[3] / "docs" / "axi.md").read_text(encoding="utf-8")
    register_map = RegisterMap(layers=(), loadable=True)
    rows = []
    for register in register_map.registers:
        if register.offset >= COUNTERS_OFFSET:
            break
        offset, access = f"0x{register.offset:02x}", register.access.value
        rows.append(f"| {offset} | {register.name} | {access} | {register.text} |")
        for field in register.fields:
            bits = f"bit {field.offset}"
            if field.width > 1:
                bits = f"bits {field.offset + field.width - 1}..{field.offset}"
            rows.append(f"| | {bits}: {field.name} | | {field.text} |")
    counters = [f"| 0x{low:02x} | {name} | {t} |" for name, low, t in register_map.counters]
    for table in (rows, counters):
        assert "|---|\n" + "\n".join(table) + "\n\n" in text


def test_taps_are_the_nets_of_the_probes() -> None:
    unit = accelerator()
    fragment = Fragment.get(unit, None)
    (tap,) = activity_taps(fragment, probes(unit))
    assert (tap.branch, tap.layer, len(tap.spikes), len(tap.completes)) == (0, 0, 4, 1)
    message = "probe stage0.nothing must lead to a member of a component"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        find(fragment, ["stage0", "nothing"])
    with pytest.raises(InputError, match=r"^probe stage9\.o__valid must lead to a member"):
        find(fragment, ["stage9", "o__valid"])


@pytest.mark.parametrize(
    ("sizes", "lanes", "updates"),
    [
        ((5, 3), 4, 2),
        ((3, 2, 2), 2, 1),
        ((1,), 1, 1),
        pytest.param((5, 3), 2, 2, marks=exhaustive),
        pytest.param((4,), 4, 2, marks=exhaustive),
        pytest.param((5,), 4, 2, marks=exhaustive),
    ],
)
def test_taps_of_groups_pass_the_lint(sizes: tuple[int, ...], lanes: int, updates: int) -> None:
    assert lint(emit_folded(sizes, lanes, updates)) == ()


def test_a_comparison_that_is_always_true_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def places(probe: dict[str, Any], group: Value) -> list[Value]:
        at_once, first = probe["spikes"]["count"], probe["offset"]
        indices = [group * at_once + k for k in range(at_once)]
        return [(index >= first) & (index < first + probe["neurons"]) for index in indices]

    monkeypatch.setattr("convexon_hdl.axi.taps._places", places)
    assert any("UNSIGNED" in line for line in lint(emit_folded((5, 3), 4, 2)))


def emit_folded(sizes: tuple[int, ...], lanes: int, updates: int) -> RtlBundle:
    """One engine for a branch of each size, behind AXI."""
    rng = np.random.default_rng(3)
    net = random_network(rng, tuple((random_layer(rng, 3, size),) for size in sizes))
    mapping = Mapping(layers=((Folded(lanes=lanes, updates=updates),),) * len(sizes))
    return emit(net, mapping, host=Bus.AXI)


def test_registers_say_how_levels_are_sent() -> None:
    net = accelerator().network
    plain = Mapping.spatial(net)
    encodes = dataclasses.replace(plain, encoder=Encoder(kind=EncoderKind.THRESHOLD, bits=7))
    told = {}
    for mapping in (plain, encodes):
        constants = AxiAccelerator(Accelerator(net, mapping=mapping)).constants
        told[mapping] = [
            constants[name] for name in ("N_INPUTS", "INPUT_BITS", "N_STEPS", "N_TRANSFERS")
        ]
    assert told == {plain: [3, 1, 2, 2], encodes: [3, 7, 2, 1]}


@pytest.mark.parametrize("width", [8, 33, 256])
def test_width_that_is_none_is_refused(width: int) -> None:
    with pytest.raises(InputError, match=rf"^width must be one of 32, 64, 128 bits, not {width}$"):
        AxiAccelerator(accelerator(), width=width)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match=r"^accelerator must be an Accelerator, not Mapping$"):
        AxiAccelerator(accelerator().mapping)
    with pytest.raises(InputError, match=r"^field TRANSFER of register WORDS must hold 16 bits, n"):
        WORDS.content(TRANSFER=1 << 16, RESULT=1)
    with pytest.raises(InputError, match=r"^digest must be sha256: and hexadecimal digits, not "):
        AxiAccelerator(accelerator(), digest="sha256:card")
    with pytest.raises(InputError, match=r"^amount_bits must be within 1\.\.32, not 33$"):
        WideCounter(amount_bits=33)
    with pytest.raises(InputError, match=r"^n_bits must be at least 1, not 0$"):
        Popcount(n_bits=0)
    with pytest.raises(InputError, match=r"^register ID must hold 32 bits, not 4294967296$"):
        RegisterBank(RegisterMap(layers=()), constants={"ID": 1 << 32})
