"""The report for people: the same content as Markdown and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from convexon.report.collect import RunContent
from convexon.report.figure import Figure
from convexon.report.svg import convergence, raster

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A titled table with a sentence on how to read it."""

    title: str
    note: str
    header: Row
    rows: Sequence[Row]


def tables(content: RunContent, figures: Sequence[Figure]) -> list[Table]:
    """Return the tables of the report, from the figures alone."""
    by_name = {figure.name: figure for figure in figures}
    return [
        _accuracy_table(content, by_name),
        _certificate_table(by_name),
        _hardware_table(by_name),
        _operations_table(by_name),
        _time_table(by_name),
    ]


def _accuracy_table(content: RunContent, figures: Mapping[str, Figure]) -> Table:
    methods = (
        ("accuracy", "Convexon, integer network"),
        ("baseline.logistic.accuracy", "logistic regression on raw features"),
        ("baseline.reservoir.accuracy", "random reservoir, ridge readout"),
    )
    return Table(
        "Accuracy",
        f"{content.train.n_samples} training and {content.test.n_samples} test samples; "
        "all methods on the same split, regularisation chosen on validation.",
        ("method", "train", "test"),
        [
            (label, value_text(figures[f"{key}.train"]), value_text(figures[f"{key}.test"]))
            for key, label in methods
            if f"{key}.test" in figures
        ],
    )


def _certificate_table(figures: Mapping[str, Figure]) -> Table:
    names = (
        ("columns", "columns selected, with the intercept"),
        ("primal", "primal objective"),
        ("dual", "dual objective, feasible by construction"),
        ("gap", "duality gap over the selected columns"),
        ("drawn.dual", "lower bound over all drawn columns"),
        ("universal_lower_bound", "universal lower bound: no network at all does better"),
    )
    return Table(
        "Certificate",
        "The network is optimal over the selected columns to within the gap; the last two rows "
        "bound from below what more columns, and any network whatever, could reach.",
        ("figure", "value"),
        [(label, value_text(figures[f"certificate.{key}"])) for key, label in names],
    )


def _hardware_table(figures: Mapping[str, Figure]) -> Table:
    groups = ("verify.", "latency.", "interval.", "cells.", "network.")
    return Table(
        "Network and hardware",
        "A mismatch is an inference that differs in any spike, membrane, score or label, or comes "
        "at another cycle than the schedule says.",
        ("figure", "value", "unit", "kind"),
        [
            (name, value_text(figure), figure.unit, figure.kind.value)
            for name, figure in figures.items()
            if name.startswith(groups) and not name.endswith(".seconds")
        ],
    )


def _operations_table(figures: Mapping[str, Figure]) -> Table:
    return Table(
        "Operations and energy",
        "Means of a test sample. The energy is that of the counted operations in the technology "
        "that papers compare networks by, between the two ends; an FPGA takes more.",
        ("figure", "value", "unit", "kind"),
        [
            (name, value_text(figure), figure.unit, figure.kind.value)
            for name, figure in figures.items()
            if name.startswith(("operations.", "energy."))
        ],
    )


def _time_table(figures: Mapping[str, Figure]) -> Table:
    return Table(
        "Time",
        "Wall time of each stage, in seconds.",
        ("stage", "seconds"),
        [
            (name.removesuffix(".seconds"), value_text(figure))
            for name, figure in figures.items()
            if name.endswith(".seconds")
        ],
    )


def value_text(figure: Figure) -> str:
    """Return a figure's value as people write it."""
    value = figure.value
    if isinstance(value, int):
        return f"{value:,}"
    if figure.name.startswith(("accuracy.", "baseline.")):
        return f"{100 * value:.2f} %"
    if figure.unit == "seconds":
        return f"{value:.1f}"
    return f"{value:.6g}"


def as_markdown(content: RunContent, figures: Sequence[Figure]) -> str:
    """Return report.md."""
    parts = [f"# {content.test.name}\n\n{_lead(content)}\n"]
    parts += [f"\n**Not verified.** {fault}\n" for fault in _faults(content)]
    for table in tables(content, figures):
        parts.append(f"\n## {table.title}\n\n{table.note}\n\n{markdown_table(table)}")
    return "".join(parts)


def markdown_table(table: Table) -> str:
    """Return a table in Markdown."""
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def as_html(content: RunContent, figures: Sequence[Figure]) -> str:
    """Return report.html: style and drawings inside, nothing loaded from anywhere."""
    sections = [
        _section("An inference", _raster_note(content), _raster(content)),
        _section(
            "Convergence",
            "Duality gap over all columns of the program, certified from each iterate.",
            _convergence(content),
        ),
    ]
    faults = "".join(
        f'<p class="fault"><strong>Not verified.</strong> {escape(fault)}</p>\n'
        for fault in _faults(content)
    )
    sections[1:1] = [_html_table(table) for table in tables(content, figures)[:2]]
    sections += [_html_table(table) for table in tables(content, figures)[2:]]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Convexon: {escape(content.test.name)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(content.test.name)}</h1>\n<p>{escape(_lead(content))}</p>\n"
        f"{faults}{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _lead(content: RunContent) -> str:
    card = content.card
    return (
        f"A spiking network of {card.n_neurons} LIF neurons in {len(card.branches)} parallel "
        f"branches, with {card.n_synapses} synapses and {card.n_steps} steps, from a convex "
        f"program to Verilog. Silicon card {content.card_digest}."
    )


def _faults(content: RunContent) -> list[str]:
    """What simulators found wrong, in words; nothing where all was equal."""
    return [
        f"{name}: {found.first}" for name, found in content.verifications.items() if found.first
    ]


def _raster_note(content: RunContent) -> str:
    label, answer = int(content.test.labels[0]), int(content.test_trace.labels[0, 0])
    return f"The first test sample, of class {label}, which the network takes for class {answer}."


def _raster(content: RunContent) -> str:
    inputs = (content.test.inputs[0] > 0).astype("uint8")
    groups = [("input", inputs)]
    for branch, depth, trace in content.test_trace.flat_layers():
        groups.append((f"branch {branch}.{depth}", trace.spikes[0]))
    return raster(groups, title="Spike raster of the first test sample")


def _convergence(content: RunContent) -> str:
    history = content.solved.history
    series = [("gap", history[:, [0, 3]]), ("primal", history[:, [0, 1]])]
    return convergence(series, title="Duality gap and primal objective over iterations")


def _section(title: str, note: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(note)}</p>{body}</section>\n"


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _section(table.title, table.note, body)


_STYLE = """
body{margin:0;background:#f5f7fa;color:#1f2933;font:16px/1.5 system-ui,sans-serif}
main{max-width:760px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.15rem;margin:0 0 4px}
section{background:#fff;border:1px solid #e4e7eb;border-radius:8px;padding:16px;margin:16px 0;
overflow-x:auto}
section p{margin:0 0 12px;color:#52606d}
.fault{background:#fde8e8;border:1px solid #e02424;border-radius:8px;padding:12px 16px}
svg{width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid #e4e7eb}
th{color:#52606d;font-weight:600}
"""
