"""A prover that needs no more than Yosys.

A *specification* is an elaboratable that holds the component under proof, lets its inputs do
anything that its assumptions allow, and asserts a property of every clock. `prove` shows by
induction over time that the property holds forever, from reset and across any later reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from amaranth.hdl import Elaboratable

from convexon_hdl.arith.rtlil import convert
from convexon_hdl.emit import yosys

MAX_INDUCTION = 12
"""Longest induction that `prove` tries; the specifications here need one clock."""


class Verdict(Enum):
    """How a proof ended.

    ``PROVED``: the property holds forever. ``REFUTED``: a run from reset violates it.
    ``UNDECIDED``: neither was found within the longest induction.
    """

    PROVED = "proved"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


def prove(specification: Elaboratable, *, parts: Sequence[str] = ()) -> Verdict:
    """Prove ``specification`` by temporal induction in Yosys' SAT solver.

    ``parts`` are the modules that it instantiates, as Yosys' JSON. Raises `ToolError` if Yosys is
    missing, or fails for another reason than the property.
    """
    text = convert(specification, "top", ports=[])
    inputs = {f"part{k}.json": part for k, part in enumerate(parts)}
    script = [
        *(f"read_json {name}" for name in inputs),
        "read_rtlil top.il",
        "prep -top top -flatten",
        "memory_map",
        "async2sync",
        "chformal -lower",
        "dffunmap",
        f"sat -verify -prove-asserts -set-assumes -seq 1 -tempinduct -maxsteps {MAX_INDUCTION} top",
    ]
    ended, _ = yosys.attempt(script, inputs={**inputs, "top.il": text})
    if not ended.code:
        return Verdict.PROVED
    if "model found for base case" in ended.output:
        return Verdict.REFUTED
    if "proof did fail" in ended.output:
        return Verdict.UNDECIDED
    raise ended.failure
