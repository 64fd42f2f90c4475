"""Membranes of a folded layer, updated a group at a time while the next sums come together."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import FoldPlan, sum_intervals
from convexon.snn.fixed import Interval, width_of
from convexon_hdl.arith.arithmetic import delayed
from convexon_hdl.folded.accumulator import SumsLayout
from convexon_hdl.folded.lane import LIFLane


class Updater(wiring.Component):
    """Takes the sums of a fold and gives spikes and membranes of its neurons, group after group.

    The sums are shifted out of a buffer, so that the accumulators are free at once. The membranes
    lie in a memory with a word for each group; so do synaptic currents, where there are any, and
    thresholds and biases, where they differ.

    A group read at one edge is written back `convexon.plan.fold.WRITE_CLOCKS` edges later, with
    ``valid`` high in the clock before. Sums must come at least `FoldPlan.spacing` clocks apart.

    Resources: ``updates`` of `LIFLane`; a multiplexer and a flip-flop for each bit of ``sums``;
    memory for the membranes.
    """

    def __init__(self, plan: FoldPlan) -> None:
        self.plan = plan
        updates = plan.choice.updates
        super().__init__(
            {
                "enable": In(1),  # take i in this clock
                "i": In(SumsLayout(plan, sum_intervals(plan))),
                "valid": Out(1),  # a group is complete
                # Its number: neuron group * updates + k is at place k.
                "group": Out(range(max(2, plan.folds * plan.groups))),
                "spikes": Out(updates),
                # v of the neuron at place k, sign-extended at bits k * membrane_width and up.
                "membranes": Out(updates * plan.ranges.membrane_width),
                "first": Out(1),
                "last": Out(1),
                "final": Out(1),  # the step's last group
            }
        )
        for watched in (self.valid, self.group, self.spikes, self.membranes):
            watched.attrs["keep"] = 1  # probes read them, even where no logic does

    def elaborate(self, platform: object) -> Module:
        """Build buffer, memories and lanes."""
        m, plan = Module(), self.plan
        updates, n_groups = plan.choice.updates, plan.folds * plan.groups
        buffer = Signal(self.i.shape())
        busy, ends = Signal(), Signal()
        left = Signal(range(max(2, plan.groups)))
        group = Signal(range(max(2, n_groups)), name="read_group")
        m.d.comb += ends.eq(busy & ~left.any())
        with m.If(busy):
            m.d.sync += [left.eq(left - 1), group.eq(Mux(group == n_groups - 1, 0, group + 1))]
            for k in range(plan.choice.lanes - updates):
                m.d.sync += buffer.sums[k].eq(buffer.sums[k + updates])
        with m.If(ends):
            m.d.sync += busy.eq(0)
        with m.If(self.enable):
            m.d.sync += [buffer.eq(self.i), left.eq(plan.groups - 1), busy.eq(1)]

        states = {"membrane": plan.ranges.membrane_width}
        if plan.layer.synapse is not None:
            states["synaptic"] = plan.ranges.synaptic_width
        memories = {name: self._memory(m, group, name, size) for name, size in states.items()}
        constants = self._constants(m, group)
        sums = [delayed(m, buffer.sums[k], name=f"sum{k}") for k in range(updates)]
        first = delayed(m, buffer.first, name="first_read")
        lanes = []
        for k, (threshold, bias, leak, *resets) in enumerate(constants):
            m.submodules[f"lane{k}"] = lane = LIFLane(plan)
            m.d.comb += lane.first.eq(first)
            for name, size in states.items():
                read, _ = memories[name]
                m.d.comb += getattr(lane, name).eq(read.data[k * size : (k + 1) * size])
            m.d.comb += [
                lane.total.eq(sums[k]),
                lane.threshold.eq(threshold),
                lane.bias.eq(bias),
            ]
            if len(plan.leaks) > 1:
                m.d.comb += lane.leak.eq(leak)
            for reset_to in resets:
                m.d.comb += lane.reset_to.eq(reset_to)
            lanes.append(lane)
        m.d.comb += [
            self.spikes.eq(Cat(lane.spike for lane in lanes)),
            self.membranes.eq(Cat(lane.next_membrane for lane in lanes)),
        ]
        # Probes read it under a name of its own: the port's is also that of a lane's.
        first_of_group = Signal(attrs={"keep": 1})
        m.d.comb += first_of_group.eq(self.first)
        # Beside the lanes: one clock to read, three to compute.
        m.d.comb += [
            self.valid.eq(delayed(m, busy, clocks=4, name="valid_")),
            self.group.eq(delayed(m, group, clocks=4, name="group_")),
            self.first.eq(delayed(m, buffer.first, clocks=4, name="first_")),
            self.last.eq(delayed(m, buffer.last, clocks=4, name="last_")),
            self.final.eq(delayed(m, buffer.final & ends, clocks=4, name="final_")),
        ]
        for name, (_, write) in memories.items():
            m.d.comb += [
                write.en.eq(self.valid),
                write.addr.eq(self.group),
                write.data.eq(Cat(getattr(lane, f"next_{name}") for lane in lanes)),
            ]
        return m

    def _memory(self, m: Module, group: Signal, name: str, size: int) -> tuple[Any, Any]:
        """Ports of the memory of a state of ``size`` bits, which the group at hand is read from."""
        depth = self.plan.folds * self.plan.groups
        shape = unsigned(self.plan.choice.updates * size)
        m.submodules[name] = memory = Memory(shape=shape, depth=depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += read.addr.eq(group)
        return read, write

    def _constants(self, m: Module, group: Signal) -> list[tuple[Value, ...]]:
        """Threshold, bias and leak of every lane of the group that is read, one clock later."""
        constants = self.plan.constants.items()
        columns = [self._table(m, group, values, name=name) for name, values in constants]
        return list(zip(*columns, strict=True))

    def _table(self, m: Module, group: Signal, values: list[int], *, name: str) -> list[Value]:
        """``values`` of the neurons of the group that is read; a constant where all are equal."""
        updates = self.plan.choice.updates
        width = max(width_of(Interval(value, value)) for value in values)
        if len(set(values)) == 1:
            return [Const(values[0], signed(width))] * updates
        n_groups = self.plan.folds * self.plan.groups
        values = values + [values[-1]] * (n_groups * updates - len(values))
        mask = (1 << width) - 1
        words = [
            sum((values[g * updates + k] & mask) << (k * width) for k in range(updates))
            for g in range(n_groups)
        ]
        m.submodules[name] = memory = Memory(
            shape=unsigned(updates * width), depth=n_groups, init=words
        )
        read = memory.read_port()
        m.d.comb += read.addr.eq(group)
        return [read.data.word_select(k, width).as_signed() for k in range(updates)]
