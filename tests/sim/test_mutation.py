"""Mutants of emitted Verilog: found in the text, each with one fault, and caught by the bench."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from sim_bench import icarus

from convexon_sim.mutation import Fault, Mutant, chosen, is_equivalent, places

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


def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "mutants.py"
    spec = importlib.util.spec_from_file_location("mutants_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_thirty_mutants_of_an_accelerator_are_caught() -> None:
    icarus()
    bench = benchmark()
    trials = bench.trials_of(bench.subject())
    bundle = trials[0].bundle
    mutants = chosen(bundle.verilog, 36, seed=bench.SEED)
    found = bench.findings(trials, mutants)
    missed = [m for m, first in zip(mutants, found, strict=True) if first is None]
    different = [m for m in missed if not is_equivalent(bundle.verilog, m, top=bundle.top)]
    assert not different, str(different[0])
    assert len(mutants) - len(missed) >= 30
    assert {m.fault for m in mutants} == set(Fault)
