"""A data set sent to a board, and its answers compared with the golden model's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, MismatchError
from convexon.flow.hardware.emit import emitted
from convexon.flow.hardware.stimulus import stimulus_of
from convexon.flow.run import Run
from convexon.link.codec import read_results, request_bodies
from convexon.link.protocol import FINGERPRINT_BYTES
from convexon.link.session import Counts, Patience, Session
from convexon.link.transport import Connection, Transport, open_port, require_serial
from convexon.plan.image import image_where_loaded
from convexon.progress import QUIET, Progress
from convexon.snn.decision import decided_trace
from convexon.snn.models import simulate
from convexon.snn.models.trace import SpikeTrace, first_mismatch, mismatched_samples
from convexon_boards.board import Board
from convexon_boards.build import results_of
from convexon_boards.design.clocking import clocking
from convexon_boards.design.top import TOP, Design, design_of
from convexon_hdl.link.link import Uart
from convexon_sim.programs.serial_board import SimulatedBoard
from convexon_sim.simulator import SimulatorKind, ready

DIVISOR = 4
"""Clocks of a bit: as few as a receiver can do with, as each costs time."""

_BOARD = Board(
    name="simulated",
    title="Simulated board",
    part="none",
    oscillator_mhz=1.0,
    clock="1",
    rx="2",
    tx="3",
)


@dataclass(frozen=True, kw_only=True)
class BoardRun:
    """What a board did on a data set.

    Members
    -------
    inferences : int
    mismatches : int
        Inferences whose scores or labels differ from the golden model's.
    first : str or None
        What differs first.
    correct : int or None
        Inferences whose last label is the sample's; None where labels are not known.
    seconds : float
        Wall time from the first request to the last answer.
    counts : Counts
    """

    inferences: int
    mismatches: int
    first: str | None
    correct: int | None
    seconds: float
    counts: Counts

    @property
    def inferences_per_second(self) -> float:
        """Rate over the link, answers awaited one by one."""
        return self.inferences / self.seconds

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        verdict = "all equal" if not self.mismatches else f"{self.mismatches} differ: {self.first}"
        told = (
            ""
            if self.correct is None
            else f"{100 * self.correct / self.inferences:.2f} % correct, "
        )
        return (
            f"run: {self.inferences} inferences, {verdict}, {told}"
            f"{self.inferences_per_second:.0f} inferences a second; {self.counts}"
        )

    def require_equal(self) -> None:
        """Raise `MismatchError` unless every answer was the golden model's."""
        if self.mismatches:
            raise MismatchError(f"board: {self.mismatches} inferences differ; first {self.first}")


def fingerprint_of(digest: str) -> int:
    """Return the fingerprint that a bundle of this digest has on a board."""
    return int(digest.removeprefix("sha256:")[: 2 * FINGERPRINT_BYTES], 16)


def run_stage(
    folder: Run,
    transport: Transport,
    progress: Progress = QUIET,
    *,
    name: str = "test",
    limit: int | None = None,
    patience: Patience = Patience(),  # noqa: B008  (frozen)
) -> BoardRun:
    """Send the samples ``name`` of ``folder`` over ``transport``, and compare all answers.

    Expectations come from the vectorised model, which equals the golden one and is faster. The
    board must hold the bundle of ``folder``; weights that are loaded at run time are sent first.

    Parameters
    ----------
    folder : Run
    transport : Transport
    progress : Progress
    name : str
        ``train``, ``test``, or a file with new samples, labelled or not.
    limit : int, optional
        Samples to send; all by default.
    patience : Patience

    Raises
    ------
    ArtefactError
        If the folder lacks a card, samples or a bundle, or they do not belong together.
    InputError
        If there is no sample to send.
    LinkError
        If the board does not answer, or holds another design.
    """
    design, bundle = emitted(folder)
    network, mapping = design.network, design.mapping
    stimulus = stimulus_of(folder, mapping, name)
    n = len(stimulus.inputs) if limit is None else min(limit, len(stimulus.inputs))
    if n < 1:
        raise InputError(f"limit must be 1 or more samples, not {limit!r}")
    progress.begin("running the model")
    inputs = stimulus.inputs[:n]
    expected = decided_trace(mapping.decision, network, simulate.run(network, inputs))
    session = Session(
        transport,
        fingerprint=fingerprint_of(bundle.record.digest),
        image=image_where_loaded(network, mapping),
        patience=patience,
    )
    progress.begin("sending samples to the board")
    began = time.monotonic()
    actual = send(
        session,
        bundle.value.ports,
        stimulus.transfers[:n],
        results=expected.labels.shape[1],
        progress=progress,
    )
    labels = None if stimulus.labels is None else stimulus.labels[:n]
    return _judge(expected, actual, labels, time.monotonic() - began, session)


def send(
    session: Session,
    ports: Mapping[str, Any],
    transfers: npt.NDArray[np.uint8],
    *,
    results: int = 1,
    progress: Progress = QUIET,
) -> SpikeTrace:
    """Return scores and labels of all samples, ``results`` each; `LinkError` as `Session.infer`."""
    found = []
    for k, body in enumerate(request_bodies(ports, transfers)):
        found.append(read_results(ports, session.infer(body.tobytes()), count=results))
        progress.advance(f"{k + 1} of {len(transfers)}")
    labels, scores = map(np.stack, zip(*found, strict=True))
    return SpikeTrace(layers=(), scores=scores, labels=labels)


def _judge(
    expected: SpikeTrace,
    actual: SpikeTrace,
    labels: npt.NDArray[np.int64] | None,
    seconds: float,
    session: Session,
) -> BoardRun:
    """Compare."""
    wanted = SpikeTrace(layers=(), scores=expected.scores, labels=expected.labels)
    first = first_mismatch(wanted, actual)
    correct = None
    if labels is not None:
        truth = labels if labels.ndim == 1 else labels[:, -1]
        correct = int((actual.labels[:, -1] == truth).sum())
    return BoardRun(
        inferences=actual.n_samples,
        mismatches=mismatched_samples(wanted, actual),
        first=None if first is None else str(first),
        correct=correct,
        seconds=seconds,
        counts=session.counts,
    )


def design_of_run(folder: Run) -> Design:
    """Return the design of ``folder`` behind a serial line.

    Raises
    ------
    ArtefactError
        If there is no sound bundle or card, or one is not of the other.
    MissingToolError
        If pyserial is not installed: nothing could be sent, so nothing is compiled first.
    ToolError
        If Yosys is missing or fails.
    """
    require_serial()
    source, bundle = emitted(folder)
    return design_of(
        bundle.value,
        _BOARD,
        clocking=clocking(_BOARD),
        line=Uart(divisor=DIVISOR),
        results=results_of(source.network),
    )


def simulated_board(folder: Run) -> SimulatedBoard:
    """Return the design of ``folder`` as a board in Verilator, a context manager.

    Raises
    ------
    ConvexonError
        As `design_of_run` does; `MissingToolError` too if Verilator is not installed.
    """
    require_serial()
    ready(SimulatorKind.VERILATOR)  # before the design is made
    return SimulatedBoard(design_of_run(folder).verilog, top=TOP, divisor=DIVISOR)


@contextmanager
def connected(folder: Run, connection: Connection) -> Iterator[Transport]:
    """Open the line to the board that a user has, or to the design of ``folder`` in Verilator.

    Raises
    ------
    ConvexonError
        As `open_port` does, or `simulated_board`.
    """
    with ExitStack() as stack:
        port = connection.port or stack.enter_context(simulated_board(folder)).port
        yield stack.enter_context(closing(open_port(port, connection.baud)))
