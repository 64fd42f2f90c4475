# amaranth: UnusedElaboratable=no
"""Proof by parts of emitted networks, and faults in their text that it must find."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Elaboratable, Instance, Module, Signal, Value
from click.testing import CliRunner
from component_proofs import component_obligations, prove_components
from hdl_bench import random_layer, random_network
from proof_bench import Subject, replaced

from convexon.cli import app
from convexon.errors import MismatchError
from convexon.plan.mapping import Mapping, Spatial, Sums
from convexon.snn.card import CARD
from convexon.snn.fixed import QFormat
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.store.artefact import load, save
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.core.layer import LIFLayer
from convexon_hdl.core.lif import LIF
from convexon_hdl.core.readout import Argmax
from convexon_hdl.emit.emitter import TOP, emit
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.linear import BITS, Affine, Reading
from convexon_hdl.formal.netlist.netlist import Netlist, RefutedError
from convexon_hdl.formal.netlist.part import Part
from convexon_hdl.formal.network import left_to_simulation, obligations
from convexon_hdl.formal.obligation import prove_all, report_on
from convexon_hdl.formal.parts.tournament import whole_tournament
from convexon_hdl.formal.proofs import PROOFS
from convexon_hdl.formal.prover import Verdict, prove
from tiers import leading


def network(mode: ReadoutMode = ReadoutMode.COUNT, *, input_bits: int = 1) -> FixedPointNetwork:
    """Two branches of different depth, one recurrent with a synaptic current, of three kinds."""
    rng = np.random.default_rng(7)
    deep = (random_layer(rng, 5, 3), random_layer(rng, 3, 2, reset=Reset.ZERO))
    wide = (random_layer(rng, 5, 2, recurrent=True, saturation=QFormat(4), synapse=Leak(1, 2)),)
    return random_network(rng, (deep, wide), mode=mode, n_steps=3, input_bits=input_bits)


MAPPINGS = {
    "plain": Mapping.spatial(network()),
    "registers": Mapping.spatial(network(), Spatial(registers=2, sums=Sums.SHARED)),
}


@cache
def subject(name: str) -> Subject:
    return Subject(network(), MAPPINGS[name])


@pytest.mark.parametrize("name", leading(reversed(MAPPINGS)))
def test_every_part_of_a_spatial_network_is_proved(name: str) -> None:
    report = report_on(subject(name).proofs, left_to_simulation(network(), MAPPINGS[name]))
    assert report.failures == ()
    assert report.left_to_simulation == ()
    counts = {kind.kind: kind.total for kind in report.kinds}
    assert counts["neuron"] == network().n_neurons
    assert counts["sum"] == network().n_neurons + network().n_classes
    assert counts["handshake"] == 4  # two stages, readout and decision
    assert report.passed == report.total == sum(counts.values())
    report.require_proved()


@pytest.mark.parametrize("mode", [ReadoutMode.SIGN, ReadoutMode.STEP])
def test_other_readouts_and_intensities_are_proved(mode: ReadoutMode) -> None:
    net = network(mode, input_bits=2)
    mapping = Mapping.spatial(net)
    due = obligations(net, mapping, emit(net, mapping).verilog)
    proofs = prove_all(each for each in due if each.kind != "neuron")
    assert [proof for proof in proofs if proof.verdict is not Verdict.PROVED] == []


def test_equal_neurons_cost_one_proof() -> None:
    rng = np.random.default_rng(2)
    layer = random_layer(rng, 4, 1)
    twins = dataclasses.replace(
        layer,
        weights=np.repeat(layer.weights, 6, axis=1),
        thresholds=np.repeat(layer.thresholds, 6),
        biases=np.repeat(layer.biases, 6),
    )
    net = random_network(rng, ((twins,),))
    twin = Subject(net, Mapping.spatial(net))
    proofs = [p for p in twin.proofs if p.kind == "neuron"]
    assert [proof.is_new for proof in proofs] == [True, *[False] * 5]
    kind = report_on(proofs).kinds[0]
    assert (kind.passed, kind.total, kind.distinct) == (6, 6, 1)


LAYER = "module \\accelerator.stage0.branch0 "
NEURON = "module \\accelerator.stage0.branch0.neuron1 "
MUTANTS = {
    "two inputs swapped": (
        r"\.inputs\((i__payload\[4:0\])\)",
        r".inputs({i__payload[4:2], i__payload[0], i__payload[1]})",
        "",
        "sum of stage0",
    ),
    "another neuron's current": (
        r"\.current\((\\current\$\d+ )\)",
        r".current(current)",
        LAYER,
        "sum of stage0.branch",
    ),
    "a bit of a table flipped": (
        r"16'h([0-9a-f]{3})[0-7]",
        r"16'h\g<1>f",
        LAYER,
        "sum of stage0.branch",
    ),
    "an instance without reset": (
        r"\.rst\(rst\)",
        r".rst(1'h0)",
        "module accelerator",
        "clock and reset of accelerator",
    ),
    "reset value of a register": (
        r"\brst \? (\d+)'h0+ :",
        r"rst ? \1'h1 :",
        NEURON,
        "clock and reset of accelerator",
    ),
    "spikes at a threshold one higher": (
        r">= (\$signed\()?(\d+)'(s?)h(\w)",
        r"> \g<1>\2'\3h\4",
        NEURON,
        "neuron of stage0.branch0.neuron",
    ),
    "a stage that does not wait for the next": (
        r"\.o__ready\(\\\S+ \)",
        r".o__ready(1'h1)",
        "\\accelerator.stage1  stage1 ",
        "stream of stage1 to readout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_fault_in_the_text_is_found(name: str) -> None:
    pattern, replacement, after, where = MUTANTS[name]
    text = replaced(subject("plain").verilog, pattern, replacement, after=after)
    assert text != subject("plain").verilog
    report = report_on(subject("plain").failures(text))
    assert any(where in failure for failure in report.failures), report.failures
    with pytest.raises(MismatchError, match="obligations are not proved; the first is"):
        report.require_proved()


def test_register_of_the_pipeline_that_never_stalls_is_found() -> None:
    text = subject("registers").verilog
    module = "module \\accelerator.argmax "
    text = replaced(text, r"advance0 \? (\S+) : (\S+?) ?;", r"\1;", after=module)
    assert [proof.kind for proof in subject("registers").failures(text)] == ["tournament"]


def reading_of(body: str, *, interval: int = 4) -> tuple[Reading, Netlist]:
    """Meanings over the bits of x in a module of its own."""
    ports = f"input clk, input rst, input [{interval - 1}:0] x, output [7:0] y"
    text = f"module t({ports});{body}endmodule"
    netlist = Netlist(text, top="t")
    words = {f"x{k}": ((bit,), BITS) for k, bit in enumerate(netlist.ports["x"])}
    return Reading(netlist, words), netlist


@pytest.mark.parametrize(
    ("body", "factors", "constant"),
    [
        ("assign y = x[0] + x[1] + 8'd3;", {"x0": 1, "x1": 1}, 3),
        ("assign y = {x[0], 2'b0} - x[3];", {"x0": 4, "x3": -1}, 0),
        ("wire [1:0] t = 4'b1001 >> x[1:0] ; assign y = t[0] - x[0];", None, 0),
        ("assign y = x[2] ? 8'd5 : 8'd250;", {"x2": 11}, -6),
        ("wire [1:0] n = x[0] + x[1] + x[2] + x[3]; assign y = {6'b0, n};", None, 0),
        ("wire [2:0] n = x[0] + x[1] + x[2] + x[3]; assign y = {5'b0, n};", "all", 0),
        ("assign y = {x[0], 7'b0};", {"x0": -128}, 0),
        ("assign y = x[0] & x[1];", None, 0),
    ],
)  # fmt: skip
def test_words_are_read_as_what_they_are(
    body: str, factors: dict[str, int] | str | None, constant: int
) -> None:
    reading, netlist = reading_of(body)
    if factors is None:
        with pytest.raises(RefutedError):
            reading.word(netlist.ports["y"], signed=True)
        return
    if isinstance(factors, str):
        factors = {f"x{k}": 1 for k in range(4)}
    own = reading.word(netlist.ports["y"], signed=True)
    assert own == Affine({(name, 0): factor for name, factor in factors.items()}, constant)


class PlainSum(Elaboratable):
    """A word of the text against the plain sum of the network's weights, for the solver."""

    def __init__(self, part: Part, weights: list[int], bias: int) -> None:
        self.part, self.weights, self.bias = part, weights, bias

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = Signal(self.part.inputs["inputs"])
        current = Signal(self.part.outputs["current"])
        m.d.comb += bits.eq(AnySeq(len(bits)))
        m.submodules.part = Instance("part", i_inputs=bits, o_current=current)
        total: Value = Signal(16, init=self.bias & 0xFFFF)
        for bit, weight in zip(bits, self.weights, strict=True):
            total = (total + bit * weight)[:16]
        m.d.comb += Assert(current == total[: len(current)])
        return m


@pytest.mark.parametrize("broken", [False, True])
def test_solver_and_reading_agree_on_sums(broken: bool) -> None:
    net, mapping = network(), MAPPINGS["plain"]
    netlist = Netlist(subject("plain").verilog, top=TOP)
    names = Emitted(Accelerator(net, mapping=mapping), netlist)
    layer = names.of_type(LIFLayer)[0]
    inputs = names.bits(layer.inputs)
    reading = Reading(netlist, {f"x{k}": ((bit,), BITS) for k, bit in enumerate(inputs)})
    for j, neuron in enumerate(names.of_type(LIF, layer)):
        current = names.bits(neuron.current)
        weights = [int(w) for w in layer.layer.weights[:, j]]
        weights[0] += broken
        bias = int(layer.layer.biases[j])
        signed = neuron.current.shape().signed
        own = reading.word(current, signed=signed)
        expected = Affine.of((((f"x{i}", 0), w) for i, w in enumerate(weights)), bias)
        assert (own == expected) is not broken
        part = Part(netlist, inputs={"inputs": inputs}, outputs={"current": current})
        verdict = prove(PlainSum(part, weights, bias), parts=[part.text])
        assert (verdict is Verdict.PROVED) is not broken


def test_solver_and_reading_agree_on_the_tournament() -> None:
    net, mapping = network(), MAPPINGS["registers"]
    netlist = Netlist(subject("registers").verilog, top=TOP)
    emitted = Emitted(Accelerator(net, mapping=mapping), netlist)
    whole = whole_tournament(emitted, emitted.of_type(Argmax)[0])
    assert whole.check() is Verdict.PROVED
    text = replaced(
        subject("registers").verilog,
        r"(\$signed\(\S+\)) > (\$signed\(\S+\))",
        r"\2 > \1",
        after="module \\accelerator.argmax ",
    )
    assert [p.kind for p in subject("registers").failures(text)] == ["tournament"]


def test_component_proofs_are_a_fixed_list() -> None:
    due = component_obligations()
    assert len({(each.kind, each.where) for each in due}) == len(due) >= 50
    assert {each.kind for each in due} == {"neuron", "sum", "stream", "axi"}
    first = next(prove_components())
    assert first.verdict is Verdict.PROVED
    assert [p.verdict for p in prove_all(due[-2:])] == [Verdict.PROVED] * 2


def test_command_proves_a_run_and_resumes(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    net = random_network(rng, ((random_layer(rng, 3, 2),),), n_steps=2, n_classes=2)
    save(CARD, net, tmp_path / "card.json")
    runner = CliRunner()
    result = runner.invoke(app, ["prove", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert re.search(r"prove: (\d+) of \1 obligations proved", result.stdout)
    report, _ = load(PROOFS, tmp_path / "proofs.json")
    assert report.passed == report.total > 10
    assert "there already" in runner.invoke(app, ["prove", str(tmp_path)]).stdout
    (tmp_path / "proofs.json").unlink()
    kept = (tmp_path / "proved.txt").read_text()
    assert runner.invoke(app, ["prove", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "proved.txt").read_text() == kept  # nothing was proved again
    head = json.loads((tmp_path / "proofs.json").read_text())
    assert set(head["parents"]) == {"card", "rtl"}
