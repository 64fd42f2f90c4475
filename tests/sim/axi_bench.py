"""The AXI bench: runs inside the simulator, under cocotb, with cocotbext-axi's agents.

It sees the emitted Verilog, registers.json, and what a golden model said; a scenario, chosen by
name, is one cocotb test. As a program (``python axi_bench.py ORDER``) it compiles and runs one.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
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

ORDER_VARIABLE = "CONVEXON_AXI_ORDER"
TIMEOUT_US = int(os.environ.get("CONVEXON_AXI_TIMEOUT_US", "50"))
"""Simulated time after which a scenario hangs; short, as some mutants hang."""


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

    async def start(self) -> None:
        """Start clock and account, and reset."""
        Clock(self.dut.aclk, 10, unit="ns").start()
        self.dut.aresetn.value = 0
        for _ in range(3):
            await RisingEdge(self.dut.aclk)
        self.dut.aresetn.value = 1
        cocotb.start_soon(self.account())

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
            if offered is not None:
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
        """Return the words of one inference, a step's low bits first."""
        n_words, bits = self.order["words_per_step"], 8 * self.word_bytes
        mask = (1 << bits) - 1
        return [(step >> (k * bits)) & mask for step in sample for k in range(n_words)]

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

    async def quiet(self) -> None:
        """Nothing more comes."""
        for _ in range(100):
            await RisingEdge(self.dut.aclk)
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
        for _ in range(2):  # one more to the guard behind the buffer
            await RisingEdge(self.dut.aclk)
        assert len(self.taken_at) >= taken + n_words - 1


async def begun(dut: Any) -> Bench:
    bench = Bench(dut, json.loads(Path(os.environ[ORDER_VARIABLE]).read_text()))
    await bench.start()
    return bench


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def results_equal_the_golden_model(dut: Any) -> None:
    """At three paces, every result; then every counter."""
    bench = await begun(dut)
    everything = range(len(bench.order["samples"]))
    for probability in (0.0, 0.3, 0.8):
        bench.pause(probability)
        sending = cocotb.start_soon(bench.send(*everything))
        await bench.expect(*everything)
        await sending
    await bench.quiet()
    assert await bench.read("ERRORS") == 0
    assert await bench.counter("INFERENCES") == 3 * len(everything) == bench.inferences
    assert await bench.counter("INPUT_STALLS") == bench.input_stalls
    assert await bench.counter("RESULT_STALLS") == bench.result_stalls > 0
    for name, spikes in bench.order["spikes"].items():
        assert await bench.counter(name) == 3 * spikes, name
    assert await bench.read("STATUS") == 0b1000  # idle, and the weights are there


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def throughput_and_latency(dut: Any) -> None:
    """Where nothing stalls, a word is taken in every clock that has room for it."""
    bench = await begun(dut)
    everything = range(len(bench.order["samples"]))
    await bench.send(*everything)
    await bench.expect(*everything)
    per_packet = bench.order["n_steps"] * bench.order["words_per_step"]
    first_word = bench.given_at[0] - bench.taken_at[per_packet - 1]
    if bench.order["latency_from_last_word"] is None:  # a folded layer takes what it takes
        return
    if not bench.order["per_step"]:  # else the first result comes before the last word
        assert first_word == bench.order["latency_from_last_word"]
    gaps = [b - a for a, b in zip(bench.taken_at, bench.taken_at[1:], strict=False)]
    n_results = bench.order["n_steps"] if bench.order["per_step"] else 1
    if bench.order["record_words"] * n_results <= per_packet:
        assert set(gaps) == {1}, gaps


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def wrong_tlast_loses_one_inference(dut: Any) -> None:
    """Packets too short and too long, at every length, each between two whole ones."""
    bench = await begun(dut)
    bench.pause(0.3)
    order = bench.order
    words = bench.words(order["samples"][1])
    lengths = [n for n in range(1, len(words) + 4) if n != len(words)]
    expected = []
    for n in lengths:
        await bench.send(0)
        await bench.source.send(bench.frame((words * 2)[:n]))
        await bench.send(2)
        expected += [order["results"][0], order["results"][2]]
    got: list[list[list[int]]] = []
    while len(got) < len(expected):
        packet = await bench.packet()
        if packet[-1][0] == order["aborted"]:  # with a result per step, what came before it is void
            assert order["per_step"]
            assert packet[:-1] == order["results"][1][: len(packet) - 1]
            continue
        got.append(packet)
    assert got == expected
    await bench.quiet()
    assert await bench.read("ERRORS") == len(lengths)


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def soft_reset_loses_the_inference_under_way(dut: Any) -> None:
    """A reset after every word of an inference but the last, behind two that wait."""
    bench = await begun(dut)
    order = bench.order
    n_words = len(bench.words(order["samples"][1]))
    lost = 0
    for n in range(1, n_words):
        # Two whole inferences before it are still inside, unless their results would fill it all,
        # or a folded layer takes so long that one of them would be the one under way.
        folded = order["latency_from_last_word"] is None
        bench.sink.pause = not order["per_step"] and not folded
        await bench.send(0, 3)
        await bench.source.wait()
        bench.sink.pause = bool(n % 2) and not order["per_step"] and not folded
        await bench.half_sent(1, n)
        for _ in range(300 if folded else 0):
            await RisingEdge(dut.aclk)
        await bench.write("CONTROL", 1)
        bench.sink.pause = False
        await bench.source.send(bench.frame(bench.words(order["samples"][1])[n:]))
        await bench.send(2)
        await bench.expect(0, 3)
        packet = await bench.packet()
        if order["per_step"] and packet[-1][0] == order["aborted"]:
            assert packet[:-1] == order["results"][1][: len(packet) - 1]
            lost += 1
            packet = await bench.packet()
        assert packet == order["results"][2], (n, packet)
    await bench.quiet()
    assert await bench.read("ERRORS") == 0
    assert await bench.counter("INFERENCES") == 3 * (n_words - 1) + lost
    await bench.write("CONTROL", 1)  # between inferences nothing is under way, and nothing lost
    await bench.send(3)
    await bench.expect(3)


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def registers_answer_as_the_map_says(dut: Any) -> None:
    """Every register, every refusal, strobes, and commands."""
    bench = await begun(dut)
    order, listed = bench.order, bench.order["registers"]["registers"]
    for name, value in order["constants"].items():
        assert await bench.read(name) == value, name
    known = {register["offset"]: register for register in listed}
    for offset in range(0, 4 * (max(known) // 4 + 8), 4):
        register = known.get(offset, {"access": ""})
        answer = await bench.host.read(offset, 4)
        assert (answer.resp == AxiResp.OKAY) == ("r" in register["access"]), hex(offset)
        if register.get("name") in {"CONTROL", "SCRATCH"}:
            continue
        answer = await bench.host.write(offset, bytes(4))
        assert (answer.resp == AxiResp.OKAY) == ("w" in register["access"]), hex(offset)
    await bench.write("SCRATCH", 0x44332211)
    await bench.host.write(bench.registers["SCRATCH"] + 1, b"\xaa\xbb")
    assert await bench.read("SCRATCH") == 0x44BBAA11
    before = await bench.counter("CYCLES")
    await bench.host.write(bench.registers["CONTROL"] + 1, b"\xff\xff\xff")  # no command's byte
    assert await bench.counter("CYCLES") > before
    assert await bench.read("CONTROL") == 0
    await bench.send(0)
    await bench.expect(0)
    assert await bench.counter("INFERENCES") == 1
    await bench.source.send(bench.frame([0] * (order["n_steps"] * order["words_per_step"] + 1)))
    await bench.source.wait()
    for _ in range(20):
        await RisingEdge(dut.aclk)
    assert await bench.read("ERRORS") == 1
    await bench.write("CONTROL", 2)
    assert await bench.counter("CYCLES") < 100
    assert await bench.read("ERRORS") == 0
    assert await bench.counter("INFERENCES") == 0
    first = await bench.counter("CYCLES")
    since = bench.clocks
    for _ in range(500):
        await RisingEdge(dut.aclk)
    second = await bench.counter("CYCLES")
    # Both are read by the same transfers, each of which takes the same clocks.
    assert second - first == bench.clocks - since


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def a_sink_that_sleeps_loses_nothing(dut: Any) -> None:
    """Everything inside fills up and stands still for long before the first result is taken."""
    bench = await begun(dut)
    everything = range(len(bench.order["samples"]))
    bench.sink.pause = True
    sending = cocotb.start_soon(bench.send(*everything))
    for _ in range(1000):
        await RisingEdge(dut.aclk)
    bench.sink.pause = False
    await bench.expect(*everything)
    await sending
    await bench.quiet()


def main(file: Path) -> None:
    """Compile the Verilog and run the tests that the order names."""
    from cocotb_tools.runner import get_runner

    order = json.loads(file.read_text())
    folder = file.parent
    os.environ.update(order["environment"])
    os.environ["PATH"] = order["simulator_folder"] + os.pathsep + os.environ["PATH"]
    runner = get_runner(order["simulator"])
    common = {
        "hdl_toplevel": order["top"],
        "build_dir": folder / "build",
        "timescale": ("1ns", "1ps"),
    }
    arguments = order["build_arguments"]
    runner.build(sources=[folder / order["verilog"]], always=True, build_args=arguments, **common)
    runner.test(
        test_module="axi_bench",
        hdl_toplevel_lang="verilog",
        test_dir=folder,
        results_xml=str(folder / "results.xml"),
        extra_env={ORDER_VARIABLE: str(file), "CONVEXON_AXI_TIMEOUT_US": order["timeout_us"]},
        seed=order["seed"],
        **({"test_filter": order["filter"]} if order["filter"] else {}),
        **common,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
