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
from convexon_hdl.core.decision import EarlyDecision
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.core.readout import Argmax, Readout, ResultLayout
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.core.stage import Stage
from convexon_hdl.folded.engine import CREDITS
from convexon_hdl.folded.loader import Loader, LoadGate
from convexon_hdl.folded.readout import FoldedReadout
from convexon_hdl.folded.stage import MixedStage
from convexon_hdl.streams import SkidBuffer


class Accelerator(wiring.Component):
    """A whole network, each of its layers in the mapping chosen for it.

    ``i`` takes the steps of one inference after another, T transfers each, or with an encoder its
    levels in one transfer; ``o`` gives the results, one per inference, or one per step for
    `ReadoutMode.STEP`. Idle clocks and back-pressure delay results and change none. A reset
    (``rst``, synchronous) forgets the inferences under way; the next transfer begins a new one. ::

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

    Parameters
    ----------
    network : FixedPointNetwork
    mapping : Mapping

    Members
    -------
    i : In(stream.Signature(n_inputs * bits))
        Input i at bits ``i * bits`` and up: of a time step, of ``input_bits`` bits, or its level of
        ``encoder.bits`` bits.
    o : Out(stream.Signature(ResultLayout(network)))
    load : In(stream.Signature(32))
    loaded, refused : Out(1)
        Where a layer's weights are loaded at run time: words of images, and what became of the
        last one.

    Raises
    ------
    InputError
        If the network still has a real readout, or the mapping does not fit it.
    FormatError
        If a number needs more than 62 bits.
    """

    def __init__(self, network: FixedPointNetwork, *, mapping: Mapping) -> None:
        require_mappable(network, mapping)
        self.network = network
        self.mapping = mapping
        members = {
            "i": In(stream.Signature(unsigned(network.n_inputs * input_width(mapping, network)))),
            "o": Out(stream.Signature(ResultLayout(network))),
        }
        if self.is_loadable:
            members["load"] = In(stream.Signature(unsigned(WORD_BITS)))
            members |= {"loaded": Out(1), "refused": Out(1)}
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

    @property
    def schedule(self) -> Schedule:
        """Cycles that an inference takes."""
        return Schedule.of(self.network, self.mapping)

    def elaborate(self, platform: object) -> Module:
        """Build the pipeline."""
        m = Module()
        source = self._source()
        m.submodules["sequencer" if self.mapping.encoder is None else "encoder"] = source
        above: wiring.Component = source
        stages = [self._stage(depth) for depth in range(self.network.depth)]
        for depth, stage in enumerate(stages):
            m.submodules[f"stage{depth}"] = stage
            wiring.connect(m, above.o, stage.i)
            above = stage
            if self.mapping.is_buffered(depth):
                above = SkidBuffer(stage.o.payload.shape())
                m.submodules[f"buffer{depth}"] = above
                wiring.connect(m, stage.o, above.i)
        if self.is_loadable:
            self._connect_loader(m, source, stages)
        else:
            wiring.connect(m, wiring.flipped(self.i), source.i)
        m.submodules.readout = readout = self._readout()
        decision = self._decision()
        m.submodules["decision" if self.mapping.decision.is_early else "argmax"] = decision
        wiring.connect(m, above.o, readout.i)
        wiring.connect(m, readout.o, decision.i)
        wiring.connect(m, decision.o, wiring.flipped(self.o))
        if self.mapping.decision.is_early:
            m.d.comb += source.decided.eq(decision.decided)
        return m

    def _source(self) -> Sequencer | LevelEncoder:
        """What tags the steps from the host, or makes them of levels."""
        if self.mapping.encoder is None:
            return Sequencer(self.network, capacity=self.capacity)
        return LevelEncoder(self.network, self.mapping.encoder, capacity=self.capacity)

    def _connect_loader(
        self, m: Module, source: Sequencer | LevelEncoder, stages: list[Stage | MixedStage]
    ) -> None:
        """A gate before the source, and a loader for all engines with loaded weights."""
        gate = LoadGate(
            width=len(self.i.payload),
            n_steps=transfers_per_inference(self.mapping, self.network),
        )
        m.submodules.gate = gate
        m.submodules.loader = loader = Loader(
            loaded_plans(self.network, self.mapping),
            fingerprint=fingerprint(self.network, self.mapping),
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

    def _decision(self) -> Argmax | EarlyDecision:
        """What turns scores into results."""
        registers = self.mapping.decision_registers
        if not self.mapping.decision.is_early:
            return Argmax(self.network, registers=registers)
        return EarlyDecision(self.network, self.mapping.decision, registers=registers)

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


def transfers_per_inference(mapping: Mapping, network: FixedPointNetwork) -> int:
    """Transfers that make an inference: its steps, or one of its levels where an encoder is."""
    return network.n_steps if mapping.encoder is None else 1


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
        raise InputError(
            "network must be a FixedPointNetwork (quantize the readout first), "
            f"not {type(network).__name__}"
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
            ranges = network.ranges[b][depth]
            where = f"branch {b} layer {depth} neuron"
            for j, intervals in enumerate(zip(ranges.integrated, ranges.membrane, strict=True)):
                _require_width(f"{where} {j}", "membrane", intervals[0] | intervals[1])
    for c, interval in enumerate(network.score_ranges):
        _require_width(f"class {c}", "score", interval)
    if isinstance(mapping.readout, Folded):
        readout_plan(network, mapping.readout)
    for depth in range(network.depth):
        for plan in plans_at(network, mapping.at_depth(depth), depth):
            where = f"folded layer {depth} neuron"
            pairs = zip(plan.ranges.integrated, plan.ranges.membrane, strict=True)
            for j, (integrated, membrane) in enumerate(pairs):
                _require_width(f"{where} {j}", "membrane", integrated | membrane)


def _require_width(where: str, what: str, interval: Interval) -> None:
    """Raise `FormatError` past the widest number that the models compute with."""
    width = width_of(interval)
    if width > MAX_WIDTH:
        raise FormatError(
            f"{where} must have a {what} of at most {MAX_WIDTH} bits, not {width}: "
            "scale its weights down, leak more, or saturate"
        )
