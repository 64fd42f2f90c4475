"""What streams must do: hold what they offer, and lose and double nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Assert, Const, Module, ResetSignal, Signal, Value

from convexon.errors import InputError
from convexon_hdl.formal.specs.blocks import Specification, free
from convexon_hdl.streams import ElasticRegister


@dataclass(eq=False)
class StreamSpecification(Specification):
    """A component with streams ``i`` and ``o`` obeys the rules of streams on ``o``.

    Whatever happens on ``i`` and on ``o.ready``, in every clock: what was offered and not taken is
    still offered, unchanged; and nothing is offered in the clock after a reset.

    With ``capacity``, also: as many transfers as were taken on ``i`` since the last reset were
    given on ``o``, but for at most ``capacity`` that are held, and ``o`` is valid when it is full.
    Nothing is lost or doubled. For components with one result per transfer. An `ElasticRegister`
    must besides hold as many as its valid bits say, and take a transfer whenever it has room or is
    being emptied: its registers close up.
    """

    capacity: int | None = None

    def __post_init__(self) -> None:
        if self.capacity is not None and self.capacity < 1:
            raise InputError(f"capacity must be at least 1, not {self.capacity!r}")

    def state(self, m: Module) -> None:
        """Build the free environment and the property."""
        i, o = self.component.i, self.component.o
        result = Value.cast(o.payload)
        free(m, i.valid, i.payload, o.ready)
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
            self._count(m, self.capacity)

    def _count(self, m: Module, capacity: int) -> None:
        """Hold what is inside to what was taken and given."""
        i, o = self.component.i, self.component.o
        held = Signal(range(-1, capacity + 2))
        m.d.sync += held.eq(held + (i.valid & i.ready) - (o.valid & o.ready))
        m.d.comb += Assert((held >= 0) & (held <= capacity))
        with m.If(held == capacity):
            m.d.comb += Assert(o.valid)
        with m.If(held == 0):
            m.d.comb += Assert(~o.valid)
        occupied = self._occupied()
        if occupied is not None:
            m.d.comb += [
                Assert(held == sum(occupied)),
                Assert(i.ready == ((held != capacity) | o.ready)),
            ]

    def _occupied(self) -> Sequence[Value] | None:
        """Valid bits of the component's registers, where they are known."""
        is_elastic = isinstance(self.component, ElasticRegister)
        return self.component.occupied if is_elastic else None


@dataclass(eq=False, kw_only=True)
class ElasticSpecification(StreamSpecification):
    """The handshake of an elastic stage is that of a chain of registers whose bubbles close up.

    Beside what `StreamSpecification` asserts: every valid bit, ``advance``, ``enable`` and
    ``i.ready`` are in every clock those of a chain that is written down plainly. So a register that
    takes its input on ``advance`` of its place, or the last one on ``enable``, holds the transfer
    whose valid bit stands beside it.

    Watched are ``valid{k}`` and ``advance{k}`` of each inner register, ``enable``, and ``last``
    where the component ``absorbs``: only a transfer tagged ``last`` leads to a result.
    """

    registers: int
    absorbs: bool = False

    def __post_init__(self) -> None:
        self.capacity = None if self.absorbs else self.registers + 1

    def state(self, m: Module) -> None:
        """Build the plain chain and the comparison."""
        super().state(m)
        component, i, o = self.component, self.component.i, self.component.o
        valid = [Signal(name=f"plain_valid{k}") for k in range(self.registers + 1)]
        moves: Value = ~valid[-1] | o.ready
        for k in reversed(range(self.registers + 1)):
            before = valid[k - 1] if k else i.valid
            leads: Value = Const(1)
            if k == self.registers:
                m.d.comb += Assert(component.enable == (before & moves))
                leads = component.last if self.absorbs else leads
            else:
                moves = ~valid[k] | moves
                m.d.comb += Assert(getattr(component, f"advance{k}") == moves)
            with m.If(moves):
                m.d.sync += valid[k].eq(before & leads)
            own = o.valid if k == self.registers else getattr(component, f"valid{k}")
            m.d.comb += Assert(own == valid[k])
        m.d.comb += Assert(i.ready == moves)

    def _occupied(self) -> Sequence[Value]:
        inner = [getattr(self.component, f"valid{k}") for k in range(self.registers)]
        return [*inner, self.component.o.valid]


class SkidSpecification(Specification):
    """A skid buffer is a queue of two transfers; ``full`` and ``spare`` are tied to the queue's."""

    def state(self, m: Module) -> None:
        """Build a queue beside it."""
        buffer, i, o = self.component, self.component.i, self.component.o
        free(m, i.valid, i.payload, o.ready)
        count = Signal(range(4))
        arriving = Value.cast(i.payload)
        oldest, newest = Signal.like(arriving), Signal.like(arriving)
        taken, given = i.valid & i.ready, o.valid & o.ready
        m.d.sync += count.eq(count + taken - given)
        with m.If(given):
            m.d.sync += oldest.eq(newest)
        with m.If(taken):
            with m.If(count == given):  # none is left before it
                m.d.sync += oldest.eq(arriving)
            with m.Else():
                m.d.sync += newest.eq(arriving)
        m.d.comb += [
            Assert(count <= 2),
            Assert(o.valid == (count != 0)),
            Assert(i.ready == (count != 2)),
            Assert(buffer.full == (count == 2)),
        ]
        with m.If(o.valid):
            m.d.comb += Assert(Value.cast(o.payload) == oldest)
        with m.If(buffer.full):
            m.d.comb += Assert(Value.cast(buffer.spare) == newest)
