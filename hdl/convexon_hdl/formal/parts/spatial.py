"""Obligations of parts in logic: stages, their layers and neurons, the readout and the tournament.

Of a stage with r registers the obligations say, together, that each transfer which it takes leads
to one which it gives, and that this one holds the step that every neuron takes from its state
with::

    I[j] = b[j] + sum_i w[i, j] * x[i] + sum_k r[k, j] * s[k]

- *handshake*: valid bits, enables and ready are those of an elastic chain (induction);
- *inputs*: tags, and features that pass the stage by, are those of the step r registers ago, and
  all registers of one place have that place's enable (reading);
- *sum*: the current of a neuron, in the text, is that sum of the payload's own bits (reading);
- *neuron*: with any current of the sum's range, a neuron computes the contract (induction).
"""

from __future__ import annotations

from collections.abc import Iterator

from convexon.snn.fixed import Interval
from convexon.snn.network import Layer
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.core.layer import LIFLayer
from convexon_hdl.core.lif import LIF
from convexon_hdl.core.readout import Readout
from convexon_hdl.core.stage import Stage
from convexon_hdl.formal.netlist.linear import BITS, Affine, Reading, Table, Variable
from convexon_hdl.formal.netlist.netlist import Bit, Bits, RefutedError, bits_of, require
from convexon_hdl.formal.netlist.part import StandIn
from convexon_hdl.formal.netlist.wiring import payload_fields, require_same
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction, by_reading
from convexon_hdl.formal.prover import NeuronSpecification
from convexon_hdl.formal.specs.specifications import ElasticSpecification
from convexon_hdl.streams import ElasticRegister

SAME = (0, 1)
"""Table of a bit that is passed on."""


class Pipeline:
    """An elastic stage of the text, with its registers and enables.

    Parameters
    ----------
    emitted : Emitted
    component : ElasticRegister
    """

    def __init__(self, emitted: Emitted, component: ElasticRegister) -> None:
        self.emitted = emitted
        self.component = component
        self.path = emitted.names.path(component)
        self.fields = payload_fields(emitted, component.i)
        self.given = payload_fields(emitted, component.o)
        self.advance = bits_of([emitted.names.bits(v) for v in component.chain.advance])

    @property
    def registers(self) -> int:
        """Registers before the last one."""
        return self.component.registers

    @property
    def enable(self) -> Bit:
        """Net on which the last register takes what stands before it."""
        return self.emitted.names.local(self.component, "accept")[0]

    @property
    def first(self) -> Bit:
        """Net of the tag ``first`` before the last register."""
        return self.emitted.names.bits(self.component.arriving)[0]

    @property
    def last(self) -> Bit:
        """Net of the tag ``last`` before the last register."""
        return self.emitted.names.bits(self.component.arriving)[-1]

    def reading(
        self,
        words: dict[str, tuple[Bits, Interval]] | None = None,
        assumed: dict[Bit, int] | None = None,
    ) -> Reading:
        """Meanings over the bits of the payload, ``name[k]``, and over other words."""
        bits = {
            f"{name}[{k}]": ((bit,), BITS)
            for name, field in self.fields.items()
            for k, bit in enumerate(field)
        }
        return Reading(
            self.emitted.netlist,
            {**bits, **(words or {})},
            enables=self.advance,
            assumed=assumed,
        )

    def require_passed(self, reading: Reading, bits: Bits, name: str, *, clocks: int) -> None:
        """Nets are the bits of field ``name`` as they were ``clocks`` registers ago."""
        for k, bit in enumerate(bits):
            what = f"{self.path} {name} bit {k}"
            own = reading.function((bit,))
            expected = Table(((f"{name}[{k}]", clocks),), SAME)
            require(own == expected, f"{what} must be that of its step, not of {own.support}")

    def last_registers(self, bits: Bits) -> Bits:
        """What the last registers of ``bits`` take; all of them on ``enable``."""
        taken = []
        for bit in bits:
            register = self.emitted.netlist.register(bit)
            where = self.emitted.netlist.described(bit)
            if register is None or register.enable != self.enable:
                raise RefutedError(f"{where} must be a register that takes its input on accept")
            taken.append(register.d)
        return tuple(taken)

    def before(self, bits: Bits, place: int, count: int) -> Bits:
        """What ``bits``, which stand behind ``place`` registers, were ``count`` registers ago."""
        for k in range(place, place - count, -1):
            taken = []
            for bit in bits:
                register = self.emitted.netlist.register(bit)
                where = self.emitted.netlist.described(bit)
                if register is None or register.enable != self.advance[k - 1]:
                    raise RefutedError(f"{where} must be register {k} of {self.path}")
                taken.append(register.d)
            bits = tuple(taken)
        return bits

    def handshake(self, *, held: Bits, absorbs: bool = False) -> Obligation:
        """Valid bits, enables and ready are those of an elastic chain."""
        names = self.emitted.names
        occupied = [names.bits(v)[0] for v in self.component.occupied]
        watched: dict[str, Bits] = {"enable": (self.enable,)}
        for k, bit in enumerate(occupied[:-1]):
            watched |= {f"valid{k}": (bit,), f"advance{k}": (self.advance[k],)}
        if absorbs:
            watched["last"] = (self.last,)
        part = self.emitted.cut(
            self.component, watched=watched, held={"held": held}, keep=set(occupied)
        )

        def specification() -> ElasticSpecification:
            stand_in = StandIn(self.component.signature, part, held_by="enable")
            return ElasticSpecification(stand_in, registers=self.registers, absorbs=absorbs)

        return by_induction("handshake", self.path, part, specification, given=absorbs)


def stage_obligations(emitted: Emitted, stage: Stage) -> Iterator[Obligation]:
    """All obligations of a spatial stage."""
    pipeline = Pipeline(emitted, stage)
    layers = {
        b: emitted.names.child(stage, f"branch{b}")
        for b in stage.branches
        if stage.depth < emitted.network.branches[b].depth
    }
    neurons = [n for layer in layers.values() for n in emitted.names.of_type(LIF, layer)]
    state = [emitted.names.bits(n.spike) + emitted.names.bits(n.membrane)[-1:] for n in neurons]
    tags = pipeline.given["first"] + pipeline.given["last"]
    by = bits_of([bits for name, bits in pipeline.given.items() if _passes_by(name, layers)])
    yield pipeline.handshake(held=bits_of(state) + tags + by)
    yield by_reading("inputs", pipeline.path, lambda: _check_stage(pipeline, stage, layers))
    for layer in layers.values():
        yield from layer_obligations(pipeline, layer)


def _passes_by(name: str, layers: dict[int, LIFLayer]) -> bool:
    return name.startswith("branch") and int(name.removeprefix("branch")) not in layers


def _check_stage(pipeline: Pipeline, stage: Stage, layers: dict[int, LIFLayer]) -> None:
    """Tags, features that pass by, what the layers give, and what enables their neurons."""
    emitted, clocks = pipeline.emitted, stage.registers
    reading = pipeline.reading()
    for name, bits in pipeline.given.items():
        if name in ("first", "last") or _passes_by(name, layers):
            taken = pipeline.last_registers(bits)
            pipeline.require_passed(reading, taken, name, clocks=clocks)
    for b, layer in layers.items():
        neurons = emitted.names.of_type(LIF, layer)
        require(len(neurons) == layer.layer.n_neurons, f"{pipeline.path} must have its neurons")
        for j, neuron in enumerate(neurons):
            where = emitted.names.path(neuron)
            enable, first = emitted.names.bits(neuron.enable), emitted.names.bits(neuron.first)
            require_same(emitted, enable, (pipeline.enable,), f"{where} enable")
            pipeline.require_passed(reading, first, "first", clocks=clocks)
            given = pipeline.given[f"branch{b}"][j]
            if _gives_signs(emitted, stage, b):
                _require_complement(pipeline, given, emitted.names.bits(neuron.membrane)[-1])
            else:
                what = f"{pipeline.path} branch {b} spike {j}"
                require_same(emitted, (given,), emitted.names.bits(neuron.spike), what)


def _gives_signs(emitted: Emitted, stage: Stage, branch: int) -> bool:
    network = emitted.network
    ends = stage.depth == network.branches[branch].depth - 1
    return ends and network.readout_mode is ReadoutMode.SIGN


def _require_complement(pipeline: Pipeline, bit: Bit, of: Bit) -> None:
    own = pipeline.reading({"sign": ((of,), BITS)}).function((bit,))
    where = pipeline.emitted.netlist.described(bit)
    require(own == Table((("sign", 0),), (1, 0)), f"{where} must be 1 where v >= 0")


def layer_obligations(pipeline: Pipeline, layer: LIFLayer) -> Iterator[Obligation]:
    """The sums of a layer, and its neurons."""
    emitted = pipeline.emitted
    words: dict[str, tuple[Bits, Interval]] = {}
    if layer.layer.recurrent is not None:
        previous = emitted.names.local(layer, "previous")
        words = {f"previous[{k}]": ((bit,), BITS) for k, bit in enumerate(previous)}
        path = emitted.names.path(layer)
        yield by_reading("lateral spikes", path, lambda: _check_previous(pipeline, layer, previous))
    reading = pipeline.reading(words)  # one for the whole layer, so that shared terms are read once
    for j, neuron in enumerate(emitted.names.of_type(LIF, layer)):
        where = emitted.names.path(neuron)

        def check(j: int = j, neuron: LIF = neuron) -> None:
            _check_sums(pipeline, layer, neuron, j, reading)

        yield by_reading("sum", where, check)
        yield neuron_obligation(emitted, neuron)


def neuron_obligation(emitted: Emitted, neuron: LIF) -> Obligation:
    """A neuron computes its contract."""
    part, steps = emitted.cut(neuron), emitted.network.n_steps

    def specification() -> NeuronSpecification:
        stand_in = StandIn(neuron.signature, part)
        return NeuronSpecification(neuron.parameters, n_steps=steps, neuron=stand_in)

    given = (neuron.parameters, steps)
    return by_induction("neuron", emitted.names.path(neuron), part, specification, given=given)


def _check_previous(pipeline: Pipeline, layer: LIFLayer, previous: Bits) -> None:
    """The lateral spikes are the neurons' own, and 0 in the first step."""
    emitted = pipeline.emitted
    for k, neuron in enumerate(emitted.names.of_type(LIF, layer)):
        spike = emitted.names.bits(neuron.spike)
        own = pipeline.reading({"spike": (spike, BITS), "begins": ((pipeline.first,), BITS)})
        expected = Table((("begins", 0), ("spike", 0)), (0, 0, 1, 0))
        what = f"{emitted.names.path(layer)} lateral spike {k}"
        require(own.function((previous[k],)) == expected, f"{what} must be neuron {k}'s")


def _check_sums(pipeline: Pipeline, layer: LIFLayer, neuron: LIF, j: int, reading: Reading) -> None:
    """Current, and where it is split surplus and lateral part, of neuron ``j``."""
    of, parameters = layer.layer, neuron.parameters
    source = "inputs" if "inputs" in pipeline.fields else _branch_field(pipeline, layer)
    forward = _forward(of, j, layer.input_bits, source, pipeline.registers)
    lateral = _lateral(of, j)
    if not neuron.split:
        total = Affine.of([*forward, *lateral], int(of.biases[j]))
        _require_word(pipeline, reading, neuron, "current", total, parameters.current)
        return
    total = Affine.of(forward, int(of.biases[j]))
    below = Affine(total.factors, total.constant - int(of.thresholds[j]))
    shifted = parameters.forward + parameters.below_threshold
    _require_word(pipeline, reading, neuron, "current", total, parameters.forward)
    _require_word(pipeline, reading, neuron, "surplus", below, shifted)
    _require_word(pipeline, reading, neuron, "lateral", Affine.of(lateral), parameters.lateral)


def _branch_field(pipeline: Pipeline, layer: LIFLayer) -> str:
    return pipeline.emitted.names.path(layer).rpartition(".")[2]


def _forward(
    layer: Layer, j: int, input_bits: int, source: str, clocks: int
) -> list[tuple[Variable, int]]:
    """Addends of the inputs, as the network states them."""
    return [
        ((f"{source}[{i * input_bits + plane}]", clocks), int(weight) << plane)
        for i, weight in enumerate(layer.weights[:, j])
        for plane in range(input_bits)
    ]


def _lateral(layer: Layer, j: int) -> list[tuple[Variable, int]]:
    """Addends of the recurrent spikes, as the network states them."""
    if layer.recurrent is None:
        return []
    return [((f"previous[{k}]", 0), int(w)) for k, w in enumerate(layer.recurrent[:, j])]


def _require_word(
    pipeline: Pipeline,
    reading: Reading,
    neuron: LIF,
    port: str,
    expected: Affine,
    interval: Interval,
) -> None:
    """A port of a neuron is the sum that is expected, and within the range that is assumed."""
    value = getattr(neuron, port)
    where = f"{pipeline.emitted.names.path(neuron)} {port}"
    own = reading.word(pipeline.emitted.names.bits(value), signed=value.shape().signed)
    require_equal(own, expected, where)
    span = reading.interval(own)
    within = interval.low <= span.low and span.high <= interval.high
    require(within, f"{where} must be in {interval}, and can be {span}")


def require_equal(own: Affine, expected: Affine, where: str) -> None:
    """Raise `RefutedError` with the first factor that differs."""
    for variable in sorted({*own.factors, *expected.factors}):
        has, needs = own.factors.get(variable, 0), expected.factors.get(variable, 0)
        name, clocks = variable
        message = f"{where} must weigh {name} of {clocks} clocks ago with {needs}, not {has}"
        require(has == needs, message)
    constant = expected.constant
    require(own.constant == constant, f"{where} must have a bias of {constant}, not {own.constant}")


def readout_obligations(emitted: Emitted, readout: Readout) -> Iterator[Obligation]:
    """Handshake, tags and scores of a readout in logic."""
    pipeline = Pipeline(emitted, readout)
    mode = emitted.network.readout_mode
    absorbs = mode is not ReadoutMode.STEP and not readout.every_step
    held = emitted.names.bits(readout.o.payload)
    yield pipeline.handshake(held=held, absorbs=absorbs)
    yield by_reading("inputs", pipeline.path, lambda: check_tags(pipeline))
    for c in range(emitted.network.n_classes):

        def check(c: int = c) -> None:
            _check_score(pipeline, c)

        yield by_reading("sum", f"{pipeline.path} class {c}", check)


def check_tags(pipeline: Pipeline) -> None:
    """Tags on the output are those of the transfer."""
    reading = pipeline.reading()
    for name in ("first", "last"):
        if name in pipeline.given:
            taken = pipeline.last_registers(pipeline.given[name])
            pipeline.require_passed(reading, taken, name, clocks=pipeline.registers)


def _check_score(pipeline: Pipeline, c: int) -> None:
    """The score of class ``c``: of the step, or of all steps since the first one."""
    network, clocks = pipeline.emitted.network, pipeline.registers
    held = _score_bits(pipeline, pipeline.given["scores"], c)
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
    begins = pipeline.reading(assumed={pipeline.first: 1})
    require_equal(
        begins.word(taken, signed=True), Affine.of(addends, bias), f"{where}, first step,"
    )
    if network.n_steps == 1:
        return
    # What is held is the score of 1 to T - 1 steps: the handshake counts them with the tags.
    low, high = sum(min(0, w) for w in column), sum(max(0, w) for w in column)
    before = Interval(low, high).scaled(network.n_steps - 1) + Interval(bias, bias)
    goes_on = pipeline.reading({"score": (held, before)}, assumed={pipeline.first: 0})
    expected = Affine.of([*addends, (("score", 0), 1)])
    require_equal(goes_on.word(taken, signed=True), expected, where)


def _score_bits(pipeline: Pipeline, scores: Bits, c: int) -> Bits:
    width = len(scores) // pipeline.emitted.network.n_classes
    return scores[c * width : (c + 1) * width]
