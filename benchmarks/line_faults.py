"""Inferences over a line with faults: `python benchmarks/line_faults.py [--inferences N]`.

A fault of one kind befalls a share of the frames on their way, in a proxy between the host's
session and the board: a model of the board's end in Python, whose answers are its requests turned
round, and for some more inferences a board's whole design in Verilator. An inference ends with the
right answer, a wrong one, or an error; one that ends in none of these in time hangs. Writes the
figures trust.link.* into benchmarks/results/trust.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convexon.errors import LinkError
from convexon.flow.board.measure import fingerprint_of, simulated_board
from convexon.flow.hardware.emit import emitted
from convexon.flow.hardware.stimulus import stimulus_of
from convexon.link.codec import read_results, request_bodies
from convexon.link.frame import Frame, encode
from convexon.link.protocol import ESCAPE, ESCAPED, FLAG, HEADER_BYTES, NONCE_BYTES, REFUSED, Reason
from convexon.link.session import Patience, Session
from convexon.link.transport import Transport, open_port
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.models import golden

ROOT = Path(__file__).parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "link")]

from fake_board import FINGERPRINT, FakeBoard, FakeLine  # noqa: E402

from small_run import small_run  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "trust.json"
RATE = 0.3
"""Share of the frames that a fault befalls."""

LIMIT_SECONDS = 60.0
"""Time in which an inference must end, many times what a session's patience allows."""


class Hung(Exception):  # noqa: N818  (no error, but a finding)
    """An inference went on for too long."""


class Way:
    """Frames that go one way: all that came, and those that a fault holds back."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.name, self.rng = name, rng
        self.past: list[bytes] = []
        self.held: list[tuple[int, bytes]] = []
        self._rest = b""

    def frames(self, data: bytes) -> list[bytes]:
        """Return the frames that are now whole, with their flags."""
        flag = bytes([FLAG])
        *ended, self._rest = (self._rest + data).split(flag)
        return [flag + piece + flag for piece in ended if piece]

    def released(self) -> list[bytes]:
        """Return what was held back for so many frames."""
        self.held = [(left - 1, frame) for left, frame in self.held]
        due = [frame for left, frame in self.held if left < 0]
        self.held = [(left, frame) for left, frame in self.held if left >= 0]
        return due


class Proxy:
    """A `Transport` in front of another one, which a fault changes on its ways.

    Members
    -------
    there, back : Way
    other : Proxy or None
        What passed in another session with the same board.
    cut : int
        Frames that are lost from now on.
    reset : callable
        Resets the board.
    deadline : float
        When the inference hangs.
    """

    def __init__(
        self,
        line: Transport,
        rng: np.random.Generator,
        fault: FaultKind | None = None,
        *,
        other: Proxy | None = None,
        reset: Callable[[], None] = lambda: None,
    ) -> None:
        self.line, self.fault, self.other, self.reset = line, fault, other, reset
        self.there, self.back = Way("there", rng), Way("back", rng)
        self.cut = 0
        self.deadline = 0.0

    def write(self, data: bytes) -> None:
        """Send what the fault makes of the frames in ``data``."""
        for frame in self.there.frames(data):
            self.line.write(self._passed(self.there, frame))

    def read(self, seconds: float) -> bytes:
        """Return what the fault makes of the frames that have come; raises `Hung` when too late."""
        if time.monotonic() > self.deadline:
            raise Hung
        came = self.back.frames(self.line.read(seconds))
        return b"".join(self._passed(self.back, frame) for frame in came)

    def close(self) -> None:
        """Close the line behind."""
        self.line.close()

    def _passed(self, way: Way, frame: bytes) -> bytes:
        """Return what comes out of the line for a frame that goes in."""
        out = [frame]
        if self.fault is not None and way.name in self.fault.ways and way.rng.random() < RATE:
            out = self.fault.act(self, way, frame)
        way.past.append(frame)
        out += way.released()
        if self.cut:
            self.cut -= 1
            return b""
        return b"".join(out)


@dataclass(frozen=True)
class FaultKind:
    """What befalls a frame on ``ways``: it comes out as the frames that ``act`` returns.

    Nothing befalls the first ``after`` frames.
    """

    act: Callable[[Proxy, Way, bytes], list[bytes]]
    ways: tuple[str, ...] = ("there", "back")
    after: int = 0


def _place_in(way: Way, frame: bytes) -> int:
    return int(way.rng.integers(len(frame)))


def _header(frame: bytes) -> bytes:
    """Return kind and number of a frame."""
    content, flipped = bytearray(), 0
    for byte in frame.strip(bytes([FLAG])):
        if byte == ESCAPE:
            flipped = ESCAPED
        else:
            content.append(byte ^ flipped)
            flipped = 0
    return bytes(content[:HEADER_BYTES])


def _lost_bytes(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    place = _place_in(way, frame)
    return [frame[:place] + frame[place + int(way.rng.integers(1, 4)) :]]


def _flipped_bits(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    damaged = bytearray(frame)
    for _ in range(int(way.rng.integers(1, 9))):
        damaged[_place_in(way, frame)] ^= 1 << int(way.rng.integers(8))
    return [bytes(damaged)]


def _lost(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    return []


def _doubled(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    return [frame] * int(way.rng.integers(2, 4))


def _swapped(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    way.held.append((1, frame))  # it comes behind the next
    return []


def _delayed(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    way.held.append((int(way.rng.integers(1, 600)), frame))
    return []


def _cut_short(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    place = _place_in(way, frame)
    return [frame[:place] + bytes([FLAG] * int(way.rng.integers(2)))]


def _noise(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    burst = way.rng.bytes(int(way.rng.integers(1, 80)))
    return [frame, burst] if way.rng.random() < 0.5 else [burst, frame]


def _line_cut(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    proxy.cut = int(way.rng.integers(1, 8))
    return [frame]


def _board_reset(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    proxy.reset()
    return [frame]


def _one_of(way: Way, frames: Sequence[bytes], frame: bytes) -> list[bytes]:
    """One of ``frames``, or without any ``frame``."""
    return [frames[int(way.rng.integers(len(frames)))]] if frames else [frame]


def _last(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    return way.past[-1:] or [frame]


def _of_256_before(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    """The frame whose number is lower by 256: in one byte it would be the same."""
    kind, low, high = _header(frame)
    before = bytes([kind, low, (high - 1) % 256])
    return _one_of(way, [past for past in way.past if _header(past) == before], frame)


def _earlier(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    return _one_of(way, way.past, frame)


def _of_the_same_number(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    """An earlier frame of the same kind and number: repeated, or an earlier session's."""
    return _one_of(way, [past for past in way.past if _header(past) == _header(frame)], frame)


def _of_another_session(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    """What passed in another session, of the same number where there is such a frame."""
    others = getattr(proxy.other, way.name).past if proxy.other else []
    same = [past for past in others if _header(past) == _header(frame)]
    return _one_of(way, same or others, frame)


def _another_hosts_session(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    """All that another host sent up to this number, its greeting first, and then the frame."""
    others = proxy.other.there.past if proxy.other else []
    number = int.from_bytes(_header(frame)[1:], "little")
    return [*others[: number + int(way.rng.integers(2))], frame]


def _invented(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    """A sound frame with the right kind and number, of no session or one that never was."""
    header = _header(frame)
    number = int.from_bytes(header[1:], "little")
    made = Frame(header[0], number, way.rng.bytes(max(1, len(frame) - 9)))
    return [encode(made, way.rng.bytes(NONCE_BYTES) if way.rng.random() < 0.5 else b"")]


def _refused(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    reason = int(way.rng.integers(len(Reason) + 3))
    return [encode(Frame(REFUSED, int(way.rng.integers(1 << 16)), bytes([reason]))), frame]


def _echo(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    return [proxy.there.past[-1]]


BACK = ("back",)
FAULTS = {
    "bytes lost": FaultKind(_lost_bytes),
    "bits flipped": FaultKind(_flipped_bits),
    "frames lost": FaultKind(_lost),
    "frames doubled": FaultKind(_doubled),
    "frames swapped": FaultKind(_swapped),
    "frames delayed": FaultKind(_delayed),
    "frames cut short": FaultKind(_cut_short),
    "bursts of noise": FaultKind(_noise),
    "line cut and mended": FaultKind(_line_cut),
    "board reset": FaultKind(_board_reset),
    "last answer again": FaultKind(_last, BACK),
    "answer of 256 before": FaultKind(_of_256_before, BACK, after=256),
    "an earlier frame": FaultKind(_earlier),
    "earlier session, same number": FaultKind(_of_the_same_number),
    "another session": FaultKind(_of_another_session),
    "another host between": FaultKind(_another_hosts_session, ("there",)),
    "invented frames": FaultKind(_invented),
    "invented refusals": FaultKind(_refused, BACK),
    "requests echoed": FaultKind(_echo, BACK),
}
_SINGLE = tuple(FAULTS.values())


def _any_fault(proxy: Proxy, way: Way, frame: bytes) -> list[bytes]:
    kinds = [kind for kind in _SINGLE if way.name in kind.ways]
    return kinds[int(way.rng.integers(len(kinds)))].act(proxy, way, frame)


FAULTS["any of these"] = FaultKind(_any_fault)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A board, and inferences whose answers are known.

    Members
    -------
    open : callable
        Gives a line to the board.
    fingerprint : int
    bodies : sequence of bytes
    is_right : callable
        Whether an answer is that of the body of so much.
    patience : Patience
    reset : callable
        Resets the board.
    """

    open: Callable[[], Transport]
    fingerprint: int
    bodies: Sequence[bytes]
    is_right: Callable[[int, bytes], bool]
    patience: Patience
    reset: Callable[[], None] = lambda: None


def model(n: int, *, size: int, seed: int) -> Subject:
    """The model of a board's end, and ``n`` inferences of ``size`` bytes."""
    board = FakeBoard(body=size)
    rng = np.random.default_rng(seed)
    bodies = [rng.bytes(size) for _ in range(n)]
    return Subject(
        open=lambda: FakeLine(board),
        fingerprint=FINGERPRINT,
        bodies=bodies,
        is_right=lambda k, answer: answer == bodies[k][::-1],
        patience=Patience(seconds=0.002, quiet_seconds=0.0),
        reset=board.reset,
    )


@contextmanager
def simulated(n: int) -> Iterator[Subject]:
    """A board's whole design in Verilator, and ``n`` inferences of a network behind it."""
    with tempfile.TemporaryDirectory() as folder:
        run = small_run(Path(folder), samples=n)
        design, bundle = emitted(run)
        stimulus = stimulus_of(run, design.mapping)
        expected = golden.run(design.network, stimulus.inputs)
        ports = bundle.value.ports

        def is_right(k: int, answer: bytes) -> bool:
            try:
                labels, scores = read_results(ports, answer, count=1)
            except LinkError:
                return False
            return bool(
                (scores == expected.scores[k]).all() and (labels == expected.labels[k]).all()
            )

        with simulated_board(run) as board:
            yield Subject(
                open=lambda: open_port(board.port, 115200),
                fingerprint=fingerprint_of(bundle.record.digest),
                bodies=[body.tobytes() for body in request_bodies(ports, stimulus.transfers)],
                is_right=is_right,
                patience=Patience(seconds=0.1, quiet_seconds=0.01),
            )


def trial(
    subject: Subject,
    fault: FaultKind,
    *,
    seed: int,
    session_of: Callable[..., Session] = Session,
) -> Counter[str]:
    """Run all inferences of ``subject`` under ``fault``, and count how they ended."""
    rng = np.random.default_rng(seed)
    ended: Counter[str] = Counter()

    def over(proxy: Proxy, numbers: Sequence[int]) -> None:
        def session() -> Session:
            return session_of(
                proxy,
                fingerprint=subject.fingerprint,
                patience=subject.patience,
                nonce=rng.bytes,
            )

        host = session()
        for k in numbers:
            proxy.deadline = time.monotonic() + LIMIT_SECONDS
            try:
                answer = host.infer(subject.bodies[k])
            except LinkError:
                ended["unanswered"] += 1
            except Hung:
                ended["hung"] += 1
                host = session()
            else:
                ended["right" if subject.is_right(k, answer) else "wrong"] += 1

    numbers = range(len(subject.bodies))
    with closing(subject.open()) as line:
        other = Proxy(line, rng)
        over(other, numbers[::-1])
    if set(ended) != {"right"}:
        raise RuntimeError(f"without faults all answers must be right, and are {dict(ended)}")
    ended.clear()
    with closing(subject.open()) as line:
        over(Proxy(line, rng, fault, other=other, reset=subject.reset), numbers)
    return ended


def main() -> None:
    """Try every kind of fault on the model and on the simulated board, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inferences", type=int, default=600, help="of each kind, on the model")
    parser.add_argument("--simulated", type=int, default=40, help="of each kind, in Verilator")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    n_simulated = 0
    with simulated(options.simulated + max(fault.after for fault in FAULTS.values())) as design:
        for seed, (name, fault) in enumerate(FAULTS.items()):
            short = model(options.inferences, size=6, seed=seed)
            long = model(options.inferences // 10, size=600, seed=seed)
            subjects = [short, long]
            if fault.act is not _board_reset:  # the design has no button
                bodies = design.bodies[: options.simulated + fault.after]
                subjects.append(replace(design, bodies=bodies))
                n_simulated += len(bodies)
            counts = [trial(subject, fault, seed=seed) for subject in subjects]
            total += sum(counts, Counter())
            print(f"{name:30}", *(dict(count) for count in counts), flush=True)
    source = (
        f"benchmarks/line_faults.py: {RATE:.0%} of the frames; {total.total() - n_simulated} "
        f"on a model of the board's end, {n_simulated} on a board's design in Verilator"
    )
    rows = {
        "inferences": (total.total(), "inferences"),
        "faults": (len(FAULTS), "kinds"),
        "wrong": (total["wrong"], "inferences"),
        "hangs": (total["hung"], "inferences"),
        "unanswered": (total["unanswered"], "inferences"),
    }
    figures = {
        name: Figure(name=name, value=value, unit=unit, kind=FigureKind.MEASURED, source=source)
        for name, (value, unit) in ((f"trust.link.{key}", row) for key, row in rows.items())
    }
    known = read_figures(RESULT) if RESULT.exists() else {}
    write_figures({**known, **figures}.values(), RESULT)
    for name, figure in figures.items():
        print(name, figure.value)


if __name__ == "__main__":
    main()
