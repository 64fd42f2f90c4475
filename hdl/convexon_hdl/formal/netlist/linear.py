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
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Cell, Netlist, RefutedError, require

Variable = tuple[str, int]
"""Name, and clocks of delay."""

V = TypeVar("V")

BITS = Interval(0, 1)

MAX_SUPPORT = 12
"""Most bits that a function may read which is tried on every assignment."""


@dataclass(frozen=True)
class Affine:
    """``constant + sum factor * variable``; factors are not 0."""

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
    """A function of a few bits."""

    support: tuple[Variable, ...]
    ones: tuple[int, ...]
    """Value for the assignments 0, 1, 2, ..., the first variable lowest."""

    @classmethod
    def of(cls, function: Callable[..., int], *variables: str, clocks: int = 0) -> Table:
        """``function`` of the variables of these names, all of the same delay."""
        support = sorted(variables)
        ones = [
            int(function(*(values[name] for name in variables))) for values in assignments(support)
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
    return single_bits({f"{name}[{k}]": b for k, b in enumerate(bits) if isinstance(b, int)})


def single_bits(nets: Mapping[str, Bit]) -> dict[str, tuple[Bits, Interval]]:
    """A variable of one bit for each net."""
    return {name: ((net,), BITS) for name, net in nets.items()}


class Reading:
    """Meanings of nets over chosen variables, where ``assumed`` nets are constant.

    ``enables`` are the nets that enable the registers of a pipeline, the first stage first.
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

        Raises `RefutedError` if they are no affine function, or one that needs more bits.
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
            if not fits and signed and len(form.factors) == 1:  # perhaps a lone bit in the sign
                return self._tried(digits, signed=signed, where=bits)
            what = f"{self._at(bits[0])} must hold {interval}"
            require(fits, f"{what}, which {len(bits)} bits do not")
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
            return Affine(constant=_number(ones)) if not digits or not digits[-1] else None
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
        for assignment in assignments(support):
            ones = [table.at(assignment) for table in tables]
            values.append(_number(ones) - ((ones[-1] << len(ones)) if signed else 0))
        factors = [values[1 << k] - values[0] for k in range(len(support))]
        for index, value in enumerate(values):
            sum_ = values[0] + sum(f for k, f in enumerate(factors) if (index >> k) & 1)
            require(value == sum_, f"{self._at(where[0])} must be a weighted sum of bits")
        return Affine.of(zip(support, factors, strict=True), values[0])

    def _require_few(self, support: Sequence[Variable], bit: Bit) -> None:
        what = f"{self._at(bit)} must be a sum, or read at most {MAX_SUPPORT} bits"
        require(len(support) <= MAX_SUPPORT, what)

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
        return _as_table(self._composed(lambda *ones: _number(ones), bits, bits[0]))

    def is_function(
        self, bit: Bit, function: Callable[..., int], *variables: str, clocks: int = 0
    ) -> bool:
        """Whether a net is ``function`` of variables, all of the same delay."""
        return self.function((bit,)) == Table.of(function, *variables, clocks=clocks)

    def _composed(self, function: Callable[..., int], bits: Bits, bit: Bit) -> int | Table:
        """``function`` of nets, over the few bits that these read; ``bit`` is what it is for."""
        tables = [self._table(self.meaning(each)) for each in bits]
        support = tuple(sorted({v for table in tables for v in table.support}))
        self._require_few(support, bit)
        ones = [function(*(each.at(values) for each in tables)) for values in assignments(support)]
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
                operands = (cell.ports["A"], cell.ports["B"])
                left, right = (self.word(o, signed=cell.is_signed, modulo=width) for o in operands)
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
            what = f"{self._at(q)} must hold what passed {stage} registers, not {variable[1]}"
            require(variable[1] == stage, what)
            return variable[0], stage + 1

        if isinstance(before, Table):
            return Table(tuple(later(v) for v in before.support), before.ones)
        if isinstance(before, Digit):
            factors = {later(v): f for v, f in before.of.factors.items()}
            return Digit(Affine(factors, before.of.constant), before.place)
        return before

    def _looked_up(self, cell: Cell, index: int, bit: Bit) -> Meaning:
        """A cell of logic that reads a few bits."""
        logic = _logic(cell, index)
        if logic is None:
            raise RefutedError(f"{self._at(bit)} must be a sum, and is a {cell.kind}")
        return self._composed(logic[1], logic[0], bit)


def assignments(support: Sequence[V]) -> Iterator[dict[V, int]]:
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


_BITWISE: dict[str, Callable[..., int]] = {
    "$not": lambda a: 1 - a,
    "$and": lambda a, b: a & b,
    "$or": lambda a, b: a | b,
    "$xor": lambda a, b: a ^ b,
}

_REDUCED: dict[str, Callable[[Sequence[int]], bool]] = {
    "$reduce_or": any,
    "$reduce_bool": any,
    "$reduce_and": all,
    "$logic_not": lambda values: not any(values),
}


def _logic(cell: Cell, index: int) -> tuple[Bits, Callable[..., int]] | None:
    """Nets that one bit of a cell's result depends on, and the function of them that it is.

    None for a cell that is not known here.
    """
    ports, kind = cell.ports, cell.kind
    if kind in _BITWISE:
        names = ("A",) if kind == "$not" else ("A", "B")
        return tuple(_extended(cell, name)[index] for name in names), _BITWISE[kind]
    if kind == "$mux":
        return (ports["A"][index], ports["B"][index], ports["S"][0]), lambda a, b, s: b if s else a
    if kind == "$shr" and all(bit in ("0", "1", "x") for bit in ports["A"]):
        return ports["B"], lambda *ones: int("1" in ports["A"][index + _number(ones) :][:1])
    if kind not in (*_REDUCED, "$eq", "$ne"):
        return None
    if index:
        return ("0",), lambda zero: zero
    if kind in _REDUCED:
        return ports["A"], lambda *ones: int(_REDUCED[kind](ones))
    width = len(ports["A"])
    return (*ports["A"], *ports["B"]), lambda *ones: int(
        (_number(ones[:width]) == _number(ones[width:])) == (kind == "$eq")
    )


def _number(ones: Sequence[int]) -> int:
    """Unsigned number of binary digits, lowest first."""
    return sum(one << place for place, one in enumerate(ones))


def _extended(cell: Cell, name: str) -> Bits:
    """An operand in the width of the result."""
    bits, width = cell.ports[name], len(cell.ports["Y"])
    signed = cell.number("A_SIGNED") and ("B" not in cell.ports or cell.number("B_SIGNED"))
    return (*bits, *((bits[-1] if signed else "0",) * (width - len(bits))))
