"""A run folder, as its users hold it: it keeps what is made, reuses it, and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convexon.api.network import Network
from convexon.certify.check import Verdict, check_file
from convexon.data.loading import load_samples
from convexon.data.samples import Samples
from convexon.flow.hardware.emit import EmitResult, emit_stage
from convexon.flow.hardware.prove import ProveResult, prove_stage
from convexon.flow.hardware.verify import VerifyResult, chosen_simulators, verify_stage
from convexon.flow.network import solve as flow
from convexon.flow.run import Run as Folder
from convexon.report.stage import ReportResult, report_stage
from convexon.settings import choice
from convexon.snn.card import CARD
from convexon.train.settings import SolveSettings
from convexon_hdl.emit.emitter import Host


class Run:
    """The verbs of the command line over one folder.

    Parameters
    ----------
    path : made where it is not there
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = Folder(Path(path))

    @property
    def network(self) -> Network:
        """The network of the folder; raises `ArtefactError` if there is none."""
        return Network(self.folder.read("card", CARD).value)

    def solve(
        self,
        samples: Any,
        labels: Any = None,
        settings: SolveSettings | None = None,
        *,
        groups: Any = None,
        split: Any = None,
        replace: bool = False,
    ) -> flow.Solved:
        """Hold out test samples and fit a network to the others, as stage `solve` does.

        Parameters
        ----------
        samples : array, series of unequal length, str or Path
            Raw samples, or ``digits`` or the path of a file (`convexon.data.loading`).
        labels, groups, split : array or sequence, shape (samples,), optional
            As `convexon.data.samples.Samples.of` takes them; a file has its own.
        replace : whether a folder of other samples may be replaced
        """
        settings = settings or SolveSettings()
        if isinstance(samples, str | Path):
            known = load_samples(str(samples), n_steps=settings.steps)
        else:
            known = Samples.of(samples, labels, groups=groups, split=split)
        with self.folder.locked(new=True) as folder:
            return flow.solve(folder, known, settings, replace=replace)

    def certify(self) -> Verdict:
        """Recheck every claim of the certificate; raises `ClaimError` at one that fails."""
        return check_file(self.folder.path)

    def emit(self, *, host: str = "streams", axi_width: int = 32) -> EmitResult:
        """Emit the Verilog of the folder's card."""
        with self.folder.locked() as folder:
            return emit_stage(folder, host=choice(Host, host, "host"), axi_width=axi_width)

    def verify(self, simulators: Sequence[str] | None = None) -> list[VerifyResult]:
        """Simulate the test samples, by default in every simulator that is installed."""
        kinds = chosen_simulators(simulators)
        with self.folder.locked() as folder:
            return [verify_stage(folder, kind) for kind in kinds]

    def prove(self) -> ProveResult:
        """Prove the emitted Verilog, part by part."""
        with self.folder.locked() as folder:
            return prove_stage(folder)

    def report(self) -> ReportResult:
        """Write report.json, report.md and report.html."""
        with self.folder.locked() as folder:
            return report_stage(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"
