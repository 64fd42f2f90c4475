"""Stage ``report``: a run's figures for machines, and the same run for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convexon.flow.run import Run
from convexon.progress import QUIET, Progress
from convexon.report.collect import collect, figures_of
from convexon.report.figure import Figure, write_figures
from convexon.report.page import as_html, as_markdown, value_text
from convexon.report.recording import recording_of
from convexon.store.artefact import atomic_write


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """What the stage wrote."""

    figures: Sequence[Figure]
    page: Path

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        accuracy = [f"{value_text(f)} test, " for f in self.figures if f.name == "accuracy.test"]
        return f"report: {len(self.figures)} figures, {''.join(accuracy)}{self.page}"


def report_stage(folder: Run, *, progress: Progress = QUIET) -> ReportResult:
    """Write report.json, report.md and report.html from what the run folder holds.

    Raises
    ------
    ArtefactError
        If there is no card in the folder, or it cannot be written.
    """
    progress.begin("writing the report")
    content = collect(folder)
    figures = figures_of(content)
    recording = recording_of(folder) if content.test is not None else None
    page = folder.path / "report.html"
    atomic_write(folder.path / "report.md", as_markdown(content, figures).encode())
    atomic_write(page, as_html(content, figures, recording).encode())
    write_figures(figures, folder.path / "report.json")
    return ReportResult(figures=tuple(figures), page=page)
