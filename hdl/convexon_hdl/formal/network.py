"""Proof by parts: a whole network, on the text that was emitted for it.

`obligations` lists everything that is to be proved of an accelerator, and
`convexon_hdl.formal.obligation.prove_all` proves it, each distinct obligation once. All of it is
about the emitted Verilog: Yosys reads it, pieces are cut out of the netlist cell for cell, and they
are held to the network's own integers. Of the generator only names are used, to know where to look
(`convexon_hdl.formal.netlist.emitted`).

What it covers, the modules of `convexon_hdl.formal.parts` say: clock, reset and streams
(`wiring`); steps and levels (`sources`); stages, neurons and readout in logic (`spatial`), and in
memory (`folded`, `banks`, `scanning`, `forking`, `loading`); the label (`tournament`), and the step
at which an inference ends (`exits`).

What it leaves to simulation is named by `left_to_simulation`: when the passes of folded layers
begin and end.

What is trusted: Yosys' reading of Verilog and its solver, and the few hundred lines of this
package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from amaranth.lib import wiring

from convexon.plan.mapping import Folded, Mapping
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.core.decision import EarlyDecision
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.core.readout import Argmax, Readout
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.core.series import SeriesEncoder
from convexon_hdl.core.stage import Stage
from convexon_hdl.emit.emitter import TOP
from convexon_hdl.folded.readout import FoldedReadout
from convexon_hdl.folded.stage import MixedStage
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Netlist, RefutedError
from convexon_hdl.formal.obligation import Obligation, by_induction, refuted
from convexon_hdl.formal.parts.exits import decision_obligations
from convexon_hdl.formal.parts.folded import folded_readout_obligations, mixed_stage_obligations
from convexon_hdl.formal.parts.loading import loader_obligations
from convexon_hdl.formal.parts.series import series_obligations
from convexon_hdl.formal.parts.sources import encoder_obligations, sequencer_obligations
from convexon_hdl.formal.parts.spatial import readout_obligations, stage_obligations
from convexon_hdl.formal.parts.tournament import argmax_obligations
from convexon_hdl.formal.parts.wiring import wiring_obligations
from convexon_hdl.formal.specs.handshake import SkidSpecification
from convexon_hdl.streams import SkidBuffer


def obligations(network: FixedPointNetwork, mapping: Mapping, verilog: str) -> Iterator[Obligation]:
    """Everything that is to be proved of ``verilog``, what was emitted of network and mapping.

    Raises `ConvexonError` if the network cannot be mapped, or Yosys cannot read the text.
    """
    emitted = Emitted(Accelerator(network, mapping=mapping), Netlist(verilog, top=TOP))
    yield from _stated("wiring", "accelerator", wiring_obligations(emitted))
    if emitted.accelerator.is_loadable:
        yield from _stated("part", "loader", loader_obligations(emitted))
    for part in emitted.pipeline():
        of_part = next(of for kind, of in PARTS.items() if isinstance(part, kind))
        yield from _stated("part", emitted.path(part), of_part(emitted, part))


def _stated(kind: str, where: str, stated: Iterator[Obligation]) -> Iterator[Obligation]:
    """``stated``, and a refuted one where the text lacks what the next one would speak of."""
    try:
        yield from stated
    except RefutedError as error:
        yield refuted(kind, where, error)


def buffer_obligations(emitted: Emitted, buffer: SkidBuffer) -> Iterator[Obligation]:
    """A buffer is a queue of two transfers."""
    watched = {name: emitted.bits(getattr(buffer, name)) for name in ("full", "spare")}
    part = emitted.cut(buffer, watched=watched)
    yield by_induction("buffer", emitted.path(buffer), part, SkidSpecification)


PARTS: dict[type[wiring.Component], Callable[..., Iterator[Obligation]]] = {
    Sequencer: sequencer_obligations,
    LevelEncoder: encoder_obligations,
    SeriesEncoder: series_obligations,
    Stage: stage_obligations,
    MixedStage: mixed_stage_obligations,
    SkidBuffer: buffer_obligations,
    Readout: readout_obligations,
    FoldedReadout: folded_readout_obligations,
    Argmax: argmax_obligations,
    EarlyDecision: decision_obligations,
}
"""What is to be proved of each kind of part in the pipeline."""


def left_to_simulation(network: FixedPointNetwork, mapping: Mapping) -> tuple[str, ...]:
    """What of the accelerator no obligation covers, in words."""
    choices = [*(choice for layers in mapping.layers for choice in layers), mapping.readout]
    folded = [choice for choice in choices if isinstance(choice, Folded)]
    found = []
    if folded:
        found.append("order and timing of the passes in folded layers")
    if network.input_bits > 1 and any(isinstance(c, Folded) for c in mapping.at_depth(0).values()):
        found.append("order of bit planes in folded layers")
    return tuple(found)
