"""The accelerator: a whole network as one component."""

from __future__ import annotations

from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import FormatError, InputError
from convexon.plan.fold import plans_at, readout_plan
from convexon.plan.image import WORD_BITS, fingerprint, loaded_plans
from convexon.plan.mapping import Folded, Mapping, Spatial, Weights
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import MAX_WIDTH, Interval, width_of
from convexon.snn.network import FixedPointNetwork
from convexon.snn.ranges import LayerRanges
from convexon_hdl.core.decision import EarlyDecision
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.core.readout import Argmax, Readout, ResultLayout
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.core.series import SeriesEncoder
from convexon_hdl.core.stage import Stage
from convexon_hdl.folded.engine import CREDITS
from convexon_hdl.folded.loader import Loader, LoadGate
from convexon_hdl.folded.readout import FoldedReadout
from convexon_hdl.folded.stage import MixedStage
from convexon_hdl.streams import SkidBuffer

Source = Sequencer | LevelEncoder | SeriesEncoder
"""What gives the first stage its steps."""


class Accelerator(wiring.Component):
    """A whole network, each of its layers in the mapping chosen for it.

    ``i`` takes the steps of one inference after another, T transfers each, or with an encoder its
    levels in one transfer, or in T of a series; ``o`` gives the results, one per inference, or one
    per step for `ReadoutMode.STEP`. Idle clocks and back-pressure delay results and change none. A
    reset (``rst``, synchronous) forgets the inferences under way; the next transfer begins a new
    one. ::

        i -> sequencer -> stage0 -> ... -> stage(depth - 1) -> readout -> argmax -> o

    An encoder stands in the sequencer's place. With a rule that decides early, `EarlyDecision`
    stands in that of argmax and tells the sequencer, or the encoder, what it decided: steps of the
    same inference that follow are taken from ``i`` and dropped, or not made.

    Where a layer's weights are loaded at run time, inferences pass a `LoadGate`, and `Loader` takes
    images (`convexon.plan.image`) between them: a load waits until those under way have ended, and
    none begins from its first word on until the weights are there and their CRC-32 agrees. A reset
    gives up a load under way, and touches no weights that are loaded.

    Latency and initiation interval are those of `convexon.plan.schedule`: constant where all is
    spatial, a function of the spikes elsewhere. Resources: the sum of the parts'.

    Raises `InputError` if the network still has a real readout, or the mapping does not fit it, and
    `FormatError` if a number needs more than 62 bits.
    """

    def __init__(self, network: FixedPointNetwork, *, mapping: Mapping) -> None:
        require_mappable(network, mapping)
        self.network = network
        self.mapping = mapping
        self.schedule = Schedule.of(network, mapping)
        members = {
            # Input i at bits i * width and up: of a time step, or its level.
            "i": In(stream.Signature(unsigned(transfer_width(mapping, network)))),
            "o": Out(stream.Signature(ResultLayout(network))),
        }
        if self.is_loadable:
            members["load"] = In(stream.Signature(unsigned(WORD_BITS)))  # words of images
            members |= {"loaded": Out(1), "refused": Out(1)}  # what became of the last one
        super().__init__(members)

    @property
    def is_loadable(self) -> bool:
        """Whether a layer's weights are loaded at run time."""
        return any(
            isinstance(choice, Folded) and choice.weights is Weights.LOADED
            for layers in self.mapping.layers
            for choice in layers
        )

    @property
    def capacity(self) -> int | None:
        """Most inferences under way, never reached; None where all are decided at the end."""
        if not self.mapping.decision.is_early:
            return None
        return most_under_way(self.network, self.mapping) + 1

    def elaborate(self, platform: object) -> Module:
        """Build the pipeline."""
        m = Module()
        network, mapping, early = self.network, self.mapping, self.mapping.decision.is_early
        source: Source
        if mapping.encoder is None:
            m.submodules.sequencer = source = Sequencer(network, capacity=self.capacity)
        else:
            kind = SeriesEncoder if mapping.encoder.per_step else LevelEncoder
            m.submodules.encoder = source = kind(network, mapping.encoder, capacity=self.capacity)
        above: wiring.Component = source
        stages = [self._stage(depth) for depth in range(network.depth)]
        for depth, stage in enumerate(stages):
            m.submodules[f"stage{depth}"] = stage
            wiring.connect(m, above.o, stage.i)
            above = stage
            if mapping.is_buffered(depth):
                above = SkidBuffer(stage.o.payload.shape())
                m.submodules[f"buffer{depth}"] = above
                wiring.connect(m, stage.o, above.i)
        if self.is_loadable:
            self._connect_loader(m, source, stages)
        else:
            wiring.connect(m, wiring.flipped(self.i), source.i)
        m.submodules.readout = readout = self._readout()
        registers = mapping.decision_registers
        decision: Argmax | EarlyDecision
        if early:
            decision = EarlyDecision(network, mapping.decision, registers=registers)
            m.submodules.decision = decision
        else:
            m.submodules.argmax = decision = Argmax(network, registers=registers)
        wiring.connect(m, above.o, readout.i)
        wiring.connect(m, readout.o, decision.i)
        wiring.connect(m, decision.o, wiring.flipped(self.o))
        if early:
            m.d.comb += source.decided.eq(decision.decided)
        return m

    def _connect_loader(self, m: Module, source: Source, stages: list[Stage | MixedStage]) -> None:
        """A gate before the source, and a loader for all engines with loaded weights."""
        network, mapping = self.network, self.mapping
        transfers = transfers_per_inference(mapping, network)
        m.submodules.gate = gate = LoadGate(width=len(self.i.payload), n_steps=transfers)
        m.submodules.loader = loader = Loader(
            loaded_plans(network, mapping), fingerprint=fingerprint(network, mapping)
        )
        wiring.connect(m, wiring.flipped(self.i), gate.i)
        wiring.connect(m, gate.o, source.i)
        wiring.connect(m, wiring.flipped(self.load), loader.load)
        m.d.comb += [
            gate.hold.eq(self.load.valid | ~loader.loaded),
            gate.ended.eq(self.o.valid & self.o.ready & self.o.payload.last),
            loader.granted.eq(gate.idle),
            self.loaded.eq(loader.loaded),
            self.refused.eq(loader.refused),
        ]
        writes = [
            getattr(stage, f"write{k}")
            for stage in stages
            if isinstance(stage, MixedStage)
            for k, plan in enumerate(stage.plans)
            if plan.is_loaded
        ]
        for k, write in enumerate(writes):
            wiring.connect(m, getattr(loader, f"write{k}"), write)

    def _stage(self, depth: int) -> Stage | MixedStage:
        """Layers at ``depth``, by their mapping."""
        choices = self.mapping.at_depth(depth).values()
        if all(isinstance(choice, Spatial) for choice in choices):
            return Stage(self.network, depth=depth, mapping=self.mapping)
        return MixedStage(self.network, depth=depth, mapping=self.mapping)

    def _readout(self) -> Readout | FoldedReadout:
        """Readout, by its mapping."""
        choice, early = self.mapping.readout, self.mapping.decision.is_early
        if isinstance(choice, Spatial):
            return Readout(self.network, choice=choice, every_step=early)
        return FoldedReadout(self.network, choice=choice, every_step=early)


def input_width(mapping: Mapping, network: FixedPointNetwork) -> int:
    """Bits of one input in a transfer: those of a level where an encoder reads them."""
    return network.input_bits if mapping.encoder is None else mapping.encoder.bits


def values_per_transfer(mapping: Mapping, network: FixedPointNetwork) -> int:
    """Inputs of a step, or the levels that an encoder reads at once."""
    encoder = mapping.encoder
    return network.n_inputs // (1 if encoder is None else encoder.inputs_per_level)


def transfer_width(mapping: Mapping, network: FixedPointNetwork) -> int:
    """Bits of a transfer."""
    return values_per_transfer(mapping, network) * input_width(mapping, network)


def transfers_per_inference(mapping: Mapping, network: FixedPointNetwork) -> int:
    """Transfers that make an inference: its steps, or one where the chip makes all of them."""
    return 1 if mapping.makes_steps else network.n_steps


def most_under_way(network: FixedPointNetwork, mapping: Mapping) -> int:
    """Most steps between source and result, so also most inferences that wait for a decision there.

    A register holds one step, and a buffer two. A folded engine holds the one that it sums up, and
    those that it has credit for (`convexon_hdl.folded.engine.CREDITS`), and a folded readout no
    more than that.
    """
    most = sum(Schedule.of(network, mapping).stages)
    most += sum(mapping.is_buffered(depth) for depth in range(network.depth))
    engines = sum(1 for depth in range(network.depth) if mapping.folded_at(depth))
    engines += isinstance(mapping.readout, Folded)
    return most + engines * (1 + CREDITS)


def require_mappable(network: FixedPointNetwork, mapping: Mapping) -> None:
    """Raise a `ConvexonError` that says why ``network`` cannot become hardware, if it cannot."""
    if not isinstance(network, FixedPointNetwork):
        kind = type(network).__name__
        raise InputError(
            f"network must be a FixedPointNetwork (quantize the readout first), not {kind}"
        )
    if not isinstance(mapping, Mapping):
        raise InputError(f"mapping must be a Mapping, not {type(mapping).__name__}")
    mapping.check(network)
    for b, choices in enumerate(mapping.layers):
        for depth, choice in enumerate(choices):
            if not isinstance(choice, Spatial | Folded):
                raise InputError(
                    f"mapping of branch {b} layer {depth} must be Spatial or Folded, not {choice!r}"
                )
            _require_membranes(f"branch {b} layer {depth}", network.ranges[b][depth])
    for c, interval in enumerate(network.score_ranges):
        _require_width(f"class {c}", "score", interval)
    if isinstance(mapping.readout, Folded):
        readout_plan(network, mapping.readout)
    for depth in range(network.depth):
        for plan in plans_at(network, mapping.at_depth(depth), depth):
            _require_membranes(f"folded layer {depth}", plan.ranges)


def _require_membranes(where: str, ranges: LayerRanges) -> None:
    """Raise `FormatError` for the first neuron of a layer whose membrane is too wide."""
    for j, interval in enumerate(ranges.states):
        _require_width(f"{where} neuron {j}", "membrane", interval)


def _require_width(where: str, what: str, interval: Interval) -> None:
    """Raise `FormatError` past the widest number that the models compute with."""
    width = width_of(interval)
    if width > MAX_WIDTH:
        raise FormatError(
            f"{where} must have a {what} of at most {MAX_WIDTH} bits, not {width}: "
            "scale its weights down, leak more, or saturate"
        )
