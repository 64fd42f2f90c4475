"""The board's end of the protocol: it checks requests, runs them, and answers."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.link.protocol import (
    ANSWER,
    CHECK_BYTES,
    CHUNK_BYTES,
    FINGERPRINT_BYTES,
    GREETING_BYTES,
    HEADER_BYTES,
    NONCE_BYTES,
    REFUSED,
    SEQUENCES,
    VERSION,
    Kind,
    Reason,
    Status,
)
from convexon.plan.image import WORD_BITS
from convexon_hdl.link.frame import ByteLayout, Event, EventLayout
from convexon_hdl.link.shape import LinkShape
from convexon_hdl.link.vector import VectorCollector, VectorSplitter

_OVERHEAD = HEADER_BYTES + CHECK_BYTES


class Endpoint(wiring.Component):
    """Answers the requests of `convexon.link.protocol` with what the accelerator computes.

    A request's body waits in a memory until its check has agreed; only then does any of it reach
    the accelerator. Results wait in another until all of an inference are there, and stay there
    until the next request is taken, so that a request which comes again is answered again and not
    run again. What arrives while a request is being run or answered is dropped, as the host sends
    one request at a time.

    Latency: from the end of a request to the accelerator 2 clocks, and 2 for each byte; an answer
    takes 2 clocks for each byte before the line does. Resources: a memory of `CHUNK_BYTES` bytes
    and one of an inference's results, and flip-flops for a transfer and a result.

    Parameters
    ----------
    shape : LinkShape

    Members
    -------
    events : In(stream.Signature(EventLayout(), always_ready=True))
    reply : Out(stream.Signature(ByteLayout()))
    i : Out(stream.Signature(i_bits))
    o : In(stream.Signature(o_bits))
    load : Out(stream.Signature(32))
    loaded, refused : In(1)
        Of an accelerator whose weights are loaded; otherwise they are left out.
    restart : Out(1)
        Resets the accelerator.
    answered : Out(1)
        Changes with each request that was taken.
    nonce : Out(32)
        Of the session.

    Attributes
    ----------
    body, results : memory.Memory
        Of the request, and of the answer.
    """

    def __init__(self, shape: LinkShape) -> None:
        self.shape = shape
        self.body = memory.Memory(shape=unsigned(8), depth=CHUNK_BYTES, init=[])
        self.results = memory.Memory(shape=unsigned(8), depth=max(2, shape.answer_bytes), init=[])
        members = {
            "events": In(stream.Signature(EventLayout(), always_ready=True)),
            "reply": Out(stream.Signature(ByteLayout())),
            "i": Out(stream.Signature(unsigned(shape.i_bits))),
            "o": In(stream.Signature(unsigned(shape.o_bits))),
            "restart": Out(1),
            "answered": Out(1),
            "nonce": Out(8 * NONCE_BYTES),
        }
        if shape.is_loadable:
            members["load"] = Out(stream.Signature(unsigned(WORD_BITS)))
            members |= {"loaded": In(1), "refused": In(1)}
        super().__init__(members)

    def again(self, sequence: Value, expected: Value) -> Value:
        """Whether a request has the number of the one before."""
        return sequence == (expected - 1)[: len(sequence)]

    def due(self, length: Value, chunk: Value) -> Value:
        """Whether a part of an inference has the length that is due."""
        last = chunk == self.shape.chunks - 1
        return length == Mux(last, self.shape.last_chunk_bytes, CHUNK_BYTES)

    def elaborate(self, platform: object) -> Module:
        """Build the memories, the way of bytes in and out, and the session."""
        m = Module()
        m.submodules.body = self.body
        m.submodules.results = self.results
        self._signals()
        self._receive(m)
        self._run(m)
        self._take_results(m)
        self._answer(m)
        with m.FSM(name="session"):
            self._wait(m)
            self._judge(m)
            self._feed(m)
            self._speak(m)
        return m

    def _signals(self) -> None:
        """Make the registers of a session."""
        self._kind, self._sequence = Signal(8), Signal(range(SEQUENCES))
        self._count = Signal(range(CHUNK_BYTES + _OVERHEAD + 2))
        self._length = Signal(range(CHUNK_BYTES + 2))
        self._busy, self._spoilt = Signal(), Signal()
        self._open, self._expected = Signal(), Signal(range(SEQUENCES))
        self._last_kind = Signal(8)  # of the request before, 0 where there was none
        self._chunk = Signal(range(max(2, self.shape.chunks)))
        self._ended = Signal()  # all results of the inference are there
        self._n_results = Signal(range(self.shape.answer_bytes + 1))
        self._place = Signal(range(CHUNK_BYTES))  # in the body on its way to the accelerator
        self._refusal = Signal(8)  # reason of the answer, 0 for none
        self._n_answer = Signal(range(max(self.shape.answer_bytes, 32) + 1))
        self._settling = Signal(2)
        self._more, self._clear, self._spoken = Signal(), Signal(), Signal()

    def _receive(self, m: Module) -> None:
        """Keep header and body of a frame, unless it came while the endpoint was busy."""
        event, byte = self.events.payload.event, self.events.payload.data
        port = self.body.write_port()
        count = self._count
        m.d.comb += [
            port.addr.eq(count - HEADER_BYTES),
            port.data.eq(byte),
            port.en.eq(
                self.events.valid
                & (event == Event.BYTE)
                & ~self._busy
                & ~self._spoilt
                & (count >= HEADER_BYTES)
                & (count < CHUNK_BYTES + HEADER_BYTES)
            ),
        ]
        with m.If(self.events.valid):
            with m.If(event != Event.BYTE):
                m.d.sync += [count.eq(0), self._spoilt.eq(0)]
            with m.Elif(self._busy):
                m.d.sync += self._spoilt.eq(1)
            with m.Elif(~self._spoilt):
                with m.If(count < CHUNK_BYTES + _OVERHEAD + 1):
                    m.d.sync += count.eq(count + 1)
                with m.If(count == 0):
                    m.d.sync += self._kind.eq(byte)
                with m.Elif(count < HEADER_BYTES):
                    m.d.sync += self._sequence.eq(Cat(self._sequence, byte)[8:])

    def _wait(self, m: Module) -> None:
        """Wait for the end of a frame."""
        event = self.events.payload.event
        with m.State("Wait"):
            m.d.sync += [self._refusal.eq(0), self._place.eq(0)]
            m.d.sync += self._length.eq(self._count - _OVERHEAD)
            with m.If(self.events.valid & ~self._spoilt):
                with m.If((event == Event.GOOD) & (self._count >= _OVERHEAD)):
                    m.next = "Judge"
                with m.Elif((event == Event.GOOD) | (event == Event.BAD)):
                    m.d.sync += self._refusal.eq(Mux(self._open, Reason.DAMAGED, Reason.CLOSED))
                    m.next = "Speak"

    def _judge(self, m: Module) -> None:
        """Decide what to do with a request whose check agreed."""
        kind, length = self._kind, self._length

        def refuse(reason: Reason) -> None:
            m.d.sync += self._refusal.eq(reason)
            m.next = "Speak"

        with m.State("Judge"):
            m.d.comb += self._busy.eq(1)
            with m.If((kind == Kind.HELLO) & (length == NONCE_BYTES)):
                m.d.comb += self._clear.eq(1)
                m.d.sync += [self._open.eq(1), self._chunk.eq(0)]
                m.next = "Fetch"
            with m.Elif(~self._open):
                refuse(Reason.CLOSED)
            with m.Elif(self.again(self._sequence, self._expected) & (kind == self._last_kind)):
                m.next = "Speak"
            with m.Elif(self._sequence != self._expected):
                refuse(Reason.SEQUENCE)
            with m.Elif(kind == Kind.INFER):
                unloaded = ~self.loaded if self.shape.is_loadable else Const(0)
                with m.If(unloaded):
                    refuse(Reason.UNLOADED)
                with m.Elif(~self.due(length, self._chunk)):
                    refuse(Reason.LENGTH)
                with m.Else():
                    with m.If(self._chunk == 0):
                        m.d.sync += [self._ended.eq(0), self._n_results.eq(0)]
                    m.next = "Fetch"
            with m.Elif((kind == Kind.LOAD) & (self._chunk == 0) & self.shape.is_loadable):
                with m.If((length == 0) | (length > CHUNK_BYTES) | length[:2].any()):
                    refuse(Reason.LENGTH)
                with m.Else():
                    m.next = "Fetch"
            with m.Else():
                refuse(Reason.KIND)

    def _run(self, m: Module) -> None:
        """Build the way from the body to the accelerator's streams."""
        m.submodules.collector = self._collector = VectorCollector(width=self.shape.i_bits)
        wiring.connect(m, self._collector.o, wiring.flipped(self.i))
        m.d.comb += [self._collector.clear.eq(self._clear), self.restart.eq(self._clear)]
        self._words = None
        if self.shape.is_loadable:
            m.submodules.words = self._words = VectorCollector(width=WORD_BITS)
            wiring.connect(m, self._words.o, wiring.flipped(self.load))
            m.d.comb += self._words.clear.eq(self._clear)
        self._reader = self.body.read_port()
        m.d.comb += self._reader.addr.eq(self._place)

    def _feed(self, m: Module) -> None:
        """Hand the body over, byte by byte, and wait for what comes of it."""
        taken = Signal()
        infers, greets = self._kind == Kind.INFER, self._kind == Kind.HELLO
        m.d.comb += self._collector.i.payload.eq(self._reader.data)
        if self._words is not None:
            m.d.comb += self._words.i.payload.eq(self._reader.data)
        with m.State("Fetch"):
            m.d.comb += self._busy.eq(1)
            m.next = "Feed"
        with m.State("Feed"):
            m.d.comb += self._busy.eq(1)
            with m.If(infers):
                m.d.comb += self._collector.i.valid.eq(1)
                m.d.comb += taken.eq(self._collector.i.ready)
            with m.Elif(greets):
                m.d.comb += taken.eq(1)
                m.d.sync += self.nonce.eq(Cat(self.nonce, self._reader.data)[8:])
            if self._words is not None:
                with m.Else():
                    m.d.comb += self._words.i.valid.eq(1)
                    m.d.comb += taken.eq(self._words.i.ready)
            with m.If(taken):
                m.d.sync += [self._place.eq(self._place + 1), self._settling.eq(0)]
                m.next = "Fetch"
                with m.If(self._place == self._length - 1):
                    m.next = "Finish"
        with m.State("Finish"):
            m.d.comb += self._busy.eq(1)
            last = self._chunk == self.shape.chunks - 1
            done = Signal()
            waits = self._collector.o.valid
            if self._words is not None:
                waits = waits | self._words.o.valid
            # What became of an image is known 1 clock after its last word was taken.
            with m.If(~waits & ~self._settling.all()):
                m.d.sync += self._settling.eq(self._settling + 1)
            m.d.comb += done.eq(~waits & self._settling.all() & ~(infers & last & ~self._ended))
            with m.If(done):
                m.d.sync += [
                    self._expected.eq(self._sequence + 1),
                    self._last_kind.eq(self._kind),
                    self.answered.eq(~self.answered),
                    self._n_answer.eq(Mux(greets, GREETING_BYTES, 1)),
                ]
                with m.If(infers):
                    m.d.sync += self._chunk.eq(Mux(last, 0, self._chunk + 1))
                    m.d.sync += self._n_answer.eq(Mux(last, self._n_results, 0))
                m.next = "Speak"

    def _take_results(self, m: Module) -> None:
        """Write results to their memory as they come."""
        m.submodules.splitter = splitter = VectorSplitter(width=self.shape.o_bits)
        wiring.connect(m, wiring.flipped(self.o), splitter.i)
        port = self.results.write_port()
        last = Signal()  # the result being written is an inference's last
        left = Signal(range(splitter.n_bytes + 1))
        m.d.comb += [
            splitter.clear.eq(self._clear),
            splitter.o.ready.eq(1),
            port.addr.eq(self._n_results),
            port.data.eq(splitter.o.payload),
            port.en.eq(splitter.o.valid),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += last.eq(self.o.payload.bit_select(self.shape.last_bit, 1))
            m.d.sync += left.eq(splitter.n_bytes)
        with m.If(splitter.o.valid):
            m.d.sync += [self._n_results.eq(self._n_results + 1), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.sync += self._ended.eq(last)

    def _answer(self, m: Module) -> None:
        """Choose the bytes of an answer: the header, and then what the request asked for."""
        self._at = Signal(range(HEADER_BYTES + max(self.shape.answer_bytes, 32) + 1))
        self._byte = Signal(8)
        index = Signal(len(self._at))
        m.d.comb += index.eq(self._at - HEADER_BYTES)
        stored = self.results.read_port()
        m.d.comb += stored.addr.eq(index)
        status = Signal(8)
        if self.shape.is_loadable:
            m.d.comb += status.eq(
                Const(Status.LOADABLE)
                | Mux(self.loaded, Status.LOADED, 0)
                | Mux(self.refused, Status.IMAGE_REFUSED, 0)
            )
        fingerprint = self.shape.fingerprint.to_bytes(FINGERPRINT_BYTES, "big")
        greeting = Array([Const(VERSION, 8), status, *(Const(byte, 8) for byte in fingerprint)])
        refused = self._refusal.any()
        number = Mux(refused, self._expected, self._sequence)
        with m.If(self._at == 0):
            m.d.comb += self._byte.eq(Mux(refused, REFUSED, self._kind | ANSWER))
        with m.Elif(self._at == 1):
            m.d.comb += self._byte.eq(number[:8])
        with m.Elif(self._at == 2):
            m.d.comb += self._byte.eq(number[8:])
        with m.Elif(refused):
            m.d.comb += self._byte.eq(self._refusal)
        with m.Elif(self._kind == Kind.HELLO):
            m.d.comb += self._byte.eq(greeting[index])
        with m.Elif(self._kind == Kind.LOAD):
            m.d.comb += self._byte.eq(status)
        with m.Else():
            m.d.comb += self._byte.eq(stored.data)
        length = Mux(refused, 1, self._n_answer)
        m.d.comb += [
            self.reply.payload.data.eq(self._byte),
            self.reply.payload.last.eq(self._at == length + (HEADER_BYTES - 1)),
        ]

    def _speak(self, m: Module) -> None:
        """Send the answer; each byte is read from its memory in the clock before."""
        with m.State("Speak"):
            m.d.comb += self._busy.eq(1)
            m.next = "Say"
        with m.State("Say"):
            m.d.comb += [self._busy.eq(1), self.reply.valid.eq(1)]
            with m.If(self.reply.ready):
                m.d.sync += self._at.eq(self._at + 1)
                m.next = "Speak"
                with m.If(self.reply.payload.last):
                    m.d.sync += self._at.eq(0)
                    m.next = "Wait"
