"""What is to be proved of an emitted network, and how each piece ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from amaranth.hdl import Elaboratable
from amaranth.lib import wiring

from convexon.plan.mapping import Mapping as Layout
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.formal.netlist.names import Names
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Netlist, RefutedError
from convexon_hdl.formal.netlist.part import Part
from convexon_hdl.formal.prover import Verdict, prove


@dataclass(frozen=True, eq=False, kw_only=True)
class Emitted:
    """An emitted network, and where its parts are.

    Members
    -------
    network : FixedPointNetwork
    mapping : convexon.plan.mapping.Mapping
    netlist : Netlist
        Of the text under proof.
    names : Names
    """

    network: FixedPointNetwork
    mapping: Layout
    netlist: Netlist
    names: Names

    def cut(
        self,
        component: wiring.Component,
        *,
        watched: Mapping[str, Bits] | None = None,
        held: Mapping[str, Bits] | None = None,
        keep: set[Bit] | None = None,
    ) -> Part:
        """The piece of the text between a component's ports, or what was cut inside it."""
        inputs: dict[str, Bits] = {}
        outputs: dict[str, Bits] = {}
        for path, member, value in component.signature.flatten(component):
            ports = inputs if member.flow == wiring.In else outputs
            ports["__".join(map(str, path))] = self.names.bits(value)
        inputs.update(held or {})
        return Part(self.netlist, inputs=inputs, outputs={**outputs, **(watched or {})}, keep=keep)


@dataclass(frozen=True, eq=False, kw_only=True)
class Obligation:
    """One thing to be proved.

    Members
    -------
    kind : str
        What is proved, in a word or two.
    where : str
        Hierarchical name of the piece.
    key : str
        Obligations with the same key are proved together, by one proof. A key says all that the
        outcome depends on, but for the versions of Convexon and Yosys; it is empty for what is
        quicker to check than to remember.
    check : callable
        Gives the verdict; raises `RefutedError` with the reason.
    """

    kind: str
    where: str
    key: str = ""
    check: Callable[[], Verdict]


def by_reading(kind: str, where: str, check: Callable[[], None]) -> Obligation:
    """An obligation that is decided by reading the netlist: ``check`` raises `RefutedError`."""

    def verdict() -> Verdict:
        check()
        return Verdict.PROVED

    return Obligation(kind=kind, where=where, check=verdict)


def by_induction(
    kind: str,
    where: str,
    part: Part,
    specification: Callable[[], Elaboratable],
    *,
    given: object = "",
) -> Obligation:
    """An obligation for the solver; ``given`` is what the specification says beside the part."""
    text = f"{kind}\n{given!r}\n{part.digest}"

    def verdict() -> Verdict:
        return prove(specification(), parts=[part.text]).verdict

    key = hashlib.sha256(text.encode()).hexdigest()
    return Obligation(kind=kind, where=where, key=key, check=verdict)


def refuted(kind: str, where: str, error: RefutedError) -> Obligation:
    """An obligation that cannot even be stated, as the text lacks what it speaks of."""

    def verdict() -> Verdict:
        raise error

    return Obligation(kind=kind, where=where, check=verdict)
