"""An emitted accelerator: its netlist, and where its parts are in it.

The accelerator is elaborated once more, for names alone: which component is where in the hierarchy,
and what its ports are called there. A proof then speaks of the nets of these names *in the text*.
Were a name wrong, the proof would fail: nothing is taken over from here but where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from convexon_hdl.accelerator import Accelerator
from convexon_hdl.arith.rtlil import RtlilPlatform
from convexon_hdl.emit.emitter import TOP
from convexon_hdl.formal.netlist.linear import Reading, single_bits
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Netlist, require
from convexon_hdl.formal.netlist.part import Part

Path = tuple[str, ...]
C = TypeVar("C", bound=wiring.Component)


class Emitted:
    """The text under proof, as ``netlist``, and the accelerator that it was emitted from."""

    def __init__(self, accelerator: Accelerator, netlist: Netlist) -> None:
        self.accelerator = accelerator
        self.network, self.mapping = accelerator.network, accelerator.mapping
        self.netlist = netlist
        fragment = Fragment.get(accelerator, RtlilPlatform())
        self._parts = dict(_components(fragment, ()))
        self._paths = {id(part): path for path, part in self._parts.items()}
        ports = {
            "__".join(map(str, path)): (Value.cast(value), None)
            for path, _, value in accelerator.signature.flatten(accelerator)
        }
        _, self._names = rtlil.convert_fragment(fragment, ports, TOP, emit_src=False)

    def path(self, part: wiring.Component) -> str:
        """Hierarchical name of a component."""
        return ".".join(self._paths[id(part)])

    def of_type(self, kind: type[C], under: wiring.Component | None = None) -> list[C]:
        """Components of a class, in their order; only those inside ``under``, if given."""
        prefix: Path = () if under is None else self._paths[id(under)]
        return [
            part
            for path, part in self._parts.items()
            if isinstance(part, kind) and path[: len(prefix)] == prefix
        ]

    def child(self, part: wiring.Component, name: str) -> Any:
        """Submodule ``name`` of a component, None where it has none of that name."""
        return self._parts.get((*self._paths[id(part)], name))

    def pipeline(self) -> list[wiring.Component]:
        """Source, stages and the buffers behind them, readout and decision."""
        names = [
            "sequencer" if self.mapping.encoder is None else "encoder",
            *(f"{kind}{k}" for k in range(self.network.depth) for kind in ("stage", "buffer")),
            "readout",
            "decision" if self.mapping.decision.is_early else "argmax",
        ]
        parts = [self.child(self.accelerator, name) for name in names]
        return [part for part in parts if part is not None]

    def bits(self, value: object) -> Bits:
        """Nets of a signal in the text."""
        signal = Value.cast(value)
        if not len(signal):
            return ()
        require(isinstance(signal, Signal), f"{value!r} must be a signal to have a name")
        return self.netlist.named(".".join(self._names[signal][1:]))

    def local(self, part: wiring.Component, name: str) -> Bits:
        """Nets of a signal inside a component, by its name there."""
        return self.netlist.named(".".join((*self._paths[id(part)], name)))

    def fields(self, stream: wiring.PureInterface) -> dict[str, Bits]:
        """Nets of the fields of a stream's payload, by name."""
        bits, layout = self.bits(stream.payload), stream.payload.shape()
        return {
            name: bits[field.offset : field.offset + Value.cast(stream.payload[name]).shape().width]
            for name, field in layout
        }

    def require_same(self, own: object, other: object, what: str) -> None:
        """Raise `RefutedError` with the first net of ``own`` that is not the one in ``other``.

        Either is nets, or a signal and so its nets.
        """
        nets = own if isinstance(own, tuple) else self.bits(own)
        others = other if isinstance(other, tuple) else self.bits(other)
        require(len(nets) == len(others), f"{what} must have {len(others)} bits, not {len(nets)}")
        described = self.netlist.described
        for place, (bit, expected) in enumerate(zip(nets, others, strict=True)):
            message = f"{what} bit {place} must be {described(expected)}, not {described(bit)}"
            require(bit == expected, message)

    def require_fields(
        self, own: Mapping[str, Bits], other: Mapping[str, Bits], names: Iterable[str], where: str
    ) -> None:
        """Raise `RefutedError` unless fields of these names are the same nets in both payloads."""
        for name in names:
            self.require_same(own[name], other[name], f"{where} {name}")

    def require_connected(
        self, given: wiring.PureInterface, taken: wiring.PureInterface, what: str
    ) -> None:
        """Raise `RefutedError` unless two streams are the same nets."""
        for name in ("payload", "valid", "ready"):
            self.require_same(getattr(taken, name), getattr(given, name), f"{name} {what}")

    def cut(
        self,
        component: wiring.Component,
        *,
        watched: Mapping[str, Bits] | None = None,
        inputs: Mapping[str, Bits] | None = None,
        held: Mapping[str, Bits] | None = None,
        keep: set[Bit] | None = None,
    ) -> Part:
        """The piece of the text between a component's ports, or what was cut inside it.

        ``watched`` are nets inside it that a specification speaks of; it is cut at further
        ``inputs`` there, and as `Part` does with ``held`` and ``keep``.
        """
        ports: dict[bool, dict[str, Bits]] = {True: {}, False: {}}  # by whether they are inputs
        for path, member, value in component.signature.flatten(component):
            ports[member.flow == In]["__".join(map(str, path))] = self.bits(value)
        further = dict(inputs or {})
        members = {name: In(len(bits)) for name, bits in further.items()}
        members = {**component.signature.members, **members}
        return Part(
            self.netlist,
            inputs={**ports[True], **further},
            outputs={**ports[False], **(watched or {})},
            signature=wiring.Signature(members),
            held=held,
            keep=keep,
        )

    def after(self, bits: Bits) -> Bits:
        """What registers take in any clock without a reset, whether new or what they hold."""
        return tuple(self.netlist.register(bit).after for bit in bits)

    def behind(self, bits: Bits, clocks: int = 1) -> Bits:
        """What registers that always take their input hold some clocks later."""
        for _ in range(clocks):
            registers = [self.netlist.register(bit) for bit in bits]
            for bit, register in zip(bits, registers, strict=True):
                stalls = f"{self.netlist.described(bit)} must not stall"
                require(register.enable == "1", stalls)
            bits = tuple(register.d for register in registers)
        return bits

    def chosen(self, bits: Bits, condition: Bit) -> Bits:
        """What multiplexers give where ``condition`` is high; other nets are as they are."""
        given: list[Bit] = []
        for bit in bits:
            while bit in self.netlist.drivers:
                cell, index = self.netlist.drivers[bit]
                if cell.kind != "$mux" or cell.ports["S"] != (condition,):
                    break
                bit = cell.ports["B"][index]
            given.append(bit)
        return tuple(given)

    def taken_on(self, bits: Bits, conditions: Bits) -> Bits:
        """What registers take in a clock in which all ``conditions`` are high; else they hold."""
        words = single_bits({f"c{k}": bit for k, bit in enumerate(conditions)})
        for bit in bits:
            enable = self.netlist.register(bit).enable
            due = Reading(self.netlist, words).is_function(enable, lambda *high: all(high), *words)
            where = self.netlist.described(bit)
            require(due, f"{where} must take its input when due, and else hold it")
        return tuple(self.netlist.register(bit).d for bit in bits)


def _components(fragment: Fragment, path: Path) -> Iterator[tuple[Path, wiring.Component]]:
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            yield path, origin
    for number, (inner, name, _) in enumerate(fragment.subfragments):
        yield from _components(inner, (*path, name or f"U${number}"))
