"""Exact integer arithmetic: adders sized by intervals, and the one place where bits are dropped.

Amaranth widens every result and truncates every assignment silently. Here each value travels with
the interval of integers that it can take (`Operand`), each node of a sum is a named signal of just
the width that its interval needs, and `resize` and `saturate` are the only ways to a narrower one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned

from convexon.plan.adders.graph import signed_digits
from convexon.snn.fixed import Interval, bits_of

ZERO = Interval(0, 0)


def shape_of(interval: Interval) -> Shape:
    """Narrowest shape of ``interval``, at least one bit; unsigned unless it goes below 0."""
    width = bits_of(interval)
    return signed(width) if interval.low < 0 else unsigned(width)


@dataclass(frozen=True, eq=False)
class Operand:
    """A value of the hardware and the integers that it can take."""

    value: Value
    """Its shape holds ``interval``."""
    interval: Interval
    """A single integer makes the operand a constant, which costs nothing."""

    @classmethod
    def constant(cls, number: int) -> Operand:
        """Operand that is always ``number``."""
        interval = Interval(number, number)
        return cls(Const(number, shape_of(interval)), interval)

    @classmethod
    def bit(cls, value: Value) -> Operand:
        """Operand of one unsigned bit."""
        return cls(value, Interval(0, 1))

    @property
    def is_constant(self) -> bool:
        """Whether a single integer is possible."""
        return self.interval.low == self.interval.high

    @property
    def width(self) -> int:
        """Bits of the narrowest shape that holds the interval."""
        return shape_of(self.interval).width

    def shifted(self, places: int) -> Operand:
        """Operand times 2**places: wires only."""
        if self.is_constant:
            return Operand.constant(self.interval.low << places)
        if not places:
            return self
        moved = Cat(Const(0, places), self.value)
        if self.interval.low < 0:
            moved = moved.as_signed()  # a concatenation is unsigned, whatever its parts
        return Operand(moved, self.interval.scaled(1 << places))


def node(m: Module, value: Value, interval: Interval, *, name: str) -> Operand:
    """Name an intermediate result, in a signal as wide as ``interval`` needs."""
    if interval.low == interval.high:
        return Operand.constant(interval.low)
    signal = Signal(shape_of(interval), name=name)
    m.d.comb += signal.eq(value)
    return Operand(signal, interval)


def delayed(m: Module, value: Value, *, name: str, clocks: int = 1) -> Value:
    """``value`` some clocks later, in registers that take it in every clock."""
    for k in range(clocks):
        register = Signal(value.shape(), name=name if clocks == 1 else f"{name}{k}")
        m.d.sync += register.eq(value)
        value = register
    return value


def registered(m: Module, operand: Operand, *, name: str) -> Operand:
    """The operand a clock later, in as many bits as it needs: none, where it is a constant."""
    if operand.is_constant:
        return operand
    register = Signal(shape_of(operand.interval), name=name)
    m.d.sync += register.eq(operand.value)
    return Operand(register, operand.interval)


def add_all(m: Module, operands: Iterable[Operand], *, name: str) -> Operand:
    """Sum of ``operands`` as a balanced tree.

    Constants are added at elaboration. Each level pairs operands of similar width, so that a narrow
    one is not carried along a wide adder. Depth is ceil(log2 n) adders; n - 1 adders in all.
    """
    terms: list[Operand] = []
    constant = 0
    for operand in operands:
        if operand.is_constant:
            constant += operand.interval.low
        else:
            terms.append(operand)
    if constant or not terms:
        terms.append(Operand.constant(constant))
    level = 0
    while len(terms) > 1:
        terms.sort(key=lambda operand: operand.width)  # stable, hence deterministic
        above = [
            node(m, a.value + b.value, a.interval + b.interval, name=f"{name}_{level}_{k}")
            for k, (a, b) in enumerate(zip(terms[0::2], terms[1::2], strict=False))
        ]
        terms = above + terms[len(terms) - len(terms) % 2 :]
        level += 1
    return terms[0]


def subtract(m: Module, left: Operand, right: Operand, *, name: str) -> Operand:
    """Difference of two operands that vary independently of each other."""
    interval = left.interval + right.interval.scaled(-1)
    if right.interval == ZERO:
        return left
    return node(m, left.value - right.value, interval, name=name)


def multiply(m: Module, operand: Operand, factor: int, *, name: str) -> Operand:
    """Operand times a constant, by shifts and adders: one adder less than ``factor`` has digits."""
    parts: dict[int, list[Operand]] = {+1: [], -1: []}
    for place, digit in signed_digits(factor):
        parts[digit].append(operand.shifted(place))
    plus = add_all(m, parts[+1], name=f"{name}_plus")
    minus = add_all(m, parts[-1], name=f"{name}_minus")
    product = subtract(m, plus, minus, name=f"{name}_difference")
    return resize(m, product, operand.interval.scaled(factor), name=name)


def table(m: Module, address: Sequence[Value], entries: Sequence[int], *, name: str) -> Operand:
    """``entries[address]``, one function of the address for each bit of the result."""
    interval = Interval.hull(entries)
    places = range(shape_of(interval).width)
    columns = [_lookup(address, [(entry >> place) & 1 for entry in entries]) for place in places]
    return node(m, Cat(columns), interval, name=name)


def _lookup(address: Sequence[Value], ones: Sequence[int]) -> Value:
    """``ones[address]``, reading only those bits of the address that matter."""
    kept, ones = needed_address(ones)
    address = [address[k] for k in kept]
    if not address:
        return Const(ones[0], 1)
    if len(address) == 1:
        return address[0] if ones[1] else ~address[0]
    mask = sum(one << index for index, one in enumerate(ones))
    return (Const(mask, len(ones)) >> Cat(address))[0]


def needed_address(ones: Sequence[int]) -> tuple[list[int], list[int]]:
    """Bits of the address that ``ones[address]`` depends on, and ``ones`` by these alone."""
    kept, ones = list(range(len(ones).bit_length() - 1)), list(ones)
    for k in reversed(range(len(kept))):
        if all(one == ones[index ^ (1 << k)] for index, one in enumerate(ones)):
            ones = [one for index, one in enumerate(ones) if not index & (1 << k)]
            del kept[k]
    return kept, ones


def resize(m: Module, operand: Operand, interval: Interval, *, name: str) -> Operand:
    """The same integer in a signal sized for ``interval``, which is known to hold it.

    The caller's knowledge comes from `convexon.snn.ranges` (or from the algebra of constants), and
    is proved again on the hardware by `convexon_hdl.formal.prover`. High bits that the interval
    makes redundant are dropped; nothing is clamped.
    """
    shape = shape_of(interval)
    if shape == shape_of(operand.interval):
        return Operand(operand.value, interval)
    return node(m, operand.value, interval, name=name)


def extended(value: Value, width: int) -> Value:
    """Signed ``value`` in ``width`` bits, as plain bits for a packed port."""
    return Cat(value, value[-1].replicate(width - len(value)))


def saturate(m: Module, operand: Operand, limits: Interval | None, *, name: str) -> Operand:
    """Clamp to ``limits``, if there are any; a side that the interval cannot exceed is free."""
    if limits is None:
        return operand
    value = operand.value
    if operand.interval.high > limits.high:
        value = Mux(operand.value > limits.high, limits.high, value)
    if operand.interval.low < limits.low:
        value = Mux(operand.value < limits.low, limits.low, value)
    return node(m, value, operand.interval.clamped(limits), name=name)
