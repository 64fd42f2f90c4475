"""Sums of weights over the spikes of a step, lane by lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import FoldPlan, sum_intervals
from convexon.snn.fixed import Interval, width_of
from convexon_hdl.arith.arithmetic import Operand, add_all, delayed, registered
from convexon_hdl.folded.scanner import EventScanner
from convexon_hdl.folded.seeded import SeededBank
from convexon_hdl.folded.weights import WeightBank, write_port


class InputLayout(data.StructLayout):
    """A step that an engine reads, and whether it begins and whether it ends an inference."""

    def __init__(self, plan: FoldPlan) -> None:
        width = plan.layer.n_inputs * plan.input_bits
        super().__init__({"inputs": width, "first": 1, "last": 1})


class SumsLayout(data.StructLayout):
    """Sums of one fold, each lane's in its interval; ``final`` says that it is the step's last."""

    def __init__(self, plan: FoldPlan, intervals: Sequence[Interval]) -> None:
        width = width_of(Interval.union(intervals))
        sums = data.ArrayLayout(signed(width), plan.choice.lanes)
        super().__init__({"sums": sums, "first": 1, "last": 1, "final": 1})


@dataclass(frozen=True, eq=False)
class Token:
    """What travels beside an event from the scanners to the accumulators."""

    any: Value  # there is an event in some bank
    double: Value  # a bit plane ends here: what was summed so far counts twice
    anew: Value  # an inference begins here
    ends: Value  # the fold ends here
    tags: Value  # first, last, final of the step and fold

    def delayed(self, m: Module, *, name: str) -> Token:
        """The token one clock later."""
        members = vars(self).items()
        return Token(**{each: delayed(m, value, name=f"{name}_{each}") for each, value in members})


class EventAccumulator(wiring.Component):
    """Reads the row of every spike of a step and sums it up, fold after fold.

    ::

        sum[lane] = sum_s w[s, fold * lanes + lane] * x[s]

    A step is held while passes go over its folds and bit planes. A *pass* takes one clock to begin,
    and what `EventScanner` takes, all banks at once: ``4 + max(spikes of a bank)`` clocks, or 2.
    Bit planes come with the most significant first, and each doubles what came before it, which is
    exact and needs no shifter. The sums of a fold leave ``FoldPlan.handover_clocks`` after its
    last pass, in the one clock in which ``valid`` is high; the accumulators begin at 0 again.

    The last pass of a fold waits until ``FoldPlan.spacing`` clocks have gone by since that of the
    last fold, and until ``credit``, if it is the step's first fold. The next step is taken in the
    clock after a step's last pass ended, so that ``i.ready`` depends on registers alone; one whose
    own spikes come back must wait for them.

    Resources: a scanner and a memory for each bank; for each lane one adder of a sum's width, and
    one of a weight's for each bank beyond the first; flip-flops for a step.
    """

    def __init__(self, plan: FoldPlan) -> None:
        self.plan = plan
        super().__init__(
            {
                "i": In(stream.Signature(InputLayout(plan))),
                "lateral": In(plan.n_sources - plan.layer.n_inputs),  # spikes of the last step
                "settled": In(1),  # lateral is complete, or not needed
                "credit": In(1),  # there is room for the results of a step
                "begins": Out(1),  # a step's first fold ends in this clock: it uses credit up
                "ends_inference": Out(1),  # the step at hand is an inference's last
                "valid": Out(1),
                "o": Out(SumsLayout(plan, self.intervals())),
                **write_port(plan),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build passes, banks and accumulators."""
        m, plan = Module(), self.plan
        rows, token = self._passes(m)
        rows, token = self._addresses(m, rows, token)
        words = []
        for k, row in enumerate(rows):
            bank = SeededBank(plan, bank=k) if plan.seeded else WeightBank(plan, bank=k)
            m.submodules[f"bank{k}"] = bank
            m.d.comb += bank.address.eq(row)
            words.append(bank.data)
            if plan.is_loaded:
                for name in self.write.signature.members:
                    m.d.comb += getattr(bank.write, name).eq(getattr(self.write, name))
        for name in ("read", "data"):
            token = token.delayed(m, name=name)
        columns, token = self._columns(m, words, token)
        self._accumulators(m, columns, token)
        return m

    def _passes(self, m: Module) -> tuple[list[Value], Token]:
        """Control of folds and planes; returns the row of every bank, and the token with it."""
        plan = self.plan
        held = Signal(InputLayout(plan))
        lateral = Signal(len(self.lateral))
        starting, scanning = Signal(), Signal()
        plane = Signal(range(max(2, plan.input_bits)))
        fold = Signal(range(max(2, plan.folds)))
        last_plane, last_fold = Signal(), Signal()
        m.d.comb += [
            last_plane.eq(plane == plan.input_bits - 1),
            last_fold.eq(fold == plan.folds - 1),
        ]
        scanners = self._scanners(m, self._sources(held, lateral, plane, last_plane), starting)
        ending, step_ends = Signal(), Signal()
        may_end = self._may_end(m, ending, fold)
        drained = Cat(scanner.finishing for scanner in scanners).all()
        pass_ends = Signal()
        m.d.comb += [
            pass_ends.eq(scanning & drained & (~last_plane | may_end)),
            ending.eq(pass_ends & last_plane),
            step_ends.eq(ending & last_fold),
            self.begins.eq(ending & ~fold.any()),
            self.i.ready.eq(self.settled & ~(starting | scanning)),
        ]
        with m.If(starting):
            m.d.sync += [starting.eq(0), scanning.eq(1)]
        with m.If(pass_ends):
            m.d.sync += [scanning.eq(0), starting.eq(~step_ends)]
            m.d.sync += plane.eq(Mux(last_plane, 0, plane + 1))
        with m.If(ending):
            m.d.sync += fold.eq(Mux(last_fold, 0, fold + 1))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                held.eq(self.i.payload),
                lateral.eq(Mux(self.i.payload.first, 0, self.lateral)),
                starting.eq(1),
            ]
        m.d.comb += self.ends_inference.eq(held.last)
        valids = [scanner.valid for scanner in scanners]
        tags = Cat(held.first, held.last, last_fold)
        begins = starting & plane.any()  # the plane before is complete, and counts twice
        token = Token(Cat(valids).any(), begins, starting & held.first, ending, tags)
        return self._rows(m, scanners, fold), token.delayed(m, name="row")

    def _may_end(self, m: Module, ending: Signal, fold: Value) -> Value:
        """Whether the fold may end: those before it have left room; ``fold`` is 0 in the first."""
        spacing = self.plan.spacing
        wait = Signal(range(max(2, spacing)))
        with m.If(ending):
            m.d.sync += wait.eq(spacing - 1)
        with m.Elif(wait.any()):
            m.d.sync += wait.eq(wait - 1)
        return ~wait.any() & (self.credit | fold.any())

    def _sources(
        self, held: data.View, lateral: Signal, plane: Signal, last_plane: Value
    ) -> list[Value]:
        """Every source in the plane at hand; lateral spikes belong to the last one."""
        bits = self.plan.input_bits
        sources: list[Value] = []
        for i in range(self.plan.layer.n_inputs):
            places = held.inputs[i * bits : (i + 1) * bits]
            sources.append(places if bits == 1 else Array(list(places)[::-1])[plane])
        return [*sources, *(spike & last_plane for spike in lateral)]

    def _scanners(self, m: Module, sources: list[Value], starting: Value) -> list[EventScanner]:
        """One scanner for each bank."""
        scanners, banks = [], self.plan.choice.banks
        for k in range(banks):
            own = sources[k::banks]
            m.submodules[f"scanner{k}"] = scanner = EventScanner(max(1, len(own)))
            m.d.comb += [scanner.sources.eq(Cat(own)), scanner.start.eq(starting)]
            scanners.append(scanner)
        return scanners

    def _rows(self, m: Module, scanners: list[EventScanner], fold: Signal) -> list[Value]:
        """Rows in registers: of the spike, or the row of zeros in a clock without one."""
        depth, rows = self.plan.depth_of_bank, []
        for k, scanner in enumerate(scanners):
            row = Signal(range(max(2, depth)), name=f"row{k}")
            m.d.sync += row.eq(scanner.row)
            if self.plan.choice.banks > 1:
                with m.If(~scanner.valid):
                    m.d.sync += row.eq(depth - 1)
            rows.append(row)
        return rows

    def _addresses(self, m: Module, rows: list[Value], token: Token) -> tuple[list[Value], Token]:
        """Add the fold's place, where there is more than one."""
        plan = self.plan
        if plan.folds == 1:
            return rows, token
        base = Signal(range(plan.folds * plan.stride))
        with m.If(token.ends):
            m.d.sync += base.eq(Mux(token.tags[-1], 0, base + plan.stride))
        addresses: list[Value] = []
        for k, row in enumerate(rows):
            address = Signal(range(plan.depth_of_bank), name=f"address{k}")
            m.d.sync += address.eq(row + base)
            if plan.choice.banks > 1:
                with m.If(row == plan.depth_of_bank - 1):
                    m.d.sync += address.eq(row)
            addresses.append(address)
        return addresses, token.delayed(m, name="address")

    def _columns(self, m: Module, words: list[Value], token: Token) -> tuple[list[Operand], Token]:
        """What every lane adds in a clock: the sum over the banks, in a register if it is one."""
        width, interval = self.plan.weight_width, self.plan.weight_interval
        weights = [
            [Operand(word.word_select(lane, width).as_signed(), interval) for word in words]
            for lane in range(self.plan.choice.lanes)
        ]
        if len(words) == 1:
            return [lane[0] for lane in weights], token
        totals = [add_all(m, each, name=f"banks{lane}") for lane, each in enumerate(weights)]
        columns = [registered(m, each, name=f"column{lane}") for lane, each in enumerate(totals)]
        return columns, token.delayed(m, name="column")

    def starts(self) -> list[int]:
        """What every lane begins with."""
        return [0] * self.plan.choice.lanes

    def intervals(self) -> list[Interval]:
        """What every lane can hold while it sums up."""
        return sum_intervals(self.plan)

    def hands_over(self, tags: Value) -> Value:
        """Whether the sums of a pass with these tags (first, last, final) leave."""
        return Const(1)

    def restarts(self, leaves: Value, anew: Value) -> Value:
        """When the sums begin anew: after they have left, or with an inference."""
        return leaves

    def _accumulators(self, m: Module, columns: list[Operand], token: Token) -> None:
        """Sum up; hand over one clock after the last addition, and begin anew.

        The next pass begins two clocks after the last addition, so what its beginning resets has
        been handed over.
        """
        handover = token.delayed(m, name="sum")
        leaves = Signal()
        m.d.comb += [
            leaves.eq(handover.ends & self.hands_over(handover.tags)),
            self.valid.eq(leaves),
            Cat(self.o.first, self.o.last, self.o.final).eq(handover.tags),
        ]
        lanes = zip(columns, self.intervals(), self.starts(), strict=True)
        for lane, (column, interval, start) in enumerate(lanes):
            total = Signal(signed(width_of(interval)), name=f"sum{lane}", init=start)
            with m.If(self.restarts(leaves, token.anew)):
                m.d.sync += total.eq(start)
            with m.Elif(token.any):
                m.d.sync += total.eq(total + column.value)
            if self.plan.input_bits > 1:
                with m.If(token.double):
                    m.d.sync += total.eq(total << 1)
            m.d.comb += self.o.sums[lane].eq(total)
