"""Formal specifications, and a prover that needs no more than Yosys.

A *specification* is an elaboratable that holds the component under proof, lets its inputs do
anything that its assumptions allow, and asserts a property of every clock. `prove` shows by
induction over time that the property holds forever, from reset and across any later reset.

The ranges that size a neuron come from `convexon.snn.ranges`, and so do those that its
specification asserts. That is no circle, as nothing is assumed of them: they are the invariant of
the induction. The prover must show, of the RTL and for every current, that a step from any membrane
in the range of step t ends in the range of step t + 1. A range that is too narrow is left by some
run, which the prover finds, so a fault in the analysis is refuted like one in the hardware; a test
has such ranges. What is assumed is the range of the current alone, a sum of constants that
`convexon.snn.ranges` bounds term by term.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from amaranth.asserts import AnySeq
from amaranth.back import rtlil
from amaranth.hdl import (
    Assert,
    Assume,
    Cat,
    Const,
    Elaboratable,
    Module,
    Mux,
    ResetSignal,
    Signal,
    Value,
    signed,
)
from amaranth.lib import wiring

from convexon.errors import InputError
from convexon.plan.adders.graph import Addend, AdderGraph
from convexon.snn.fixed import Interval, width_of
from convexon.snn.neuron import Reset
from convexon.snn.ranges import leaked, reset_range
from convexon_hdl.arith.arithmetic import shape_of
from convexon_hdl.arith.lowering import lower
from convexon_hdl.core.lif import LIF, NeuronParameters
from convexon_hdl.emit import yosys
from convexon_hdl.streams import Chain, ElasticRegister

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


@dataclass(frozen=True)
class ProofResult:
    """Outcome of one proof.

    Members
    -------
    name : str
        Class of the specification.
    verdict : Verdict
    seconds : float
        Wall time.
    """

    name: str
    verdict: Verdict
    seconds: float


def prove(specification: Elaboratable, *, parts: Sequence[str] = ()) -> ProofResult:
    """Prove ``specification`` by temporal induction in Yosys' SAT solver.

    Parameters
    ----------
    specification : Elaboratable
    parts : sequence of str
        Modules that it instantiates, as Yosys' JSON.

    Raises
    ------
    ToolError
        If Yosys is missing, or fails for another reason than the property.
    """
    started = time.monotonic()
    text = rtlil.convert(specification, name="top", ports=[], emit_src=False, platform="formal")
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
    try:
        yosys.run(script, inputs={**inputs, "top.il": text})
        verdict = Verdict.PROVED
    except yosys.YosysError as error:
        if "model found for base case" in error.log:
            verdict = Verdict.REFUTED
        elif "proof did fail" in error.log:
            verdict = Verdict.UNDECIDED
        else:
            raise
    return ProofResult(type(specification).__name__, verdict, time.monotonic() - started)


class ContractSpecification(Elaboratable):
    """The contract of a neuron stays within the ranges that interval analysis gives.

    The contract of `convexon.snn.neuron` is written down plainly, with registers far wider than
    needed. The current takes any value of its range in every clock, steps come and stall at will,
    and an inference has ``n_steps`` steps. Asserted in every clock: after step t the membrane lies
    in the range that interval analysis gives for step t, which makes the property inductive and
    checks the analysis too; and the value before saturation and threshold lies in the range that
    sizes it.

    Parameters
    ----------
    parameters : NeuronParameters
    n_steps : int
    """

    def __init__(self, parameters: NeuronParameters, *, n_steps: int) -> None:
        if n_steps < 1:
            raise InputError(f"n_steps must be at least 1, not {n_steps!r}")
        self.parameters = parameters
        self.n_steps = n_steps

    def elaborate(self, platform: object) -> Module:
        """Build the contract and the property."""
        m = Module()
        parameters = self.parameters
        step = Signal(range(self.n_steps + 1))
        spike = Signal()
        # Room for d * v, and for values outside the ranges on which the solver starts an induction.
        width = width_of(parameters.integrated | parameters.membrane) + parameters.leak.f + 3
        membrane = Signal(signed(width))
        current = Signal(signed(width))
        enable = Signal()
        m.d.comb += [current.eq(self._driven(m)), enable.eq(AnySeq(1))]
        plain = Signal(signed(width))
        integrated = Signal(signed(width))
        after = Signal(signed(width))
        start = Mux(step == 0, 0, membrane)
        fired = integrated >= parameters.threshold
        m.d.comb += [
            plain.eq(self._integrated(start, current)),
            integrated.eq(self._saturated(plain)),
            after.eq(self._saturated(self._after_reset(integrated, fired))),
        ]
        with m.If(enable):
            m.d.sync += [membrane.eq(after), spike.eq(fired)]
            m.d.sync += step.eq(Mux(step == self.n_steps - 1, 0, step + 1))
        m.d.comb += [Assert(step < self.n_steps), Assert(_within(plain, parameters.integrated))]
        for t, interval in enumerate(self._ranges()):
            with m.If(step == t):
                m.d.comb += Assert(_within(membrane, interval))
        self._compare(m, enable=enable, first=step == 0, spike=spike, membrane=membrane)
        return m

    def _driven(self, m: Module) -> Value:
        """Any current of its range."""
        return _anything(m, "current", self.parameters.current)

    def _compare(
        self, m: Module, *, enable: Value, first: Value, spike: Value, membrane: Value
    ) -> None:
        """Hold what stands beside the contract, if something does, to it."""

    def _integrated(self, start: Value, current: Signal) -> Value:
        leak = self.parameters.leak
        return start - ((start * leak.d) >> leak.f) + current

    def _saturated(self, value: Value) -> Value:
        limits = self.parameters.saturation
        if limits is None:
            return value
        upper = Mux(value > limits.high, limits.high, value)
        return Mux(value < limits.low, limits.low, upper)

    def _after_reset(self, integrated: Signal, fired: Value) -> Value:
        reset = self.parameters.reset
        if reset is Reset.SUBTRACT:
            return integrated - Mux(fired, self.parameters.threshold, 0)
        return Mux(fired, 0, integrated) if reset is Reset.ZERO else integrated

    def _ranges(self) -> list[Interval]:
        """Range of v when step t is due, for t = 0 .. n_steps - 1; step 0 also follows the last."""
        parameters = self.parameters
        limits = parameters.saturation
        ranges = [Interval(0, 0)]
        for _ in range(self.n_steps):
            before = ranges[-1]
            leaking = Interval(
                leaked(before.low, parameters.leak), leaked(before.high, parameters.leak)
            )
            integrated = leaking + parameters.current
            if limits is not None:
                integrated = integrated.clamped(limits)
            after = reset_range(integrated, parameters.threshold, parameters.reset)
            ranges.append(after if limits is None else after.clamped(limits))
        return [ranges[0] | ranges[-1], *ranges[1:-1]]


class NeuronSpecification(ContractSpecification):
    """A neuron never overflows and computes what `convexon.snn.neuron` states.

    It stands beside the contract, and gets the same steps and currents. Asserted in every clock
    besides what `ContractSpecification` does: spikes and membranes of both are equal.

    Parameters
    ----------
    parameters : NeuronParameters
    n_steps : int
    neuron : wiring.Component, optional
        The hardware under proof, with the ports of a `LIF`; by default one with these parameters.
    """

    def __init__(
        self,
        parameters: NeuronParameters,
        *,
        n_steps: int,
        neuron: wiring.Component | None = None,
    ) -> None:
        super().__init__(parameters, n_steps=n_steps)
        self.neuron: Any = neuron if neuron is not None else LIF(parameters)

    def _driven(self, m: Module) -> Value:
        """Drive the neuron's currents to any values of their ranges, and return their sum."""
        m.submodules.neuron = neuron = self.neuron
        parameters = self.parameters
        if "surplus" not in neuron.signature.members:
            m.d.comb += neuron.current.eq(_anything(m, "current", parameters.current))
            return neuron.current
        forward = _anything(m, "forward", parameters.forward)
        lateral = _anything(m, "lateral", parameters.lateral)
        m.d.comb += [
            neuron.current.eq(forward),
            neuron.surplus.eq(forward - parameters.threshold),
            neuron.lateral.eq(lateral),
        ]
        return forward + lateral

    def _compare(
        self, m: Module, *, enable: Value, first: Value, spike: Value, membrane: Value
    ) -> None:
        """Give the neuron the same steps, and compare."""
        m.d.comb += [
            self.neuron.enable.eq(enable),
            self.neuron.first.eq(first),
            Assert(self.neuron.membrane == membrane),
            Assert(self.neuron.spike == spike),
        ]


def _within(value: Value, interval: Interval) -> Value:
    return (value >= interval.low) & (value <= interval.high)


def _anything(m: Module, name: str, interval: Interval) -> Signal:
    """Signal that takes any value of ``interval`` in every clock."""
    signal = Signal(shape_of(interval), name=name)
    m.d.comb += [
        signal.eq(AnySeq(signal.shape())),
        Assume(signal >= interval.low),
        Assume(signal <= interval.high),
    ]
    return signal


class SumSpecification(Elaboratable):
    """An adder graph, cut by registers or not, computes the plain weighted sums.

    ``offsets[j] + sum of rows[j]`` is written down beside it, one addition after another, over the
    input bits of as many clocks ago as there are registers. The bits take any values in every
    clock. Asserted for each sum, once the registers are filled: both are equal. That a register
    holds its value where a stage stalls is the business of `StreamSpecification`.

    Parameters
    ----------
    graph : AdderGraph
    rows : sequence of sequences of Addend
    offsets : sequence of int
    registers : int
    """

    def __init__(
        self,
        graph: AdderGraph,
        rows: Sequence[Sequence[Addend]],
        offsets: Sequence[int],
        *,
        registers: int = 0,
    ) -> None:
        if not len(rows) == len(offsets) == len(graph.outputs):
            raise InputError(
                f"rows and offsets must be {len(graph.outputs)}, as the graph's outputs, "
                f"not {len(rows)} and {len(offsets)}"
            )
        self.graph = graph
        self.rows = rows
        self.offsets = offsets
        self.registers = registers

    def elaborate(self, platform: object) -> Module:
        """Build the graph, the plain sums and the property."""
        m = Module()
        bits = Signal(max(1, self.graph.n_bits))
        chain = Chain([Const(1)] * self.registers)
        filled = Signal(self.registers + 1)
        m.d.comb += bits.eq(AnySeq(len(bits)))
        m.d.sync += filled.eq(Cat(Const(1, 1), filled))
        outputs = lower(
            m,
            self.graph,
            list(bits)[: self.graph.n_bits],
            chain=chain,
            n_clocks=self.registers + 1,
            name="graph",
        )
        then = chain.carry(m, bits, 0, self.registers, name="bits")
        for output, row, offset in zip(outputs, self.rows, self.offsets, strict=True):
            reach = abs(offset) + sum(abs(a.weight) << a.place for a in row)
            plain: Value = Const(offset, signed(width_of(Interval(-reach, reach))))
            for addend in row:
                part = Mux(then[addend.bit], addend.weight << addend.place, 0)
                plain = (plain + part)[: len(plain)].as_signed()
            m.d.comb += Assert((output.value == plain) | ~Cat(1, filled)[self.registers])
        return m


class StreamSpecification(Elaboratable):
    """A component with streams ``i`` and ``o`` obeys the rules of streams on ``o``.

    Whatever happens on ``i`` and on ``o.ready``, in every clock: what was offered and not taken is
    still offered, unchanged; and nothing is offered in the clock after a reset.

    With ``capacity``, also: as many transfers as were taken on ``i`` since the last reset were
    given on ``o``, but for at most ``capacity`` that are held, and ``o`` is valid when it is full.
    Nothing is lost or doubled. For components with one result per transfer. An `ElasticRegister`
    must besides hold as many as its valid bits say, and take a transfer whenever it has room or is
    being emptied: its registers close up.

    Parameters
    ----------
    component : wiring.Component
    capacity : int, optional
    """

    def __init__(self, component: wiring.Component, *, capacity: int | None = None) -> None:
        if capacity is not None and capacity < 1:
            raise InputError(f"capacity must be at least 1, not {capacity!r}")
        self.component = component
        self.capacity = capacity

    def elaborate(self, platform: object) -> Module:
        """Build the free environment and the property."""
        m = Module()
        m.submodules.component = component = self.component
        i, o = component.i, component.o
        payload, result = Value.cast(i.payload), Value.cast(o.payload)
        m.d.comb += [
            i.valid.eq(AnySeq(1)),
            payload.eq(AnySeq(len(payload))),
            o.ready.eq(AnySeq(1)),
        ]
        stalled = Signal()
        offered = Signal(len(result))
        was_reset = Signal(reset_less=True)
        m.d.sync += [
            stalled.eq(o.valid & ~o.ready),
            offered.eq(result),
            was_reset.eq(ResetSignal()),
        ]
        with m.If(stalled):
            m.d.comb += Assert(o.valid & (result == offered))
        with m.If(was_reset):
            m.d.comb += Assert(~o.valid)
        if self.capacity is not None:
            held = Signal(range(-1, self.capacity + 2))
            m.d.sync += held.eq(held + (i.valid & i.ready) - (o.valid & o.ready))
            m.d.comb += Assert((held >= 0) & (held <= self.capacity))
            with m.If(held == self.capacity):
                m.d.comb += Assert(o.valid)
            with m.If(held == 0):
                m.d.comb += Assert(~o.valid)
            occupied = self._occupied()
            if occupied is not None:
                m.d.comb += [
                    Assert(held == sum(occupied)),
                    Assert(i.ready == ((held != self.capacity) | o.ready)),
                ]
        return m

    def _occupied(self) -> Sequence[Value] | None:
        """Valid bits of the component's registers, where they are known."""
        is_elastic = isinstance(self.component, ElasticRegister)
        return self.component.occupied if is_elastic else None
