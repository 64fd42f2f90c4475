# amaranth: UnusedElaboratable=no
"""The accelerator behind AXI, in both simulators, with cocotbext-axi on every port."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Value

from convexon.data.encoder import Encoder, EncoderKind
from convexon.plan.image import weight_image
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.plan.schedule import Schedule
from convexon.snn.decision import Decision, Rule
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import pretty
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.axi import accelerator as axi_accelerator
from convexon_hdl.axi.accelerator import EXTRA_LATENCY, AxiAccelerator
from convexon_hdl.axi.bank import RegisterBank
from convexon_hdl.axi.framing import InferenceGuard, PacketFormat
from convexon_hdl.axi.packing import ResultPacker
from convexon_hdl.emit.emitter import AXI_TOP, to_verilog
from convexon_hdl.ports import describe
from convexon_hdl.streams import SkidBuffer
from convexon_sim.bench.packing import pack
from convexon_sim.bench.runner import CocotbTests, probed, run_bench
from convexon_sim.build import bench_program
from convexon_sim.simulator import Simulator, SimulatorKind, find
from faulty_parts import mutated
from rules_cases import Case
from sim_bench import icarus, loaded_mapping, other_weights, rich_network, small_network
from strategies import image_words
from tiers import exhaustive, leading

DIGEST = "sha256:" + "0123456789abcdef" * 4
SCENARIOS, LOAD_SCENARIOS = 7, 2
SEED = 7


def axi(
    network: FixedPointNetwork,
    width: int,
    mapping: Mapping | None = None,
) -> AxiAccelerator:
    accelerator = Accelerator(network, mapping=mapping or Mapping.spatial(network))
    return axi_accelerator.AxiAccelerator(accelerator, width=width, digest=DIGEST)


def order_of(hardware: AxiAccelerator, n_samples: int) -> dict[str, Any]:
    """What the bench is to send and to expect; all numbers come from the golden model."""
    network, width = hardware.accelerator.network, hardware.width
    mapping = hardware.accelerator.mapping
    case = Case(network, mapping)
    transfers, steps = case.levels[:n_samples], case.expected.steps
    encoder, n_transfers = mapping.encoder, transfers.shape[1]
    bits = network.input_bits if encoder is None else encoder.bits
    slot_bytes = 4
    record_words = -(-(1 + network.n_classes) * 8 * slot_bytes // width)
    schedule = Schedule.of(network, mapping)
    latency = interval = None
    if schedule.is_constant:
        latency = schedule.latency_cycles - (n_transfers - 1) + EXTRA_LATENCY
        interval = schedule.initiation_interval_cycles
    n_words = -(-network.n_inputs * bits // width)
    loaded = hardware.accelerator.is_loadable
    return {
        "registers": hardware.register_map.to_json(),
        "samples": [[pack(transfer, bits) for transfer in sample] for sample in transfers],
        "results": results_of(case.expected)[:n_samples],
        "steps": None if steps is None else steps[:n_samples].tolist(),
        "probes": describe(hardware.accelerator, top=AXI_TOP)["probes"],
        "spikes": [
            [[pack(step, 1) for step in sample] for sample in layer.spikes[:n_samples]]
            for _, _, layer in case.expected.flat_layers()
        ],
        "n_steps": network.n_steps,
        "n_classes": network.n_classes,
        "words_per_transfer": n_words,
        "slot_bytes": slot_bytes,
        "record_words": record_words,
        "record_bytes": record_words * width // 8,
        "per_step": network.readout_mode is ReadoutMode.STEP,
        "aborted": (1 << 8 * slot_bytes) - 1,
        "latency_from_last_word": latency,
        "interval": interval,
        "idle_status": 0b101100 if loaded else 0b001000,
        **(images_of(case) if loaded else {"images": []}),
        "constants": {
            "ID": 0x4E585643,
            "VERSION": 2,
            "DIGEST_HIGH": 0x01234567,
            "DIGEST_LOW": 0x89ABCDEF,
            "N_INPUTS": network.n_inputs,
            "INPUT_BITS": bits,
            "N_STEPS": network.n_steps,
            "N_CLASSES": network.n_classes,
            "N_BRANCHES": len(network.branches),
            "N_LAYERS": sum(branch.depth for branch in network.branches),
            "STREAM": width | 32 << 16,
            "WORDS": n_words | record_words << 16,
            "N_TRANSFERS": n_transfers,
        },
    }


def results_of(trace: SpikeTrace) -> list[Any]:
    """Label and scores of every result of every sample."""
    results: list[Any] = np.concatenate([trace.labels[..., None], trace.scores], axis=2).tolist()
    return results


def images_of(case: Case) -> dict[str, Any]:
    """Images of the network and of another one, and what that one gives."""
    other = Case(other_weights(case.network), case.mapping)
    images = [image_words(weight_image(own.network, own.mapping)) for own in (case, other)]
    assert not np.array_equal(other.expected.labels, case.expected.labels)
    return {"images": images, "other_results": results_of(other.expected)}


def verdicts(
    hardware: AxiAccelerator,
    simulator: Simulator,
    folder: Path,
    *,
    n_samples: int = 6,
    test_filter: str = "",
    verilog: str = "",
) -> dict[str, bool]:
    """Run the bench's scenarios, on another text if one is given; whether each passed, by name."""
    order = {**order_of(hardware, n_samples), "seed": SEED}
    limit = "50" if hardware.accelerator.schedule.is_constant else "400"
    program = bench_program(
        verilog or to_verilog(hardware, AXI_TOP),
        simulator,
        top=AXI_TOP,
        public=[(AXI_TOP, "*"), ("*.counter_*", "high"), *probed(order)],
        timeout=600,
    )
    (folder / "order.json").write_text(pretty(order))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        environment = {
            "CONVEXON_AXI_ORDER": str(folder / "order.json"),
            "CONVEXON_AXI_TIMEOUT_US": limit,
            "COCOTB_TEST_FILTER": test_filter,
        }
        tests = CocotbTests(top=AXI_TOP, module="axi_bench", seed=SEED, variables=environment)
        ended = run_bench(program, simulator, tests, folder=folder, timeout=600)
    assert (folder / "results.xml").exists(), ended.output[-3000:]
    (folder / "log").write_text(ended.output)
    cases = ElementTree.parse(folder / "results.xml").iter("testcase")
    return {
        str(case.get("name")): case.find("failure") is None and case.find("error") is None
        for case in cases
        if case.find("skipped") is None
    }


def passes(hardware: AxiAccelerator, simulator: Simulator, folder: Path) -> None:
    found = verdicts(hardware, simulator, folder)
    assert len(found) == SCENARIOS + LOAD_SCENARIOS * hardware.accelerator.is_loadable
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
        pytest.param(wide_network(), 32, marks=exhaustive),
        pytest.param(wide_network(), 128, marks=exhaustive),
        pytest.param(small_network(ReadoutMode.SIGN), 64, marks=exhaustive),
        pytest.param(small_network(ReadoutMode.STEP), 32, marks=exhaustive),
    ],
    ids=["rich", "three-words", "one-wide-word", "sign", "step"],
)
def test_axi_in_icarus(network: FixedPointNetwork, width: int, tmp_path: Path) -> None:
    passes(axi(network, width), icarus(), tmp_path)


RATE = Encoder(kind=EncoderKind.RATE, bits=4, seed=9)
LEVELS = Encoder(kind=EncoderKind.THRESHOLD, bits=6)
FIRST = Decision(rule=Rule.THRESHOLD, threshold=-12)
CERTAIN = Decision(rule=Rule.CERTAIN)


def long_network() -> FixedPointNetwork:
    """Inputs of one bit, steps of two words, and enough of them to decide early."""
    return dataclasses.replace(wide_network(), input_bits=1, n_steps=9)


LONG = Mapping.spatial(long_network(), Spatial(registers=1))
FOLDED = Mapping(layers=((Folded(lanes=4, updates=2),),))


@pytest.mark.parametrize(
    ("mapping", "width"),
    [
        (dataclasses.replace(LONG, encoder=RATE), 32),
        (dataclasses.replace(LONG, encoder=LEVELS, decision=FIRST), 32),
        pytest.param(
            dataclasses.replace(LONG, encoder=RATE, decision=CERTAIN), 64, marks=exhaustive
        ),
        pytest.param(dataclasses.replace(LONG, decision=FIRST), 32, marks=exhaustive),
        pytest.param(
            dataclasses.replace(FOLDED, encoder=RATE, decision=FIRST), 32, marks=exhaustive
        ),
        pytest.param(dataclasses.replace(FOLDED, decision=FIRST), 32, marks=exhaustive),
    ],
    ids=["rate", "levels-first", "rate-certain", "first", "folded-rate-first", "folded-first"],
)
def test_encoders_and_early_decisions_behind_axi(
    mapping: Mapping, width: int, tmp_path: Path
) -> None:
    steps = Case(long_network(), mapping).expected.steps
    assert (steps is None) == (mapping.decision.rule is Rule.END)
    assert steps is None or len(set(steps[:6].tolist())) > 1
    passes(axi(long_network(), width, mapping=mapping), icarus(), tmp_path)


@pytest.mark.parametrize(
    "mapping",
    [FOLDED, Mapping(layers=((Folded(lanes=3, banks=2),),), readout=Folded(lanes=3))],
    ids=["places-without-a-neuron", "folded-readout"],
)
@exhaustive  # the quick tier has folded layers whose weights are loaded
def test_folded_layers_behind_axi(mapping: Mapping, tmp_path: Path) -> None:
    """Of groups of two updates, the last holds one neuron and a place without one."""
    passes(axi(wide_network(), 32, mapping=mapping), icarus(), tmp_path)


@exhaustive
def test_engine_of_two_branches_behind_axi(tmp_path: Path) -> None:
    """Groups of which the first branch has three neurons, and the second four that begin within."""
    network = rich_network()
    folded = Folded(lanes=2, updates=2)
    mapping = Mapping(layers=((folded,), (folded, Spatial())))
    passes(axi(network, 32, mapping=mapping), icarus(), tmp_path)


@pytest.mark.parametrize("network", leading([rich_network(), wide_network()]), ids=["rich", "wide"])
def test_loaded_weights_behind_axi(network: FixedPointNetwork, tmp_path: Path) -> None:
    passes(axi(network, 32, mapping=loaded_mapping(network)), icarus(), tmp_path)


@pytest.mark.parametrize(
    ("network", "mapping"),
    [
        (rich_network(), None),
        pytest.param(
            long_network(),
            dataclasses.replace(LONG, encoder=LEVELS, decision=FIRST),
            marks=exhaustive,
        ),
    ],
    ids=["rich", "levels-first"],
)
def test_axi_in_verilator(
    network: FixedPointNetwork, mapping: Mapping | None, tmp_path: Path
) -> None:
    passes(axi(network, 32, mapping=mapping), find(SimulatorKind.VERILATOR), tmp_path)


HastyGuard = mutated(InferenceGuard, "drained = flight <= 0", "drained = Const(1)", Const=Const)
"""Resets the accelerator while whole inferences are inside."""


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


class GenerousCounters(AxiAccelerator):
    """Counts the record of an aborted inference as an inference."""

    def _counters(self, m: Module, bank: RegisterBank, taps: Any, aborted: Value) -> None:
        super()._counters(m, bank, taps, Const(0))


HurriedLoad = mutated(AxiAccelerator, "passes = guard.running", "passes = Const(1)")
"""Lets words of weights through while a reset is due."""

ZealousGuard = mutated(
    InferenceGuard, "collector.broken & collector.transfer.any()", "collector.broken"
)
"""Resets the accelerator for a packet of which nothing is inside."""

OverwritingBank = mutated(RegisterBank, "write_strobe.all() & ~load.valid", "write_strobe.all()")
"""Takes a word of weights in place of one that waits."""


RESULTS = "results_equal_the_golden_model"
WRONG = "wrong_tlast_loses_one_inference"
RESET = "soft_reset_loses_the_inference_under_way"
LOAD = "a_load_waits_and_holds_up_nothing"
IMAGE = "an_image_right_after_a_reset_is_loaded"
STEPS = small_network(ReadoutMode.STEP)


@pytest.mark.parametrize(
    ("part", "mutant", "network", "mapping", "scenario"),
    [
        ("InferenceGuard", HastyGuard, rich_network(), None, WRONG),
        pytest.param("InferenceGuard", HastyGuard, rich_network(), None, RESET, marks=exhaustive),
        pytest.param("InferenceGuard", HastyGuard, wide_network(), FOLDED, RESET, marks=exhaustive),
        ("InferenceGuard", MildGuard, rich_network(), None, WRONG),
        pytest.param("InferenceGuard", MildGuard, wide_network(), FOLDED, RESET, marks=exhaustive),
        ("InferenceGuard", SilentGuard, rich_network(), None, WRONG),
        ("SkidBuffer", SlowSkid, rich_network(), None, "throughput_and_latency"),
        # A sign is seen only where there is one.
        pytest.param(
            "ResultPacker", UnsignedPacker, wide_network(), None, RESULTS, marks=exhaustive
        ),
        ("ResultPacker", DroppingPacker, rich_network(), None, RESULTS),
        pytest.param(
            "AxiAccelerator", EarlyCounters, rich_network(), None, RESULTS, marks=exhaustive
        ),
        ("AxiAccelerator", GenerousCounters, STEPS, None, RESET),
        ("AxiAccelerator", HurriedLoad, wide_network(), loaded_mapping(wide_network()), IMAGE),
        ("InferenceGuard", ZealousGuard, wide_network(), loaded_mapping(wide_network()), IMAGE),
        ("RegisterBank", OverwritingBank, wide_network(), loaded_mapping(wide_network()), LOAD),
    ],
)
def test_axi_mutant_is_caught(
    part: str,
    mutant: type,
    network: FixedPointNetwork,
    mapping: Mapping | None,
    scenario: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(axi_accelerator, part, mutant)
    hardware = axi(network, 32, mapping)
    assert verdicts(hardware, icarus(), tmp_path, test_filter=scenario) == {scenario: False}


def test_words_are_counted_as_the_bench_counts() -> None:
    accelerator = axi(wide_network(), 32).accelerator
    assert PacketFormat.of(accelerator, 32).n_words == 3
    assert PacketFormat.of(accelerator, 128).n_words == 1
