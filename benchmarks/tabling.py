"""What the tables of the documents are made with: results by name, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from convexon.report.figure import Figure, read_figures
from convexon.report.page import Table, markdown_table, value_text

RESULTS = Path(__file__).parent / "results"
ABSENT = "not measured"

Figures = dict[str, Figure]


def figures_of(*names: str) -> Figures:
    """Read the results of benchmarks; those that were not run have none."""
    found: Figures = {}
    for name in names:
        path = RESULTS / f"{name}.json"
        if path.exists():
            found |= read_figures(path)
    return found


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return markdown_table(Table("", "", tuple(header), [tuple(row) for row in rows]))


def share(figures: Figures, name: str) -> str:
    """Return a share in percent."""
    return f"{100 * figures[name].value:.2f}" if name in figures else ABSENT


def number(figures: Figures, name: str, form: str = ".4g") -> str:
    """Return a value in a format."""
    return format(figures[name].value, form) if name in figures else ABSENT


def two_columns(figures: Figures, rows: Iterable[tuple[str, str]]) -> str:
    """Return the figures that there are, with what they are called."""
    found = [(label, value_text(figures[name])) for name, label in rows if name in figures]
    return table(("figure", "value"), found)
