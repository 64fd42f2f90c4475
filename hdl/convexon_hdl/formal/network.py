"""Proof by parts: a whole network, on the text that was emitted for it.

`obligations` lists everything that is to be proved of an accelerator; `prove_network` proves it,
each distinct obligation once. All of it is about the emitted Verilog: Yosys reads it, pieces are
cut out of the netlist cell for cell, and they are held to the network's own integers. Of the
generator only names are used, to know where to look (`convexon_hdl.formal.netlist.names`).

What it covers
--------------
- every register is clocked by ``clk`` and reset to what it is configured with; the streams connect
  source, stages, readout and decision, and the top's ports (`convexon_hdl.formal.netlist.wiring`);
- the sequencer counts T steps; stages, buffers, readout and tournament obey the handshake; every
  sum of synapses is that of the network's weights, over the right nets; every neuron computes its
  contract without overflow; the label is the lowest class of the largest score
  (`convexon_hdl.formal.parts.spatial`);
- of folded layers: all memories hold the network's weights, thresholds and biases, or logic gives
  the weights of a seed; every lane computes the contract; the ranges of every neuron hold; scanners
  list each spike once; accumulators add what the memories give and cannot overflow; spikes, sums
  and features are connected in order; the output streams obey the rules
  (`convexon_hdl.formal.parts.folded`, `scanning`, `seeding`); and units of a stage get every step
  once (`forking`);
- weights are loaded row for row as images say, only between inferences, and only if their CRC-32 is
  right (`convexon_hdl.formal.parts.loading`, `parity`);
- encoders give the steps of their definitions, for all levels
(`convexon_hdl.formal.parts.encoding`);
- inferences end at the step that the rule states (`convexon_hdl.formal.parts.exits`).

What it leaves to simulation is named by `left_to_simulation`: when the passes of folded layers
begin and end.

What is trusted: Yosys' reading of Verilog and its solver, and the few hundred lines of this
package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amaranth.hdl import Signal

from convexon.plan.mapping import Folded, Mapping
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.core.decision import EarlyDecision
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.core.readout import Argmax, Readout
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.core.stage import Stage
from convexon_hdl.emit.emitter import TOP, emit
from convexon_hdl.folded.readout import FoldedReadout
from convexon_hdl.folded.stage import MixedStage
from convexon_hdl.formal.netlist.names import Names
from convexon_hdl.formal.netlist.netlist import Netlist, RefutedError
from convexon_hdl.formal.netlist.part import StandIn
from convexon_hdl.formal.netlist.wiring import pipeline, wiring_obligations
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction, refuted
from convexon_hdl.formal.parts.encoding import encoder_obligations
from convexon_hdl.formal.parts.exits import cut_sequencer_obligation, decision_obligations
from convexon_hdl.formal.parts.folded import folded_readout_obligations, mixed_stage_obligations
from convexon_hdl.formal.parts.loading import loader_obligations
from convexon_hdl.formal.parts.spatial import readout_obligations, stage_obligations
from convexon_hdl.formal.parts.tournament import argmax_obligations
from convexon_hdl.formal.record import Proof, prove_all
from convexon_hdl.formal.specs.axi import SkidSpecification
from convexon_hdl.formal.specs.specifications import CounterSpecification
from convexon_hdl.streams import SkidBuffer


def prove_network(
    network: FixedPointNetwork,
    mapping: Mapping,
    *,
    verilog: str | None = None,
    known: Iterable[str] = (),
) -> Iterator[Proof]:
    """Prove the accelerator of ``network`` under ``mapping``, part by part.

    Parameters
    ----------
    network : FixedPointNetwork
    mapping : Mapping
    verilog : str, optional
        The text under proof; by default it is emitted now.
    known : iterable of str
        Keys that were proved before, with this version of Convexon and of Yosys.

    Yields
    ------
    Proof
        One for each obligation, in order. Those with a key that was proved before, here or in
        ``known``, take no time.

    Raises
    ------
    ConvexonError
        If the network cannot be mapped, or Yosys cannot read the text.
    """
    if verilog is None:
        verilog = emit(network, mapping).verilog
    yield from prove_all(obligations(network, mapping, verilog), known=known)


def obligations(network: FixedPointNetwork, mapping: Mapping, verilog: str) -> Iterator[Obligation]:
    """Everything that is to be proved of ``verilog``."""
    accelerator = Accelerator(network, mapping=mapping)
    netlist = Netlist(verilog, top=TOP)
    names = Names(accelerator, top=TOP, netlist=netlist)
    emitted = Emitted(network=network, mapping=mapping, netlist=netlist, names=names)
    yield from _stated("wiring", "accelerator", wiring_obligations(emitted, accelerator))
    if accelerator.is_loadable:
        gate, loader = (names.child(accelerator, name) for name in ("gate", "loader"))
        yield from _stated("part", "loader", loader_obligations(emitted, accelerator, gate, loader))
    parts = pipeline(emitted, accelerator)
    for part in parts:
        of_part: Iterator[Obligation] = iter(())
        if isinstance(part, Sequencer):
            of_part = sequencer_obligations(emitted, part)
        elif isinstance(part, LevelEncoder):
            of_part = encoder_obligations(emitted, part)
        elif isinstance(part, Stage):
            of_part = stage_obligations(emitted, part)
        elif isinstance(part, SkidBuffer):
            of_part = buffer_obligations(emitted, part)
        elif isinstance(part, MixedStage):
            of_part = mixed_stage_obligations(emitted, part)
        elif isinstance(part, Readout):
            of_part = readout_obligations(emitted, part)
        elif isinstance(part, FoldedReadout):
            of_part = folded_readout_obligations(emitted, part)
        elif isinstance(part, Argmax):
            of_part = argmax_obligations(emitted, part)
        elif isinstance(part, EarlyDecision):
            of_part = decision_obligations(emitted, part, parts[0])
        yield from _stated("part", names.path(part), of_part)


def _stated(kind: str, where: str, stated: Iterator[Obligation]) -> Iterator[Obligation]:
    """``stated``, and a refuted one where the text lacks what the next one would speak of."""
    try:
        yield from stated
    except RefutedError as error:
        yield refuted(kind, where, error)


def sequencer_obligations(emitted: Emitted, sequencer: Sequencer) -> Iterator[Obligation]:
    """The counter of steps, and which of them are sent where inferences end early."""
    if sequencer.capacity is not None:
        yield cut_sequencer_obligation(emitted, sequencer)
        return
    watched = {"step": emitted.names.local(sequencer, "step")}
    part = emitted.cut(sequencer, watched=watched)
    steps = sequencer.n_steps

    def specification() -> CounterSpecification:
        return CounterSpecification(StandIn(sequencer.signature, part), n_steps=steps)

    where = emitted.names.path(sequencer)
    yield by_induction("step counter", where, part, specification, given=steps)


class BufferStandIn(StandIn):
    """A piece cut out of the netlist in the place of a `SkidBuffer`."""

    @property
    def full(self) -> Signal:
        """Whether the second register holds a transfer."""
        return self.watched["full"]

    @property
    def spare(self) -> Signal:
        """The second register."""
        return self.watched["spare"]


def buffer_obligations(emitted: Emitted, buffer: SkidBuffer) -> Iterator[Obligation]:
    """A buffer is a queue of two transfers."""
    watched = {name: emitted.names.bits(getattr(buffer, name)) for name in ("full", "spare")}
    part = emitted.cut(buffer, watched=watched)

    def specification() -> SkidSpecification:
        return SkidSpecification(BufferStandIn(buffer.signature, part))

    yield by_induction("buffer", emitted.names.path(buffer), part, specification)


def left_to_simulation(network: FixedPointNetwork, mapping: Mapping) -> tuple[str, ...]:
    """Parts of the accelerator that no obligation speaks of, in words."""
    choices = [*(choice for layers in mapping.layers for choice in layers), mapping.readout]
    folded = [choice for choice in choices if isinstance(choice, Folded)]
    found = []
    if folded:
        found.append("order and timing of the passes in folded layers")
    if network.input_bits > 1 and any(isinstance(c, Folded) for c in mapping.at_depth(0).values()):
        found.append("order of bit planes in folded layers")
    return tuple(found)
