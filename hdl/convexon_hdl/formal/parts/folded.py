"""Obligations of folded layers: what lies in memory, what is made of it, and how it is connected.

Of an engine, the text is read and proved in pieces:

- *memory*: every bank holds the network's weights, row for row, and zeros elsewhere; thresholds and
  biases are those of the neurons;
- *accumulator*: what is added in a clock is the sum of the words that the banks give, lane by lane;
  a lane's sum has room for the sum of any part of its weights, so that it cannot overflow as long
  as each source is added once;
- *connections*: the scanners look at the step's own bits, each bank's at its sources in order; sums
  reach the lanes, and spikes the output, in the neurons' order;
- *lane*: a lane computes the contract for every v, sum, bias and threshold with which I, u and v
  keep to the ranges that size it (induction); *ranges*: those of every neuron do (induction);
- *stream*: the engine holds its output until it is taken (induction).

That each source is added once, in which order folds and planes pass, and when, is left to
simulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from convexon.plan.fold import FoldPlan
from convexon.plan.mapping import Weights
from convexon.snn.fixed import Interval, width_of
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.core.lif import NeuronParameters
from convexon_hdl.core.stage import Stage
from convexon_hdl.folded.accumulator import EventAccumulator
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.lane import LIFLane
from convexon_hdl.folded.readout import FoldedReadout, ScoreAccumulator
from convexon_hdl.folded.scanner import EventScanner
from convexon_hdl.folded.seeded import SeededBank
from convexon_hdl.folded.stage import MixedStage
from convexon_hdl.folded.updater import Updater
from convexon_hdl.folded.weights import WeightBank
from convexon_hdl.formal.netlist.linear import BITS, Affine, Reading, Table
from convexon_hdl.formal.netlist.memory import (
    after,
    behind,
    check_bank,
    check_constants,
    chosen,
    memory_of,
    taken_on,
)
from convexon_hdl.formal.netlist.netlist import Bit, Bits, bits_of, require
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.netlist.wiring import payload_fields, require_same
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.forking import fork_obligation
from convexon_hdl.formal.parts.scanning import scanner_obligation
from convexon_hdl.formal.parts.seeding import seeded_obligation
from convexon_hdl.formal.parts.spatial import require_equal, stage_obligations
from convexon_hdl.formal.prover import ContractSpecification, StreamSpecification
from convexon_hdl.formal.specs.specifications import LaneSpecification

UPDATE_CLOCKS = 4
"""Clocks from the one that reads a group to the one in which it is complete."""


def mixed_stage_obligations(emitted: Emitted, stage: MixedStage) -> Iterator[Obligation]:
    """All obligations of a stage with folded layers."""
    path = emitted.names.path(stage)
    yield by_reading("connections", path, lambda: _check_mixed(emitted, stage))
    yield fork_obligation(emitted, stage)
    for engine in emitted.names.of_type(FoldedEngine, stage):
        yield from engine_obligations(emitted, engine)
    for spatial in emitted.names.of_type(Stage, stage):
        yield from stage_obligations(emitted, spatial)


def _check_mixed(emitted: Emitted, stage: MixedStage) -> None:
    """Payloads of the stage's units."""
    own, given = payload_fields(emitted, stage.i), payload_fields(emitted, stage.o)
    path = emitted.names.path(stage)
    engines = emitted.names.of_type(FoldedEngine, stage)
    rest = emitted.names.of_type(Stage, stage)
    for engine in engines:
        branches = engine.plan.branches
        source = own["inputs" if stage.depth == 0 else f"branch{branches[0]}"]
        fields = payload_fields(emitted, engine.i)
        require_same(emitted, fields["inputs"], source, f"{emitted.names.path(engine)} inputs")
        features = payload_fields(emitted, engine.o)["features"]
        targets = bits_of([given[f"branch{b}"] for b in branches])
        require_same(emitted, targets, features, f"{path} features")
    for spatial in rest:
        for name, bits in payload_fields(emitted, spatial.i).items():
            require_same(emitted, bits, own[name], f"{path} {name}")
        for name, bits in payload_fields(emitted, spatial.o).items():
            if name.startswith("branch"):
                require_same(emitted, given[name], bits, f"{path} {name}")
    units: list[Any] = [*engines, *rest]
    for unit in units:
        fields = payload_fields(emitted, unit.i)
        for name in ("first", "last"):
            require_same(emitted, fields[name], own[name], f"{path} {name}")
    first = payload_fields(emitted, units[0].o)
    for name in ("first", "last"):
        require_same(emitted, given[name], first[name], f"{path} {name}")


def engine_obligations(emitted: Emitted, engine: FoldedEngine) -> Iterator[Obligation]:
    """All obligations of an engine."""
    path, plan = emitted.names.path(engine), engine.plan
    accumulator = emitted.names.of_type(EventAccumulator, engine)[0]
    updater = emitted.names.of_type(Updater, engine)[0]
    yield from accumulator_obligations(emitted, accumulator, weights_of(emitted.network, plan))
    yield by_reading("connections", path, lambda: _check_engine(emitted, engine, updater))
    path = emitted.names.path(updater)
    yield by_reading("connections", path, lambda: _check_updater(emitted, updater))
    yield by_reading("memory", path, lambda: check_constants(emitted, updater))
    for lane in emitted.names.of_type(LIFLane, updater):
        yield lane_obligation(emitted, lane)
    yield from range_obligations(emitted, plan)
    yield stream_obligation(emitted, engine)


def weights_of(network: FixedPointNetwork, plan: FoldPlan) -> list[list[int]]:
    """Weights of an engine as the network states them: by source, then by neuron."""
    layers = [network.branches[b].layers[plan.depth] for b in plan.branches]
    rows = [
        [int(w) for layer in layers for w in layer.weights[i]] for i in range(layers[0].n_inputs)
    ]
    if layers[0].recurrent is None:
        return rows
    total, begin = sum(layer.n_neurons for layer in layers), 0
    for layer in layers:
        recurrent = np.asarray(layer.recurrent)
        for k in range(layer.n_neurons):
            row = [0] * total
            row[begin : begin + layer.n_neurons] = [int(w) for w in recurrent[k]]
            rows.append(row)
        begin += layer.n_neurons
    return rows


def accumulator_obligations(
    emitted: Emitted, accumulator: EventAccumulator, weights: Sequence[Sequence[int]]
) -> Iterator[Obligation]:
    """Content of the banks, the sums, and the sources."""
    path = emitted.names.path(accumulator)
    if accumulator.plan.choice.weights is Weights.SEEDED:
        for seeded in emitted.names.of_type(SeededBank, accumulator):
            yield seeded_obligation(emitted, seeded, weights)
    else:
        for bank in emitted.names.of_type(WeightBank, accumulator):

            def check(bank: WeightBank = bank) -> None:
                check_bank(emitted, bank, weights)

            yield by_reading("memory", emitted.names.path(bank), check)
    for lane in range(accumulator.plan.choice.lanes):

        def check_lane(lane: int = lane) -> None:
            _check_lane(emitted, accumulator, lane)

        yield by_reading("accumulator", f"{path} lane {lane}", check_lane)
    yield by_reading("connections", path, lambda: _check_sources(emitted, accumulator))
    for scanner in emitted.names.of_type(EventScanner, accumulator):
        yield scanner_obligation(emitted, scanner)


def _check_lane(emitted: Emitted, accumulator: EventAccumulator, lane: int) -> None:
    """A lane's sum begins anew, holds, doubles, or takes the sum of the banks' words."""
    netlist, names, plan = emitted.netlist, emitted.names, accumulator.plan
    where = f"{names.path(accumulator)} sum {lane}"
    width, interval = plan.weight_width, accumulator.intervals()[lane]
    words: dict[str, tuple[Bits, Interval]] = {}
    for k, bank in enumerate(_banks(emitted, accumulator)):
        bits = names.bits(bank.data)[lane * width : (lane + 1) * width]
        words[f"bank{k}"] = (bits, plan.weight_interval)
    own = names.local(accumulator, f"sum{lane}")
    room = width_of(interval) <= len(own)
    require(room, f"{where} must have room for {interval}")
    words["sum"] = (own, Interval(-(1 << (len(own) - 1)), (1 << (len(own) - 1)) - 1))
    banks = Affine.of(((f"bank{k}", 0), 1) for k in range(len(words) - 1))
    token = "data" if len(words) == 2 else "column"
    if token == "column":
        column = names.local(accumulator, f"column{lane}")
        before = Reading(netlist, words).word(behind(emitted, column, 1), signed=True)
        require_equal(before, banks, f"{names.path(accumulator)} column {lane}")
        hull = Reading(netlist, words).interval(banks)
        words["column"] = (column, hull)
        banks = Affine({("column", 0): 1})
    anew = names.bits(accumulator.valid)[0]
    if isinstance(accumulator, ScoreAccumulator) and accumulator.keeps_sums:
        anew = names.local(accumulator, f"{token}_anew")[0]
    any_event = names.local(accumulator, f"{token}_any")[0]
    cases: list[tuple[dict[Bit, int], Affine]] = [
        ({anew: 1}, Affine(constant=accumulator.starts()[lane])),
        ({anew: 0, any_event: 0}, Affine({("sum", 0): 1})),
        ({anew: 0, any_event: 1}, banks.plus(Affine({("sum", 0): 1}))),
    ]
    if plan.input_bits > 1:
        double = names.local(accumulator, f"{token}_double")[0]
        cases = [({**assumed, double: 0}, expected) for assumed, expected in cases]
        cases.append(({double: 1, anew: 0, any_event: 0}, Affine({("sum", 0): 2})))
    for assumed, expected in cases:
        reading = Reading(netlist, words, assumed=assumed)
        value = reading.word(after(emitted, own), signed=True, modulo=len(own))
        _require_congruent(value, expected, 1 << len(own), where)


def _require_congruent(own: Affine, expected: Affine, modulus: int, where: str) -> None:
    """Equal functions; constants as they are in a register of this size."""
    constant = own.constant
    if (constant - expected.constant) % modulus == 0:
        constant = expected.constant
    require_equal(Affine(own.factors, constant), expected, where)


def _banks(emitted: Emitted, accumulator: EventAccumulator) -> list[WeightBank]:
    banks = range(accumulator.plan.choice.banks)
    return [emitted.names.child(accumulator, f"bank{k}") for k in banks]


def _check_sources(emitted: Emitted, accumulator: EventAccumulator) -> None:
    """The scanners look at the step that was taken, and the sums are what is handed over."""
    names, plan, path = emitted.names, accumulator.plan, emitted.names.path(accumulator)
    payload = names.bits(accumulator.i.payload)
    held = names.local(accumulator, "held")
    takes = (names.bits(accumulator.i.valid)[0], names.bits(accumulator.i.ready)[0])
    require_same(emitted, taken_on(emitted, held, takes), payload, f"{path} step")
    n_inputs, bits = plan.layer.n_inputs, plan.input_bits
    scanners = names.of_type(EventScanner, accumulator)
    plane = names.local(accumulator, "plane")
    for place in range(bits):
        assumed: dict[Bit, int] = {
            bit: (place >> k) & 1 for k, bit in enumerate(plane) if isinstance(bit, int)
        }
        words = {f"held[{k}]": ((bit,), BITS) for k, bit in enumerate(held)}
        reading = Reading(emitted.netlist, words, assumed=assumed)
        for source in range(n_inputs):
            bank, row = source % plan.choice.banks, source // plan.choice.banks
            own = reading.function((names.bits(scanners[bank].sources)[row],))
            name = f"held[{source * bits + bits - 1 - place}]"
            what = f"{path} scanner {bank} row {row} in plane {place}"
            require(own == Table(((name, 0),), (0, 1)), f"{what} must be source {source}")
    if plan.layer.recurrent is not None:
        _check_lateral(emitted, accumulator, takes)
    sums = payload_sums(emitted, accumulator)
    for lane in range(plan.choice.lanes):
        total = names.local(accumulator, f"sum{lane}")
        require_same(emitted, sums[lane][: len(total)], total, f"{path} sum {lane}")


def _check_lateral(emitted: Emitted, accumulator: EventAccumulator, takes: Bits) -> None:
    """Lateral spikes are those of the step before, 0 in the first, and pass with the last plane."""
    netlist, names, plan = emitted.netlist, emitted.names, accumulator.plan
    path, n_inputs = names.path(accumulator), plan.layer.n_inputs
    scanners = names.of_type(EventScanner, accumulator)
    plane = names.local(accumulator, "plane")
    first = payload_fields(emitted, accumulator.i)["first"]
    for k, spike in enumerate(names.bits(accumulator.lateral)):
        bank, row = (n_inputs + k) % plan.choice.banks, (n_inputs + k) // plan.choice.banks
        source = names.bits(scanners[bank].sources)[row]
        where = f"{path} lateral spike {k}"
        require(source in netlist.drivers, f"{where} must be driven")
        reads = netlist.drivers[source][0].ports
        held = next((b for n in ("A", "B") for b in reads.get(n, ()) if netlist.register(b)), "x")
        for place in range(plan.input_bits):
            assumed: dict[Bit, int] = {
                bit: (place >> p) & 1 for p, bit in enumerate(plane) if isinstance(bit, int)
            }
            reading = Reading(netlist, {"held": ((held,), BITS)}, assumed=assumed)
            own = reading.function((source,))
            is_last = place == plan.input_bits - 1
            expected = Table((("held", 0),), (0, 1)) if is_last else Table((), (0,))
            require(own == expected, f"{where} must pass with the last bit plane alone")
        reading = Reading(netlist, {"first": (first, BITS), "spike": ((spike,), BITS)})
        own = reading.function(taken_on(emitted, (held,), takes))
        expected = Table((("first", 0), ("spike", 0)), (0, 0, 1, 0))
        require(own == expected, f"{where} must be neuron {k}'s, and 0 in the first step")


def payload_sums(emitted: Emitted, component: EventAccumulator | Updater) -> list[Bits]:
    """Nets of every lane's sum, between an accumulator and what reads it."""
    view = component.o if isinstance(component, EventAccumulator) else component.i
    bits, layout = emitted.names.bits(view), view.shape()["sums"]
    width = layout.shape.elem_shape.width
    begin = layout.offset
    count = component.plan.choice.lanes
    return [bits[begin + k * width : begin + (k + 1) * width] for k in range(count)]


def _check_updater(emitted: Emitted, updater: Updater) -> None:
    """Sums, membranes and spikes of every group reach their lanes and come back in order."""
    names, plan, path = emitted.names, updater.plan, emitted.names.path(updater)
    updates, lanes = plan.choice.updates, plan.choice.lanes
    enable = names.bits(updater.enable)[0]
    busy = behind(emitted, names.bits(updater.valid), UPDATE_CLOCKS)[0]
    buffer, taken = names.local(updater, "buffer"), names.bits(updater.i)
    width = len(payload_sums(emitted, updater)[0])
    words: dict[str, tuple[Bits, Interval]] = {
        f"i[{k}]": ((bit,), BITS) for k, bit in enumerate(taken) if isinstance(bit, int)
    }
    words |= {f"buffer[{k}]": ((bit,), BITS) for k, bit in enumerate(buffer)}
    takes = Reading(emitted.netlist, words, assumed={enable: 1})
    shifts = Reading(emitted.netlist, words, assumed={enable: 0, busy: 1})
    before = after(emitted, buffer)
    for k, bit in enumerate(before):
        own = takes.function((bit,))
        require(own == takes.function((taken[k],)), f"{path} buffer bit {k} must be that of i")
        if k < (lanes - updates) * width:
            moved = Table(((f"buffer[{k + updates * width}]", 0),), (0, 1))
            where = f"{path} buffer bit {k}"
            require(shifts.function((bit,)) == moved, f"{where} must shift by {updates} sums")
    for k in range(updates):
        lane: LIFLane = names.child(updater, f"lane{k}")
        total = names.bits(lane.total)
        source = buffer[k * width : k * width + len(total)]
        require_same(emitted, behind(emitted, total, 1), source, f"{path} lane {k} sum")
    _check_membranes(emitted, updater)


def _check_membranes(emitted: Emitted, updater: Updater) -> None:
    """Every lane reads its place of the group's word, and writes it when the group is complete."""
    names, path, size = (
        emitted.names,
        emitted.names.path(updater),
        updater.plan.ranges.membrane_width,
    )
    lanes, valid = names.of_type(LIFLane, updater), names.bits(updater.valid)[0]
    words = [names.bits(lane.next_membrane) for lane in lanes]
    new = bits_of([(*word, *(word[-1:] * (size - len(word)))) for word in words])
    read = [behind(emitted, names.bits(lane.membrane), 1) for lane in lanes]
    if updater.plan.folds * updater.plan.groups == 1:  # a single word is no memory but registers
        for k, (bits, word) in enumerate(zip(read, words, strict=True)):
            taken = taken_on(emitted, bits, (valid,))
            require_same(emitted, taken, word, f"{path} lane {k} membrane")
        return
    memory = memory_of(emitted, updater, "membrane")
    for k, bits in enumerate(read):
        stored = memory.ports["RD_DATA"][k * size : (k + 1) * size]
        require_same(emitted, bits, stored[: len(bits)], f"{path} lane {k} membrane")
    written = {name: chosen(emitted, memory.ports[name], valid) for name in ("WR_DATA", "WR_ADDR")}
    require_same(emitted, written["WR_DATA"], new, f"{path} membranes written")
    group = names.bits(updater.group)[: len(written["WR_ADDR"])]
    require_same(emitted, written["WR_ADDR"], group, f"{path} group written")
    reading = Reading(emitted.netlist, {"valid": ((valid,), BITS)})
    for bit in dict.fromkeys(memory.ports["WR_EN"]):
        enables = reading.function((bit,)) == Table((("valid", 0),), (0, 1))
        require(enables, f"{path} must write every bit when a group is complete")


def _check_engine(emitted: Emitted, engine: FoldedEngine, updater: Updater) -> None:
    """Sums go from accumulator to updater, and what the lanes give to the output, in order."""
    names, path = emitted.names, emitted.names.path(engine)
    accumulator = names.of_type(EventAccumulator, engine)[0]
    require_same(emitted, names.bits(updater.i), names.bits(accumulator.o), f"{path} sums")
    enable = names.bits(updater.enable)
    require_same(emitted, enable, names.bits(accumulator.valid), f"{path} enable")
    require_same(
        emitted, names.bits(accumulator.i.payload), names.bits(engine.i.payload), f"{path} step"
    )
    features = payload_fields(emitted, engine.o)["features"]
    collected = taken_on(emitted, features, (names.local(engine, "moves")[0],))
    _check_collected(emitted, engine, updater, collected, signs=engine.signs)
    lateral = names.bits(accumulator.lateral)
    if lateral:
        _check_collected(emitted, engine, updater, lateral, signs=False)


def _check_collected(
    emitted: Emitted, engine: FoldedEngine, updater: Updater, collected: Bits, *, signs: bool
) -> None:
    """What is collected of a step's groups is shifted in, the first group lowest at the end."""
    names, plan, path = emitted.names, engine.plan, emitted.names.path(engine)
    lanes = names.of_type(LIFLane, updater)
    given = [names.bits(v.next_membrane)[-1] if signs else names.bits(v.spike)[0] for v in lanes]
    name = "signs" if signs else "spikes"
    whole = names.local(engine, name)
    require_same(emitted, collected, whole[: len(collected)], f"{path} {name}")
    reading = Reading(
        emitted.netlist,
        {
            **{f"kept[{k}]": ((bit,), BITS) for k, bit in enumerate(whole)},
            **{f"lane[{k}]": ((bit,), BITS) for k, bit in enumerate(given)},
        },
    )
    shifted = taken_on(emitted, whole, (names.bits(updater.valid)[0],))
    for k, bit in enumerate(shifted):
        source = k + plan.choice.updates
        expected = Table(((f"kept[{source}]", 0),), (0, 1))
        if source >= len(whole):
            expected = Table(((f"lane[{source - len(whole)}]", 0),), (1, 0) if signs else (0, 1))
        own = reading.function((bit,))
        require(own == expected, f"{path} {name} bit {k} must come from {expected.support}")


def lane_obligation(emitted: Emitted, lane: LIFLane) -> Obligation:
    """A lane computes the contract, three clocks later."""
    part, plan = emitted.cut(lane), lane.plan

    def specification() -> LaneSpecification:
        return LaneSpecification(StandIn(lane.signature, part), of=lane)

    layer, ranges = plan.layer, plan.ranges
    given = (
        *(layer.leak, layer.reset, layer.saturation, ranges),
        *(lane.sum_interval, lane.bias_interval, lane.threshold_interval),
    )
    return by_induction("lane", emitted.names.path(lane), part, specification, given=given)


def range_obligations(emitted: Emitted, plan: FoldPlan) -> Iterator[Obligation]:
    """The contract keeps every neuron of an engine within its ranges."""
    steps = emitted.network.n_steps
    for j in range(plan.layer.n_neurons):
        parameters = NeuronParameters.of(plan.layer, plan.ranges, j)
        where = f"engine of branches {plan.branches} layer {plan.depth} neuron {j}"

        def specification(parameters: NeuronParameters = parameters) -> ContractSpecification:
            return ContractSpecification(parameters, n_steps=steps)

        nothing = Part(emitted.netlist, inputs={}, outputs={})
        yield by_induction("ranges", where, nothing, specification, given=(parameters, steps))


def stream_obligation(emitted: Emitted, engine: FoldedEngine) -> Obligation:
    """An engine holds its output, whatever is behind it."""
    names = emitted.names
    registers = {names.bits(engine.o.valid)[0], *names.bits(engine.o.payload)}
    part = emitted.cut(engine, keep=registers)

    def specification() -> StreamSpecification:
        return StreamSpecification(StandIn(engine.signature, part))

    return by_induction("stream", names.path(engine), part, specification)


def folded_readout_obligations(emitted: Emitted, readout: FoldedReadout) -> Iterator[Obligation]:
    """Weights, sums and scores of a readout in memory."""
    accumulator = emitted.names.of_type(EventAccumulator, readout)[0]
    weights = [[int(w) for w in row] for row in emitted.network.readout_weights]
    yield from accumulator_obligations(emitted, accumulator, weights)
    path = emitted.names.path(readout)
    yield by_reading("connections", path, lambda: _check_readout(emitted, readout, accumulator))


def _check_readout(emitted: Emitted, readout: FoldedReadout, accumulator: EventAccumulator) -> None:
    """Features go to the accumulator in order, and its sums are the scores."""
    names, path = emitted.names, emitted.names.path(readout)
    own: Mapping[str, Bits] = payload_fields(emitted, readout.i)
    fields = payload_fields(emitted, accumulator.i)
    branches = range(len(emitted.network.branches))
    features = bits_of([own[f"branch{b}"] for b in branches])
    require_same(emitted, fields["inputs"], features, f"{path} features")
    for name in ("first", "last"):
        require_same(emitted, fields[name], own[name], f"{path} {name}")
    scores = payload_fields(emitted, readout.o)["scores"]
    taken = taken_on(emitted, scores, (names.bits(accumulator.valid)[0],))
    sums = payload_sums(emitted, accumulator)
    width = len(scores) // len(sums)
    expected = [bit for each in sums for bit in (*each, *(each[-1:] * (width - len(each))))]
    require_same(emitted, taken, tuple(expected), f"{path} scores")
