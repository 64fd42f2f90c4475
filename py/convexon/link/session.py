"""The host's end of the protocol: requests, and what to do when no sound answer comes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convexon.errors import LinkError
from convexon.link.frame import Frame, FrameReader, encode
from convexon.link.protocol import (
    ANSWER,
    CHUNK_BYTES,
    GREETING_BYTES,
    NONCE_BYTES,
    REFUSED,
    SEQUENCES,
    VERSION,
    Kind,
    Reason,
    Status,
)
from convexon.link.transport import Transport
from convexon.plan.image import WORD_BYTES


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, and how often to try.

    Members
    -------
    seconds : for an answer, before a request is sent again
    quiet_seconds : silence that is taken for the end of what a damaged request led to
    tries : times that a request is sent
    sessions : times that an inference, or an image, is begun in a new session
    """

    seconds: float = 0.5
    quiet_seconds: float = 0.01
    tries: int = 8
    sessions: int = 4


@dataclass(kw_only=True)
class Counts:
    """What happened on the line.

    Members
    -------
    requests : those that were answered
    resent : requests that were sent again
    silences, refusals, damaged, strays : times that no answer came, that the board found a request
        unsound, and frames that were unsound here, or of another session, or answered something
        else
    sessions : sessions that were opened
    """

    requests: int = 0
    resent: int = 0
    silences: int = 0
    refusals: int = 0
    damaged: int = 0
    strays: int = 0
    sessions: int = 0

    def __str__(self) -> str:
        faults = {
            "resent": self.resent,
            "unanswered": self.silences,
            "refused": self.refusals,
            "damaged": self.damaged,
            "stray": self.strays,
        }
        told = [f"{count} {name}" for name, count in faults.items() if count]
        if self.sessions > 1:
            told.append(f"{self.sessions} sessions")
        return f"{self.requests} requests, {', '.join(told) or 'no faults'}"


class _SessionLostError(Exception):
    """The board is in another state than the host takes it to be in."""


class Session:
    """A conversation with a board.

    An answer is taken only if its check agrees, which only this session's can, and it has the kind
    and the number of the request that waits for it, which no other request of the session has.
    Whatever else comes is counted and dropped; a request without an answer is sent again, and where
    the board has forgotten the session, a new one is opened and the inference begun anew.

    Parameters
    ----------
    fingerprint : that of the design which the board must hold
    image : weights for an accelerator that loads them, sent first in each session: what the board
        has may be another host's
    nonce : callable
        Draws so many bytes, others each time.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        fingerprint: int,
        image: bytes | None = None,
        patience: Patience = Patience(),
        nonce: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._transport = transport
        self._fingerprint = fingerprint
        self._image = image
        self._patience = patience
        self._draw = nonce
        self._reader = FrameReader()
        self._sequence = 0
        self._is_open = False
        self.counts = Counts()

    def answers(self, frame: Frame, request: Frame) -> bool:
        """Whether a sound frame of the session is the answer to ``request``."""
        return (frame.kind, frame.sequence) == (request.kind | ANSWER, request.sequence)

    def infer(self, body: bytes) -> bytes:
        """Return the results of one inference, as bytes.

        Raises
        ------
        LinkError
            If the board does not answer, or is another one.
        """
        chunks = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
        if self._sequence + len(chunks) > SEQUENCES:
            self._is_open = False
        return self._in_session(lambda: self._infer(chunks))

    def load(self, image: bytes) -> None:
        """Load weights in a new session, and in each after it.

        Raises
        ------
        LinkError
            If the board does not answer, or refuses the image.
        """
        self._image = image
        self._is_open = False
        self._in_session(lambda: b"")

    def _in_session(self, act: Callable[[], bytes]) -> bytes:
        """Do something in a session, in a new one if need be.

        While it is being done the session counts as closed: where it is broken off, its next number
        may have been used.
        """
        for _ in range(self._patience.sessions):
            try:
                if not self._is_open:
                    self._open()
                self._is_open = False
                answer = act()
            except _SessionLostError:
                continue
            self._is_open = True
            return answer
        raise LinkError(
            f"the board lost the session {self._patience.sessions} times ({self.counts}): "
            "check its power and cable"
        )

    def _open(self) -> None:
        """Open a session: after it nothing is taken that was on the line before."""
        nonce = self._draw(NONCE_BYTES)
        self._drain()
        self._reader.nonce = nonce
        self._sequence = 0
        body = self._exchange(Kind.HELLO, nonce)
        _require_version(int.from_bytes(body[:1], "little"))
        if len(body) != GREETING_BYTES:
            raise _SessionLostError
        status, fingerprint = Status(body[1]), int.from_bytes(body[2:], "big")
        if fingerprint != self._fingerprint:
            raise LinkError(
                f"the board must hold the design {self._fingerprint:016x}, not "
                f"{fingerprint:016x}: run convexon flash"
            )
        self.counts.sessions += 1
        if Status.LOADABLE in status:
            if self._image is None:
                raise LinkError("the board's accelerator must be given weights, and none were")
            self._load(self._image)

    def _load(self, image: bytes) -> None:
        """Send an image; a second time where the board had half of another one."""
        for _ in range(2):
            status = Status(0)
            for begin in range(0, len(image), CHUNK_BYTES):
                answer = self._exchange(Kind.LOAD, image[begin : begin + CHUNK_BYTES])
                if len(answer) != 1:
                    raise _SessionLostError
                status = Status(answer[0])
            if Status.LOADED in status:
                return
        raise LinkError(
            f"the board refused an image of {len(image) // WORD_BYTES} words: it is for another "
            "accelerator, or damaged; run convexon weights"
        )

    def _infer(self, chunks: Sequence[bytes]) -> bytes:
        """Send an inference, and return the last chunk's answer."""
        answer = b""
        for chunk in chunks:
            if answer:  # results, before the inference was complete
                raise _SessionLostError
            answer = self._exchange(Kind.INFER, chunk)
        return answer

    def _exchange(self, kind: Kind, body: bytes) -> bytes:
        """Send a request until it is answered, and return the answer's body."""
        if self._sequence == SEQUENCES:
            raise LinkError(
                "an inference, and the weights before it, must take fewer requests than "
                f"{SEQUENCES} of {CHUNK_BYTES} bytes"
            )
        request = Frame(kind, self._sequence, body)
        wire = encode(request, self._reader.nonce)
        for number in range(self._patience.tries):
            self.counts.resent += number > 0
            self._transport.write(wire)
            answer = self._await(request)
            if answer is not None:
                self._sequence += 1
                self.counts.requests += 1
                return answer
        if kind != Kind.HELLO:  # which a board hears in whatever session it is
            raise _SessionLostError
        raise LinkError(
            f"the board gave no sound answer to {self._patience.tries} requests "
            f"({self.counts}): check the cable, the port and its rate, and that the board was "
            "flashed with what this version built"
        )

    def _await(self, request: Frame) -> bytes | None:
        """Return the body of the answer to ``request``; None if it must be sent again."""
        end = time.monotonic() + self._patience.seconds
        left = self._patience.seconds
        while True:  # what has come in time is read, however late it is by now
            for frame in self._read(max(left, 0.0)):
                if self.answers(frame, request):
                    return frame.body
                if frame.kind == REFUSED and len(frame.body) <= 1:
                    self._refused(frame.body, request)
                    return None
                self.counts.strays += 1
            if left <= 0:
                self.counts.silences += 1
                return None
            left = end - time.monotonic()

    def _refused(self, reason: bytes, request: Frame) -> None:
        """Decide what a refusal means: return where the request is to be sent again."""
        self.counts.refusals += 1
        if not reason:
            _require_version(1)
        if reason == bytes([Reason.DAMAGED]):
            self._drain()
        elif request.kind != Kind.HELLO:
            raise _SessionLostError

    def _drain(self) -> None:
        """Wait until the line is quiet, and drop what comes."""
        end = time.monotonic() + self._patience.seconds
        while time.monotonic() < end:
            came = self._transport.read(self._patience.quiet_seconds)
            if not came:
                return
            self.counts.strays += len(self._reader.feed(came))

    def _read(self, seconds: float) -> list[Frame]:
        frames = self._reader.feed(self._transport.read(seconds))
        self.counts.damaged = self._reader.damaged
        return frames


def _require_version(version: int) -> None:
    """Raise `LinkError` unless a board's version of the protocol is this one."""
    if version != VERSION:
        raise LinkError(
            f"the board must speak version {VERSION} of the link, not {version}: run convexon "
            "build, then convexon flash"
        )
