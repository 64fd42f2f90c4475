"""The accelerator behind AXI, in both simulators, with cocotbext-axi on every port."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Value
from sim_bench import icarus, inputs_of, rich_network, small_network

from convexon import golden
from convexon.artefact import pretty
from convexon.mapping import Folded, Mapping
from convexon.network import FixedPointNetwork
from convexon.neuron import ReadoutMode
from convexon.schedule import Schedule
from convexon.simulator import Simulator, SimulatorKind, find
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.axi.accelerator import EXTRA_LATENCY, AxiAccelerator
from convexon_hdl.axi.framing import InferenceGuard, words_per_step
from convexon_hdl.axi.packing import ResultPacker
from convexon_hdl.elastic import SkidBuffer
from convexon_hdl.emit import AXI_TOP, to_verilog
from convexon_sim.packing import pack

DIGEST = "sha256:" + "0123456789abcdef" * 4
SCENARIOS = 6


def axi(
    network: FixedPointNetwork,
    width: int,
    cls: type[AxiAccelerator] = AxiAccelerator,
    mapping: Mapping | None = None,
) -> AxiAccelerator:
    accelerator = Accelerator(network, mapping=mapping or Mapping.spatial(network))
    return cls(accelerator, width=width, digest=DIGEST)


def order_of(hardware: AxiAccelerator, n_samples: int) -> dict[str, Any]:
    """What the bench is to send and to expect; all numbers come from the golden model."""
    network, width = hardware.accelerator.network, hardware.width
    inputs = inputs_of(network, n_samples)
    trace = golden.run(network, inputs)
    slots = 1 + network.n_classes
    slot_bytes = 4
    record_words = -(-slots * 8 * slot_bytes // width)
    schedule = Schedule.of(network, hardware.accelerator.mapping)
    latency = None  # of the last step
    if schedule.is_constant:
        latency = schedule.latency_cycles - (network.n_steps - 1) + EXTRA_LATENCY
    n_words = -(-network.n_inputs * network.input_bits // width)
    results = np.concatenate([trace.labels[..., None], trace.scores], axis=2)
    spikes = {
        f"SPIKES_{b}_{depth}": int(layer.spikes.sum())
        for b, layers in enumerate(trace.layers)
        for depth, layer in enumerate(layers)
    }
    return {
        "top": AXI_TOP,
        "verilog": "accelerator_axi.v",
        "registers": hardware.register_map.to_json(),
        "samples": [[pack(step, network.input_bits) for step in sample] for sample in inputs],
        "results": results.tolist(),
        "spikes": spikes,
        "n_steps": network.n_steps,
        "n_classes": network.n_classes,
        "words_per_step": n_words,
        "slot_bytes": slot_bytes,
        "record_words": record_words,
        "record_bytes": record_words * width // 8,
        "per_step": network.readout_mode is ReadoutMode.STEP,
        "aborted": (1 << 8 * slot_bytes) - 1,
        "latency_from_last_word": latency,
        "constants": {
            "ID": 0x4E585643,
            "VERSION": 1,
            "DIGEST_HIGH": 0x01234567,
            "DIGEST_LOW": 0x89ABCDEF,
            "N_INPUTS": network.n_inputs,
            "INPUT_BITS": network.input_bits,
            "N_STEPS": network.n_steps,
            "N_CLASSES": network.n_classes,
            "N_BRANCHES": len(network.branches),
            "N_LAYERS": len(spikes),
            "STREAM": width | 32 << 16,
            "WORDS": n_words | record_words << 16,
        },
    }


def verdicts(
    hardware: AxiAccelerator,
    simulator: Simulator,
    folder: Path,
    *,
    n_samples: int = 6,
    test_filter: str = "",
) -> dict[str, bool]:
    """Run the bench's scenarios; whether each passed, by name."""
    order = {
        **order_of(hardware, n_samples),
        "simulator": simulator.kind.value,
        "simulator_folder": str(simulator.folder),
        "environment": dict(simulator.environment),
        "build_arguments": ["-Wno-fatal", "--x-initial", "unique"]
        if simulator.kind is SimulatorKind.VERILATOR
        else [],
        "seed": 7,
        "timeout_us": "50" if hardware.accelerator.schedule.is_constant else "400",
        "filter": test_filter,
    }
    (folder / "accelerator_axi.v").write_text(to_verilog(hardware, AXI_TOP))
    (folder / "order.json").write_text(pretty(order))
    here = Path(__file__).parent
    paths = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(here / "axi_bench.py"), str(folder / "order.json")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    results = folder / "results.xml"
    assert results.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    cases = ElementTree.parse(results).iter("testcase")
    found = {
        str(case.get("name")): case.find("failure") is None and case.find("error") is None
        for case in cases
        if case.find("skipped") is None
    }
    (folder / "log").write_text(done.stdout + done.stderr)
    return found


def passes(hardware: AxiAccelerator, simulator: Simulator, folder: Path) -> None:
    found = verdicts(hardware, simulator, folder)
    assert len(found) == SCENARIOS
    assert all(found.values()), (found, (folder / "log").read_text()[-4000:])


def wide_network() -> FixedPointNetwork:
    """Steps of three words, and few of them."""
    from strategies import layer_of, network_of

    rng = np.random.default_rng(4)
    layer = layer_of(rng.integers(-3, 4, (41, 9)), rng.integers(3, 9, 9).tolist())
    return network_of(
        (layer,),
        n_steps=3,
        input_bits=2,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=rng.integers(-7, 8, (9, 3)),
        readout_biases=[-30, -12, -40],
    )


@pytest.mark.parametrize(
    ("network", "width"),
    [
        (rich_network(), 32),
        (wide_network(), 32),
        (wide_network(), 128),
        (small_network(ReadoutMode.SIGN), 64),
        (small_network(ReadoutMode.STEP), 32),
    ],
    ids=["rich", "three-words", "one-wide-word", "sign", "step"],
)
def test_axi_in_icarus(network: FixedPointNetwork, width: int, tmp_path: Path) -> None:
    passes(axi(network, width), icarus(), tmp_path)


def test_folded_layers_behind_axi(tmp_path: Path) -> None:
    """Groups of two updates, of which the last holds one neuron and a place without one."""
    network = wide_network()
    mapping = Mapping(layers=((Folded(lanes=4, updates=2),),))
    passes(axi(network, 32, mapping=mapping), icarus(), tmp_path)


def test_axi_in_verilator(tmp_path: Path) -> None:
    passes(axi(rich_network(), 32), find(SimulatorKind.VERILATOR), tmp_path)


class HastyGuard(InferenceGuard):
    """Resets the accelerator while whole inferences are inside."""

    def drained(self) -> Value:
        return Const(1)


class MildGuard(InferenceGuard):
    """Forgets to reset the accelerator."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.reset.eq(0)
        return m


class SilentGuard(InferenceGuard):
    """Does not report a broken packet."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.broken.eq(0)
        return m


class SlowSkid(SkidBuffer):
    """Takes a word only when it is empty: half the throughput."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(~self.o.valid & ~self.full)
        return m


class UnsignedPacker(ResultPacker):
    """Clears the signs of the scores."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.i.valid & self.i.ready):
            for slot in range(1, self.format.n_slots):
                m.d.sync += self.record.word_select(slot, self.format.slot_bits)[-1].eq(0)
        return m


class DroppingPacker(ResultPacker):
    """Lets a new result take the place of one that waits."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


class EarlyCounters(AxiAccelerator):
    """Counts the spikes of a step in every clock in which it waits."""

    def _spikes(self, m: Module, tap: Any) -> Any:
        return super()._spikes(m, dataclasses.replace(tap, completes=Const(1)))


@pytest.mark.parametrize(
    ("changes", "scenario"),
    [
        ({"guard_class": HastyGuard}, "wrong_tlast_loses_one_inference"),
        ({"guard_class": HastyGuard}, "soft_reset_loses_the_inference_under_way"),
        ({"guard_class": MildGuard}, "wrong_tlast_loses_one_inference"),
        ({"guard_class": SilentGuard}, "wrong_tlast_loses_one_inference"),
        ({"skid_class": SlowSkid}, "throughput_and_latency"),
        ({"packer_class": UnsignedPacker}, "results_equal_the_golden_model"),
        ({"packer_class": DroppingPacker}, "results_equal_the_golden_model"),
        ({"_spikes": EarlyCounters._spikes}, "results_equal_the_golden_model"),
    ],
)
def test_axi_mutant_is_caught(changes: dict[str, Any], scenario: str, tmp_path: Path) -> None:
    base = EarlyCounters if "_spikes" in changes else AxiAccelerator
    mutant = type("Mutant", (base,), {} if base is EarlyCounters else changes)
    # A sign is seen only where there is one.
    negative = changes.get("packer_class") is UnsignedPacker
    hardware = axi(wide_network() if negative else rich_network(), 32, mutant)
    assert verdicts(hardware, icarus(), tmp_path, test_filter=scenario) == {scenario: False}


def test_words_per_step_are_counted_as_the_bench_counts() -> None:
    assert words_per_step(wide_network(), 32) == 3
    assert words_per_step(wide_network(), 128) == 1
