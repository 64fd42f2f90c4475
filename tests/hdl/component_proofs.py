"""Proofs of the components alone, on small instances: a fixed list, for benchmarks and tests.

What a proof by parts shows of one emitted network, these show of each kind of component, in every
way that it can be built; and besides what no network's text is read for: the AXI side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring
from specifications import (
    CollectorSpecification,
    CounterSpecification,
    GuardSpecification,
    PackerSpecification,
    SumSpecification,
)

from convexon.data.encoder import Encoder, EncoderKind
from convexon.plan.adders.graph import Addend
from convexon.plan.adders.sums import weighted_sums
from convexon.plan.mapping import Folded, Mapping, Spatial, Sums, Weights
from convexon.snn.decision import Decision, Rule
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import INTEGRATE, Leak, LeakRounding, ReadoutMode, Reset
from convexon.snn.ranges import neuron_ranges
from convexon.snn.seeded import seeded_weights
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.axi.counters import WideCounter
from convexon_hdl.axi.framing import InferenceGuard, PacketFormat, TransferCollector, WordLayout
from convexon_hdl.axi.packing import ResultPacker
from convexon_hdl.core.decision import EarlyDecision, EarlyExit
from convexon_hdl.core.lif import LIF, NeuronParameters
from convexon_hdl.core.readout import Argmax, Readout
from convexon_hdl.core.stage import Stage
from convexon_hdl.emit.emitter import emit
from convexon_hdl.formal.network import obligations
from convexon_hdl.formal.obligation import Obligation, Proof, prove_all
from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.formal.specs.contract import NeuronSpecification
from convexon_hdl.formal.specs.handshake import SkidSpecification, StreamSpecification
from convexon_hdl.streams import SkidBuffer
from strategies import readout_of

STEPS = 4
WEIGHT_SEED = 31


def prove_components() -> Iterator[Proof]:
    """Prove every component of the list, and by parts small designs of every kind.

    Raises
    ------
    ToolError
        If Yosys is missing.
    """
    yield from prove_all(component_obligations())
    for network, mapping in small_designs():
        yield from prove_all(obligations(network, mapping, emit(network, mapping).verilog))


def small_designs() -> list[tuple[FixedPointNetwork, Mapping]]:
    """Folded layers of all weights, encoders of all kinds, and early rules, on small networks."""
    network, count = small_network(), small_network(ReadoutMode.COUNT)
    loaded = Folded(lanes=2, banks=2, weights=Weights.LOADED)
    seeded = Folded(lanes=2, banks=2, weights=Weights.SEEDED, seed=WEIGHT_SEED)
    certain = Decision(rule=Rule.CERTAIN)
    first = Decision(rule=Rule.THRESHOLD, threshold=2)
    one_bit = (EncoderKind.THRESHOLD, EncoderKind.LATENCY, EncoderKind.BIT_PLANE)
    spatial = Mapping.spatial(count)
    return [
        (
            network,
            Mapping(
                layers=((Folded(lanes=2, banks=2), Spatial()), (Folded(lanes=2, updates=2),)),
                readout=Folded(lanes=3),
            ),
        ),
        (network, Mapping(layers=((loaded, Folded(lanes=2)), (loaded,)))),
        (
            seeded_network(),
            Mapping(
                layers=((seeded,),),
                readout=Folded(lanes=3),
                encoder=Encoder(kind=EncoderKind.RATE, bits=3, seed=5),
                decision=certain,
            ),
        ),
        *(
            (count, replace(spatial, encoder=Encoder(kind=kind, bits=3), decision=first))
            for kind in one_bit
        ),
        (
            replace(count, input_bits=2),
            replace(spatial, encoder=Encoder(kind=EncoderKind.HOLD, bits=2), decision=certain),
        ),
        (
            count,
            replace(
                Mapping.spatial(count, Spatial(registers=1)),
                decision=certain,
                decision_registers=1,
            ),
        ),
    ]


def component_obligations() -> list[Obligation]:
    """Everything that `prove_components` proves of components alone, by kind and name."""
    return [*_neurons(), *_sums(), *_streams(), *_axi()]


def _obligation(kind: str, where: str, specification: Callable[[], Elaboratable]) -> Obligation:
    def check() -> Verdict:
        return prove(specification())

    return Obligation(kind=kind, where=where, check=check)


def neuron_parameters(
    leak: Leak,
    reset: Reset,
    *,
    threshold: int = 5,
    saturation: QFormat | None = None,
    synapse: Leak | None = None,
    reset_to: int = 0,
) -> NeuronParameters:
    """A neuron with currents of -7 to 9, sized for `STEPS` steps."""
    current = Interval(-7, 9)
    integrated, membrane, synaptic = neuron_ranges(
        current,
        threshold=threshold,
        leak=leak,
        reset=reset,
        saturation=saturation,
        n_steps=STEPS,
        synapse=synapse,
        reset_to=reset_to,
    )
    return NeuronParameters(
        reset_to=reset_to,
        threshold=threshold,
        leak=leak,
        reset=reset,
        saturation=None if saturation is None else saturation.interval,
        current=current,
        integrated=integrated,
        membrane=membrane,
        synapse=synapse,
        synaptic=synaptic,
    )


def _neurons() -> Iterator[Obligation]:
    """Both neurons, with every reset and kind of leak, with and without saturation."""
    for reset in Reset:
        leak = Leak(3, 3, LeakRounding.ZERO)
        rounded = neuron_parameters(leak, reset, threshold=20, synapse=leak)
        yield _neuron(f"3/2^3 towards zero {reset.value} with a current", rounded, split=False)
    for split in (False, True):
        to_two = neuron_parameters(Leak(1, 2), Reset.ZERO, saturation=QFormat(5), reset_to=2)
        yield _neuron("1/2^2 zero in 5 bits, to 2", to_two, split=split)
    for leak in (INTEGRATE, Leak(1, 2), Leak(5, 3)):
        for reset in Reset:
            for saturation in (None, QFormat(5)):
                choice = neuron_parameters(leak, reset, saturation=saturation)
                bits = "" if saturation is None else f" in {saturation.width} bits"
                where = f"{leak.d}/2^{leak.f} {reset.value}{bits}"
                yield from (_neuron(where, choice, split=split) for split in (False, True))
    for reset in Reset:
        choice = neuron_parameters(Leak(1, 2), reset)
        beside = replace(choice, lateral=Interval(-3, 2))
        yield _neuron(f"1/2^2 {reset.value} with a lateral current", beside, split=True)
        kept = neuron_parameters(Leak(1, 2), reset, threshold=20, synapse=Leak(3, 3))
        yield _neuron(f"1/2^2 {reset.value} with a synaptic current", kept, split=False)
        below = neuron_parameters(Leak(1, 2), reset, threshold=-2, saturation=QFormat(4))
        for split in (False, True):
            yield _neuron(f"1/2^2 {reset.value} in 4 bits, threshold -2", below, split=split)


def _neuron(where: str, choice: NeuronParameters, *, split: bool) -> Obligation:
    def specification() -> NeuronSpecification:
        return NeuronSpecification(LIF(choice, split=split), parameters=choice, n_steps=STEPS)

    return _obligation("neuron", f"{'split ' if split else ''}LIF {where}", specification)


def _sums() -> Iterator[Obligation]:
    """Adder graphs against plain sums, in every way and with registers."""
    rng = np.random.default_rng(4)
    rows = [[Addend(i, int(w)) for i, w in enumerate(row)] for row in rng.integers(-7, 8, (3, 9))]
    offsets = [3, 0, -9]
    for sums in Sums:
        for registers in (0, 3):

            def specification(sums: Sums = sums, registers: int = registers) -> SumSpecification:
                graph = weighted_sums(9, rows, offsets, sums)
                return SumSpecification(graph, rows, offsets, registers=registers)

            yield _obligation("sum", f"{sums.value} with {registers} registers", specification)


def small_network(mode: ReadoutMode = ReadoutMode.LAST) -> FixedPointNetwork:
    """Two branches, one of them recurrent, three classes and three steps."""
    rng = np.random.default_rng(5)

    def layer(n_inputs: int, n_neurons: int, *, recurrent: bool = False) -> Layer:
        return Layer(
            weights=rng.integers(-3, 4, (n_inputs, n_neurons)),
            thresholds=rng.integers(1, 5, n_neurons),
            biases=rng.integers(-1, 2, n_neurons),
            recurrent=rng.integers(-3, 4, (n_neurons, n_neurons)) if recurrent else None,
            leak=Leak(1, 2),
            reset=Reset.SUBTRACT,
            weight_format=QFormat(3),
            threshold_format=QFormat(4),
        )

    branches = (Branch((layer(3, 3), layer(3, 2))), Branch((layer(3, 2, recurrent=True),)))
    return FixedPointNetwork(
        branches=branches,
        n_steps=3,
        input_bits=1,
        **readout_of(mode, rng.integers(-3, 4, (4, 3)), rng.integers(-3, 4, 3)),
        readout_format=QFormat(3),
        bias_format=QFormat(4),
    )


def seeded_network() -> FixedPointNetwork:
    """One branch, whose weights are those of a seed."""
    network = small_network(ReadoutMode.COUNT)
    layer = network.branches[1].layers[0]
    weights = seeded_weights(WEIGHT_SEED, 5, [4, 1, 8], bits=3)
    layer = replace(
        layer,
        weights=weights,
        recurrent=None,
        thresholds=np.array([2, 1, 3]),
        biases=np.array([0, 1, -1]),
    )
    return replace(
        network, branches=(Branch((layer,)),), readout_weights=network.readout_weights[:3]
    )


def _streams() -> Iterator[Obligation]:
    """Rules of streams; nothing lost or doubled where a transfer leads to one result."""
    network = small_network()
    for registers in (0, 2):
        mapping = Mapping.spatial(network, Spatial(registers=registers))
        with_registers = f"with {registers} registers"
        for depth in (0, 1):
            stage = partial(Stage, network, depth=depth, mapping=mapping)
            yield _stream(f"stage {depth} {with_registers}", stage, registers + 1)
        argmax = partial(Argmax, network, registers=registers)
        yield _stream(f"argmax {with_registers}", argmax, registers + 1)
    for mode in ReadoutMode:
        own = small_network(mode)
        whole = partial(Accelerator, own, mapping=Mapping.spatial(own))
        yield _stream(f"readout {mode.value}", partial(Readout, own))
        pipelined = partial(Readout, own, choice=Spatial(registers=2))
        yield _stream(f"readout {mode.value} with 2 registers", pipelined)
        yield _stream(f"accelerator {mode.value}", whole)
    count = small_network(ReadoutMode.COUNT)
    for decision in (Decision(rule=Rule.CERTAIN), Decision(rule=Rule.THRESHOLD, threshold=2)):
        for registers in (0, 1):
            rule = f"{decision.rule.value} with {registers} registers"
            early = partial(EarlyDecision, count, decision, registers=registers)
            yield _stream(f"decision {rule}", early)
            yield _stream(f"exit {rule}", partial(EarlyExit, count, decision, registers=registers))


def _stream(
    where: str, component: Callable[[], wiring.Component], capacity: int | None = None
) -> Obligation:
    def specification() -> StreamSpecification:
        return StreamSpecification(component(), capacity=capacity)

    return _obligation("stream", where, specification)


def _axi() -> Iterator[Obligation]:
    """The AXI side: words, packets, resets and counters."""
    network = small_network()
    packet = PacketFormat(width=2, bits=3, n_transfers=3)
    specifications: dict[str, Callable[[], Elaboratable]] = {
        "skid buffer": lambda: SkidSpecification(SkidBuffer(WordLayout(3))),
        "transfer collector": lambda: CollectorSpecification(TransferCollector(packet)),
        "inference guard": lambda: GuardSpecification(InferenceGuard(packet, per_step=False)),
        "inference guard, a result per step": lambda: GuardSpecification(
            InferenceGuard(packet, per_step=True)
        ),
        "inference guard, early decisions": lambda: GuardSpecification(
            InferenceGuard(packet, per_step=False), early=True
        ),
        "result packer": lambda: PackerSpecification(ResultPacker(network, width=32)),
        "wide counter": lambda: CounterSpecification(WideCounter(amount_bits=3, bits=8)),
    }
    for where, specification in specifications.items():
        yield _obligation("axi", where, specification)
