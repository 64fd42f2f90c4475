"""How proofs ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convexon_hdl.formal.netlist.netlist import RefutedError
from convexon_hdl.formal.obligation import Obligation
from convexon_hdl.formal.proofs import KindOfProof, ProofReport
from convexon_hdl.formal.prover import Verdict


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How one obligation ended.

    Members
    -------
    kind, where : str
        Of the obligation.
    verdict : Verdict
    seconds : float
        Wall time; 0 where an equal obligation had been proved before.
    is_new : bool
        Whether it took a proof of its own.
    reason : str
        Why it is refuted, if reading the text found out.
    key : str
        Of the obligation.
    """

    kind: str
    where: str
    verdict: Verdict
    seconds: float = 0.0
    is_new: bool = True
    reason: str = ""
    key: str = ""


def prove_all(obligations: Iterable[Obligation], *, known: Iterable[str] = ()) -> Iterator[Proof]:
    """Prove obligations in their order, those with equal keys once; ``known`` keys not at all.

    A key that is refuted, or that stays undecided, is so for all of its obligations.
    """
    done = dict.fromkeys(known, Verdict.PROVED)
    for each in obligations:
        if each.key and each.key in done:
            yield Proof(
                kind=each.kind, where=each.where, verdict=done[each.key], is_new=False, key=each.key
            )
            continue
        began, reason = time.monotonic(), ""
        try:
            verdict = each.check()
        except RefutedError as error:
            verdict, reason = Verdict.REFUTED, str(error)
        if each.key:
            done[each.key] = verdict
        yield Proof(
            kind=each.kind,
            where=each.where,
            verdict=verdict,
            seconds=time.monotonic() - began,
            reason=reason,
            key=each.key,
        )


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
