"""The accelerator: a whole network as one component."""

from __future__ import annotations

from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import FormatError, InputError
from convexon.fixed import MAX_WIDTH, Interval, width_of
from convexon.fold import plans_at, readout_plan
from convexon.mapping import Folded, Mapping, Spatial
from convexon.network import FixedPointNetwork
from convexon.schedule import Schedule
from convexon_hdl.folded.readout import FoldedReadout
from convexon_hdl.folded.stage import MixedStage, folded_at
from convexon_hdl.readout import Argmax, Readout, ResultLayout
from convexon_hdl.sequencer import Sequencer
from convexon_hdl.stage import Stage


class Accelerator(wiring.Component):
    """A whole network, each of its layers in the mapping chosen for it.

    ``i`` takes the steps of one inference after another, T transfers each; ``o`` gives the results,
    one per inference, or one per step for `ReadoutMode.STEP`. Idle clocks and back-pressure delay
    results and change none. A reset (``rst``, synchronous) forgets the inferences under way; the
    next transfer begins a new one. ::

        i -> sequencer -> stage0 -> ... -> stage(depth - 1) -> readout -> argmax -> o

    Latency and initiation interval are those of `convexon.schedule`: constant where all is
    spatial, a function of the spikes elsewhere. Resources: the sum of the parts'.

    Parameters
    ----------
    network : FixedPointNetwork
    mapping : Mapping

    Members
    -------
    i : In(stream.Signature(n_inputs * input_bits))
        One time step per transfer, input i at bits ``i * input_bits`` and up.
    o : Out(stream.Signature(ResultLayout(network)))

    Raises
    ------
    InputError
        If the network still has a real readout, or the mapping does not fit it.
    FormatError
        If a number needs more than 62 bits.
    """

    stage_class: type[Stage] = Stage
    mixed_stage_class: type[MixedStage] = MixedStage
    readout_class: type[Readout] = Readout
    folded_readout_class: type[FoldedReadout] = FoldedReadout
    argmax_class: type[Argmax] = Argmax

    def __init__(self, network: FixedPointNetwork, *, mapping: Mapping) -> None:
        require_mappable(network, mapping)
        self._network = network
        self._mapping = mapping
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(network.n_inputs * network.input_bits))),
                "o": Out(stream.Signature(ResultLayout(network))),
            }
        )

    @property
    def network(self) -> FixedPointNetwork:
        """Network that the accelerator computes."""
        return self._network

    @property
    def mapping(self) -> Mapping:
        """Choice of hardware for every layer."""
        return self._mapping

    @property
    def schedule(self) -> Schedule:
        """Cycles that an inference takes."""
        return Schedule.of(self.network, self.mapping)

    def elaborate(self, platform: object) -> Module:
        """Build the pipeline."""
        m = Module()
        m.submodules.sequencer = sequencer = Sequencer(self.network)
        wiring.connect(m, wiring.flipped(self.i), sequencer.i)
        above: wiring.Component = sequencer
        for depth in range(self.network.depth):
            stage = self._stage(depth)
            m.submodules[f"stage{depth}"] = stage
            wiring.connect(m, above.o, stage.i)
            above = stage
        m.submodules.readout = readout = self._readout()
        m.submodules.argmax = argmax = self.argmax_class(
            self.network, registers=self.mapping.decision_registers
        )
        wiring.connect(m, above.o, readout.i)
        wiring.connect(m, readout.o, argmax.i)
        wiring.connect(m, argmax.o, wiring.flipped(self.o))
        return m

    def _stage(self, depth: int) -> Stage | MixedStage:
        """Layers at ``depth``, by their mapping."""
        choices = self.mapping.at_depth(depth).values()
        if all(isinstance(choice, Spatial) for choice in choices):
            return self.stage_class(self.network, depth=depth, mapping=self.mapping)
        return self.mixed_stage_class(self.network, depth=depth, mapping=self.mapping)

    def _readout(self) -> Readout | FoldedReadout:
        """Readout, by its mapping."""
        choice = self.mapping.readout
        if isinstance(choice, Spatial):
            return self.readout_class(self.network, choice=choice)
        return self.folded_readout_class(self.network, choice=choice)


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
        for plan in plans_at(network, folded_at(mapping, depth), depth):
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
