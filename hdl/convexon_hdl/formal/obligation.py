"""What is to be proved of an emitted network, and how each piece is proved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Elaboratable

from convexon_hdl.formal.netlist.netlist import RefutedError
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.prover import Verdict, prove


@dataclass(frozen=True, eq=False, kw_only=True)
class Obligation:
    """One thing to be proved: ``kind``, in a word or two, of the piece of name ``where``.

    ``check`` gives the verdict; it raises `RefutedError` with the reason. Obligations with the same
    ``key`` are proved together, by one proof. A key says all that the outcome depends on, but for
    the versions of Convexon and Yosys; it is empty for what is quicker to check than to remember.
    """

    kind: str
    where: str
    key: str = ""
    check: Callable[[], Verdict]


def by_reading(kind: str, where: str, check: Callable[..., None], *arguments: object) -> Obligation:
    """An obligation that is decided by reading the netlist.

    ``check`` of ``arguments`` raises `RefutedError` where the text is not as it must be.
    """

    def verdict() -> Verdict:
        check(*arguments)
        return Verdict.PROVED

    return Obligation(kind=kind, where=where, check=verdict)


def by_induction(
    kind: str,
    where: str,
    part: Part | None,
    specification: Callable[..., Elaboratable],
    **given: object,
) -> Obligation:
    """An obligation for the solver: what ``specification`` makes of a `StandIn` for ``part``.

    ``given`` are its other arguments, and with the text of the part all that the outcome depends
    on; so their representations must tell different ones apart. Without a part, the specification
    speaks of them alone.
    """
    text = f"{kind}\n{sorted(given.items())!r}\n{part.digest if part else ''}"

    def verdict() -> Verdict:
        if part is None:
            return prove(specification(**given))
        return prove(specification(StandIn(part), **given), parts=[part.text])

    key = hashlib.sha256(text.encode()).hexdigest()
    return Obligation(kind=kind, where=where, key=key, check=verdict)


def refuted(kind: str, where: str, error: RefutedError) -> Obligation:
    """An obligation that cannot be stated, as the text lacks what it speaks of."""

    def verdict() -> Verdict:
        raise error

    return Obligation(kind=kind, where=where, check=verdict)
