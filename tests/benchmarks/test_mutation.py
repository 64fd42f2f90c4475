"""Mutants of emitted Verilog: found in the text, each with one fault, and caught by the bench."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from convexon.data.encoder import EncoderKind
from convexon.plan.mapping import Folded, Weights
from convexon.snn.decision import Rule
from convexon_sim.bench.runner import simulate_all
from convexon_sim.programs.volume import run_volume
from convexon_sim.simulator import SimulatorKind, find
from sim_bench import icarus
from tiers import exhaustive, leading


def benchmark(name: str) -> ModuleType:
    """A module of benchmarks/, under another name: tests have a module of its name."""
    folder = Path(__file__).parents[2] / "benchmarks"
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutants = benchmark("mutants")
mutation = importlib.import_module("mutation")  # its neighbour, found as the benchmark finds it
Fault, Mutant = mutation.Fault, mutation.Mutant
chosen, is_equivalent, places = mutation.chosen, mutation.is_equivalent, mutation.places

pytestmark = pytest.mark.usefixtures("build_cache")

TEXT = """\
module part(clk, rst, a, b, c, o__valid);
  assign c = a + b;
  assign \\$1  = ~ a;
  assign \\$2  = rst ? 1'h0 : \\$3 ;
  assign \\$3  = b ? a[2] : 3'h5;
  assign \\alias  = a;
  always @(posedge clk)
    o__valid <= \\$2 ;
endmodule
"""


def test_every_place_is_found() -> None:
    assert [(m.fault, m.line, m.after.partition(" = ")[2]) for m in places(TEXT)] == [
        (Fault.OPERATOR, 2, "a - b;"),
        (Fault.INVERSION, 3, "a;"),
        (Fault.RESET, 4, "rst ? 1'h1 : \\$3 ;"),
        (Fault.CONSTANT, 5, "b ? a[2] : 3'h6;"),
        (Fault.CHOICE, 5, "b ? 3'h5 : a[2];"),
        (Fault.STUCK, 5, "1'h0 ? a[2] : 3'h5;"),
        (Fault.STUCK, 5, "1'h1 ? a[2] : 3'h5;"),
        (Fault.INDEX, 5, "b ? a[1] : 3'h5;"),
    ]


def test_a_mutant_differs_in_its_line_alone() -> None:
    for mutant in places(TEXT):
        lines = zip(TEXT.split("\n"), mutant.verilog.split("\n"), strict=True)
        changed = [(k, a.strip(), b.strip()) for k, (a, b) in enumerate(lines, 1) if a != b]
        assert changed == [(mutant.line, mutant.before, mutant.after)]
        assert mutant.module == "part"


def test_the_same_seed_chooses_the_same_mutants_of_many_faults() -> None:
    first, again = chosen(TEXT, 6, seed=1), chosen(TEXT, 6, seed=1)
    assert [str(m) for m in first] == [str(m) for m in again]
    assert len({m.fault for m in first}) == 6, "a fault comes again after all others"
    assert len(chosen(TEXT, 99, seed=1)) == 8


SAME = """\
module top(clk, a, b, o);
  input clk, a, b;
  output reg o;
  wire c;
  assign c = a & b;
  always @(posedge clk) o <= c;
endmodule
"""


@pytest.mark.parametrize(("after", "same"), [("~(~a | ~b)", True), ("a | b", False)])
def test_only_what_is_proved_the_same_is_equivalent(after: str, same: bool) -> None:
    mutant = Mutant(
        fault=Fault.OPERATOR,
        module="top",
        line=5,
        before="",
        after="",
        verilog=SAME.replace("a & b", after),
    )
    assert is_equivalent(SAME, mutant, top="top") is same


SUBJECTS = {s.name: s for s in mutants.subjects() if s.name != "checksum"}  # its proof has those
COUNTS = {"spatial": 36, "certain": 8, "cells": 12, "axi": 6}
"""Mutants of a design here, where they are not 4; the benchmark has more."""
REPEATS = (
    *("seeded", "loaded", "rate", "hold", "axi", "crossing"),
    *("states", "lanes", "cells", "integrators"),
)
"""Designs of parts that others here have, or that have mutants of their own beside their tests."""


def test_subjects_are_of_every_kind() -> None:
    mappings = [subject.mapping for subject in SUBJECTS.values()]
    choices = [choice for m in mappings for layers in m.layers for choice in layers]
    weights = {choice.weights for choice in choices if isinstance(choice, Folded)}
    assert weights == set(Weights)
    assert {m.encoder.kind for m in mappings if m.encoder is not None} == set(EncoderKind)
    assert {m.decision.rule for m in mappings} == set(Rule)
    assert "axi" in SUBJECTS


@pytest.mark.parametrize("share", leading([0.5, 1.0]))
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=exhaustive) if name in REPEATS else name for name in SUBJECTS],
)
def test_mutants_of_a_design_are_caught(name: str, share: float) -> None:
    icarus()
    count = int(share * COUNTS.get(name, 4))
    found = mutants.verdicts(SUBJECTS[name], count)
    missed = [str(mutant) for mutant, verdict, _ in found if verdict == mutants.MISSED]
    assert not missed
    caught = [mutant for mutant, verdict, _ in found if verdict == mutants.CAUGHT]
    unproved = (mutants.REFUTED, mutants.UNPROVED)
    refuted = [mutant for mutant, verdict, _ in found if verdict in unproved]
    assert caught
    assert len(caught) + len(refuted) >= len(found) / 2
    if name == "spatial":
        assert len(caught) >= 5 * count / 6
        assert {mutant.fault for mutant in caught} == set(Fault)


def test_pattern_chooses_modules() -> None:
    verilog = SUBJECTS["certain"].verilog
    found = chosen(verilog, 12, seed=2, within="sequencer|decision")
    assert len(found) == 12
    assert {m.module.split(".")[1] for m in found} == {"sequencer", "decision"}


@pytest.mark.parametrize("count", leading([3, 24]))
def test_verilator_rejects_what_icarus_rejects_and_in_the_same_words(count: int) -> None:
    """By both ways through Verilator; a mutant that Icarus finds by unknown bits is not for it."""
    subject, verilator = SUBJECTS["spatial"], find(SimulatorKind.VERILATOR)
    smooth = subject.trials[0]
    texts = [mutant.verilog for mutant in chosen(subject.verilog, count, seed=2)]
    designs = [dataclasses.replace(subject.bundle, verilog=text) for text in texts]
    trials = [dataclasses.replace(smooth, bundle=design) for design in designs]
    wanted, found = simulate_all(trials, icarus()), simulate_all(trials, verilator)
    known = [k for k, verdict in enumerate(wanted) if "unknown bits" not in str(verdict.first)]
    for k in known:
        volume = run_volume(trials[k], verilator).verification
        assert found[k].first == volume.first == wanted[k].first
        assert found[k].mismatches == volume.mismatches == wanted[k].mismatches
    assert sum(not wanted[k].passed for k in known) > count // 2
