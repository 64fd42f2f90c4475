"""A board made of Python, and lines that lose and damage bytes on a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from convexon.link.frame import Frame, FrameReader, encode
from convexon.link.protocol import ANSWER, REFUSED, SEQUENCES, VERSION, Kind, Reason, Status

FINGERPRINT = 0x0123456789ABCDEF


class FakeBoard:
    """Answers an inference with its bytes turned round, and has no notion of time."""

    def __init__(self, *, body: int = 6, chunk: int = 256, loadable: bool = False) -> None:
        self.size, self.chunk = body, chunk
        self.status = Status.LOADABLE if loadable else Status(0)
        self.image = b""
        self.inferences = 0
        self.version, self.fingerprint = VERSION, FINGERPRINT
        self.reset()

    def reset(self) -> None:
        """Forget all, as after power-up."""
        self.reader, self.damaged = FrameReader(), 0
        self.expected: int | None = None
        self.last = Frame(0, 0)
        self.part = b""
        self.status &= ~Status.LOADED

    def feed(self, wire: bytes) -> bytes:
        """Take bytes, and return what the board sends."""
        out = b""
        for byte in wire:  # one by one: a greeting changes the nonce that the next frame must have
            for frame in self.reader.feed(bytes([byte])):
                answer = self.answer(frame)
                out += encode(answer, self.reader.nonce)
            if self.reader.damaged > self.damaged:
                self.damaged = self.reader.damaged
                is_open = self.expected is not None
                out += encode(self.refusal(Reason.DAMAGED if is_open else Reason.CLOSED))
        return out

    def answer(self, frame: Frame) -> Frame:
        """Judge a sound request."""
        if frame.kind == Kind.HELLO:
            self.reader.nonce, self.expected, self.part = frame.body, frame.sequence, b""
            told = bytes([self.version, self.status]) + self.fingerprint.to_bytes(8, "big")
            return self.done(frame, told)
        if self.expected is None:
            return self.refusal(Reason.CLOSED)
        if (frame.kind | ANSWER, frame.sequence) == (self.last.kind, self.last.sequence):
            return self.last
        if frame.sequence != self.expected:
            return self.refusal(Reason.SEQUENCE)
        if frame.kind == Kind.LOAD:
            self.part += frame.body
            whole = len(self.part) >= len(self.image)
            if whole:
                good = self.part == self.image
                self.status |= Status.LOADED if good else Status.IMAGE_REFUSED
                self.part = b""
            return self.done(frame, bytes([self.status]))
        if len(frame.body) != min(self.chunk, self.size - len(self.part)):
            return self.refusal(Reason.LENGTH)
        self.part += frame.body
        if len(self.part) < self.size:
            return self.done(frame, b"")
        body, self.part = self.part, b""
        self.inferences += 1
        return self.done(frame, body[::-1])

    def done(self, frame: Frame, body: bytes) -> Frame:
        """Note the answer and return it."""
        self.expected = (frame.sequence + 1) % SEQUENCES
        self.last = Frame(frame.kind | ANSWER, frame.sequence, body)
        return self.last

    def refusal(self, reason: Reason) -> Frame:
        """Refuse a request, or what was none."""
        return Frame(REFUSED, self.expected or 0, bytes([reason]))


Fault = Callable[[int, bytes], bytes]
"""What becomes of the n-th piece on a line."""


def no_fault(number: int, piece: bytes) -> bytes:
    return piece


class FakeLine:
    """A `Transport` to a `FakeBoard`; ``there`` and ``back`` are faults of each way."""

    def __init__(
        self, board: FakeBoard, *, there: Fault = no_fault, back: Fault = no_fault
    ) -> None:
        self.board, self.there, self.back = board, there, back
        self.sent = self.came = 0
        self.waiting = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent += 1
        answer = self.board.feed(self.there(self.sent, data))
        if answer:
            self.came += 1
            self.waiting += self.back(self.came, answer)

    def read(self, seconds: float) -> bytes:
        came, self.waiting = self.waiting, b""
        return came

    def close(self) -> None:
        self.closed = True


def at(numbers: Iterable[int], fault: Fault) -> Fault:
    """``fault`` on the pieces of these numbers."""
    chosen = set(numbers)
    return lambda number, piece: fault(number, piece) if number in chosen else piece
