"""Proof that weights are loaded as images say, into one row at a time, and between inferences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.fold import FoldPlan
from convexon.image import HEADER_WORDS, MAGIC, WORD_BITS, row_words, rows_of_bank, words_per_row
from convexon_hdl.folded.loader import Loader, LoadGate
from convexon_hdl.proof.obligation import Emitted, Obligation, by_induction
from convexon_hdl.proof.part import Part, StandIn

CRC_POLYNOMIAL = 0xEDB88320
"""That of Ethernet, its bits in the order in which they are sent."""


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
            Assert(~taken | (watched["crc_start"] == (position == 0))),
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


class ChecksumSpecification(Elaboratable):
    """The CRC-32 of the words since ``start``, bit after bit by the polynomial's definition.

    Parameters
    ----------
    checksum : StandIn
        Of the CRC of `Loader`, with `ChecksumSpecification.SIGNATURE`.
    """

    SIGNATURE = wiring.Signature(
        {"start": In(1), "valid": In(1), "data": In(WORD_BITS), "crc": Out(WORD_BITS)}
    )

    def __init__(self, checksum: StandIn) -> None:
        self.checksum = checksum

    def elaborate(self, platform: object) -> Module:
        """Build the shift register."""
        m = Module()
        m.submodules.checksum = checksum = self.checksum
        m.d.comb += [
            checksum.start.eq(AnySeq(1)),
            checksum.valid.eq(AnySeq(1)),
            checksum.data.eq(AnySeq(WORD_BITS)),
        ]
        ones = (1 << WORD_BITS) - 1
        register = Signal(WORD_BITS, init=ones)
        value: Value = Mux(checksum.start, ones, register)
        for k in range(WORD_BITS):
            later = Signal(WORD_BITS, name=f"after{k}")
            feedback = value[0] ^ checksum.data[k]
            m.d.comb += later.eq((value >> 1) ^ Mux(feedback, CRC_POLYNOMIAL, 0))
            value = later
        with m.If(checksum.valid):
            m.d.sync += register.eq(value)
        with m.Elif(checksum.start):
            m.d.sync += register.eq(ones)
        m.d.comb += Assert(checksum.crc == ~register)
        return m


class GateSpecification(Elaboratable):
    """Inferences pass whole, and ``idle`` is high only while none is inside.

    Steps, results and loads come at will, but never more results than inferences. No step is lost,
    doubled or changed on the way, and an offer stays. Once an inference has begun, its other steps
    pass whatever ``hold`` is. While ``idle`` is high no step passes and none is inside; it stays
    while ``hold`` does. With ``hold`` low for a clock, all steps pass.

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
        idle, held = Signal(), Signal(init=1)
        m.d.sync += [
            waits.eq(i.valid & ~i.ready),
            waited.eq(i.payload),
            offered.eq(o.valid & ~o.ready),
            idle.eq(gate.idle & gate.hold),
            held.eq(gate.hold),
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
            Assert(passes == (i.valid & i.ready)),
            Assert(~offered | o.valid),
            Assert(first | ((o.valid == i.valid) & (i.ready == o.ready))),
            Assert(held | ((o.valid == i.valid) & (i.ready == o.ready))),
            Assert(~gate.idle | (first & (inside == 0) & ~o.valid & ~i.ready)),
            Assert(~idle | gate.idle),
            Assert(held | ~watched["closed"]),
            Assert(~(offered & first) | ~watched["closed"]),
        ]
        return m


def loader_obligations(emitted: Emitted, gate: LoadGate, loader: Loader) -> Iterator[Obligation]:
    """Gate, loader and checksum of an emitted network."""
    names = emitted.names
    watched = {name: names.local(gate, name) for name in ("step", "under_way", "closed")}
    part = emitted.cut(gate, watched=watched)
    n_steps = gate.n_steps

    def gate_specification() -> GateSpecification:
        return GateSpecification(StandIn(gate.signature, part), n_steps=n_steps)

    yield by_induction("gate", names.path(gate), part, gate_specification, given=n_steps)
    sums = {
        name: names.local(loader, f"checksum.{name}") for name in ("start", "valid", "data", "crc")
    }
    watched = {name: names.local(loader, name) for name in ("bank", "address", "part")}
    watched["state"] = names.local(loader, "image_state")
    watched |= {f"crc_{name}": sums[name] for name in ("start", "valid", "data")}
    own = emitted.cut(loader, watched=watched, held={"digest": sums["crc"]})

    def loader_specification() -> LoaderSpecification:
        return LoaderSpecification(
            StandIn(LoaderSpecification.signature(loader), own),
            plans=loader.plans,
            fingerprint=loader.fingerprint,
        )

    shapes = [(p.choice, words_per_row(p), rows_of_bank(p), p.weight_width) for p in loader.plans]
    given = (loader.fingerprint, shapes)
    yield by_induction("loader", names.path(loader), own, loader_specification, given=given)
    digest = {"crc": sums.pop("crc")}
    checksum = Part(emitted.netlist, inputs=sums, outputs=digest)

    def checksum_specification() -> ChecksumSpecification:
        return ChecksumSpecification(StandIn(ChecksumSpecification.SIGNATURE, checksum))

    where = f"{names.path(loader)}.checksum"
    yield by_induction("checksum", where, checksum, checksum_specification)
