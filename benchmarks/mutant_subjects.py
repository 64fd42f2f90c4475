"""Designs whose mutants are counted: one of every kind of hardware, each with what a bench sends.

A *subject* is an emitted design, the parts of it that are mutated, and a way to find out what a
bench says first of other texts in its place.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.data.encoder import Encoder, EncoderKind, encode_transfers
from convexon.errors import MismatchError
from convexon.plan.image import loaded_plans, weight_image
from convexon.plan.mapping import Folded, Mapping, Spatial, Weights
from convexon.plan.schedule import Schedule
from convexon.snn.cells import OWN, cell_layer
from convexon.snn.decision import Decision, Rule, decided_trace
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.snn.seeded import seeded_weights
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.bench.runner import simulate_all
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Trial

N_SAMPLES = 40

SPATIAL_SEED = 139
"""Of weights with which every neuron fires now and then, and every two classes tie."""

WEIGHT_SEED = 31
STALLING = Traffic(idle=0.2, back_pressure=0.6, resets=(0, 3, 9), seed=3)
BLOCKING = Traffic(idle=0.0, back_pressure=0.95, seed=4)
"""Together with inputs that are mostly 0: buffers and credits are used up, as steps are quick."""

REFUSED = "image was refused"


def layer(
    rng: np.random.Generator, n_inputs: int, n_neurons: int, *, recurrent: bool, **changes: object
) -> Layer:
    """A layer that leaks, with small weights."""
    members: dict[str, object] = {
        "weights": rng.integers(-3, 5, (n_inputs, n_neurons)),
        "recurrent": rng.integers(-3, 4, (n_neurons, n_neurons)) if recurrent else None,
        "thresholds": rng.integers(2, 6, n_neurons),
        "biases": rng.integers(0, 2, n_neurons),
        "leak": Leak(1, 2),
        "reset": Reset.SUBTRACT,
        "weight_format": QFormat(4),
        "threshold_format": QFormat(5),
        **changes,
    }
    return Layer(**members)  # type: ignore[arg-type]


def network(
    rng: np.random.Generator,
    *branches: tuple[Layer, ...],
    mode: ReadoutMode = ReadoutMode.COUNT,
    input_bits: int = 1,
) -> FixedPointNetwork:
    """A network of six steps and three classes."""
    n_features = sum(layers[-1].n_neurons for layers in branches)
    return FixedPointNetwork(
        branches=tuple(Branch(layers) for layers in branches),
        n_steps=6,
        input_bits=input_bits,
        readout_mode=mode,
        readout_weights=rng.integers(-3, 4, (n_features, 3)),
        readout_biases=rng.integers(-2, 3, 3),
        readout_format=QFormat(4),
        bias_format=QFormat(4),
    )


def spatial_network(seed: int = SPATIAL_SEED) -> FixedPointNetwork:
    """Two branches, recurrence, leaks, two resets and a result a step."""
    rng = np.random.default_rng(seed)
    return network(
        rng,
        (layer(rng, 4, 3, recurrent=True, reset=Reset.ZERO),),
        (layer(rng, 4, 3, recurrent=False), layer(rng, 3, 2, recurrent=False)),
        mode=ReadoutMode.STEP,
    )


def wide_network(seed: int = 5) -> FixedPointNetwork:
    """Two branches of 20 inputs, so that a scanner has two groups, and a result a step."""
    rng = np.random.default_rng(seed)
    return network(
        rng,
        (layer(rng, 20, 5, recurrent=False, thresholds=rng.integers(6, 12, 5)),
         layer(rng, 5, 3, recurrent=False)),
        (layer(rng, 20, 3, recurrent=True, thresholds=rng.integers(6, 12, 3)),),
        mode=ReadoutMode.STEP,
    )  # fmt: skip


def states_network(seed: int = 12) -> FixedPointNetwork:
    """Synaptic currents, a reset one step late, and a leak of each neuron."""
    rng = np.random.default_rng(seed)
    return network(
        rng,
        (layer(rng, 5, 3, recurrent=True, synapse=Leak(1, 1), reset=Reset.LATE),),
        (layer(rng, 5, 4, recurrent=False, leaks=np.array([0, 1, 2, 4])),),
        mode=ReadoutMode.STEP,
    )


def cells_network(seed: int = 8) -> FixedPointNetwork:
    """Logic cells, some of which read their own last spike."""
    rng = np.random.default_rng(seed)
    reads = [rng.permutation(6)[:4] for _ in range(6)]
    for own in reads[:2]:
        own[3] = OWN
    cells = cell_layer(reads, rng.integers(0, 2, (6, 16)), n_inputs=6)
    return network(rng, (cells,), mode=ReadoutMode.STEP)


def integrating_network(seed: int = 9) -> FixedPointNetwork:
    """Leaky integrators behind a layer that spikes, whose largest membranes are the scores."""
    rng = np.random.default_rng(seed)
    hidden = layer(rng, 5, 4, recurrent=False)
    last = layer(rng, 4, 3, recurrent=False, reset=Reset.NONE)
    return FixedPointNetwork(
        branches=(Branch((hidden, last)),),
        n_steps=6,
        input_bits=1,
        readout_mode=ReadoutMode.PEAK,
        readout_weights=np.eye(3, dtype=np.int64),
        readout_biases=np.zeros(3, dtype=np.int64),
        readout_format=QFormat(2),
        bias_format=QFormat(2),
    )


def seeded_network() -> FixedPointNetwork:
    """A layer whose weights are those of a seed."""
    rng = np.random.default_rng(6)
    weights = seeded_weights(WEIGHT_SEED, 20, [2, 3, 5, 7, 11], bits=4)
    own = layer(rng, 20, 5, recurrent=False, weights=weights, thresholds=rng.integers(3, 9, 5))
    return network(rng, (own,))


def small_network(*, input_bits: int = 1) -> FixedPointNetwork:
    """Four neurons, whose classes are close."""
    rng = np.random.default_rng(330)
    return network(rng, (layer(rng, 6, 4, recurrent=False),), input_bits=input_bits)


def encoder_of(kind: EncoderKind) -> Encoder:
    """An encoder of three bits."""
    return Encoder(
        kind=kind,
        bits=3,
        seed=9 if kind is EncoderKind.RATE else None,
        resolution=2 if kind in (EncoderKind.DELTA, EncoderKind.CROSSING) else None,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A design and how it is checked.

    Members
    -------
    name : str
    of : FixedPointNetwork
    mapping : Mapping
    within : str
        Pattern of the modules that are mutated.
    count : int
        Mutants that are chosen.
    blocks : bool
        Whether there is a trial in which results are hardly taken.
    """

    name: str
    of: FixedPointNetwork
    mapping: Mapping
    within: str = ""
    count: int = 20
    blocks: bool = False

    @cached_property
    def bundle(self) -> RtlBundle:
        """The design itself."""
        return emit(self.of, self.mapping)

    @property
    def verilog(self) -> str:
        """Its text."""
        return self.bundle.verilog

    @property
    def top(self) -> str:
        """Its top module."""
        return self.bundle.top

    @cached_property
    def trials(self) -> list[Trial]:
        """Trials that the design passes: smooth, stalling, and where it is asked for, blocking."""
        encoder = self.mapping.encoder
        bits = self.of.input_bits if encoder is None else encoder.bits
        transfers = 1 if self.mapping.makes_steps else self.of.n_steps
        values = self.of.n_inputs // (1 if encoder is None else encoder.inputs_per_level)
        shape = (N_SAMPLES, transfers, values)
        inputs = np.random.default_rng(5).integers(0, 1 << bits, shape, dtype=np.uint8)
        found = [self._trial(inputs, traffic) for traffic in (SMOOTH, STALLING)]
        if self.blocks:
            found.append(self._trial(inputs * (inputs.cumsum(axis=2) % 8 == 1), BLOCKING))
        return found

    def _trial(self, inputs: npt.NDArray[np.uint8], traffic: Traffic) -> Trial:
        steps, encoder = inputs, self.mapping.encoder
        if encoder is not None:
            steps = encode_transfers(encoder, inputs, n_steps=self.of.n_steps)
        expected = decided_trace(self.mapping.decision, self.of, golden.run(self.of, steps))
        return Trial(
            bundle=self.bundle,
            inputs=inputs,
            expected=expected,
            cycles=Schedule.of(self.of, self.mapping).cycles(steps, expected),
            image=weight_image(self.of, self.mapping) if self._is_loaded else None,
            traffic=traffic,
        )

    @property
    def _is_loaded(self) -> bool:
        return bool(loaded_plans(self.of, self.mapping))

    @cached_property
    def refusals(self) -> list[Trial]:
        """Trials with an image of weights that the design refuses: wrong in one word of each kind.

        Those are the fingerprint, the length, a row, and the CRC-32.
        """
        smooth = self.trials[0]
        if smooth.image is None:
            return []
        found = []
        for place in (4, 8, 12, len(smooth.image) - 1):
            broken = bytearray(smooth.image)
            broken[place] ^= 4
            found.append(dataclasses.replace(smooth, image=bytes(broken)))
        return found

    def findings(self, texts: Sequence[str]) -> list[str | None]:
        """What the bench on Icarus says first of each text, None if it passes all trials."""
        designs = [self.bundle]
        designs += [dataclasses.replace(self.bundle, verilog=text) for text in texts]
        trials = [
            dataclasses.replace(trial, bundle=design)
            for design in designs
            for trial in (*self.trials, *self.refusals)
        ]
        verdicts = simulate_all(trials, find(SimulatorKind.ICARUS))
        per_design = len(self.trials) + len(self.refusals)
        firsts: list[str | None] = []
        for k in range(0, len(verdicts), per_design):
            own = verdicts[k : k + per_design]
            said = [v.first for v in own[: len(self.trials)] if not v.passed]
            refusals = own[len(self.trials) :]
            said += ["a wrong image is taken" for v in refusals if REFUSED not in str(v.first)]
            firsts.append(str(said[0]) if said else None)
        if firsts[0] is not None:
            raise MismatchError(f"the design {self.name} itself fails: {firsts[0]}")
        return firsts[1:]


@dataclass(frozen=True, eq=False, kw_only=True)
class AxiSubject:
    """The top module with AXI, under the bench of tests/sim/bench with cocotbext-axi on every port.

    Members are those of `Subject`.
    """

    name: str
    of: FixedPointNetwork
    mapping: Mapping
    within: str = ""
    count: int = 20

    @cached_property
    def _bench(self) -> Any:
        folder = Path(__file__).parents[1] / "tests"
        for path in (folder, folder / "sim" / "bench"):
            if str(path) not in sys.path:
                sys.path.append(str(path))
        return importlib.import_module("test_axi")

    @cached_property
    def _hardware(self) -> Any:
        return self._bench.axi(self.of, 32, mapping=self.mapping)

    @property
    def top(self) -> str:
        """The top module."""
        return str(self._bench.AXI_TOP)

    @cached_property
    def verilog(self) -> str:
        """The text of the design itself."""
        return str(self._bench.to_verilog(self._hardware, self.top))

    def findings(self, texts: Sequence[str]) -> list[str | None]:
        """Name of the first scenario that each text fails, None if it passes all."""
        firsts = [self._first(text) for text in (self.verilog, *texts)]
        if firsts[0] is not None:
            raise MismatchError(f"the design {self.name} itself fails: {firsts[0]}")
        return firsts[1:]

    def _first(self, text: str) -> str | None:
        with tempfile.TemporaryDirectory(prefix="convexon-mutant-") as folder:
            found = self._bench.verdicts(
                self._hardware, find(SimulatorKind.ICARUS), Path(folder), verilog=text
            )
        return next((name for name, passed in found.items() if not passed), None)


def subjects() -> list[Subject | AxiSubject]:
    """All subjects."""
    small, wide = small_network(), wide_network()
    fixed = Mapping(
        layers=((Folded(lanes=2, banks=2), Spatial()), (Folded(lanes=3, updates=3),)),
        readout=Folded(lanes=3),
    )
    loaded = Mapping(
        layers=(
            (Folded(lanes=3, banks=2, weights=Weights.LOADED), Folded(lanes=3)),
            (Folded(lanes=2, weights=Weights.LOADED),),
        )
    )
    seeded = Folded(lanes=2, banks=2, weights=Weights.SEEDED, seed=WEIGHT_SEED)
    first = Decision(rule=Rule.THRESHOLD, threshold=4)
    spatial = Mapping.spatial(spatial_network())
    rules = dataclasses.replace(Mapping.spatial(small), decision=Decision(rule=Rule.CERTAIN))
    found: list[Subject | AxiSubject] = [
        Subject(name="spatial", of=spatial_network(), mapping=spatial, count=60),
        Subject(
            name="states",
            of=states_network(),
            mapping=Mapping.spatial(states_network()),
            within="neuron",
        ),
        Subject(
            name="lanes",
            of=states_network(),
            mapping=Mapping(layers=((Folded(lanes=3),), (Folded(lanes=2),))),
            within="lane|updater",
        ),
        Subject(name="cells", of=cells_network(), mapping=Mapping.spatial(cells_network())),
        Subject(
            name="integrators",
            of=integrating_network(),
            mapping=Mapping.spatial(integrating_network()),
            within="readout|stage1",
            count=10,
        ),
        Subject(
            name="folded",
            of=wide,
            mapping=fixed,
            within=r"stage0|readout",
            blocks=True,
        ),
        Subject(name="loaded", of=wide, mapping=loaded, within=r"loader$|gate$|bank"),
        Subject(name="checksum", of=wide, mapping=loaded, within="checksum", count=6),
        Subject(
            name="seeded", of=seeded_network(), mapping=Mapping(layers=((seeded,),)), within="bank"
        ),
        Subject(name="certain", of=small, mapping=rules, within="sequencer|decision"),
    ]
    for kind in EncoderKind:
        own = small_network(input_bits=3) if kind is EncoderKind.HOLD else small
        encoder = encoder_of(kind)
        mapping = dataclasses.replace(Mapping.spatial(own), encoder=encoder, decision=first)
        within = "encoder|sequencer|early_exit"
        found.append(Subject(name=kind.value, of=own, mapping=mapping, within=within, count=10))
    found.append(
        AxiSubject(name="axi", of=small, mapping=Mapping.spatial(small), within=r"_axi(?!.*core)")
    )
    return found
