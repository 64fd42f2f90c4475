# amaranth: UnusedElaboratable=no
"""A board in Amaranth's simulator, at the bytes of its line, and small networks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.sim import Simulator

from convexon.link.frame import Frame, FrameReader, encode
from convexon.link.protocol import Kind
from convexon.plan.mapping import Mapping
from convexon.snn.decision import Decision, decided_trace
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.link.endpoint import Endpoint
from convexon_hdl.link.frame import FrameDecoder, FrameEncoder
from convexon_hdl.link.shape import LinkShape
from convexon_hdl.ports import describe
from small_run import small_network

END = Decision()
TIMEOUT = 40
DIGEST = "sha256:0123456789abcdef" + "0" * 48
NONCE = bytes([1, 2, 0x7E, 0x7D])
"""Of all sessions of these tests, and with bytes that must be escaped."""

HELLO = Frame(Kind.HELLO, 9, NONCE)


def network_of(
    *, n_steps: int = 4, mode: ReadoutMode = ReadoutMode.COUNT, n_inputs: int = 5
) -> FixedPointNetwork:
    """One layer of six neurons on inputs of 2 bits, three classes."""
    return small_network(
        mode, n_steps=n_steps, n_inputs=n_inputs, n_neurons=6, input_bits=2, seed=4
    )


def shape_of(network: FixedPointNetwork, mapping: Mapping) -> LinkShape:
    """Shape of the link for an accelerator."""
    ports = describe(Accelerator(network, mapping=mapping), top="accelerator")
    results = network.n_steps if network.readout_mode is ReadoutMode.STEP else 1
    return LinkShape.of(ports, results=results, digest=DIGEST)


def samples_of(network: FixedPointNetwork, count: int = 3) -> np.ndarray:
    """Random inputs, shape (samples, steps, inputs)."""
    rng = np.random.default_rng(6)
    return rng.integers(0, 4, (count, network.n_steps, network.n_inputs)).astype(np.uint8)


def request_bytes(sample: np.ndarray) -> bytes:
    """The bytes of an inference, worked out bit by bit."""
    out = b""
    for step in sample.tolist():
        word = sum(x << (2 * i) for i, x in enumerate(step))
        out += word.to_bytes((2 * len(step) + 7) // 8, "little")
    return out


def expected_bytes(
    network: FixedPointNetwork, sample: np.ndarray, decision: Decision = END
) -> bytes:
    """The bytes of its results, by the golden model."""
    trace = decided_trace(decision, network, golden.run(network, sample[None]))
    layout = Accelerator(network, mapping=Mapping.spatial(network)).o.payload.shape()
    out = b""
    for k, (label, scores) in enumerate(zip(trace.labels[0], trace.scores[0], strict=True)):
        width = layout["scores"].shape.elem_shape.width
        word = int(label) << layout["label"].offset
        for c, score in enumerate(scores.tolist()):
            word |= (score & ((1 << width) - 1)) << (layout["scores"].offset + c * width)
        word |= int(k == len(trace.labels[0]) - 1) << layout["last"].offset
        out += word.to_bytes((layout.size + 7) // 8, "little")
    return out


@dataclass
class Seen:
    """What a board did.

    ``frames`` that it sent, and ``transfers`` that its accelerator took.
    """

    frames: list[Frame] = field(default_factory=list)
    transfers: int = 0


class Board:
    """Decoder, endpoint, accelerator and encoder of one network."""

    def __init__(
        self,
        network: FixedPointNetwork,
        mapping: Mapping | None = None,
        *,
        decoder: type[FrameDecoder] = FrameDecoder,
        endpoint: type[Endpoint] = Endpoint,
    ) -> None:
        self.network = network
        self.mapping = Mapping.spatial(network) if mapping is None else mapping
        self.shape = shape_of(network, self.mapping)
        self.classes = decoder, endpoint

    def run(
        self,
        script: Sequence[bytes | int],
        *,
        slow: int = 1,
        byte_clocks: int = 3,
        foreign: int = 0,
    ) -> Seen:
        """Send bytes, or keep silent for so many clocks; then wait until nothing moves.

        The line takes a byte of an answer in one of ``slow`` clocks. ``foreign`` frames that the
        board sends are of another session than that of these tests.
        """
        m = Module()
        m.submodules.decoder = decoder = self.classes[0](timeout=TIMEOUT)
        m.submodules.endpoint = endpoint = self.classes[1](self.shape)
        m.submodules.encoder = encoder = FrameEncoder()
        accelerator = Accelerator(self.network, mapping=self.mapping)
        m.submodules.accelerator = ResetInserter({"sync": endpoint.restart})(accelerator)
        m.d.comb += [decoder.nonce.eq(endpoint.nonce), encoder.nonce.eq(endpoint.nonce)]
        wiring.connect(m, decoder.o, endpoint.events)
        wiring.connect(m, endpoint.reply, encoder.i)
        wiring.connect(m, endpoint.i, accelerator.i)
        wiring.connect(m, accelerator.o, endpoint.o)
        if self.shape.is_loadable:
            wiring.connect(m, endpoint.load, accelerator.load)
            m.d.comb += endpoint.loaded.eq(accelerator.loaded)
            m.d.comb += endpoint.refused.eq(accelerator.refused)
        seen, reader = Seen(), FrameReader(NONCE)
        state = {"quiet": 0}

        async def talk(ctx: Any) -> None:
            for piece in script:
                if isinstance(piece, int):
                    await ctx.tick().repeat(piece)
                    continue
                for byte in piece:
                    ctx.set(decoder.i.payload, byte)
                    ctx.set(decoder.i.valid, 1)
                    await ctx.tick()
                    ctx.set(decoder.i.valid, 0)
                    await ctx.tick().repeat(byte_clocks)
            state["quiet"] = 0
            while state["quiet"] < 150:
                await ctx.tick()

        async def listen(ctx: Any) -> None:
            for clock in range(1_000_000):
                ctx.set(encoder.o.ready, int(clock % slow == 0))
                state["quiet"] += 1
                if ctx.get(encoder.o.valid) and ctx.get(encoder.o.ready):
                    state["quiet"] = 0
                    seen.frames += reader.feed(bytes([ctx.get(encoder.o.payload)]))
                if ctx.get(accelerator.i.valid) and ctx.get(accelerator.i.ready):
                    state["quiet"] = 0
                    seen.transfers += 1
                await ctx.tick()

        simulator = Simulator(m)
        simulator.add_clock(1e-6)
        simulator.add_testbench(talk)
        simulator.add_testbench(listen, background=True)
        simulator.run()
        assert reader.damaged == foreign, "the board sent a damaged frame"
        return seen


def infer(body: bytes, sequence: int = 10) -> Frame:
    """A request for an inference, or a part of one."""
    return Frame(Kind.INFER, sequence, body)


def framed(frame: Frame, nonce: bytes = NONCE) -> bytes:
    """The bytes of a frame in the session of these tests."""
    return encode(frame, nonce)


def sent(*frames: Frame, gap: int = 200) -> list[bytes | int]:
    """Frames with time between them for the answer."""
    return [piece for frame in frames for piece in (framed(frame), gap)]
