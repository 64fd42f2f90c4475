"""What is to be proved of an emitted network, how each piece is proved, and how that ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from amaranth.hdl import Elaboratable

from convexon_hdl.formal.netlist.netlist import RefutedError
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.proofs import KindOfProof, ProofReport
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


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How the obligation of ``kind``, ``where`` and ``key`` ended.

    ``is_new`` says that it took a proof of its own, ``reason`` why it is refuted, if reading the
    text found out.
    """

    kind: str
    where: str
    key: str
    verdict: Verdict
    is_new: bool = True
    reason: str = ""


def prove_all(obligations: Iterable[Obligation], *, known: Iterable[str] = ()) -> Iterator[Proof]:
    """Prove obligations in their order, those with equal keys once; ``known`` keys not at all.

    A key that is refuted, or that stays undecided, is so for all of its obligations.
    """
    done = dict.fromkeys(known, Verdict.PROVED)
    for each in obligations:
        proof = partial(Proof, kind=each.kind, where=each.where, key=each.key)
        if each.key and each.key in done:
            yield proof(verdict=done[each.key], is_new=False)
            continue
        try:
            verdict, reason = each.check(), ""
        except RefutedError as error:
            verdict, reason = Verdict.REFUTED, str(error)
        if each.key:
            done[each.key] = verdict
        yield proof(verdict=verdict, reason=reason)


def report_on(proofs: Iterable[Proof], left_to_simulation: Iterable[str] = ()) -> ProofReport:
    """All proofs by kind."""
    proofs = list(proofs)
    kinds = []
    for kind in dict.fromkeys(proof.kind for proof in proofs):
        own = [proof for proof in proofs if proof.kind == kind]
        passed = [proof for proof in own if proof.verdict is Verdict.PROVED]
        distinct = {proof.key or f"{k}" for k, proof in enumerate(own)}
        kinds.append(
            KindOfProof(kind=kind, passed=len(passed), total=len(own), distinct=len(distinct))
        )
    proved = [proof for proof in proofs if proof.verdict is Verdict.PROVED]
    return ProofReport(
        kinds=tuple(kinds),
        failures=tuple(_failure(p) for p in proofs if p.verdict is not Verdict.PROVED),
        left_to_simulation=tuple(left_to_simulation),
        keys=tuple(sorted({proof.key for proof in proved if proof.key})),
    )


def _failure(proof: Proof) -> str:
    reason = f": {proof.reason}" if proof.reason else ""
    return f"{proof.kind} of {proof.where} ({proof.verdict.value}){reason}"
