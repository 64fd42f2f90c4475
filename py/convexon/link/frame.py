"""Frames of `convexon.link.protocol`, as bytes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from convexon.link.protocol import (
    CHECK_BYTES,
    ESCAPE,
    ESCAPED,
    FLAG,
    HEADER_BYTES,
    PLAIN_KINDS,
    SEQUENCE_BYTES,
)

MOST_BYTES = 1 << 20
"""Bytes between two flags that are kept; a frame is never that long."""


@dataclass(frozen=True)
class Frame:
    """A frame."""

    kind: int
    sequence: int
    body: bytes = b""


def encode(frame: Frame, nonce: bytes = b"") -> bytes:
    """Return the bytes of ``frame`` in the session of ``nonce``, if any, flags included."""
    content = bytes([frame.kind]) + frame.sequence.to_bytes(SEQUENCE_BYTES, "little") + frame.body
    content += _check(content, nonce)
    content = content.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPE ^ ESCAPED]))
    content = content.replace(bytes([FLAG]), bytes([ESCAPE, FLAG ^ ESCAPED]))
    return bytes([FLAG]) + content + bytes([FLAG])


class FrameReader:
    """Finds frames among the bytes that come in, in pieces of any size.

    Members
    -------
    nonce : of the session; empty before there is one
    damaged : frames so far whose check or form was wrong, those of other sessions among them
    """

    def __init__(self, nonce: bytes = b"") -> None:
        self.nonce = nonce
        self.damaged = 0
        self._rest = b""

    def feed(self, received: bytes) -> list[Frame]:
        """Take ``received``, and return the frames that are now whole."""
        *ended, self._rest = (self._rest + received).split(bytes([FLAG]))
        if len(self._rest) > MOST_BYTES:  # a line that sends noise must not fill the memory
            self._rest = b""
        frames = []
        for piece in ended:
            frame = _decode(piece, self.nonce)
            if frame is not None:
                frames.append(frame)
            elif piece:
                self.damaged += 1
        return frames


def _check(content: bytes, nonce: bytes) -> bytes:
    """Return the check of a frame's content."""
    start = b"" if content[0] in PLAIN_KINDS else nonce
    return zlib.crc32(content, int.from_bytes(start, "little")).to_bytes(CHECK_BYTES, "little")


def _decode(piece: bytes, nonce: bytes) -> Frame | None:
    """Return the frame between two flags, or None if it is none of the session."""
    parts = piece.split(bytes([ESCAPE]))
    if not all(parts[1:]):  # an escape of nothing, or of an escape
        return None
    content = parts[0] + b"".join(bytes([part[0] ^ ESCAPED]) + part[1:] for part in parts[1:])
    if len(content) < HEADER_BYTES + CHECK_BYTES:
        return None
    sound, check = content[:-CHECK_BYTES], content[-CHECK_BYTES:]
    if _check(sound, nonce) != check:
        return None
    sequence = int.from_bytes(sound[1:HEADER_BYTES], "little")
    return Frame(sound[0], sequence, sound[HEADER_BYTES:])
