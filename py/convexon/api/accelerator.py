"""An accelerator: a network with a mapping, its Verilog, and what can be done with it.

It works in a run folder of its own, which goes with the object, so that every verb is the function
behind the command of the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.api.network import Network
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.encoder import Encoder, transfers_of
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import InputError, LinkError
from convexon.flow.board.build import build_stage
from convexon.flow.board.measure import connected, fingerprint_of, send
from convexon.flow.hardware.emit import emit_stage, emitted
from convexon.flow.hardware.prove import prove_stage
from convexon.flow.hardware.verify import VerifyResult, verify_stage
from convexon.flow.run import Run
from convexon.link.protocol import DEFAULT_BAUD
from convexon.link.session import Session
from convexon.link.transport import Connection, Transport
from convexon.plan.cost.budget import Limits, fastest_within
from convexon.plan.cost.mapping_cost import Activity, estimated_resources
from convexon.plan.cost.resources import ResourceEstimate
from convexon.plan.family import Family
from convexon.plan.image import image_where_loaded
from convexon.plan.mapping import MAPPING, Mapping
from convexon.plan.schedule import Schedule
from convexon.settings import choice
from convexon.snn.card import CARD
from convexon.snn.decision import Decision
from convexon.snn.models.simulate import run as simulated
from convexon.tools.scratch import Scratch
from convexon_boards.board import Board
from convexon_boards.built import Build
from convexon_boards.catalogue import board_of
from convexon_boards.settings import BuildOptions, Placement
from convexon_hdl.emit.emitter import Host, emit
from convexon_hdl.formal.proofs import ProofReport
from convexon_sim.simulator import SimulatorKind

HERTZ = {"": 1.0, "hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9}


def hertz(clock: str | float) -> float:
    """Return a clock such as ``"12 MHz"``, or a number of Hz, in Hz.

    Raises
    ------
    InputError
        If it is neither.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([a-z]*)\s*", str(clock).lower())
    try:
        value = float(match[1]) * HERTZ[match[2]] if match else 0.0
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < 1e10:
        raise InputError(f'clock must be a frequency such as "12 MHz", not {clock!r}')
    return value


def compile(
    network: Network,
    target: str = "ecp5",
    *,
    clock: str | float | None = None,
    samples: npt.ArrayLike | None = None,
    encoder: Encoder | None = None,
    decision: Decision | None = None,
    **limits: int,
) -> Accelerator:
    """Choose the fastest mapping that fits a target, and keeps its clock.

    Parameters
    ----------
    target : a board, by its name or the path of its TOML file, or a family: ecp5, ice40, gowin. A
        board's part, less what a link takes, is the budget; a family has none.
    clock : such as ``"12 MHz"``, or in Hz; the board's oscillator by default
    samples : array, optional
        Raw samples whose spikes say how busy folded (time-multiplexed) layers are; without them
        every input and neuron is taken to spike at every step.
    encoder : what makes the steps on chip; the host by default
    decision : when an inference ends; after its last step by default
    limits : ``luts``, ``block_rams``, ``latency_cycles``

    Raises
    ------
    InputError
        If nothing fits, or the clock is out of reach.
    """
    is_family = target in {family.value for family in Family}
    board = None if is_family else board_of(target)
    place = Placement(family=Family(target)) if is_family else Placement(board=target)
    mhz = None if clock is None else hertz(clock) / 1e6
    budget = place.budget(Limits(clock=mhz, **limits))
    mapping = fastest_within(
        network.card,
        budget,
        _activity(network, samples),
        encoder=encoder,
        decision=decision or Decision(),
    )
    return Accelerator(network, mapping, budget.family, board, budget.clock_hz)


def _activity(network: Network, samples: npt.ArrayLike | None) -> Activity:
    """How busy inputs and layers are: on samples, or at the most."""
    card = network.card
    if samples is None:
        return Activity.most(card)
    inputs = card.encode(samples)
    return Activity.of(inputs, simulated(card, inputs))


@dataclass(frozen=True)
class Latency:
    """Clocks from the first step to the result, and seconds where a clock is known."""

    cycles: int
    seconds: float | None


@dataclass(frozen=True, eq=False)
class Accelerator:
    """A network in hardware.

    Members
    -------
    mapping : which layers stand in logic and which in block RAM
    clock_hz : clock that the mapping keeps; None where none was asked for
    """

    network: Network
    mapping: Mapping
    family: Family
    board: Board | None = None
    clock_hz: float | None = None
    _scratch: Scratch = field(default_factory=Scratch, init=False, repr=False)

    def __post_init__(self) -> None:
        card = self.run.keep("card", CARD, self.network.card, parents={}, recipe={})
        self.run.keep(
            "mapping", MAPPING, self.mapping, parents={"card": card.record.digest}, recipe={}
        )

    @property
    def run(self) -> Run:
        """The run folder that the accelerator works in."""
        return Run(self._scratch.path)

    @property
    def latency(self) -> Latency:
        """Latency of an inference; the longest where it follows from the spikes.

        The longest is that of a sample whose every input and neuron spikes at every step, which no
        sample exceeds.
        """
        card = self.network.card
        schedule = Schedule.of(card, self.mapping)
        if schedule.is_constant:
            cycles = schedule.latency_cycles
        else:
            most = card.input_range.high
            inputs = np.full((1, card.n_steps, card.n_inputs), most, dtype=np.uint8)
            trace = simulated(card, inputs)
            for _, _, layer in trace.flat_layers():
                layer.spikes[:] = 1
            cycles = int(schedule.cycles(inputs, trace).latency.max())
        return Latency(cycles, None if self.clock_hz is None else cycles / self.clock_hz)

    @property
    def resources(self) -> ResourceEstimate:
        """LUTs and block RAMs, estimated, with the errors that such estimates had."""
        return estimated_resources(self.network.card, self.mapping, self.family)

    def write(self, folder: str | Path, *, host: str = "streams", axi_width: int = 32) -> None:
        """Write the Verilog, its ports and its wrappers.

        Parameters
        ----------
        host : ``streams``, or ``axi`` for a top module with AXI4-Stream and AXI4-Lite
        axi_width : bits of tdata

        Raises
        ------
        ConvexonError
            If Yosys fails, or the folder cannot be written.
        """
        card = self.run.read("card", CARD)
        mapping = self.run.read("mapping", MAPPING)
        bundle = emit(
            card.value,
            self.mapping,
            parents={"card": card.record.digest, "mapping": mapping.record.digest},
            host=choice(Host, host, "host"),
            axi_width=axi_width,
        )
        bundle.write(Path(folder))

    def verify(self, samples: npt.ArrayLike, *, simulator: str = "verilator") -> VerifyResult:
        """Simulate raw samples, and compare everything with the golden model.

        Parameters
        ----------
        samples : array
        simulator : ``verilator`` or ``icarus``

        Raises
        ------
        ConvexonError
            If the simulator is missing or fails, or the samples do not fit. That something differs
            is in the result (`VerifyResult.raise_if_different`).
        """
        self._test(samples)
        emit_stage(self.run)
        return verify_stage(self.run, choice(SimulatorKind, simulator, "simulator"))

    def prove(self) -> ProofReport:
        """Prove the emitted Verilog, part by part, for all inputs.

        Raises
        ------
        MismatchError
            If a part is not proved.
        """
        emit_stage(self.run)
        report = prove_stage(self.run).report.value
        report.require_proved()
        return report

    def build(self, *, seeds: int = 1, freq: float | None = None) -> BoardBuild:
        """Synthesize, place, route and pack for the accelerator's board.

        Parameters
        ----------
        seeds : runs of the placer; the fastest is kept
        freq : clock in MHz; the accelerator's by default

        Raises
        ------
        ConvexonError
            If there is no board, a tool fails, or the design does not fit or is too slow.
        """
        if self.board is None:
            raise InputError("target must be a board to build for, not a family")
        emit_stage(self.run)
        mhz = self.clock_hz / 1e6 if freq is None and self.clock_hz is not None else freq
        options = BuildOptions(freq=mhz, seeds=seeds)
        made = build_stage(self.run, board=self.board, options=options)
        return BoardBuild(self, made.build.value, made.file)

    def _test(self, samples: npt.ArrayLike) -> None:
        """Keep samples as what ``verify`` runs; their labels are the network's own."""
        card = self.network.card
        inputs = card.encode(samples)
        data = SpikeDataset(
            inputs=inputs,
            labels=simulated(card, inputs).labels[:, -1],
            n_classes=max(2, card.n_classes),
            input_bits=card.input_bits,
            name="samples",
        )
        self.run.keep("test", DATASET, data, parents={}, recipe={})
        raw = Samples(
            values=np.asarray(samples),
            labels=data.labels,
            classes=self.network.classes,
            name="samples",
        )
        self.run.keep("samples-test", SAMPLES, raw, parents={}, recipe={})


@dataclass(frozen=True, eq=False)
class BoardBuild:
    """A bitstream, and what the tools reported.

    Members
    -------
    bitstream : its file, which goes with the accelerator
    """

    accelerator: Accelerator
    report: Build
    bitstream: Path

    @contextmanager
    def connect(
        self, port: str | None = None, *, simulate: bool = False, baud: int = DEFAULT_BAUD
    ) -> Iterator[ConnectedBoard]:
        """Open the link to the board, or to its design in Verilator.

        Parameters
        ----------
        port : serial port, or /dev/spidevBUS.DEVICE
        simulate : whether the design is simulated behind a serial port of its own
        baud : bits a second of a serial line

        Raises
        ------
        InputError
            Unless one of ``port`` and ``simulate`` is given.
        LinkError
            If the port cannot be opened.
        """
        connection = Connection(port=port, simulate=simulate, baud=baud)
        with connected(self.accelerator.run, connection) as transport:
            yield ConnectedBoard(self.accelerator, transport)


class ConnectedBoard:
    """A board that holds an accelerator, at the other end of a link."""

    def __init__(self, accelerator: Accelerator, transport: Transport) -> None:
        self.accelerator = accelerator
        card, (_, bundle) = accelerator.network.card, emitted(accelerator.run)
        self._ports = bundle.value.ports
        self._session = Session(
            transport,
            fingerprint=fingerprint_of(bundle.record.digest),
            image=image_where_loaded(card, accelerator.mapping),
        )

    def predict(self, samples: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the board's answers to raw samples, by class names.

        Raises
        ------
        InputError
            If the samples do not fit the network's interface.
        LinkError
            If the board does not answer, or holds another design.
        """
        network = self.accelerator.network
        found = send(self._session, self._ports, self._transfers(samples))
        labels, n_classes = found.labels[:, -1], len(network.classes)
        if (labels >= n_classes).any():
            raise LinkError(
                f"the board must answer with a class below {n_classes}, not {labels.max()}: its "
                "accelerator does not work; compare it with convexon run"
            )
        return network.interface.named(labels)

    def _transfers(self, samples: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Raw samples as the host sends them: steps, or levels for an encoder on chip."""
        network, encoder = self.accelerator.network, self.accelerator.mapping.encoder
        if encoder is None:
            return network.card.encode(samples)
        return transfers_of(encoder, network.interface, samples)
