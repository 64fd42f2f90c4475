"""The byte protocol between a host and an accelerator: what both ends must agree on.

A *frame* is, as in RFC 1662 with a check sequence of 32 bits::

    FLAG  kind  sequence0 sequence1  body ...  check0 check1 check2 check3  FLAG

Between the flags each byte that equals `FLAG` or `ESCAPE` is sent as `ESCAPE` and the byte with
`ESCAPED` flipped. Numbers are sent lowest byte first. One flag may end a frame and begin the next;
flags in a row are idle.

The check is the CRC-32 of Ethernet and of zlib over the bytes from ``kind`` to the end of the body,
continued from the session's nonce as if that were the check of bytes before them; the kinds of
`PLAIN_KINDS` are checked without it. So a frame of another session is as unsound as a damaged one.

The host sends a *request* and waits for its *answer*, whose kind is the request's with `ANSWER`
set, and whose sequence number is the request's. Numbers count from the one of `Kind.HELLO`, and
none comes twice: in a session a number stands for one request, and a host that has used them up
opens another session.

- `Kind.HELLO` opens a session. Body: its nonce, `NONCE_BYTES` bytes that the host drew at random.
  Answer: `VERSION`, a byte of `Status`, and the `FINGERPRINT_BYTES` bytes of the design's
  fingerprint. Whatever was under way is forgotten.
- `Kind.INFER` brings the next `CHUNK_BYTES` bytes of an inference, or what is left of it. Answer:
  nothing, or after the last chunk all results of the inference.
- `Kind.LOAD` brings the next words of a weight image (`convexon.plan.image`), at most `CHUNK_BYTES`
  bytes. Answer: a byte of `Status`.

A request whose number is that of the one before is answered as that was, and not run again. One
that cannot be taken is refused: kind `REFUSED`, the sequence number that is expected, and a byte of
`Reason`; nothing has changed then. A frame whose check fails never changes anything.

A transfer of an accelerator's stream is sent as whole bytes, its lowest bits first; bits beyond its
width are 0. So is a result.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

VERSION = 2
"""Version of this protocol; a refusal in version 1 has no byte where ``Reason`` is."""

DEFAULT_BAUD = 1_000_000
"""Bits a second of a serial line, unless another rate is asked for on both sides."""

FLAG = 0x7E
ESCAPE = 0x7D
ESCAPED = 0x20

SEQUENCE_BYTES = 2
SEQUENCES = 256**SEQUENCE_BYTES
HEADER_BYTES = 1 + SEQUENCE_BYTES
CHECK_BYTES = 4
CHUNK_BYTES = 256
"""Most bytes of a request's body."""

NONCE_BYTES = 4
FINGERPRINT_BYTES = 8
GREETING_BYTES = 2 + FINGERPRINT_BYTES
"""Of the answer's body to `Kind.HELLO`."""

ANSWER = 0x80
REFUSED = 0xFF


class Kind(IntEnum):
    """What a request asks for."""

    HELLO = 0x01
    INFER = 0x02
    LOAD = 0x03


PLAIN_KINDS = (Kind.HELLO, REFUSED)
"""Frames that must be understood by an end that knows no session, or another one."""


class Reason(IntEnum):
    """Why a request was refused.

    ``CLOSED``: no session is open, as after power-up. ``DAMAGED``: the check or the form of a frame
    was wrong, or it is of another session. ``SEQUENCE``: the number was neither the expected one
    nor the one before. ``LENGTH``: the body had another length than was due. ``KIND``: the request
    is unknown, or does not suit what is under way. ``UNLOADED``: the weights have yet to be loaded.
    """

    CLOSED = 1
    DAMAGED = 2
    SEQUENCE = 3
    LENGTH = 4
    KIND = 5
    UNLOADED = 6


class Status(IntFlag):
    """What became of the weights that are loaded at run time; 0 where none are."""

    LOADABLE = 1
    LOADED = 2
    IMAGE_REFUSED = 4


def bytes_of(bits: int) -> int:
    """Return how many bytes carry a vector of ``bits`` bits."""
    return -(-bits // 8)
