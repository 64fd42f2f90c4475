"""Stage ``prove``: the emitted network of a run folder, proved by parts."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from convexon.flow.hardware.emit import Design, emit_stage
from convexon.flow.run import Made, Run, source_digest
from convexon.progress import QUIET, Progress
from convexon.store.untrusted import read_text
from convexon_hdl.emit import yosys
from convexon_hdl.emit.bundle import MANIFEST_NAME, RtlBundle
from convexon_hdl.formal.network import left_to_simulation, obligations
from convexon_hdl.formal.obligation import Proof, prove_all, report_on
from convexon_hdl.formal.proofs import PROOFS, ProofReport
from convexon_hdl.formal.prover import Verdict

KNOWN = "proved.txt"
"""Cache of a run folder: a line for each obligation that the solver proved, by whatever run."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ProveResult:
    """What the stage found.

    Members
    -------
    report : Made of ProofReport
    seconds : float
        Wall time; 0 where the report was there already.
    """

    report: Made[ProofReport]
    seconds: float

    @property
    def lines(self) -> list[str]:
        """A table of the obligations, by kind."""
        rows = [("kind", "proved", "of", "distinct")]
        report = self.report.value
        rows += [(k.kind, str(k.passed), str(k.total), str(k.distinct)) for k in report.kinds]
        width = max(len(row[0]) for row in rows)
        table = [f"{r[0]:<{width}}  {r[1]:>6}  {r[2]:>5}  {r[3]:>8}" for r in rows]
        return [*table, *(f"not proved: {failure}" for failure in report.failures)]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        report = self.report.value
        rest = ", ".join(report.left_to_simulation)
        left = f"; left to simulation: {rest}" if rest else ""
        took = "there already" if self.report.reused else f"{self.seconds:.1f} s"
        return f"prove: {report.passed} of {report.total} obligations proved ({took}){left}"


def prove_stage(folder: Run, progress: Progress = QUIET) -> ProveResult:
    """Prove the card of ``folder``, as it is emitted under the folder's mapping.

    The Verilog is that of the folder's bundle, which is emitted if it is not there. What the solver
    has proved is noted in `KNOWN` at once, so that a run which is broken off goes on, and one after
    a change proves what is new.

    Raises
    ------
    ConvexonError
        If there is no sound card, or Yosys fails. Obligations that are not proved are in the
        report.
    """
    design = Design.of(folder)
    bundle = _bundle(folder, design, progress)
    versions = f"{source_digest()} {yosys.version()}"
    cache = _Cache(folder.path / KNOWN, versions)
    began = time.monotonic()

    def prove() -> ProofReport:
        verilog = bundle.value.verilog
        progress.begin("reading the netlist")
        due = list(obligations(design.network, design.mapping, verilog))
        progress.begin("proving")
        proofs: list[Proof] = []
        for proof in prove_all(due, known=[o.key for o in due if o.key in cache]):
            proofs.append(proof)
            if proof.is_new and proof.key and proof.verdict is Verdict.PROVED:
                cache.add(proof.key)
            progress.advance(f"{len(proofs)} of {len(due)}: {proof.kind} of {proof.where}")
        return report_on(proofs, left_to_simulation(design.network, design.mapping))

    made = folder.made(
        "proofs",
        PROOFS,
        prove,
        parents={**design.parents, "rtl": bundle},
        recipe={"yosys": yosys.version()},
    )
    seconds = 0.0 if made.reused else time.monotonic() - began
    if not made.reused:
        folder.time("prove", seconds)
    return ProveResult(report=made, seconds=seconds)


def _bundle(folder: Run, design: Design, progress: Progress) -> Made[RtlBundle]:
    """The bundle on disk, for whatever host, if it is of this design; else a new one."""
    there = (folder.rtl / MANIFEST_NAME).exists()
    if there and folder.bundle().record.parents == design.digests:
        return design.bundle(folder)
    return emit_stage(folder, progress).bundle


class _Cache:
    """Keys of obligations that were proved, by versions of the tools."""

    def __init__(self, path: Path, versions: str) -> None:
        self._path, self._versions = path, versions
        try:
            text = read_text(path)
        except (OSError, ValueError):  # what was not proved yet is proved anew
            text = ""
        self._lines = set(text.split())

    def _line(self, key: str) -> str:
        return hashlib.sha256(f"{self._versions} {key}".encode()).hexdigest()

    def __contains__(self, key: str) -> bool:
        return bool(key) and self._line(key) in self._lines

    def add(self, key: str) -> None:
        """Note a key on disk."""
        self._lines.add(self._line(key))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(self._path, flags, 0o666), "a", encoding="utf-8") as file:
            file.write(self._line(key) + "\n")
