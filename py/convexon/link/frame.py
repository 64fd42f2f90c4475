"""Frames of `convexon.link.protocol`, as bytes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from convexon.link.protocol import CHECK_BYTES, ESCAPE, ESCAPED, FLAG, HEADER_BYTES

MOST_BYTES = 1 << 20
"""Bytes between two flags that are kept; a frame is never that long."""


@dataclass(frozen=True)
class Frame:
    """A frame."""

    kind: int
    sequence: int
    body: bytes = b""


def encode(frame: Frame) -> bytes:
    """Return the bytes of ``frame``, flags included."""
    content = bytes([frame.kind, frame.sequence]) + frame.body
    content += zlib.crc32(content).to_bytes(CHECK_BYTES, "little")
    content = content.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPE ^ ESCAPED]))
    content = content.replace(bytes([FLAG]), bytes([ESCAPE, FLAG ^ ESCAPED]))
    return bytes([FLAG]) + content + bytes([FLAG])


class FrameReader:
    """Finds frames among the bytes that come in, in pieces of any size.

    Members
    -------
    damaged : frames so far whose check or form was wrong
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._rest = b""

    def feed(self, received: bytes) -> list[Frame]:
        """Take ``received``, and return the frames that are now whole."""
        *ended, self._rest = (self._rest + received).split(bytes([FLAG]))
        if len(self._rest) > MOST_BYTES:  # a line that sends noise must not fill the memory
            self._rest = b""
        frames = []
        for piece in ended:
            frame = _decode(piece)
            if frame is not None:
                frames.append(frame)
            elif piece:
                self.damaged += 1
        return frames


def _decode(piece: bytes) -> Frame | None:
    """Return the frame between two flags, or None if it is none."""
    parts = piece.split(bytes([ESCAPE]))
    if not all(parts[1:]):  # an escape of nothing, or of an escape
        return None
    content = parts[0] + b"".join(bytes([part[0] ^ ESCAPED]) + part[1:] for part in parts[1:])
    if len(content) < HEADER_BYTES + CHECK_BYTES:
        return None
    sound, check = content[:-CHECK_BYTES], content[-CHECK_BYTES:]
    if zlib.crc32(sound) != int.from_bytes(check, "little"):
        return None
    return Frame(sound[0], sound[1], sound[HEADER_BYTES:])
