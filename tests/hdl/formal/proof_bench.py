"""Emitted networks under proof, and faults in their text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from convexon.plan.mapping import Mapping
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.emit.emitter import emit
from convexon_hdl.formal.network import obligations
from convexon_hdl.formal.obligation import Proof, prove_all
from convexon_hdl.formal.prover import Verdict


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and its mapping; what is proved of its own text is known from then on."""

    network: FixedPointNetwork
    mapping: Mapping

    @cached_property
    def verilog(self) -> str:
        return emit(self.network, self.mapping).verilog

    @cached_property
    def proofs(self) -> tuple[Proof, ...]:
        return tuple(prove_all(obligations(self.network, self.mapping, self.verilog)))

    def failures(self, verilog: str) -> list[Proof]:
        """What is not proved of another text; pieces that did not change are not proved again."""
        due = obligations(self.network, self.mapping, verilog)
        known = {proof.key for proof in self.proofs} - {""}
        proofs = prove_all(due, known=known)
        return [proof for proof in proofs if proof.verdict is not Verdict.PROVED]


def replaced(text: str, pattern: str, replacement: str, *, after: str = "") -> str:
    """The text with the first match behind ``after`` replaced; there must be one."""
    found = re.compile(pattern).search(text, text.index(after))
    assert found is not None, pattern
    return text[: found.start()] + found.expand(replacement) + text[found.end() :]
