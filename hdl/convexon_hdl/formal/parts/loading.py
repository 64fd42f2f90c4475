"""Proof that weights are loaded as images say, into one row at a time, and between inferences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from convexon.plan.fold import FoldPlan
from convexon.plan.image import (
    HEADER_WORDS,
    MAGIC,
    WORD_BITS,
    row_words,
    rows_of_bank,
    words_per_row,
)
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.loader import Loader, LoadGate
from convexon_hdl.folded.weights import WeightBank
from convexon_hdl.formal.netlist.linear import BITS, Reading, Table
from convexon_hdl.formal.netlist.netlist import require
from convexon_hdl.formal.netlist.parity import check_checksum
from convexon_hdl.formal.netlist.part import StandIn
from convexon_hdl.formal.netlist.wiring import pipeline, require_same, stream_bits
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction, by_reading

HOLDS = (1, 1, 0, 1)
"""Table of the gate's ``hold``, over whether words wait, and whether weights are there."""


class LoaderSpecification(Elaboratable):
    """Images are taken word for word; each row is written once, and what is wrong is refused.

    Words come, and weights are free, at will. ``position`` counts the words of the image under way:
    it goes on from MAGIC, the fingerprint and the length only where the word is that, and begins
    anew after a wrong one, which sets ``refused``, and after the last, of which ``digest`` decides.
    ``loaded`` falls with the first word of whatever comes, and rises after a right last word alone.

    A word of rows belongs to one engine, bank, address and part of a row: the loader's registers
    are where ``position`` stands in the order of images. In the clock after a row's last word,
    exactly its own engine's write is enabled, with its bank, address and words; in all others none.

    Parameters
    ----------
    loader : StandIn
        With the signature `LoaderSpecification.signature`; watched: ``state``, ``bank``,
        ``address``, ``part``, and of the CRC-32 ``crc_start``, ``crc_valid`` and ``crc_data``.
    plans : sequence of FoldPlan
        Engines whose weights are loaded.
    fingerprint : int
    """

    STATES = 5
    """Of an image: begin, fingerprint, length, rows and digest, numbered so."""

    def __init__(self, loader: StandIn, *, plans: Sequence[FoldPlan], fingerprint: int) -> None:
        self.loader = loader
        self.plans = tuple(plans)
        self.fingerprint = fingerprint
        self.n_words = sum(row_words(plan) for plan in self.plans)

    @staticmethod
    def signature(loader: Loader) -> wiring.Signature:
        """Ports of a loader whose CRC-32 is cut out: ``digest`` is what it says."""
        return wiring.Signature({**dict(loader.signature.members), "digest": In(WORD_BITS)})

    def elaborate(self, platform: object) -> Module:
        """Build the position, the flags, and the comparison."""
        m = Module()
        m.submodules.loader = loader = self.loader
        load, watched = loader.load, loader.watched
        word = load.payload
        m.d.comb += [
            load.valid.eq(AnySeq(1)),
            word.eq(AnySeq(WORD_BITS)),
            loader.granted.eq(AnySeq(1)),
            loader.digest.eq(AnySeq(WORD_BITS)),
        ]
        end = HEADER_WORDS + self.n_words
        position = Signal(range(end + 2))
        loaded, refused = Signal(reset_less=True), Signal(reset_less=True)
        taken, right, state = Signal(), Signal(), Signal(range(self.STATES))
        m.d.comb += [taken.eq(load.valid & loader.granted), right.eq(1)]
        for place, expected in enumerate((MAGIC, self.fingerprint, self.n_words)):
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
            Assert(watched["state"] == state),
            Assert(watched["crc_valid"] == taken),
            Assert(watched["crc_start"] == (taken & (position == 0))),
            Assert(watched["crc_data"] == word),
            Assert(loader.loaded == loaded),
            Assert(loader.refused == refused),
            Assert((position == 0) | ~loaded),
        ]
        self._rows(m, position, in_rows, taken & in_rows)
        return m

    def _rows(self, m: Module, position: Signal, in_rows: Value, taken: Value) -> None:
        """Tie the loader's place to the position, and compare what it writes."""
        watched = self.loader.watched
        bank, address, part = (watched[name] for name in ("bank", "address", "part"))
        most = max(words_per_row(plan) for plan in self.plans)
        words = Signal(most * WORD_BITS)
        with m.If(taken):
            m.d.sync += words.eq(Cat(words, self.loader.load.payload)[WORD_BITS:])
        with m.If(~in_rows):
            m.d.comb += Assert((bank == 0) & (address == 0) & (part == 0))
        begin, number = HEADER_WORDS, 0
        expected: dict[int, list[Value]] = {k: [] for k in range(len(self.plans))}
        for k, plan in enumerate(self.plans):
            size, rows = words_per_row(plan), rows_of_bank(plan)
            for own in range(plan.choice.banks):
                due, place = Signal(name=f"due{number}"), Signal.like(address, name=f"at{number}")
                here = in_rows & (bank == number)
                m.d.sync += [due.eq(taken & here & (part == size - 1)), place.eq(address)]
                with m.If(here):
                    m.d.comb += [
                        Assert((part < size) & (address < rows)),
                        Assert(position == begin + address * size + part),
                    ]
                expected[k].append(due)
                with m.If(due):
                    self._compare(m, k, own, place, words)
                begin, number = begin + rows * size, number + 1
        m.d.comb += Assert(~in_rows | (bank < number))
        for k, dues in expected.items():
            m.d.comb += Assert(getattr(self.loader, f"write{k}").enable == Cat(dues).any())

    def _compare(self, m: Module, k: int, bank: int, address: Value, words: Signal) -> None:
        """The row that is written: the newest words."""
        write, plan = getattr(self.loader, f"write{k}"), self.plans[k]
        row = words[len(words) - words_per_row(plan) * WORD_BITS :]
        m.d.comb += [
            Assert(write.bank == bank),
            Assert(write.address == address),
            Assert(write.data == row[: len(write.data)]),
        ]


class GateSpecification(Elaboratable):
    """Inferences pass whole, and ``idle`` is high only while none is inside.

    Steps, results and loads come at will, but never more results than inferences. While ``hold`` is
    high, the gate shuts as soon as no step waits to be taken, and opens in the clock after ``hold``
    has fallen. A shut gate stops first steps alone, and what passes is not changed; ``idle`` says
    that it is shut, that no inference is on its way in, and that none is inside. So an offer stays
    on offer, and ``idle`` stays high while ``hold`` does.

    Parameters
    ----------
    gate : StandIn
        Of a `LoadGate`; watched: ``step``, ``under_way`` and ``closed``.
    n_steps : int
    """

    def __init__(self, gate: StandIn, *, n_steps: int) -> None:
        self.gate = gate
        self.n_steps = n_steps

    def elaborate(self, platform: object) -> Module:
        """Build the counts and the property."""
        m = Module()
        m.submodules.gate = gate = self.gate
        i, o, watched = gate.i, gate.o, gate.watched
        waits, waited = Signal(), Signal.like(i.payload)
        m.d.comb += [
            i.valid.eq(AnySeq(1) | waits),
            i.payload.eq(Mux(waits, waited, AnySeq(len(i.payload)))),
            *(wire.eq(AnySeq(1)) for wire in (o.ready, gate.ended, gate.hold)),
        ]
        step = Signal(range(self.n_steps + 1))
        inside = Signal(len(watched["under_way"]))
        passes, first, offered = o.valid & o.ready, step == 0, Signal()
        idle, shut = Signal(), Signal(init=1)
        stops = shut & first
        m.d.sync += [
            waits.eq(i.valid & ~i.ready),
            waited.eq(i.payload),
            offered.eq(o.valid & ~o.ready),
            idle.eq(gate.idle & gate.hold),
            shut.eq(gate.hold & (shut | ~(o.valid & ~o.ready))),
            inside.eq(inside + (passes & first) - gate.ended),
        ]
        with m.If(passes):
            m.d.sync += step.eq(Mux(step == self.n_steps - 1, 0, step + 1))
        m.d.comb += [
            # More than any pipeline holds; an inference's result comes after its first step.
            Assume(~gate.ended | (inside != 0)),
            Assume(~passes | (inside < 1 << (len(inside) - 1))),
            Assert(step < self.n_steps),
            Assert(watched["step"] == step),
            Assert(watched["under_way"] == inside),
            Assert(o.payload == i.payload),
            Assert(watched["closed"] == shut),
            Assert(o.valid == (i.valid & ~stops)),
            Assert(i.ready == (o.ready & ~stops)),
            Assert(gate.idle == (stops & (inside == 0))),
            Assert(~offered | o.valid),
            Assert(~idle | gate.idle),
            Assert(~(offered & first) | ~shut),
        ]
        return m


def loader_obligations(
    emitted: Emitted, accelerator: Accelerator, gate: LoadGate, loader: Loader
) -> Iterator[Obligation]:
    """Gate, loader and checksum of an emitted network, and what they are connected with."""
    names = emitted.names
    watched = {name: names.local(gate, name) for name in ("step", "under_way", "closed")}
    part = emitted.cut(gate, watched=watched)
    n_steps = gate.n_steps

    def gate_specification() -> GateSpecification:
        return GateSpecification(StandIn(gate.signature, part), n_steps=n_steps)

    yield by_induction("gate", names.path(gate), part, gate_specification, given=n_steps)
    watched = {name: names.local(loader, name) for name in ("bank", "address", "part")}
    watched["state"] = names.local(loader, "image_state")
    for name in ("start", "valid", "data"):
        watched[f"crc_{name}"] = names.local(loader, f"checksum.{name}")
    digest = names.local(loader, "checksum.crc")
    own = emitted.cut(loader, watched=watched, held={"digest": digest})

    def loader_specification() -> LoaderSpecification:
        return LoaderSpecification(
            StandIn(LoaderSpecification.signature(loader), own),
            plans=loader.plans,
            fingerprint=loader.fingerprint,
        )

    shapes = [(p.choice, words_per_row(p), rows_of_bank(p), p.weight_width) for p in loader.plans]
    given = (loader.fingerprint, shapes)
    yield by_induction("loader", names.path(loader), own, loader_specification, given=given)
    where = f"{names.path(loader)}.checksum"
    yield by_reading("checksum", where, lambda: check_checksum(emitted, loader))
    where = f"{names.path(gate)} and {names.path(loader)}"
    yield by_reading("connections", where, lambda: _check_gate(emitted, accelerator, gate, loader))
    engines = [e for e in names.of_type(FoldedEngine, accelerator) if e.plan.is_loaded]
    for k, engine in enumerate(engines):

        def check(k: int = k, engine: FoldedEngine = engine) -> None:
            _check_writes(emitted, loader, engine, k)

        yield by_reading("connections", f"{names.path(loader)} to {names.path(engine)}", check)


def _check_gate(emitted: Emitted, accelerator: Accelerator, gate: LoadGate, loader: Loader) -> None:
    """Steps go through the gate, which is closed while weights are loaded or missing."""
    names, ports = emitted.names, emitted.netlist.ports
    source = pipeline(emitted, accelerator)[0]
    for part, bits in stream_bits(emitted, source.i).items():
        require_same(emitted, bits, stream_bits(emitted, gate.o)[part], f"{part} from the gate")
    for name, stream in (("i", gate.i), ("load", loader.load)):
        for part, bits in stream_bits(emitted, stream).items():
            require_same(emitted, ports[f"{name}__{part}"], bits, f"{name}__{part}")
    for name in ("loaded", "refused"):
        require_same(emitted, ports[name], names.bits(getattr(loader, name)), name)
    require_same(emitted, names.bits(loader.granted), names.bits(gate.idle), "grant of a load")
    asks, loaded = ports["load__valid"][0], names.bits(loader.loaded)[0]
    reading = Reading(emitted.netlist, {"asks": ((asks,), BITS), "loaded": ((loaded,), BITS)})
    held = reading.function(names.bits(gate.hold)) == Table((("asks", 0), ("loaded", 0)), HOLDS)
    require(held, "the gate must be held while words of weights wait, or weights are missing")
    ends = (*ports["o__valid"], *ports["o__ready"], ports["o__payload"][-1])
    words = {f"o{k}": ((bit,), BITS) for k, bit in enumerate(ends) if isinstance(bit, int)}
    ended = Reading(emitted.netlist, words).function(names.bits(gate.ended))
    every = Table(tuple((name, 0) for name in words), (*(0,) * ((1 << len(words)) - 1), 1))
    require(ended == every, "an inference must end when its last result is taken")


def _check_writes(emitted: Emitted, loader: Loader, engine: FoldedEngine, k: int) -> None:
    """Rows that the loader writes reach all banks of their engine."""
    names = emitted.names
    given = getattr(loader, f"write{k}")
    for bank in names.of_type(WeightBank, engine):
        for name in given.signature.members:
            what = f"{name} from {names.path(loader)} to {names.path(bank)}"
            own, other = getattr(bank.write, name), getattr(given, name)
            require_same(emitted, names.bits(own), names.bits(other), what)
