"""What the AXI bench drives and watches with: cocotbext-axi's agents on every port, and an account.

It runs inside the simulator, and sees the emitted Verilog, registers.json, and what a golden model
said.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from convexon_sim.bench.agents import LayerMonitor


class Bench:
    """Agents, and an account of every clock that owes nothing to them."""

    def __init__(self, dut: Any, order: dict[str, Any]) -> None:
        self.dut = dut
        self.order = order
        self.registers = {r["name"]: r["offset"] for r in order["registers"]["registers"]}
        self.random = random.Random(order["seed"])
        common = {"reset": dut.aresetn, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **common)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **common)
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, **common)
        for agent in (self.source, self.sink, self.host.read_if, self.host.write_if):
            agent.log.setLevel("WARNING")
        self.word_bytes = len(dut.s_axis_tdata) // 8
        self.clocks = 0
        self.taken_at: list[int] = []
        self.given_at: list[int] = []
        self.input_stalls = self.result_stalls = self.inferences = 0
        self.layers: list[LayerMonitor] = []
        self.decided = self.voids = 0

    async def start(self) -> None:
        """Start clock and account, and reset."""
        Clock(self.dut.aclk, 10, unit="ns").start()
        self.dut.aresetn.value = 0
        for _ in range(3):
            await RisingEdge(self.dut.aclk)
        self.dut.aresetn.value = 1
        cocotb.start_soon(self.account())
        if self.order["images"]:
            await self.push(self.order["images"][0])

    def pause(self, probability: float) -> None:
        """Let both sides of the streams pause at random."""
        self.source.set_pause_generator(self.coin(probability))
        self.sink.set_pause_generator(self.coin(probability))

    def coin(self, probability: float) -> Iterator[bool]:
        while True:
            yield self.random.random() < probability

    async def account(self) -> None:
        """Count, at every clock edge, what the streams do there."""
        dut = self.dut
        offered: tuple[int, int] | None = None
        while True:
            await ReadOnly()
            taken = int(dut.s_axis_tvalid.value), int(dut.s_axis_tready.value)
            given = int(dut.m_axis_tvalid.value), int(dut.m_axis_tready.value)
            word = int(dut.m_axis_tdata.value), int(dut.m_axis_tlast.value)
            for layer in self.layers:
                layer.sample(self.clocks)
            if offered is not None and int(dut.aresetn.value):
                assert (given[0], word) == (1, offered), "m_axis changed before it was taken"
            offered = word if given == (1, 0) else None
            await RisingEdge(dut.aclk)
            self.clocks += 1
            self.input_stalls += taken == (1, 0)
            self.result_stalls += given == (1, 0)
            if taken == (1, 1):
                self.taken_at.append(self.clocks)
            if given == (1, 1):
                self.given_at.append(self.clocks)
                self.inferences += word[1]

    def words(self, sample: list[int]) -> list[int]:
        """Return the words of one inference, a transfer's low bits first."""
        n_words, bits = self.order["words_per_transfer"], 8 * self.word_bytes
        mask = (1 << bits) - 1
        return [(transfer >> (k * bits)) & mask for transfer in sample for k in range(n_words)]

    def frame(self, words: list[int]) -> AxiStreamFrame:
        data = b"".join(word.to_bytes(self.word_bytes, "little") for word in words)
        return AxiStreamFrame(tdata=data)

    async def send(self, *samples: int) -> None:
        for sample in samples:
            await self.source.send(self.frame(self.words(self.order["samples"][sample])))

    async def expect(self, *samples: int) -> None:
        """Take one packet of results for each sample, and hold it against the golden model."""
        for sample in samples:
            packet = await self.packet()
            assert packet == self.order["results"][sample], f"sample {sample}: {packet}"

    async def packet(self) -> list[list[int]]:
        """Return the records of one packet, each label and scores."""
        data = bytes((await self.sink.recv()).tdata)
        slot, length = self.order["slot_bytes"], self.order["record_bytes"]
        n_slots = 1 + self.order["n_classes"]
        assert len(data) % length == 0, f"{len(data)} bytes are no whole records"
        return [
            [
                int.from_bytes(data[at + k * slot : at + (k + 1) * slot], "little", signed=k > 0)
                for k in range(n_slots)
            ]
            for at in range(0, len(data), length)
        ]

    async def expect_after(self, cut: int, n_words: int, sample: int) -> None:
        """Take the packet of ``sample``, and before it what left of a cut one before the cut."""
        order, packet = self.order, await self.packet()
        cut_results = order["results"][cut]
        if packet[-1][0] == order["aborted"]:  # with a result per step, what came before it is void
            assert order["per_step"]
            assert packet[:-1] == cut_results[: len(packet) - 1]
            self.voids += 1
            packet = await self.packet()
        elif packet == cut_results and order["steps"] is not None:
            assert n_words // order["words_per_transfer"] >= order["steps"][cut]
            self.decided += 1
            packet = await self.packet()
        assert packet == order["results"][sample], f"{n_words} words before the cut: {packet}"

    def watch(self) -> None:
        """Record the steps of all layers; no reset must come."""
        probes = self.order["probes"]
        self.layers = [LayerMonitor(self.dut.accelerator, probe) for probe in probes]

    def compare_spikes(self, samples: list[int]) -> None:
        """Hold every step that every layer took against the golden model."""
        order, n_steps = self.order, self.order["n_steps"]
        for layer, golden in zip(self.layers, order["spikes"], strict=True):
            for place, sample in enumerate(samples):
                begin, end = (layer.steps_before(place + k, n_steps) for k in (0, 1))
                fewest = n_steps if order["steps"] is None else order["steps"][sample]
                assert fewest <= end - begin <= n_steps, (layer.name, place)
                seen = layer.spikes[begin:end]
                assert seen == golden[sample][: end - begin], (layer.name, place)

    async def push(self, words: list[int]) -> int:
        """Load weights; how often a word was refused first."""
        refusals = 0
        for word in words:
            while True:
                answer = await self.host.write(
                    self.registers["WEIGHTS"], word.to_bytes(4, "little")
                )
                if answer.resp == AxiResp.OKAY:
                    break
                assert answer.resp == AxiResp.SLVERR
                refusals += 1
        return refusals

    async def wait(self, clocks: int) -> None:
        for _ in range(clocks):
            await RisingEdge(self.dut.aclk)

    async def quiet(self) -> None:
        """Nothing more comes, and steps that an early decision left behind come to their end."""
        await self.wait(500)
        assert self.sink.empty(), "a result too many"
        assert not int(self.dut.m_axis_tvalid.value)

    async def read(self, name: str) -> int:
        answer = await self.host.read(self.registers[name], 4)
        assert answer.resp == AxiResp.OKAY, name
        return int.from_bytes(answer.data, "little")

    async def write(self, name: str, value: int) -> None:
        answer = await self.host.write(self.registers[name], value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY, name

    async def counter(self, name: str) -> int:
        low = await self.read(f"{name}_LOW")
        return low | await self.read(f"{name}_HIGH") << 32

    async def half_sent(self, sample: int, n_words: int) -> None:
        """Send the first words of a sample, without tlast, and wait until they are taken."""
        quiet = 0
        while quiet < 3:  # until the source offers nothing any more
            await RisingEdge(self.dut.aclk)
            quiet = 0 if int(self.dut.s_axis_tvalid.value) else quiet + 1
        taken = len(self.taken_at)
        self.dut.s_axis_tlast.value = 0
        for word in self.words(self.order["samples"][sample])[:n_words]:
            self.dut.s_axis_tdata.value = word
            self.dut.s_axis_tvalid.value = 1
            while True:
                await RisingEdge(self.dut.aclk)
                if int(self.dut.s_axis_tready.value):
                    break
        self.dut.s_axis_tvalid.value = 0
        await self.wait(2)  # one more to the guard behind the buffer
        assert len(self.taken_at) >= taken + n_words - 1
