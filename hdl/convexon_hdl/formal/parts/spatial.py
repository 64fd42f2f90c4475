"""Obligations of parts in logic: stages, their layers and neurons, and the readout.

Of a stage with r registers the obligations say, together, that each transfer which it takes leads
to one which it gives, and that this one holds the step that every neuron takes from its state
with::

    I[j] = b[j] + sum_i w[i, j] * x[i] + sum_k r[k, j] * s[k]

- *handshake*: valid bits, enables and ready are those of an elastic chain (induction);
- *inputs*: tags, and features that pass the stage by, are those of the step r registers ago, and
  all registers of one place have that place's enable (reading);
- *sum*: the current of a neuron, in the text, is that sum of the payload's own bits (reading);
- *table*: with truth tables it is what the table says of those bits, and the bias (reading);
- *neuron*: with any current of the sum's range, a neuron computes the contract (induction).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convexon.snn.fixed import Interval, QFormat, Signedness
from convexon.snn.network import Layer
from convexon.snn.neuron import Feature, ReadoutMode
from convexon_hdl.core.layer import LIFLayer
from convexon_hdl.core.lif import LIF
from convexon_hdl.core.readout import Readout
from convexon_hdl.core.stage import Stage
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.linear import (
    Affine,
    Reading,
    Variable,
    Words,
    assignments,
    bit_words,
    require_equal,
    single_bits,
)
from convexon_hdl.formal.netlist.netlist import Bit, Bits, bits_of, require
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.specs.contract import NeuronSpecification
from convexon_hdl.formal.specs.handshake import ElasticSpecification
from convexon_hdl.streams import ElasticRegister


class Pipeline:
    """An elastic stage of the text, with its registers and enables.

    It takes and gives payloads of the nets ``fields`` and ``given``. Registers before the last one
    take what stands before them on ``advance``, and the last one on ``enable``, where ``first`` and
    ``last`` are tags of what it takes.
    """

    def __init__(self, emitted: Emitted, component: ElasticRegister) -> None:
        self.emitted = emitted
        self.component = component
        self.path = emitted.path(component)
        self.fields = emitted.fields(component.i)
        self.given = emitted.fields(component.o)
        self.registers = component.registers
        self.advance = bits_of([emitted.bits(v) for v in component.chain.advance])
        self.enable: Bit = emitted.local(component, "accept")[0]
        arriving = emitted.bits(component.arriving)
        self.first, self.last = arriving[0], arriving[-1]

    def reading(self, words: Words | None = None, assumed: dict[Bit, int] | None = None) -> Reading:
        """Meanings over the bits of the payload, ``name[k]``, and over other words."""
        every: dict[str, tuple[Bits, Interval]] = {}
        for name, field in self.fields.items():
            every |= bit_words(name, field)
        every |= words or {}  # last, as a net of the payload may have a name there too
        return Reading(self.emitted.netlist, every, enables=self.advance, assumed=assumed)

    def require_passed(self, reading: Reading, bits: Bits, name: str) -> None:
        """Nets are the bits of field ``name`` as they were when they came, all registers ago."""
        for k, bit in enumerate(bits):
            what = f"{self.path} {name} bit {k}"
            same = reading.is_function(bit, int, f"{name}[{k}]", clocks=self.registers)
            support = reading.function((bit,)).support
            require(same, f"{what} must be that of its step, not of {support}")

    def last_registers(self, bits: Bits) -> Bits:
        """What the last registers of ``bits`` take; all of them on ``enable``."""
        return self._taken(bits, self.enable, "on accept")

    def before(self, bits: Bits, place: int, count: int) -> Bits:
        """What ``bits``, which stand behind ``place`` registers, were ``count`` registers ago."""
        for k in range(place, place - count, -1):
            bits = self._taken(bits, self.advance[k - 1], f"as register {k} of {self.path}")
        return bits

    def _taken(self, bits: Bits, enable: Bit, what: str) -> Bits:
        registers = [self.emitted.netlist.register(bit) for bit in bits]
        for bit, register in zip(bits, registers, strict=True):
            where = self.emitted.netlist.described(bit)
            require(register.enable == enable, f"{where} must take its input {what}")
        return tuple(register.d for register in registers)

    def handshake(self, *, held: Bits, absorbs: bool = False) -> Obligation:
        """Valid bits, enables and ready are those of an elastic chain."""
        occupied = [self.emitted.bits(v)[0] for v in self.component.occupied]
        watched: dict[str, Bits] = {"enable": (self.enable,)}
        for k, bit in enumerate(occupied[:-1]):
            watched |= {f"valid{k}": (bit,), f"advance{k}": (self.advance[k],)}
        if absorbs:
            watched["last"] = (self.last,)
        part = self.emitted.cut(
            self.component, watched=watched, held={"held": held}, keep=set(occupied)
        )
        return by_induction(
            "handshake",
            self.path,
            part,
            ElasticSpecification,
            registers=self.registers,
            absorbs=absorbs,
        )


def stage_obligations(emitted: Emitted, stage: Stage) -> Iterator[Obligation]:
    """All obligations of a spatial stage."""
    pipeline = Pipeline(emitted, stage)
    layers = {
        b: emitted.child(stage, f"branch{b}")
        for b in stage.branches
        if stage.depth < emitted.network.branches[b].depth
    }
    neurons = [n for layer in layers.values() for n in emitted.of_type(LIF, layer)]
    reads = emitted.network.reads_membranes
    kept = slice(None) if reads else slice(-1, None)
    state = [emitted.bits(n.spike) + emitted.bits(n.membrane)[kept] for n in neurons]
    tags = pipeline.given["first"] + pipeline.given["last"]
    by = bits_of([bits for name, bits in pipeline.given.items() if _passes_by(name, layers)])
    yield pipeline.handshake(held=bits_of(state) + tags + by)
    yield by_reading("inputs", pipeline.path, _check_stage, pipeline, stage, layers)
    for layer in layers.values():
        yield from layer_obligations(pipeline, layer)


def _passes_by(name: str, layers: dict[int, LIFLayer]) -> bool:
    return name.startswith("branch") and int(name.removeprefix("branch")) not in layers


def _check_stage(pipeline: Pipeline, stage: Stage, layers: dict[int, LIFLayer]) -> None:
    """Tags, features that pass by, what the layers give, and what enables their neurons."""
    emitted, reading = pipeline.emitted, pipeline.reading()
    network, width = emitted.network, emitted.network.score_width
    for name, bits in pipeline.given.items():
        if name in ("first", "last") or _passes_by(name, layers):
            taken = pipeline.last_registers(bits)
            pipeline.require_passed(reading, taken, name)
    for b, layer in layers.items():
        neurons = emitted.of_type(LIF, layer)
        require(len(neurons) == layer.layer.n_neurons, f"{pipeline.path} must have its neurons")
        for j, neuron in enumerate(neurons):
            where = emitted.path(neuron)
            emitted.require_same(neuron.enable, (pipeline.enable,), f"{where} enable")
            pipeline.require_passed(reading, emitted.bits(neuron.first), "first")
            payload = pipeline.given[f"branch{b}"]
            feature = network.feature(b, stage.depth)
            if feature is Feature.MEMBRANE:
                own = emitted.bits(neuron.membrane)
                own += own[-1:] * (width - len(own))
                what = f"{pipeline.path} branch {b} membrane {j}"
                emitted.require_same(payload[j * width : (j + 1) * width], own, what)
                continue
            given = payload[j]
            if feature is Feature.SIGN:
                sign = single_bits({"sign": emitted.bits(neuron.membrane)[-1]})
                right = pipeline.reading(sign).is_function(given, lambda sign: 1 - sign, "sign")
                require(right, f"{emitted.netlist.described(given)} must be 1 where v >= 0")
            else:
                what = f"{pipeline.path} branch {b} spike {j}"
                emitted.require_same((given,), neuron.spike, what)


def layer_obligations(pipeline: Pipeline, layer: LIFLayer) -> Iterator[Obligation]:
    """The sums of a layer, and its neurons."""
    emitted = pipeline.emitted
    words: Words = {}
    if layer.layer.recurrent is not None:
        previous = emitted.local(layer, "previous")
        words, path = bit_words("previous", previous), emitted.path(layer)
        yield by_reading("lateral spikes", path, _check_previous, pipeline, layer, previous)
    reading = pipeline.reading(words)  # one for the whole layer, so that shared terms are read once
    for j, neuron in enumerate(emitted.of_type(LIF, layer)):
        where = emitted.path(neuron)
        check, kind = _check_sums, "sum"
        if layer.layer.tables is not None:
            check, kind = _check_table, "table"
        yield by_reading(kind, where, check, pipeline, layer, neuron, j, reading)
        yield by_induction(
            "neuron",
            where,
            emitted.cut(neuron),
            NeuronSpecification,
            parameters=neuron.parameters,
            n_steps=emitted.network.n_steps,
        )


def _check_previous(pipeline: Pipeline, layer: LIFLayer, previous: Bits) -> None:
    """The lateral spikes are the neurons' own, and 0 in the first step."""
    emitted = pipeline.emitted
    for k, neuron in enumerate(emitted.of_type(LIF, layer)):
        nets = {"spike": emitted.bits(neuron.spike)[0], "begins": pipeline.first}
        right = pipeline.reading(single_bits(nets)).is_function(
            previous[k], lambda begins, spike: spike and not begins, "begins", "spike"
        )
        require(right, f"{emitted.path(layer)} lateral spike {k} must be neuron {k}'s")


def _check_sums(pipeline: Pipeline, layer: LIFLayer, neuron: LIF, j: int, reading: Reading) -> None:
    """Current, and where it is split surplus and lateral part, of neuron ``j``."""
    of, parameters = layer.layer, neuron.parameters
    branch = pipeline.emitted.path(layer).rpartition(".")[2]
    source = "inputs" if "inputs" in pipeline.fields else branch
    forward = _forward(of, j, layer.input_bits, source, pipeline.registers)
    lateral = _lateral(of, j)
    ports = {"current": (Affine.of([*forward, *lateral], int(of.biases[j])), parameters.current)}
    if neuron.split:
        total = Affine.of(forward, int(of.biases[j]))
        below = Affine(total.factors, total.constant - int(of.thresholds[j]))
        shifted = parameters.forward + parameters.below_threshold
        ports = {
            "current": (total, parameters.forward),
            "surplus": (below, shifted),
            "lateral": (Affine.of(lateral), parameters.lateral),
        }
    for port, (expected, interval) in ports.items():  # the sum, in the range that is assumed
        value = getattr(neuron, port)
        where = f"{pipeline.emitted.path(neuron)} {port}"
        own = reading.word(pipeline.emitted.bits(value), signed=value.shape().signed)
        require_equal(own, expected, where)
        span = reading.interval(own)
        within = interval.low <= span.low and span.high <= interval.high
        require(within, f"{where} must be in {interval}, and can be {span}")


def _check_table(
    pipeline: Pipeline, layer: LIFLayer, neuron: LIF, j: int, reading: Reading
) -> None:
    """Current of neuron ``j``, bit by bit, for every code of what it reads."""
    of, tables = layer.layer, np.asarray(layer.layer.tables)
    branch = pipeline.emitted.path(layer).rpartition(".")[2]
    source = "inputs" if "inputs" in pipeline.fields else branch
    forward = _forward(of, j, layer.input_bits, source, pipeline.registers)
    weights = {variable: weight for variable, weight in [*forward, *_lateral(of, j)] if weight}
    bits = pipeline.emitted.bits(neuron.current)
    for place, bit in enumerate(bits):
        own = reading.function((bit,))
        where = f"{pipeline.emitted.path(neuron)} current bit {place}"
        require(set(own.support) <= set(weights), f"{where} must read {sorted(weights)} alone")
        for values in assignments(list(weights)):
            code = sum(weights[variable] * one for variable, one in values.items())
            expected = (int(tables[code, j]) + int(of.biases[j])) >> place & 1
            require(own.at(values) == expected, f"{where} must be {expected} for code {code}")
    signed, where = neuron.current.shape().signed, f"{pipeline.emitted.path(neuron)} current"
    held = QFormat(len(bits), signedness=Signedness.SIGNED if signed else Signedness.UNSIGNED)
    ends = Interval.hull([int(one) + int(of.biases[j]) for one in tables[:, j]])
    interval = neuron.parameters.current
    require(held.interval | ends == held.interval, f"{where} must hold {ends}")
    require(interval | ends == interval, f"{where} must be in {interval}, and can be {ends}")


def _forward(
    layer: Layer, j: int, input_bits: int, source: str, clocks: int
) -> list[tuple[Variable, int]]:
    """Addends of the inputs, as the network states them."""
    return [
        ((f"{source}[{i * input_bits + plane}]", clocks), int(weight) << plane)
        for i, weight in enumerate(layer.matrix[:, j])
        for plane in range(input_bits)
    ]


def _lateral(layer: Layer, j: int) -> list[tuple[Variable, int]]:
    """Addends of the recurrent spikes, as the network states them."""
    if layer.recurrent is None:
        return []
    return [((f"previous[{k}]", 0), int(w)) for k, w in enumerate(layer.recurrent[:, j])]


def readout_obligations(emitted: Emitted, readout: Readout) -> Iterator[Obligation]:
    """Handshake, tags and scores of a readout in logic."""
    pipeline = Pipeline(emitted, readout)
    mode = emitted.network.readout_mode
    absorbs = mode is not ReadoutMode.STEP and not readout.every_step
    held = emitted.bits(readout.o.payload)
    yield pipeline.handshake(held=held, absorbs=absorbs)
    yield by_reading("inputs", pipeline.path, check_tags, pipeline)
    kind, check = ("sum", _check_score)
    if emitted.network.reads_membranes:
        kind, check = ("membrane", _check_membrane)
    for c in range(emitted.network.n_classes):
        yield by_reading(kind, f"{pipeline.path} class {c}", check, pipeline, c)


def check_tags(pipeline: Pipeline) -> None:
    """Tags on the output are those of the transfer."""
    reading = pipeline.reading()
    for name in ("first", "last"):
        if name in pipeline.given:
            taken = pipeline.last_registers(pipeline.given[name])
            pipeline.require_passed(reading, taken, name)


def _check_membrane(pipeline: Pipeline, c: int) -> None:
    """The score of class ``c`` is its membrane, or the largest since the first step."""
    emitted, registers = pipeline.emitted, pipeline.registers
    width = emitted.network.score_width
    word = slice(c * width, (c + 1) * width)
    branches = range(len(emitted.network.branches))
    membrane = bits_of([pipeline.fields[f"branch{b}"] for b in branches])[word]
    held = pipeline.given["scores"][word]
    own = taken = pipeline.last_registers(held)
    where = f"{pipeline.path} score of class {c}"
    if emitted.network.readout_mode is ReadoutMode.PEAK:
        (larger,) = emitted.local(pipeline.component, f"larger{c}")
        cell, _ = emitted.netlist.driver(larger)
        require(cell.kind == "$gt" and cell.is_signed, f"{where} must be compared as signed")
        own = cell.ports["A"]
        emitted.require_same(cell.ports["B"], held, f"{where} that is held")
        for place, bit in enumerate(taken):
            nets = {"own": own[place], "held": held[place], "first": pipeline.first}
            reading = Reading(emitted.netlist, single_bits({**nets, "larger": larger}))
            right = reading.is_function(bit, _taken, "own", "held", "first", "larger")
            require(right, f"{where} bit {place} must be the larger one's")
    before = pipeline.before(own, registers, registers)
    emitted.require_same(before, membrane, where)


def _taken(own: int, held: int, first: int, larger: int) -> int:
    """A bit of the largest membrane."""
    return own if first or larger else held


def _check_score(pipeline: Pipeline, c: int) -> None:
    """The score of class ``c``: of the step, or of all steps since the first one."""
    network, clocks = pipeline.emitted.network, pipeline.registers
    scores = pipeline.given["scores"]
    width = len(scores) // network.n_classes
    held = scores[c * width : (c + 1) * width]
    taken = pipeline.last_registers(held)
    bias = int(network.readout_biases[c])
    names = [
        f"branch{b}[{k}]"
        for b, branch in enumerate(network.branches)
        for k in range(branch.layers[-1].n_neurons)
    ]
    column = network.readout_weights[:, c].tolist()
    addends = [((name, clocks), weight) for name, weight in zip(names, column, strict=True)]
    where = f"{pipeline.path} score of class {c}"
    if network.readout_mode is not ReadoutMode.COUNT:
        own = pipeline.reading().word(taken, signed=True)
        require_equal(own, Affine.of(addends, bias), where)
        return
    begins = pipeline.reading(assumed={pipeline.first: 1}).word(taken, signed=True)
    require_equal(begins, Affine.of(addends, bias), f"{where}, first step,")
    if network.n_steps == 1:
        return
    # What is held is the score of 1 to T - 1 steps: the handshake counts them with the tags.
    low, high = sum(min(0, w) for w in column), sum(max(0, w) for w in column)
    before = Interval(low, high).scaled(network.n_steps - 1) + Interval(bias, bias)
    goes_on = pipeline.reading({"score": (held, before)}, assumed={pipeline.first: 0})
    expected = Affine.of([*addends, (("score", 0), 1)])
    require_equal(goes_on.word(taken, signed=True), expected, where)
