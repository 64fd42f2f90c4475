"""Proof that an encoder of series gives the spikes that its definition states, for all levels.

Its sequencer counts steps as any other does (*step counter*), what surrounds it is the encoder's
own (*connections*), and what the levels become is proved for a few channels at a time (*code*).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, Value

from convexon.data.encoder import Encoder, EncoderKind
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.core.series import SeriesEncoder
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bits, bits_of
from convexon_hdl.formal.netlist.part import Part
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.sources import AT_ONCE, sequencer_obligations
from convexon_hdl.formal.specs.blocks import Specification, counted, free


@dataclass(eq=False, kw_only=True)
class SeriesSpecification(Specification):
    """What the levels of a series become, given which transfers are first of an inference.

    Levels are offered and accepted freely, T to an inference; a plain copy is kept of what each
    channel must remember: for ``DELTA`` the reference, for ``CROSSING`` the level before.

    - ``MIDPOINT``: a spike where 2 * l >= 2**k;
    - ``DELTA``: a rise where l less the reference is at least 2**(k - B), a fall where it is at
      most -2**(k - B), and the reference moves by as much;
    - ``CROSSING``: a rise where a multiple of 2**(k - B) is above the level before and not above
      this one, a fall where it is the other way round.

    Inputs are the ``levels`` of a few channels, ``valid`` and ``ready`` of their transfer, and
    ``first``; outputs are ``code``, the inputs that they become, and ``held``, what they keep.
    """

    of: Encoder
    n_channels: int
    n_steps: int

    def state(self, m: Module) -> None:
        """Build the environment, the copies, and the definition."""
        code, bits, held = self.component, self.of.bits, bits_held(self.of)
        valid, ready = Signal(), Signal()
        free(m, valid, ready, code.levels)
        taken = valid & ready
        first = counted(m, self.n_steps, taken) == 0
        for name, value in {"valid": valid, "ready": ready, "first": first}.items():
            if name in code.signature.members:
                m.d.comb += getattr(code, name).eq(value)
        expected: list[Value] = []
        for c in range(self.n_channels):
            level = code.levels[c * bits : (c + 1) * bits]
            if self.of.kind is EncoderKind.MIDPOINT:
                expected.append(2 * level >= self.of.max_level + 1)
                continue
            before = Signal(bits, name=f"before{c}")
            rises, falls, after = self._changes(level, before)
            expected += [~first & rises, ~first & falls]
            with m.If(taken):
                m.d.sync += before.eq(Mux(first, level, after))
            own = code.held[c * held : (c + 1) * held]
            m.d.comb += Assert(first | (own == before[bits - held :]))
        m.d.comb += Assert(code.code == Cat(expected))

    def _changes(self, level: Value, before: Signal) -> tuple[Value, Value, Value]:
        """Whether a channel rises or falls, and what is kept of it."""
        part, change = self.of.part, level - before
        if self.of.kind is EncoderKind.DELTA:
            rises, falls = change >= part, change <= -part
            return rises, falls, before + Mux(rises, part, 0) - Mux(falls, part, 0)
        borders = range(part, self.of.max_level + 1, part)
        rises = Cat((before < border) & (level >= border) for border in borders).any()
        falls = Cat((level < border) & (before >= border) for border in borders).any()
        return rises, falls, level


def bits_held(of: Encoder) -> int:
    """Bits that a channel keeps from step to step, the high ones of a level."""
    return {EncoderKind.DELTA: of.bits, EncoderKind.CROSSING: of.resolution or 0}.get(of.kind, 0)


def series_obligations(emitted: Emitted, encoder: SeriesEncoder) -> Iterator[Obligation]:
    """The encoder of a series gives the spikes of its definition, and counts steps."""
    sequencer = emitted.child(encoder, "sequencer")
    where = emitted.path(encoder)
    yield by_reading("connections", where, _check_sequencer, emitted, encoder, sequencer)
    yield from sequencer_obligations(emitted, sequencer)
    for begin in range(0, encoder.n_channels, AT_ONCE):
        which = range(begin, min(encoder.n_channels, begin + AT_ONCE))
        yield _code_obligation(emitted, encoder, sequencer, which)


def _check_sequencer(emitted: Emitted, encoder: SeriesEncoder, sequencer: Sequencer) -> None:
    """What surrounds the sequencer is the encoder's own, but for the inputs of a step."""
    emitted.require_connected(encoder.o, sequencer.o, "of the encoder to its sequencer")
    for name in ("valid", "ready"):
        own, inner = getattr(encoder.i, name), getattr(sequencer.i, name)
        emitted.require_same(own, inner, f"{name} of the encoder's levels")
    if encoder.capacity is not None:
        emitted.require_same(sequencer.decided, encoder.decided, "decided of the sequencer")


def _code_obligation(
    emitted: Emitted, encoder: SeriesEncoder, sequencer: Sequencer, which: range
) -> Obligation:
    """What a few channels become."""
    of = encoder.encoder
    inputs = {"levels": _of_channels(emitted.bits(encoder.i.payload), which, of.bits)}
    outputs = {"code": _of_channels(emitted.bits(sequencer.i.payload), which, of.inputs_per_level)}
    if bits_held(of):
        inputs |= {
            "valid": emitted.bits(encoder.i.valid),
            "ready": emitted.bits(encoder.i.ready),
            "first": emitted.fields(encoder.o)["first"],
        }
        outputs["held"] = bits_of([emitted.local(encoder, f"held{c}") for c in which])
    return by_induction(
        "code",
        f"{emitted.path(encoder)} channels {which.start} to {which.stop - 1}",
        Part(emitted.netlist, inputs=inputs, outputs=outputs),
        SeriesSpecification,
        of=of,
        n_channels=len(which),
        n_steps=emitted.network.n_steps,
    )


def _of_channels(bits: Bits, which: range, width: int) -> Bits:
    """Nets of some channels, each of ``width`` bits."""
    return bits[which.start * width : which.stop * width]
