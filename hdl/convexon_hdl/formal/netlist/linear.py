"""What a word of the netlist is, as an affine function of other nets.

This is the decision procedure for sums.

Adders are linear, so that a sum of any fan-in needs no search: `Reading` goes through the cells
once and gives each word as ``constant + sum factor[x] * x`` over variables x, exactly. It is sound
cell by cell:

- digit p of the result of an adder or subtractor is digit p of the exact integer, however narrow
  the result is; an operand stands for an integer only if its nets are that integer's digits, lowest
  first, and are extended by its sign, or are as many as the result has;
- a word of lookups is tried on every assignment of the few bits that it reads, and stands for an
  affine function only if it equals it on all of them;
- a register of a pipeline is passed only if its own stage's net enables it, and delays what it
  passes by one clock: variables of different delays never mix.

What is none of these is refused, so that a fault shows as a wrong function, or as none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from convexon.snn.fixed import Interval, width_of
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Cell, Netlist, require

Variable = tuple[str, int]
"""Name, and clocks of delay."""

V = TypeVar("V")

BITS = Interval(0, 1)

MAX_SUPPORT = 12
"""Most bits that a function may read which is tried on every assignment."""


@dataclass(frozen=True)
class Affine:
    """``constant + sum factor * variable``; factors are not 0.

    Members
    -------
    factors : mapping of Variable to int
    constant : int
    """

    factors: Mapping[Variable, int] = field(default_factory=dict)
    constant: int = 0

    @classmethod
    def of(cls, factors: Iterable[tuple[Variable, int]], constant: int = 0) -> Affine:
        """Sum of addends; those of the same variable are added."""
        total: dict[Variable, int] = {}
        for variable, factor in factors:
            total[variable] = total.get(variable, 0) + factor
        return cls({v: f for v, f in total.items() if f}, constant)

    def plus(self, other: Affine, factor: int = 1) -> Affine:
        """``self + factor * other``."""
        scaled = [(v, factor * f) for v, f in other.factors.items()]
        return Affine.of([*self.factors.items(), *scaled], self.constant + factor * other.constant)


def require_equal(own: Affine, expected: Affine, where: str) -> None:
    """Raise `RefutedError` with the first factor that differs."""
    for variable in sorted({*own.factors, *expected.factors}):
        has, needs = own.factors.get(variable, 0), expected.factors.get(variable, 0)
        name, clocks = variable
        message = f"{where} must weigh {name} of {clocks} clocks ago with {needs}, not {has}"
        require(has == needs, message)
    constant = expected.constant
    require(own.constant == constant, f"{where} must have a bias of {constant}, not {own.constant}")


@dataclass(frozen=True)
class Digit:
    """Binary digit ``place`` of an affine function, in two's complement without end."""

    of: Affine
    place: int


@dataclass(frozen=True)
class Table:
    """A function of a few bits.

    Members
    -------
    support : tuple of Variable
    ones : tuple of int
        Value for the assignments 0, 1, 2, ..., the first variable lowest.
    """

    support: tuple[Variable, ...]
    ones: tuple[int, ...]

    @classmethod
    def of(cls, function: Callable[..., int], *variables: str, clocks: int = 0) -> Table:
        """``function`` of the variables of these names, all of the same delay."""
        support = sorted(variables)
        ones = [
            int(function(*(values[name] for name in variables))) for values in _assignments(support)
        ]
        return cls(tuple((name, clocks) for name in support), tuple(ones))

    def at(self, values: Mapping[Variable, int]) -> int:
        """Value under an assignment of the support, or of more."""
        return self.ones[sum(values[v] << k for k, v in enumerate(self.support))]


Meaning = int | Digit | Table
"""What a net is: a constant, a digit, or a function of a few bits."""

Words = Mapping[str, tuple[Bits, Interval]]
"""Variables: a name, its nets, and the integers that it can be."""


def bit_words(name: str, bits: Bits) -> dict[str, tuple[Bits, Interval]]:
    """A variable ``name[k]`` for each net that is no constant."""
    return {f"{name}[{k}]": ((bit,), BITS) for k, bit in enumerate(bits) if isinstance(bit, int)}


class Reading:
    """Meanings of nets over chosen variables.

    Parameters
    ----------
    netlist : Netlist
    words : Words
        A single net without a sign is a bit.
    enables : sequence of Bit
        Nets that enable the registers of a pipeline, the first stage first.
    assumed : mapping of Bit to int
        Nets that are constant in the case at hand.
    """

    def __init__(
        self,
        netlist: Netlist,
        words: Words,
        *,
        enables: Sequence[Bit] = (),
        assumed: Mapping[Bit, int] | None = None,
    ) -> None:
        self._netlist = netlist
        self._enables = {bit: k for k, bit in enumerate(enables)}
        self._intervals = {name: interval for name, (_, interval) in words.items()}
        self._known: dict[Bit, Meaning] = {"0": 0, "1": 1}
        self._sums: dict[Cell, Affine] = {}
        for name, (bits, interval) in words.items():
            form = Affine({(name, 0): 1})
            for place, bit in enumerate(bits):
                if isinstance(bit, int):
                    self._known[bit] = self._digit(form, place, interval)
        self._known.update(assumed or {})

    def interval(self, form: Affine) -> Interval:
        """Hull of what ``form`` can be."""
        low = high = form.constant
        for (name, _), factor in form.factors.items():
            span = self._intervals[name].scaled(factor)
            low, high = low + span.low, high + span.high
        return Interval(low, high)

    def meaning(self, bit: Bit) -> Meaning:
        """What a net is; `RefutedError` if it is nothing of that kind."""
        if bit not in self._known:
            self._known[bit] = self._driven(bit)
        return self._known[bit]

    def word(self, bits: Bits, *, signed: bool, modulo: int | None = None) -> Affine:
        """The integer that nets are, lowest first; or one that is equal modulo ``2**modulo``.

        Raises
        ------
        RefutedError
            If they are no affine function, or one that needs more bits.
        """
        if modulo is not None and len(bits) >= modulo:
            bits = bits[:modulo]
        else:
            modulo = None
        digits = [self.meaning(bit) for bit in bits]
        form = self._contiguous(digits)
        if form is None:
            form = self._tried(digits, signed=signed, where=bits)
        elif modulo is None:
            interval = self.interval(form)
            width = width_of(interval) if signed or interval.low < 0 else interval.high.bit_length()
            fits = width <= len(bits) and (signed or interval.low >= 0)
            require(
                fits, f"{self._at(bits[0])} must hold {interval}, which {len(bits)} bits do not"
            )
        return form

    def _at(self, bit: Bit) -> str:
        return self._netlist.described(bit)

    def _digit(self, form: Affine, place: int, interval: Interval | None = None) -> Meaning:
        """Digit of a form; beyond its width always its sign."""
        span = interval or self.interval(form)
        if span.low == span.high:
            return (span.low >> place) & 1
        if span.low < 0:
            return Digit(form, min(place, width_of(span) - 1))
        return Digit(form, place) if place < span.high.bit_length() else 0

    def _contiguous(self, digits: Sequence[Meaning]) -> Affine | None:
        """The form, times a power of two, whose digits these are; None if they are no form's."""
        ones = [digit for digit in digits if isinstance(digit, int)]
        if len(ones) == len(digits):
            number = sum(one << place for place, one in enumerate(ones))
            return Affine(constant=number) if not digits or not digits[-1] else None
        zeros = next(k for k, digit in enumerate(digits) if digit != 0)
        first = digits[zeros]
        if not isinstance(first, Digit) or first.place:
            return None
        for place, digit in enumerate(digits[zeros:]):
            if digit != self._digit(first.of, place):
                return None
        return Affine().plus(first.of, 1 << zeros)

    def _tried(self, digits: Sequence[Meaning], *, signed: bool, where: Bits) -> Affine:
        """The affine function that a word of lookups equals on every assignment."""
        tables = [self._table(digit) for digit in digits]
        support = sorted({v for table in tables for v in table.support})
        self._require_few(support, where[0])
        values = []
        for assignment in _assignments(support):
            ones = [table.at(assignment) for table in tables]
            number = sum(one << place for place, one in enumerate(ones))
            values.append(number - ((ones[-1] << len(ones)) if signed else 0))
        factors = [values[1 << k] - values[0] for k in range(len(support))]
        for index, value in enumerate(values):
            own = sum(factor for k, factor in enumerate(factors) if (index >> k) & 1)
            require(
                value == values[0] + own, f"{self._at(where[0])} must be a weighted sum of bits"
            )
        return Affine.of(zip(support, factors, strict=True), values[0])

    def _require_few(self, support: Sequence[Variable], bit: Bit) -> None:
        require(
            len(support) <= MAX_SUPPORT,
            f"{self._at(bit)} must be a sum, or read at most {MAX_SUPPORT} bits",
        )

    def _table(self, meaning: Meaning) -> Table:
        """A meaning as a function of a few bits."""
        if not isinstance(meaning, Digit):
            return _as_table(meaning)
        support = tuple(sorted(meaning.of.factors))
        for name, _ in support:
            require(self._intervals[name] == BITS, f"{name} must be a bit to be looked up")
        require(len(support) <= MAX_SUPPORT, "a lookup must read few bits, not a whole sum")
        values = [meaning.of.constant]
        for variable in support:
            values += [meaning.of.factors[variable] + value for value in values]
        return Table(support, tuple((value >> meaning.place) & 1 for value in values))

    def function(self, bits: Bits) -> Table:
        """One net, or the number that several are without a sign, as a function of a few bits."""

        def number(ones: Sequence[int]) -> int:
            return sum(one << place for place, one in enumerate(ones))

        return _as_table(self._composed(number, bits, bits[0]))

    def _composed(
        self, function: Callable[[Sequence[int]], int], bits: Bits, bit: Bit
    ) -> int | Table:
        """``function`` of nets, over the few bits that these read; ``bit`` is what it is for."""
        tables = [self._table(self.meaning(each)) for each in bits]
        support = tuple(sorted({v for table in tables for v in table.support}))
        self._require_few(support, bit)
        ones = [
            function([table.at(values) for table in tables]) for values in _assignments(support)
        ]
        return _reduced(Table(support, tuple(ones)))

    def _driven(self, bit: Bit) -> Meaning:
        cell, index = self._netlist.driver(bit)
        if cell.kind == "$dff":
            return self._passed(bit)
        if cell.kind in ("$add", "$sub", "$neg", "$pos"):
            return self._digit(self._sum(cell), index)
        if cell.kind == "$mux":
            chosen = self.meaning(cell.ports["S"][0])
            if isinstance(chosen, int):
                return self.meaning(cell.ports["B" if chosen else "A"][index])
        return self._looked_up(cell, index, bit)

    def _sum(self, cell: Cell) -> Affine:
        """What an adder or subtractor computes, in the lowest bits of its result's width."""
        if cell not in self._sums:
            width = len(cell.ports["Y"])
            if "B" not in cell.ports:
                signed = cell.number("A_SIGNED") == 1
                own = self.word(cell.ports["A"], signed=signed, modulo=width)
                self._sums[cell] = Affine().plus(own, -1 if cell.kind == "$neg" else 1)
            else:
                left, right = (
                    self.word(cell.ports[name], signed=cell.is_signed, modulo=width)
                    for name in ("A", "B")
                )
                self._sums[cell] = left.plus(right, -1 if cell.kind == "$sub" else 1)
        return self._sums[cell]

    def _passed(self, q: Bit) -> Meaning:
        """What a register of the pipeline holds: its input, a clock later."""
        register = self._netlist.register(q)
        of_pipeline = register.enable in self._enables and not register.reset_value
        require(of_pipeline, f"{self._at(q)} must be a register of the pipeline")
        stage = self._enables[register.enable]
        before = self.meaning(register.d)

        def later(variable: Variable) -> Variable:
            require(
                variable[1] == stage,
                f"{self._at(q)} must hold what passed {stage} registers, not {variable[1]}",
            )
            return variable[0], stage + 1

        if isinstance(before, Table):
            return Table(tuple(later(v) for v in before.support), before.ones)
        if isinstance(before, Digit):
            factors = {later(v): f for v, f in before.of.factors.items()}
            return Digit(Affine(factors, before.of.constant), before.place)
        return before

    def _looked_up(self, cell: Cell, index: int, bit: Bit) -> Meaning:
        """A cell of logic that reads a few bits."""
        reads = _operands(cell, index)
        require(reads is not None, f"{self._at(bit)} must be a sum, and is a {cell.kind}")
        return self._composed(lambda values: _computed(cell, index, values), reads or (), bit)


def _assignments(support: Sequence[V]) -> Iterator[dict[V, int]]:
    """Every assignment of a few bits, in the order of `Table.ones`."""
    for index in range(1 << len(support)):
        yield {variable: (index >> k) & 1 for k, variable in enumerate(support)}


def _as_table(meaning: int | Table) -> Table:
    return Table((), (meaning,)) if isinstance(meaning, int) else meaning


def _reduced(table: Table) -> int | Table:
    """The function without the variables that make no difference."""
    support, ones = list(table.support), list(table.ones)
    for k in reversed(range(len(support))):
        if all(one == ones[index ^ (1 << k)] for index, one in enumerate(ones)):
            ones = [one for index, one in enumerate(ones) if not (index >> k) & 1]
            del support[k]
    return Table(tuple(support), tuple(ones)) if support else ones[0]


def _operands(cell: Cell, index: int) -> Bits | None:
    """Nets that one bit of a cell's result depends on; None for a cell that is not known here."""
    ports = cell.ports
    if cell.kind in ("$not", "$and", "$or", "$xor"):
        names = ("A",) if cell.kind == "$not" else ("A", "B")
        return tuple(_extended(cell, name)[index] for name in names)
    if cell.kind == "$mux":
        return ports["A"][index], ports["B"][index], ports["S"][0]
    if cell.kind == "$shr" and all(bit in ("0", "1", "x") for bit in ports["A"]):
        return ports["B"]
    if index == 0 and cell.kind in _REDUCED:
        return ports["A"]
    if index == 0 and cell.kind in ("$eq", "$ne"):
        return (*ports["A"], *ports["B"])
    return ("0",) if cell.kind in (*_REDUCED, "$eq", "$ne") else None


_REDUCED: dict[str, Callable[[Sequence[int]], bool]] = {
    "$reduce_or": any,
    "$reduce_bool": any,
    "$reduce_and": all,
    "$logic_not": lambda values: not any(values),
}


def _extended(cell: Cell, name: str) -> Bits:
    """An operand in the width of the result."""
    bits, width = cell.ports[name], len(cell.ports["Y"])
    signed = cell.number("A_SIGNED") and ("B" not in cell.ports or cell.number("B_SIGNED"))
    return (*bits, *((bits[-1] if signed else "0",) * (width - len(bits))))


def _computed(cell: Cell, index: int, values: Sequence[int]) -> int:
    """One bit of a cell's result, of the values of `_operands`."""
    if cell.kind == "$not":
        return 1 - values[0]
    if cell.kind in ("$and", "$or", "$xor"):
        a, b = values
        return {"$and": a & b, "$or": a | b, "$xor": a ^ b}[cell.kind]
    if cell.kind == "$mux":
        return values[1] if values[2] else values[0]
    if index and cell.kind != "$shr":
        return 0
    if cell.kind in _REDUCED:
        return int(_REDUCED[cell.kind](values))
    if cell.kind in ("$eq", "$ne"):
        width = len(cell.ports["A"])
        a, b = (
            sum(v << k for k, v in enumerate(part)) for part in (values[:width], values[width:])
        )
        return int((a == b) == (cell.kind == "$eq"))
    place = index + sum(value << k for k, value in enumerate(values))
    content = cell.ports["A"]
    return int(place < len(content) and content[place] == "1")
