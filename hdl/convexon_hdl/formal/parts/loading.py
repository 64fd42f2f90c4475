"""Proof that weights are loaded as images say, into one row at a time, and between inferences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value

from convexon.plan.image import HEADER_WORDS, MAGIC, WORD_BITS, rows_of_bank, words_per_row
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.loader import Loader, LoadGate
from convexon_hdl.folded.weights import WeightBank
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.linear import Reading, bit_words, single_bits
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Netlist, require
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.wiring import require_port
from convexon_hdl.formal.specs.blocks import Specification, counted, free, offer

CRC_POLYNOMIAL = 0xEDB88320
"""That of Ethernet, its bits in the order in which they are sent."""


class Rows(NamedTuple):
    """What an image holds for one engine: its banks, rows of a bank, and words of a row."""

    banks: int
    rows: int
    words: int


@dataclass(eq=False, kw_only=True)
class LoaderSpecification(Specification):
    """Images are taken word for word; each row is written once, and what is wrong is refused.

    Words are offered and loads granted freely. ``position`` counts the words of the image under
    way. It advances past MAGIC, the fingerprint and the length only where the word equals them, and
    starts again after a wrong word, which sets ``refused``, and after the last, which ``digest``
    judges. ``loaded`` falls with the first word of any image, and rises only after a right last
    one.

    A word of rows belongs to one engine, bank, address and part of a row, and the loader's
    registers name the place that ``position`` has in the order of images. In the clock after a
    row's last word, the write of its own engine alone is enabled, with its bank, address and words;
    in all other clocks none is.

    The CRC-32 is cut out: ``digest`` is what it says, and ``crc_start``, ``crc_valid`` and
    ``crc_data`` what it is given. Watched are also ``state``, ``bank``, ``address`` and ``part``.
    """

    STATES = 5
    """Of an image: begin, fingerprint, length, rows and digest, numbered so."""

    engines: Sequence[Rows]
    """Of those whose weights are loaded."""
    fingerprint: int

    def state(self, m: Module) -> None:
        """Build the position, the flags, and the comparison."""
        loader, load, word = self.component, self.component.load, self.component.load.payload
        free(m, load.valid, word, loader.granted, loader.digest)
        n_words = sum(each.banks * each.rows * each.words for each in self.engines)
        end = HEADER_WORDS + n_words
        position = Signal(range(end + 2))
        loaded, refused = Signal(reset_less=True), Signal(reset_less=True)
        taken, right, state = Signal(), Signal(), Signal(range(self.STATES))
        m.d.comb += [taken.eq(load.valid & loader.granted), right.eq(1)]
        for place, expected in enumerate((MAGIC, self.fingerprint, n_words)):
            with m.If(position == place):
                m.d.comb += [right.eq(word == expected), state.eq(place)]
        in_rows = (position >= HEADER_WORDS) & (position < end)
        with m.If(in_rows):
            m.d.comb += state.eq(3)
        with m.Elif(position == end):
            m.d.comb += [state.eq(4), right.eq(word == loader.digest)]
        with m.If(taken):
            m.d.sync += position.eq(Mux(right & (position != end), position + 1, 0))
            m.d.sync += loaded.eq((position == end) & right)
            with m.If(~in_rows):
                m.d.sync += refused.eq(~right)
        m.d.comb += [
            Assert(position <= end),
            Assert(load.ready == loader.granted),
            Assert(loader.state == state),
            Assert(loader.crc_valid == taken),
            Assert(loader.crc_start == (taken & (position == 0))),
            Assert(loader.crc_data == word),
            Assert(loader.loaded == loaded),
            Assert(loader.refused == refused),
            Assert((position == 0) | ~loaded),
        ]
        self._rows(m, position, in_rows, taken & in_rows)

    def _rows(self, m: Module, position: Signal, in_rows: Value, taken: Value) -> None:
        """Tie the loader's place to the position, and compare what it writes."""
        bank, address, part = self.component.bank, self.component.address, self.component.part
        words = Signal(max(each.words for each in self.engines) * WORD_BITS)
        with m.If(taken):
            m.d.sync += words.eq(Cat(words, self.component.load.payload)[WORD_BITS:])
        with m.If(~in_rows):
            m.d.comb += Assert((bank == 0) & (address == 0) & (part == 0))
        begin, number = HEADER_WORDS, 0
        for k, each in enumerate(self.engines):
            write, dues = getattr(self.component, f"write{k}"), []
            row = words[len(words) - each.words * WORD_BITS :]  # the newest words
            for own in range(each.banks):
                due, place = Signal(name=f"due{number}"), Signal.like(address, name=f"at{number}")
                here = in_rows & (bank == number)
                m.d.sync += [due.eq(taken & here & (part == each.words - 1)), place.eq(address)]
                with m.If(here):
                    m.d.comb += [
                        Assert((part < each.words) & (address < each.rows)),
                        Assert(position == begin + address * each.words + part),
                    ]
                dues.append(due)
                with m.If(due):
                    m.d.comb += [
                        Assert(write.bank == own),
                        Assert(write.address == place),
                        Assert(write.data == row[: len(write.data)]),
                    ]
                begin, number = begin + each.rows * each.words, number + 1
            m.d.comb += Assert(write.enable == Cat(dues).any())
        m.d.comb += Assert(~in_rows | (bank < number))


@dataclass(eq=False, kw_only=True)
class GateSpecification(Specification):
    """Inferences pass whole, and ``idle`` is high only while none is inside.

    Steps, results and loads are free, but for results without an inference. While ``hold`` is high,
    the gate shuts as soon as no step waits to be accepted, and it opens in the clock after ``hold``
    has fallen. A shut gate stops first steps alone, and what passes is unchanged; ``idle`` says
    that it is shut, that no inference is entering, and that none is inside. So an offer stays on
    offer, and ``idle`` stays high while ``hold`` does. Watched are ``step``, ``under_way`` and
    ``closed``.
    """

    n_steps: int

    def state(self, m: Module) -> None:
        """Build the counts and the property."""
        gate, i, o = self.component, self.component.i, self.component.o
        waits, waited = offer(m, i.valid, i.ready), Signal.like(i.payload)
        m.d.comb += i.payload.eq(Mux(waits, waited, AnySeq(len(i.payload))))
        free(m, o.ready, gate.ended, gate.hold)
        inside, offered, passes = Signal.like(gate.under_way), Signal(), o.valid & o.ready
        step = counted(m, self.n_steps, passes)
        first = step == 0
        idle, shut = Signal(), Signal(init=1)
        stops = shut & first
        m.d.sync += [
            waited.eq(i.payload),
            offered.eq(o.valid & ~o.ready),
            idle.eq(gate.idle & gate.hold),
            shut.eq(gate.hold & (shut | ~(o.valid & ~o.ready))),
            inside.eq(inside + (passes & first) - gate.ended),
        ]
        m.d.comb += [
            # More than any pipeline holds; an inference's result comes after its first step.
            Assume(~gate.ended | (inside != 0)),
            Assume(~passes | (inside < 1 << (len(inside) - 1))),
            Assert(gate.step == step),
            Assert(gate.under_way == inside),
            Assert(o.payload == i.payload),
            Assert(gate.closed == shut),
            Assert(o.valid == (i.valid & ~stops)),
            Assert(i.ready == (o.ready & ~stops)),
            Assert(gate.idle == (stops & (inside == 0))),
            Assert(~offered | o.valid),
            Assert(~idle | gate.idle),
            Assert(~(offered & first) | ~shut),
        ]


def loader_obligations(emitted: Emitted) -> Iterator[Obligation]:
    """Gate, loader and checksum of an emitted network, and what they are connected with."""
    accelerator = emitted.accelerator
    gate, loader = (emitted.child(accelerator, name) for name in ("gate", "loader"))
    watched = {name: emitted.local(gate, name) for name in ("step", "under_way", "closed")}
    part = emitted.cut(gate, watched=watched)
    yield by_induction("gate", emitted.path(gate), part, GateSpecification, n_steps=gate.n_steps)
    yield _loader_obligation(emitted, loader)
    where = emitted.path(loader)
    yield by_reading("checksum", f"{where}.checksum", check_checksum, emitted, loader)
    both = f"{emitted.path(gate)} and {where}"
    yield by_reading("connections", both, _check_gate, emitted, gate, loader)
    engines = [e for e in emitted.of_type(FoldedEngine) if e.plan.is_loaded]
    for k, engine in enumerate(engines):
        to = f"{where} to {emitted.path(engine)}"
        yield by_reading("connections", to, _check_writes, emitted, loader, engine, k)


def _loader_obligation(emitted: Emitted, loader: Loader) -> Obligation:
    """Words, rows and flags."""
    watched = {name: emitted.local(loader, name) for name in ("bank", "address", "part")}
    watched["state"] = emitted.local(loader, "image_state")
    for name in ("start", "valid", "data"):
        watched[f"crc_{name}"] = emitted.local(loader, f"checksum.{name}")
    digest = emitted.local(loader, "checksum.crc")
    return by_induction(
        "loader",
        emitted.path(loader),
        emitted.cut(loader, watched=watched, inputs={"digest": digest}),
        LoaderSpecification,
        engines=[
            Rows(plan.choice.banks, rows_of_bank(plan), words_per_row(plan))
            for plan in loader.plans
        ],
        fingerprint=loader.fingerprint,
    )


def _check_gate(emitted: Emitted, gate: LoadGate, loader: Loader) -> None:
    """Steps go through the gate, which is closed while weights are loaded or missing."""
    ports = emitted.netlist.ports
    emitted.require_connected(gate.o, emitted.pipeline()[0].i, "from the gate")
    require_port(emitted, "i", gate.i)
    require_port(emitted, "load", loader.load)
    for name in ("loaded", "refused"):
        emitted.require_same(ports[name], getattr(loader, name), name)
    emitted.require_same(loader.granted, gate.idle, "grant of a load")
    words = single_bits({"asks": ports["load__valid"][0], "loaded": emitted.bits(loader.loaded)[0]})
    held = Reading(emitted.netlist, words).is_function(
        emitted.bits(gate.hold)[0], lambda asks, loaded: asks or not loaded, *words
    )
    require(held, "the gate must be held while words of weights wait, or weights are missing")
    words = bit_words("o", (*ports["o__valid"], *ports["o__ready"], ports["o__payload"][-1]))
    ended = Reading(emitted.netlist, words).is_function(
        emitted.bits(gate.ended)[0], lambda *high: all(high), *words
    )
    require(ended, "an inference must end when its last result is taken")


def _check_writes(emitted: Emitted, loader: Loader, engine: FoldedEngine, k: int) -> None:
    """Rows that the loader writes reach all banks of their engine."""
    given = getattr(loader, f"write{k}")
    for bank in emitted.of_type(WeightBank, engine):
        for name in given.signature.members:
            what = f"{name} from {emitted.path(loader)} to {emitted.path(bank)}"
            emitted.require_same(getattr(bank.write, name), getattr(given, name), what)


class Parities:
    """Nets as exclusive ors of ``variables``, where ``assumed`` nets are constant.

    Whether two sums modulo 2 are equal is hard for a solver that knows nothing of them, and easy
    here: the cells are gone through once, and two nets are the same function if and only if they
    are the same set of variables, with the same constant. Such a function is an integer: bit 0 is
    its constant, bit k + 1 says whether variable k counts.
    """

    def __init__(
        self, netlist: Netlist, variables: Sequence[Bit], *, assumed: Mapping[Bit, int]
    ) -> None:
        self._netlist = netlist
        self._known: dict[Bit, int] = {"0": 0, "1": 1}
        self._known |= {bit: 2 << k for k, bit in enumerate(variables)}
        self._known |= assumed

    def of(self, bit: Bit) -> int:
        """The function that a net is; `RefutedError` if it is no exclusive or."""
        if bit not in self._known:
            self._known[bit] = self._driven(bit)
        return self._known[bit]

    def _driven(self, bit: Bit) -> int:
        cell, index = self._netlist.driver(bit)
        ports, where = cell.ports, self._netlist.described(bit)
        if cell.kind == "$mux":
            select = self.of(ports["S"][0])
            require(select in (0, 1), f"{where} must be chosen by a net that is known")
            return self.of(ports["B" if select else "A"][index])
        require(cell.kind in ("$xor", "$not"), f"{where} must be an exclusive or, not {cell.kind}")
        reads = [ports[name] for name in ("A", "B") if name in ports]
        require(all(index < len(r) for r in reads), f"{where} must read as many bits as it has")
        value = int(cell.kind == "$not")
        for bits in reads:
            value ^= self.of(bits[index])
        return value


def check_checksum(emitted: Emitted, loader: Loader) -> None:
    """The CRC-32 of the words since ``start``, bit after bit by the polynomial's definition.

    ``crc`` is the complement of a register that begins with ones; a word's bits are shifted through
    it, the lowest one first.
    """
    netlist, where = emitted.netlist, f"{emitted.path(loader)}.checksum"
    start, valid, data, crc, register = (
        emitted.local(loader, f"checksum.{name}")
        for name in ("start", "valid", "data", "crc", "crc_reg")
    )
    register = _complemented(emitted, crc, register, where)
    registers = [netlist.register(bit) for bit in register]
    require(all(own.init == "1" for own in registers), f"{where} must begin with ones")
    for case in range(4):
        starts, takes = case & 1, case >> 1
        assumed = {start[0]: starts, valid[0]: takes}
        parities = Parities(netlist, [*register, *data], assumed=assumed)
        expected = _shifted(starts=bool(starts), takes=bool(takes))
        for place, (own, value) in enumerate(zip(registers, expected, strict=True)):
            what = f"{where} bit {place} with start {starts} and valid {takes}"
            require(parities.of(own.after) == value, f"{what} must follow the polynomial")


def _complemented(emitted: Emitted, crc: Bits, register: Bits, where: str) -> Bits:
    """Bits of ``register`` whose complements are those of ``crc``."""
    parities = Parities(emitted.netlist, register, assumed={})
    found = []
    for place, bit in enumerate(crc):
        function = parities.of(bit)
        single = [own for k, own in enumerate(register) if function == 1 | 2 << k]
        require(len(single) == 1, f"{where} bit {place} must be the complement of a register's")
        found += single
    return tuple(found)


def _shifted(*, starts: bool, takes: bool) -> list[int]:
    """The register after a clock, as functions of its own bits and those of the word."""
    value = [1 if starts else 2 << k for k in range(WORD_BITS)]
    for k in range(WORD_BITS if takes else 0):
        feedback = value[0] ^ 2 << (WORD_BITS + k)
        value = [*value[1:], 0]
        for place in range(WORD_BITS):
            if CRC_POLYNOMIAL >> place & 1:
                value[place] ^= feedback
    return value
