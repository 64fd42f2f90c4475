# amaranth: UnusedElaboratable=no
"""UART, SPI and the whole link at its pins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.sim import Simulator
from link_bench import (
    HELLO,
    NONCE,
    expected_bytes,
    framed,
    infer,
    network_of,
    request_bytes,
    samples_of,
    shape_of,
)

from convexon.link.frame import Frame, FrameReader, encode
from convexon.link.protocol import ANSWER, ESCAPE, FLAG, Kind
from convexon.plan.mapping import Mapping
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.link.frame import Event, FrameDecoder, FrameEncoder
from convexon_hdl.link.link import Link, Spi, Uart, link_verilog
from convexon_hdl.link.spi import SpiPeripheral
from convexon_hdl.link.uart import UartReceiver, UartTransmitter

BYTES = bytes([0x00, 0xFF, 0x55, 0xA3, FLAG, 0x01])


def levels(content: bytes, clocks: float, *, idle: int = 3, stop: int = 1) -> Iterator[int]:
    """A serial line in every clock, for bits of ``clocks`` clocks."""
    bits = [1] * idle
    for byte in content:
        bits += [0, *(byte >> k & 1 for k in range(8)), stop]
    bits += [1] * idle
    for k in range(int(len(bits) * clocks)):
        yield bits[int(k / clocks)]


def received(line: Sequence[int], divisor: int) -> bytes:
    """What a receiver reads from a line."""
    receiver = UartReceiver(divisor=divisor)
    found = bytearray()

    async def bench(ctx: Any) -> None:
        for level in line:
            ctx.set(receiver.rx, level)
            if ctx.get(receiver.o.valid):
                found.append(ctx.get(receiver.o.payload))
            await ctx.tick()

    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return bytes(found)


@pytest.mark.parametrize("divisor", [4, 5, 12, 27])
@pytest.mark.parametrize("error", [-0.02, 0.0, 0.02])
def test_a_receiver_reads_bytes_at_the_rate_and_near_it(divisor: int, error: float) -> None:
    line = list(levels(BYTES, divisor * (1 + error), idle=4))
    assert received(line, divisor) == BYTES


def test_a_receiver_at_half_the_rate_reads_something_else() -> None:
    assert received(list(levels(BYTES, 6)), 12) != BYTES


def test_a_receiver_drops_a_byte_without_a_stop_bit() -> None:
    line = [*levels(b"\x12", 8, stop=0), *levels(b"\x34", 8)]
    assert received(line, 8) == b"\x34"


def test_a_spike_begins_no_byte() -> None:
    line = [*[1] * 20, 0, 0, *[1] * 40, *levels(b"\x34", 8)]
    assert received(line, 8) == b"\x34"


@pytest.mark.parametrize("divisor", [4, 7])
def test_a_transmitter_writes_without_gaps_what_a_receiver_reads(divisor: int) -> None:
    transmitter = UartTransmitter(divisor=divisor)
    line: list[int] = []

    async def bench(ctx: Any) -> None:
        place = 0
        for _ in range((len(BYTES) * 10 + 4) * divisor):
            ctx.set(transmitter.i.valid, int(place < len(BYTES)))
            ctx.set(transmitter.i.payload, BYTES[min(place, len(BYTES) - 1)])
            line.append(ctx.get(transmitter.tx))
            place += ctx.get(transmitter.i.valid) and ctx.get(transmitter.i.ready)
            await ctx.tick()

    simulator = Simulator(transmitter)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert line[: 1 + divisor * 10 * len(BYTES)] == [1, *levels(BYTES, divisor, idle=0)]
    assert received(line, divisor) == BYTES


@pytest.mark.parametrize("component", [UartReceiver, UartTransmitter])
def test_a_bit_that_is_too_short_is_refused(component: type) -> None:
    with pytest.raises(ValueError, match=r"^divisor must be 4 or more clocks a bit, not 3$"):
        component(divisor=3)


@pytest.mark.parametrize(
    "content", [b"\x00\x01\x02", bytes([FLAG, ESCAPE, FLAG]), bytes(range(256))]
)
def test_an_encoder_writes_what_a_decoder_and_the_host_read(content: bytes) -> None:
    m = Module()
    m.submodules.encoder = encoder = FrameEncoder()
    m.submodules.decoder = decoder = FrameDecoder(timeout=100)
    nonce = int.from_bytes(NONCE, "little")
    m.d.comb += [encoder.nonce.eq(nonce), decoder.nonce.eq(nonce)]
    wire = bytearray()
    found = bytearray()
    ends: list[str] = []

    async def bench(ctx: Any) -> None:
        place, clock = 0, 0
        while place < len(content) or clock % 1000:
            ctx.set(encoder.i.valid, int(place < len(content)))
            ctx.set(encoder.i.payload.data, content[min(place, len(content) - 1)])
            ctx.set(encoder.i.payload.last, int(place == len(content) - 1))
            ctx.set(encoder.o.ready, int(clock % 3 != 1))
            moves = ctx.get(encoder.o.valid) and ctx.get(encoder.o.ready)
            ctx.set(decoder.i.valid, int(bool(moves)))
            ctx.set(decoder.i.payload, ctx.get(encoder.o.payload))
            if moves:
                wire.append(ctx.get(encoder.o.payload))
            if ctx.get(decoder.o.valid):
                event = ctx.get(decoder.o.payload)
                if event.event == Event.BYTE:
                    found.append(event.data)
                else:
                    ends.append(Event(event.event).name)
            place += bool(ctx.get(encoder.i.valid) and ctx.get(encoder.i.ready))
            clock += 1
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    frame = Frame(content[0], int.from_bytes(content[1:3], "little"), content[3:])
    assert bytes(wire) == framed(frame)
    assert FrameReader(NONCE).feed(bytes(wire)) == [frame]
    assert (bytes(found[:-4]), ends) == (content, ["GOOD"])


async def exchange(ctx: Any, pins: Any, byte: int, half: int) -> int:
    """One byte each way over SPI, mode 0."""
    came = 0
    for bit in reversed(range(8)):
        ctx.set(pins.copi, byte >> bit & 1)
        await ctx.tick().repeat(half)
        came = came << 1 | ctx.get(pins.cipo)
        ctx.set(pins.sck, 1)
        await ctx.tick().repeat(half)
        ctx.set(pins.sck, 0)
    return came


@pytest.mark.parametrize("half", [4, 9])
def test_spi_moves_bytes_both_ways(half: int) -> None:
    peripheral = SpiPeripheral()
    taken, came = bytearray(), bytearray()
    queue = bytearray(BYTES)

    async def bench(ctx: Any) -> None:
        ctx.set(peripheral.cs_n, 0)
        await ctx.tick().repeat(4)
        for byte in b"abc":
            came.append(await exchange(ctx, peripheral, byte, half))
        for _ in range(3):  # a byte that breaks off is no byte
            ctx.set(peripheral.sck, 1)
            await ctx.tick().repeat(half)
            ctx.set(peripheral.sck, 0)
            await ctx.tick().repeat(half)
        ctx.set(peripheral.cs_n, 1)
        await ctx.tick().repeat(6)
        ctx.set(peripheral.cs_n, 0)
        await ctx.tick().repeat(4)
        for byte in b"defgh":
            came.append(await exchange(ctx, peripheral, byte, half))
        await ctx.tick().repeat(6)

    async def serve(ctx: Any) -> None:
        while True:
            ctx.set(peripheral.i.valid, int(bool(queue)))
            ctx.set(peripheral.i.payload, queue[0] if queue else 0)
            if ctx.get(peripheral.o.valid):
                taken.append(ctx.get(peripheral.o.payload))
            if queue and ctx.get(peripheral.i.ready):
                queue.pop(0)
            await ctx.tick()

    simulator = Simulator(peripheral)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(serve, background=True)
    simulator.run()
    assert bytes(taken) == b"abcdefgh"
    # The byte that broke off is lost on its way out too; frames make up for it.
    assert bytes(came) == BYTES[:3] + BYTES[4:] + bytes([FLAG] * 3)


NETWORK = network_of(n_steps=2)
(SAMPLE,) = samples_of(NETWORK, 1)
REQUEST = infer(request_bytes(SAMPLE))
RESULT = Frame(Kind.INFER | ANSWER, 10, expected_bytes(NETWORK, SAMPLE))


def board(link: Link) -> Module:
    """A link with the accelerator behind it."""
    m = Module()
    m.submodules.link = link
    accelerator = Accelerator(NETWORK, mapping=Mapping.spatial(NETWORK))
    m.submodules.accelerator = ResetInserter({"sync": link.restart})(accelerator)
    wiring.connect(m, link.i, accelerator.i)
    wiring.connect(m, accelerator.o, link.o)
    return m


def test_a_whole_link_over_a_serial_line() -> None:
    link = Link(shape_of(NETWORK, Mapping.spatial(NETWORK)), Uart(divisor=4), timeout=2000)
    line = [*levels(framed(HELLO), 4), *[1] * 1400, *levels(framed(REQUEST), 4), *[1] * 1000]
    sent: list[int] = []

    async def bench(ctx: Any) -> None:
        for level in line:
            ctx.set(link.rx, level)
            sent.append(ctx.get(link.tx))
            await ctx.tick()

    simulator = Simulator(board(link))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    frames = FrameReader(NONCE).feed(received(sent, 4))
    assert [frame.kind for frame in frames] == [Kind.HELLO | ANSWER, Kind.INFER | ANSWER]
    assert frames[1] == RESULT


def test_a_whole_link_over_spi() -> None:
    link = Link(shape_of(NETWORK, Mapping.spatial(NETWORK)), Spi(), timeout=2000)
    came = bytearray()

    async def bench(ctx: Any) -> None:
        ctx.set(link.cs_n, 0)
        await ctx.tick().repeat(4)
        idle = bytes([FLAG] * 30)
        for byte in framed(HELLO) + idle + framed(REQUEST) + idle:
            came.append(await exchange(ctx, link, byte, 4))

    simulator = Simulator(board(link))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    frames = FrameReader(NONCE).feed(bytes(came))
    assert [frame.kind for frame in frames] == [Kind.HELLO | ANSWER, Kind.INFER | ANSWER]
    assert frames[1] == RESULT


@pytest.mark.parametrize("line", [Uart(divisor=12), Spi()])
def test_emission_is_deterministic_and_has_no_waiting_blocks(line: Uart | Spi) -> None:
    shape = shape_of(NETWORK, Mapping.spatial(NETWORK))
    text = link_verilog(shape, line, timeout=100)
    assert text == link_verilog(shape, line, timeout=100)
    assert "always @*" not in text


def test_a_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^timeout must be 1 clock or more, not 0$"):
        FrameDecoder(timeout=0)


def test_bytes_of_frames_do_not_depend_on_how_they_are_cut() -> None:
    rng = np.random.default_rng(1)
    frames = [Frame(1, k, rng.bytes(int(rng.integers(0, 40)))) for k in range(50)]
    wire = b"".join(map(encode, frames))
    reader = FrameReader()
    found: list[Frame] = []
    while wire:
        size = int(rng.integers(1, 9))
        found += reader.feed(wire[:size])
        wire = wire[size:]
    assert found == frames
    assert reader.damaged == 0


@pytest.mark.parametrize("place", range(1, 12))
def test_the_host_takes_no_damaged_frame(place: int) -> None:
    wire = bytearray(encode(Frame(2, 3, b"12345")))
    wire[place] ^= 0x10
    reader = FrameReader()
    assert reader.feed(bytes(wire)) == []
    assert reader.damaged == 1
