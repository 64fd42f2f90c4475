"""The AXI bench: runs inside the simulator, under cocotb, with cocotbext-axi's agents.

It sees the emitted Verilog, registers.json, and what a golden model said; a scenario, chosen by
name, is one cocotb test.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from axi_driver import Bench
from cocotbext.axi import AxiResp

ORDER_VARIABLE = "CONVEXON_AXI_ORDER"
TIMEOUT_US = int(os.environ.get("CONVEXON_AXI_TIMEOUT_US", "50"))
"""Simulated time after which a scenario hangs; short, as some mutants hang."""

FIXED_WEIGHTS = ORDER_VARIABLE in os.environ and not json.loads(
    Path(os.environ[ORDER_VARIABLE]).read_text()
).get("images")
"""Whether the order has no weights to load, and so nothing for the scenarios that load some."""

READY = 1 << 5
"""Bit of STATUS."""


async def begun(dut: Any) -> Bench:
    bench = Bench(dut, json.loads(Path(os.environ[ORDER_VARIABLE]).read_text()))
    await bench.start()
    return bench


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def results_equal_the_golden_model(dut: Any) -> None:
    """At three paces, every result and every spike; then every counter."""
    bench = await begun(dut)
    bench.watch()
    everything = list(range(len(bench.order["samples"])))
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
    bench.compare_spikes(3 * everything)
    for layer in bench.layers:
        name = f"SPIKES_{layer.branch}_{layer.layer}"
        assert await bench.counter(name) == sum(step.bit_count() for step in layer.spikes) > 0
    assert await bench.read("STATUS") == bench.order["idle_status"]


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def throughput_and_latency(dut: Any) -> None:
    """Where nothing stalls, a word is taken in every clock that has room for it."""
    bench = await begun(dut)
    everything = range(len(bench.order["samples"]))
    await bench.send(*everything)
    await bench.expect(*everything)
    per_packet = len(bench.words(bench.order["samples"][0]))
    first_word = bench.given_at[0] - bench.taken_at[per_packet - 1]
    if bench.order["latency_from_last_word"] is None:  # it follows from the spikes
        return
    if not bench.order["per_step"]:  # else the first result comes before the last word
        assert first_word == bench.order["latency_from_last_word"]
    gaps = [b - a for a, b in zip(bench.taken_at, bench.taken_at[1:], strict=False)]
    n_results = bench.order["n_steps"] if bench.order["per_step"] else 1
    if max(bench.order["interval"], bench.order["record_words"] * n_results) <= per_packet:
        assert set(gaps) == {1}, gaps


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def wrong_tlast_loses_one_inference(dut: Any) -> None:
    """Packets too short and too long, at every length, each between two whole ones."""
    bench = await begun(dut)
    bench.pause(0.3)
    order = bench.order
    words = bench.words(order["samples"][1])
    lengths = [n for n in range(1, len(words) + 4) if n != len(words)]
    for n in lengths:
        await bench.send(0)
        await bench.source.send(bench.frame((words * 2)[:n]))
        await bench.send(2)
    for n in lengths:
        await bench.expect(0)
        # The word whose tlast is wrong is not among those that count.
        await bench.expect_after(1, min(n, len(words)) - 1, 2)
    await bench.quiet()
    assert await bench.read("ERRORS") == len(lengths)
    # None of a result per step that was given up; one that was decided before the fault stands.
    assert await bench.counter("INFERENCES") == 2 * len(lengths) + bench.decided
    assert bool(bench.decided) == (order["steps"] is not None and len(order["samples"][1]) > 1)


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def soft_reset_loses_the_inference_under_way(dut: Any) -> None:
    """A reset after every word of an inference but the last, behind whole ones that wait."""
    bench = await begun(dut)
    order = bench.order
    n_words = len(bench.words(order["samples"][1]))
    slow = order["latency_from_last_word"] is None
    # One that is decided early but not taken holds up the rest of its packet, so it is not whole.
    before = (0,) if order["steps"] is not None and len(order["samples"][0]) > 1 else (0, 3)
    for n in range(1, n_words):
        # They stay inside, unless a result per step would fill everything before they are.
        bench.sink.pause = not order["per_step"]
        await bench.send(*before)
        await bench.source.wait()
        await bench.wait(300 if slow else 0)
        bench.sink.pause = (slow or n % 2) and not order["per_step"]
        cut = cocotb.start_soon(bench.half_sent(1, n))
        if slow:  # the engine may be at any point of a step, and the words may wait for it
            await bench.wait(n + 8 + 7 * n % 40)
        else:
            await cut
        if order["per_step"] and n % 2:  # time for results of its first steps
            await bench.wait(60)
        await bench.write("CONTROL", 1)
        bench.sink.pause = False
        await cut
        await bench.source.send(bench.frame(bench.words(order["samples"][1])[n:]))
        await bench.send(2)
        await bench.expect(*before)
        await bench.expect_after(1, n, 2)
    await bench.quiet()
    assert await bench.read("ERRORS") == 0
    assert bool(bench.voids) == order["per_step"]
    expected = (len(before) + 1) * (n_words - 1) + bench.decided
    assert await bench.counter("INFERENCES") == expected
    await bench.write("CONTROL", 1)  # between inferences nothing is under way, and nothing lost
    await bench.send(3)
    await bench.expect(3)


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us")
async def reset_line_forgets_what_is_inside(dut: Any) -> None:
    """A whole inference and a part of one inside, at several points of its way; weights stay."""
    bench = await begun(dut)
    n_words = len(bench.words(bench.order["samples"][1]))
    for clocks in (0, 1, 2, 3, 5, 8, 13, 21, 34):
        bench.sink.pause = True
        await bench.send(0)
        await bench.source.wait()
        cut = cocotb.start_soon(bench.half_sent(1, max(1, n_words // 2)))
        await bench.wait(clocks)
        cut.cancel()
        dut.s_axis_tvalid.value = 0
        dut.aresetn.value = 0
        await bench.wait(2)
        dut.aresetn.value = 1
        bench.sink.pause = False
        await bench.wait(2)
        await bench.send(2, 3)
        await bench.expect(2, 3)
    await bench.quiet()
    assert await bench.counter("INFERENCES") == 2
    assert await bench.read("STATUS") == bench.order["idle_status"]


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us", skip=FIXED_WEIGHTS)
async def a_load_waits_and_holds_up_nothing(dut: Any) -> None:
    """Other weights, pushed while results wait; the bus answers all along."""
    bench = await begun(dut)
    first, other = bench.order["images"]
    bench.sink.pause = True
    await bench.send(0, 3)
    await bench.source.wait()
    await bench.wait(300)
    pushing = cocotb.start_soon(bench.push(other))
    for _ in range(20):
        assert await bench.counter("CYCLES") > 0
    assert not await bench.read("STATUS") & READY
    answer = await bench.host.write(bench.registers["WEIGHTS"], bytes(4))
    assert answer.resp == AxiResp.SLVERR
    bench.sink.pause = False
    await bench.expect(0, 3)
    assert await pushing > 0
    assert await bench.read("STATUS") == bench.order["idle_status"]
    await bench.send(1, 2)
    for sample in (1, 2):
        assert await bench.packet() == bench.order["other_results"][sample]
    assert await bench.push(first) == 0
    await bench.send(1)
    await bench.expect(1)


@cocotb.test(timeout_time=TIMEOUT_US, timeout_unit="us", skip=FIXED_WEIGHTS)
async def an_image_right_after_a_reset_is_loaded(dut: Any) -> None:
    """Behind nothing, an inference that waits, a part of one, and a part of an image.

    And a packet that breaks during a load of weights does not disturb it.
    """
    bench = await begun(dut)
    _, other = bench.order["images"]
    words = bench.words(bench.order["samples"][1])
    for waits, part, n_loaded in ((), 0, 0), ((0,), 0, 0), ((0,), 2, 0), ((), 2, 0), ((), 0, 9):
        bench.sink.pause = True
        await bench.send(*waits)
        await bench.source.wait()
        await bench.wait(300)
        if part:
            await bench.half_sent(1, part)
        await bench.push(other[:n_loaded])
        await bench.write("CONTROL", 1)
        pushing = cocotb.start_soon(bench.push(other))
        await bench.wait(40)
        bench.sink.pause = False
        await bench.expect(*waits)
        if part:
            await bench.source.send(bench.frame(words[part:]))
        else:
            await bench.source.send(bench.frame(words[:1]))  # too short
        await pushing
        assert await bench.read("STATUS") == bench.order["idle_status"]
        await bench.send(2)
        assert await bench.packet() == bench.order["other_results"][2]
        await bench.push(bench.order["images"][0])
    await bench.quiet()
    assert await bench.read("ERRORS") == 3


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
        if register.get("name") in {"CONTROL", "SCRATCH", "WEIGHTS"}:
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
    await bench.source.send(bench.frame([0] * (len(bench.words(order["samples"][0])) + 1)))
    await bench.source.wait()
    await bench.wait(20)
    assert await bench.read("ERRORS") == 1
    await bench.write("CONTROL", 2)
    assert await bench.counter("CYCLES") < 100
    assert await bench.read("ERRORS") == 0
    assert await bench.counter("INFERENCES") == 0
    counters = [c["name"] for c in order["registers"]["counters"]]
    for k, name in enumerate(counters):  # as if it had counted that far
        getattr(dut, f"counter_{name.lower()}").high.value = 0x1000 + k
    await bench.wait(2)
    for k, name in enumerate(counters):
        assert await bench.counter(name) >> 32 == 0x1000 + k, name
    first = await bench.counter("CYCLES")
    since = bench.clocks
    await bench.wait(500)
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
    await bench.wait(1000)
    bench.sink.pause = False
    await bench.expect(*everything)
    await sending
    await bench.quiet()
