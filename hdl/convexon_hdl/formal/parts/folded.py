"""Obligations of folded layers: content of memories, what is computed of it, and connections.

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

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convexon.plan.fold import FoldPlan
from convexon.plan.mapping import Weights
from convexon.plan.windows import WindowPlan
from convexon.snn.fixed import Interval, width_of
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Feature
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
from convexon_hdl.folded.windows import WindowAccumulator
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.linear import (
    Affine,
    Reading,
    bit_words,
    require_equal,
    single_bits,
)
from convexon_hdl.formal.netlist.netlist import Bit, Bits, bits_of, require
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.banks import (
    check_bank,
    check_constants,
    memory_of,
    rows_of,
    seeded_obligation,
)
from convexon_hdl.formal.parts.forking import fork_obligation
from convexon_hdl.formal.parts.scanning import scanner_obligation
from convexon_hdl.formal.parts.spatial import stage_obligations
from convexon_hdl.formal.parts.windows import kernel_rows, place_of, window_obligations
from convexon_hdl.formal.specs.contract import LaneSpecification, NeuronSpecification, Rules
from convexon_hdl.formal.specs.handshake import StreamSpecification

TAGS = ("first", "last")

UPDATE_CLOCKS = 4
"""Clocks from the one that reads a group to the one in which it is complete."""


def mixed_stage_obligations(emitted: Emitted, stage: MixedStage) -> Iterator[Obligation]:
    """All obligations of a stage with folded layers."""
    path = emitted.path(stage)
    yield by_reading("connections", path, _check_mixed, emitted, stage)
    yield fork_obligation(emitted, stage)
    for engine in emitted.of_type(FoldedEngine, stage):
        yield from engine_obligations(emitted, engine)
    for spatial in emitted.of_type(Stage, stage):
        yield from stage_obligations(emitted, spatial)


def _check_mixed(emitted: Emitted, stage: MixedStage) -> None:
    """Payloads of the stage's units."""
    own, given = emitted.fields(stage.i), emitted.fields(stage.o)
    path = emitted.path(stage)
    engines = emitted.of_type(FoldedEngine, stage)
    rest = emitted.of_type(Stage, stage)
    for engine in engines:
        branches = engine.plan.branches
        source = own["inputs" if stage.depth == 0 else f"branch{branches[0]}"]
        fields = emitted.fields(engine.i)
        emitted.require_same(fields["inputs"], source, f"{emitted.path(engine)} inputs")
        features = emitted.fields(engine.o)["features"]
        targets = bits_of([given[f"branch{b}"] for b in branches])
        emitted.require_same(targets, features, f"{path} features")
    for spatial in rest:
        fields = emitted.fields(spatial.i)
        emitted.require_fields(fields, own, fields, path)
        fields = emitted.fields(spatial.o)
        emitted.require_fields(given, fields, [n for n in fields if n.startswith("branch")], path)
    units: list[Any] = [*engines, *rest]
    for unit in units:
        emitted.require_fields(emitted.fields(unit.i), own, TAGS, path)
    emitted.require_fields(given, emitted.fields(units[0].o), TAGS, path)


def engine_obligations(emitted: Emitted, engine: FoldedEngine) -> Iterator[Obligation]:
    """All obligations of an engine."""
    path, plan = emitted.path(engine), engine.plan
    accumulator = emitted.of_type(EventAccumulator, engine)[0]
    updater = emitted.of_type(Updater, engine)[0]
    shared = isinstance(plan, WindowPlan)
    weights = [] if shared else weights_of(emitted.network, plan)
    yield from accumulator_obligations(emitted, accumulator, weights)
    yield by_reading("connections", path, _check_engine, emitted, engine, updater)
    path = emitted.path(updater)
    yield by_reading("connections", path, _check_updater, emitted, updater)
    yield by_reading("memory", path, check_constants, emitted, updater)
    for lane in emitted.of_type(LIFLane, updater):
        yield lane_obligation(emitted, lane)
    yield from range_obligations(emitted, plan)
    registers = {*emitted.bits(engine.o.valid), *emitted.bits(engine.o.payload)}
    part = emitted.cut(engine, keep=registers)  # it holds its output, whatever is behind it
    yield by_induction("stream", emitted.path(engine), part, StreamSpecification)


def weights_of(network: FixedPointNetwork, plan: FoldPlan) -> list[list[int]]:
    """Weights of an engine as the network states them: by source, then by neuron."""
    layers = [network.branches[b].layers[plan.depth] for b in plan.branches]
    rows: list[list[int]] = np.hstack([layer.matrix for layer in layers]).tolist()
    before = 0
    for layer in layers:
        if layer.recurrent is not None:
            lateral = np.zeros((layer.n_neurons, len(rows[0])), dtype=np.int64)
            lateral[:, before : before + layer.n_neurons] = layer.recurrent
            rows += lateral.tolist()
        before += layer.n_neurons
    return rows


def accumulator_obligations(
    emitted: Emitted, accumulator: EventAccumulator, weights: Sequence[Sequence[int]]
) -> Iterator[Obligation]:
    """Content of the banks, the sums, and the sources."""
    path = emitted.path(accumulator)
    if accumulator.plan.choice.weights is Weights.SEEDED:
        for seeded in emitted.of_type(SeededBank, accumulator):
            yield seeded_obligation(emitted, seeded, weights)
    else:
        for bank in emitted.of_type(WeightBank, accumulator):
            rows = (
                kernel_rows(accumulator.plan.shared, accumulator.plan.choice.lanes)
                if isinstance(accumulator, WindowAccumulator)
                else rows_of(accumulator.plan, bank.bank, weights)
            )
            yield by_reading("memory", emitted.path(bank), check_bank, emitted, bank, rows)
    for lane in range(accumulator.plan.choice.lanes):
        where = f"{path} lane {lane}"
        yield by_reading("accumulator", where, _check_lane, emitted, accumulator, lane)
    yield by_reading("connections", path, _check_sums, emitted, accumulator)
    if isinstance(accumulator, WindowAccumulator):
        yield from window_obligations(emitted, accumulator)
        return
    yield by_reading("connections", path, _check_sources, emitted, accumulator)
    for scanner in emitted.of_type(EventScanner, accumulator):
        yield scanner_obligation(emitted, scanner)


def _check_lane(emitted: Emitted, accumulator: EventAccumulator, lane: int) -> None:
    """A lane's sum begins anew, holds, doubles, or takes the sum of the banks' words."""
    netlist, plan, path = emitted.netlist, accumulator.plan, emitted.path(accumulator)
    where = f"{path} sum {lane}"
    width, interval = plan.weight_width, accumulator.intervals()[lane]
    words: dict[str, tuple[Bits, Interval]] = {}
    for k in range(plan.choice.banks):
        data = emitted.bits(emitted.child(accumulator, f"bank{k}").data)
        words[f"bank{k}"] = (data[lane * width : (lane + 1) * width], plan.weight_interval)
    own = emitted.local(accumulator, f"sum{lane}")
    room = width_of(interval) <= len(own)
    require(room, f"{where} must have room for {interval}")
    words["sum"] = (own, Interval(-(1 << (len(own) - 1)), (1 << (len(own) - 1)) - 1))
    banks = Affine.of(((f"bank{k}", 0), 1) for k in range(len(words) - 1))
    token = "data" if len(words) == 2 else "column"
    if token == "column":
        column, reading = emitted.local(accumulator, f"column{lane}"), Reading(netlist, words)
        before = reading.word(emitted.behind(column), signed=True)
        require_equal(before, banks, f"{path} column {lane}")
        words["column"] = (column, reading.interval(banks))
        banks = Affine({("column", 0): 1})
    anew = emitted.bits(accumulator.valid)[0]
    if isinstance(accumulator, ScoreAccumulator) and accumulator.keeps_sums:
        anew = emitted.local(accumulator, f"{token}_anew")[0]
    any_event = emitted.local(accumulator, f"{token}_any")[0]
    cases: list[tuple[dict[Bit, int], Affine]] = [
        ({anew: 1}, Affine(constant=accumulator.starts()[lane])),
        ({anew: 0, any_event: 0}, Affine({("sum", 0): 1})),
        ({anew: 0, any_event: 1}, banks.plus(Affine({("sum", 0): 1}))),
    ]
    if plan.input_bits > 1:
        double = emitted.local(accumulator, f"{token}_double")[0]
        cases = [({**assumed, double: 0}, expected) for assumed, expected in cases]
        cases.append(({double: 1, anew: 0, any_event: 0}, Affine({("sum", 0): 2})))
    for assumed, expected in cases:
        reading = Reading(netlist, words, assumed=assumed)
        value = reading.word(emitted.after(own), signed=True, modulo=len(own))
        if (value.constant - expected.constant) % (1 << len(own)) == 0:  # so they are in a register
            value = Affine(value.factors, expected.constant)
        require_equal(value, expected, where)


def _check_sources(emitted: Emitted, accumulator: EventAccumulator) -> None:
    """The scanners look at the step that was taken."""
    plan, path = accumulator.plan, emitted.path(accumulator)
    held = emitted.local(accumulator, "held")
    takes = (emitted.bits(accumulator.i.valid)[0], emitted.bits(accumulator.i.ready)[0])
    taken = emitted.taken_on(held, takes)
    emitted.require_same(taken, accumulator.i.payload, f"{path} step")
    n_inputs, bits = plan.layer.n_inputs, plan.input_bits
    scanners = emitted.of_type(EventScanner, accumulator)
    for place in range(bits):
        assumed = _in_plane(emitted, accumulator, place)
        reading = Reading(emitted.netlist, bit_words("held", held), assumed=assumed)
        for source in range(n_inputs):
            bank, row = source % plan.choice.banks, source // plan.choice.banks
            net = emitted.bits(scanners[bank].sources)[row]
            right = reading.is_function(net, int, f"held[{source * bits + bits - 1 - place}]")
            what = f"{path} scanner {bank} row {row} in plane {place}"
            require(right, f"{what} must be source {source}")
    if plan.layer.recurrent is not None:
        _check_lateral(emitted, accumulator, takes)


def _check_sums(emitted: Emitted, accumulator: EventAccumulator) -> None:
    """The sums are what is handed over."""
    path, sums = emitted.path(accumulator), payload_sums(emitted, accumulator)
    for lane in range(accumulator.plan.choice.lanes):
        total = emitted.local(accumulator, f"sum{lane}")
        emitted.require_same(sums[lane][: len(total)], total, f"{path} sum {lane}")


def _in_plane(emitted: Emitted, accumulator: EventAccumulator, place: int) -> dict[Bit, int]:
    """Nets of the counter of planes, where it stands at ``place``."""
    plane = emitted.local(accumulator, "plane")
    return {bit: (place >> k) & 1 for k, bit in enumerate(plane) if isinstance(bit, int)}


def _check_lateral(emitted: Emitted, accumulator: EventAccumulator, takes: Bits) -> None:
    """Lateral spikes are those of the step before, 0 in the first, and pass with the last plane."""
    netlist, plan, path = emitted.netlist, accumulator.plan, emitted.path(accumulator)
    n_inputs, scanners = plan.layer.n_inputs, emitted.of_type(EventScanner, accumulator)
    (first,) = emitted.fields(accumulator.i)["first"]
    for k, spike in enumerate(emitted.bits(accumulator.lateral)):
        bank, row = (n_inputs + k) % plan.choice.banks, (n_inputs + k) // plan.choice.banks
        source = emitted.bits(scanners[bank].sources)[row]
        where = f"{path} lateral spike {k}"
        cell, _ = netlist.driver(source)
        reads = [bit for name in ("A", "B") for bit in cell.ports.get(name, ())]
        held = next((bit for bit in reads if netlist.is_register(bit)), "x")
        for place in range(plan.input_bits):
            assumed = _in_plane(emitted, accumulator, place)
            reading = Reading(netlist, single_bits({"held": held}), assumed=assumed)
            is_last = place == plan.input_bits - 1
            right = reading.is_function(source, *((int, "held") if is_last else (lambda: 0,)))
            require(right, f"{where} must pass with the last bit plane alone")
        (taken,) = emitted.taken_on((held,), takes)
        right = Reading(netlist, single_bits({"first": first, "spike": spike})).is_function(
            taken, lambda first, spike: spike and not first, "first", "spike"
        )
        require(right, f"{where} must be neuron {k}'s, and 0 in the first step")


def payload_sums(emitted: Emitted, component: EventAccumulator | Updater) -> list[Bits]:
    """Nets of every lane's sum, between an accumulator and what reads it."""
    view = component.o if isinstance(component, EventAccumulator) else component.i
    bits, layout = emitted.bits(view), view.shape()["sums"]
    width, begin = layout.shape.elem_shape.width, layout.offset
    places = range(begin, begin + component.plan.choice.lanes * width, width)
    return [bits[place : place + width] for place in places]


def _check_updater(emitted: Emitted, updater: Updater) -> None:
    """Sums, membranes and spikes of every group reach their lanes and come back in order."""
    plan, path = updater.plan, emitted.path(updater)
    updates, lanes = plan.choice.updates, plan.choice.lanes
    enable = emitted.bits(updater.enable)[0]
    busy = emitted.behind(emitted.bits(updater.valid), UPDATE_CLOCKS)[0]
    buffer, taken = emitted.local(updater, "buffer"), emitted.bits(updater.i)
    width = len(payload_sums(emitted, updater)[0])
    words = {**bit_words("i", taken), **bit_words("buffer", buffer)}
    takes = Reading(emitted.netlist, words, assumed={enable: 1})
    shifts = Reading(emitted.netlist, words, assumed={enable: 0, busy: 1})
    before = emitted.after(buffer)
    for k, bit in enumerate(before):
        where = f"{path} buffer bit {k}"
        require(takes.function((bit,)) == takes.function((taken[k],)), f"{where} must be that of i")
        if k < (lanes - updates) * width:
            moved = shifts.is_function(bit, int, f"buffer[{k + updates * width}]")
            require(moved, f"{where} must shift by {updates} sums")
    for k in range(updates):
        lane: LIFLane = emitted.child(updater, f"lane{k}")
        total = emitted.bits(lane.total)
        source = buffer[k * width : k * width + len(total)]
        emitted.require_same(emitted.behind(total), source, f"{path} lane {k} sum")
    _check_state(emitted, updater, "membrane", updater.plan.ranges.membrane_width)
    if plan.layer.synapse is not None:
        _check_state(emitted, updater, "synaptic", updater.plan.ranges.synaptic_width)


def _check_state(emitted: Emitted, updater: Updater, name: str, size: int) -> None:
    """Every lane reads its place of the group's word, and writes it when the group is complete."""
    path = emitted.path(updater)
    lanes, valid = emitted.of_type(LIFLane, updater), emitted.bits(updater.valid)[0]
    words = [emitted.bits(getattr(lane, f"next_{name}")) for lane in lanes]
    new = bits_of([(*word, *(word[-1:] * (size - len(word)))) for word in words])
    read = [emitted.behind(emitted.bits(getattr(lane, name))) for lane in lanes]
    if updater.plan.folds * updater.plan.groups == 1:  # a single word is no memory but registers
        for k, (bits, word) in enumerate(zip(read, words, strict=True)):
            taken = emitted.taken_on(bits, (valid,))
            emitted.require_same(taken, word, f"{path} lane {k} {name}")
        return
    memory = memory_of(emitted, updater, name)
    for k, bits in enumerate(read):
        stored = memory.ports["RD_DATA"][k * size : (k + 1) * size]
        emitted.require_same(bits, stored[: len(bits)], f"{path} lane {k} {name}")
    written = {port: emitted.chosen(memory.ports[port], valid) for port in ("WR_DATA", "WR_ADDR")}
    emitted.require_same(written["WR_DATA"], new, f"{path} {name} written")
    group = emitted.bits(updater.group)[: len(written["WR_ADDR"])]
    emitted.require_same(written["WR_ADDR"], group, f"{path} group written")
    reading = Reading(emitted.netlist, single_bits({"valid": valid}))
    for bit in dict.fromkeys(memory.ports["WR_EN"]):
        enables = reading.is_function(bit, int, "valid")
        require(enables, f"{path} must write every bit when a group is complete")


def _check_engine(emitted: Emitted, engine: FoldedEngine, updater: Updater) -> None:
    """Sums go from accumulator to updater, and what the lanes give to the output, in order."""
    path = emitted.path(engine)
    accumulator = emitted.of_type(EventAccumulator, engine)[0]
    emitted.require_same(updater.i, accumulator.o, f"{path} sums")
    emitted.require_same(updater.enable, accumulator.valid, f"{path} enable")
    emitted.require_same(accumulator.i.payload, engine.i.payload, f"{path} step")
    features = emitted.fields(engine.o)["features"]
    collected = emitted.taken_on(features, (emitted.local(engine, "moves")[0],))
    _check_collected(emitted, engine, updater, collected, engine.feature)
    lateral = emitted.bits(accumulator.lateral)
    if lateral:
        _check_collected(emitted, engine, updater, lateral, Feature.SPIKE)


def _check_collected(
    emitted: Emitted, engine: FoldedEngine, updater: Updater, collected: Bits, feature: Feature
) -> None:
    """What is collected of a step's groups is shifted in, the first group lowest at the end."""
    plan, path = engine.plan, emitted.path(engine)
    lanes = emitted.of_type(LIFLane, updater)
    port = "spike" if feature is Feature.SPIKE else "next_membrane"
    part = slice(-1, None) if feature is Feature.SIGN else slice(None)
    given = bits_of([emitted.bits(getattr(each, port))[part] for each in lanes])
    name = f"{feature.value}s"
    whole = emitted.local(engine, name)
    size, signs = len(given) // len(lanes), feature is Feature.SIGN
    width = engine.width if feature is Feature.MEMBRANE else 1
    places = list(range(len(collected) // width))
    if isinstance(plan, WindowPlan):
        places = [place_of(plan.shared, plan.choice.lanes, neuron) for neuron in places]
    kept = [whole[place * size : (place + 1) * size] for place in places]
    ordered = bits_of([(*word, *(word[-1:] * (width - size))) for word in kept])
    emitted.require_same(collected, ordered, f"{path} {name}")
    words = {**bit_words("kept", whole), **bit_words("lane", given)}
    reading = Reading(emitted.netlist, words)
    shifted = emitted.taken_on(whole, (emitted.bits(updater.valid)[0],))
    for k, bit in enumerate(shifted):
        place = k + plan.choice.updates * size
        if place < len(whole):
            source, right = f"kept[{place}]", reading.is_function(bit, int, f"kept[{place}]")
        else:
            source = f"lane[{place - len(whole)}]"
            right = reading.is_function(bit, lambda bit: bit ^ signs, source)
        require(right, f"{path} {name} bit {k} must come from {source}")


def lane_obligation(emitted: Emitted, lane: LIFLane) -> Obligation:
    """A lane computes the contract, three clocks later."""
    layer, ranges = lane.plan.layer, lane.plan.ranges
    limits = None if layer.saturation is None else layer.saturation.interval
    return by_induction(
        "lane",
        emitted.path(lane),
        emitted.cut(lane),
        LaneSpecification,
        rules=Rules(layer.leak, layer.reset, limits, layer.synapse),
        leaks=lane.plan.leaks,
        ranges={
            "membrane": lane.membrane_interval,
            "total": lane.sum_interval,
            "bias": lane.bias_interval,
            "threshold": lane.threshold_interval,
            "current": Interval.union(ranges.current),
            "integrated": Interval.union(ranges.integrated),
            **({} if layer.synapse is None else {"synaptic": lane.synaptic_interval}),
            **({} if layer.resets is None else {"reset_to": lane.reset_interval}),
        },
    )


def range_obligations(emitted: Emitted, plan: FoldPlan) -> Iterator[Obligation]:
    """The contract keeps every neuron of an engine within its ranges."""
    for j in range(plan.layer.n_neurons):
        yield by_induction(
            "ranges",
            f"engine of branches {plan.branches} layer {plan.depth} neuron {j}",
            None,
            NeuronSpecification,
            parameters=NeuronParameters.of(plan.layer, plan.ranges, j),
            n_steps=emitted.network.n_steps,
        )


def folded_readout_obligations(emitted: Emitted, readout: FoldedReadout) -> Iterator[Obligation]:
    """Weights, sums and scores of a readout in memory."""
    accumulator = emitted.of_type(EventAccumulator, readout)[0]
    weights = [[int(w) for w in row] for row in emitted.network.readout_weights]
    yield from accumulator_obligations(emitted, accumulator, weights)
    path = emitted.path(readout)
    yield by_reading("connections", path, _check_readout, emitted, readout, accumulator)


def _check_readout(emitted: Emitted, readout: FoldedReadout, accumulator: EventAccumulator) -> None:
    """Features go to the accumulator in order, and its sums are the scores."""
    path = emitted.path(readout)
    own = emitted.fields(readout.i)
    fields = emitted.fields(accumulator.i)
    branches = range(len(emitted.network.branches))
    features = bits_of([own[f"branch{b}"] for b in branches])
    emitted.require_same(fields["inputs"], features, f"{path} features")
    emitted.require_fields(fields, own, TAGS, path)
    scores = emitted.fields(readout.o)["scores"]
    taken = emitted.taken_on(scores, (emitted.bits(accumulator.valid)[0],))
    sums = payload_sums(emitted, accumulator)
    width = len(scores) // len(sums)
    expected = [bit for each in sums for bit in (*each, *(each[-1:] * (width - len(each))))]
    emitted.require_same(taken, tuple(expected), f"{path} scores")
