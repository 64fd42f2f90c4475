"""How proofs ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from convexon_hdl.formal.netlist.netlist import RefutedError
from convexon_hdl.formal.obligation import Obligation
from convexon_hdl.formal.proofs import KindOfProof, ProofReport
from convexon_hdl.formal.prover import Verdict


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
