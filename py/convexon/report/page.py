"""The report for people: the same content as Markdown and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from convexon.report.collect import RunContent
from convexon.report.document import REPORT_SCRIPTS, document, web
from convexon.report.figure import Figure
from convexon.report.packed import packed_traces
from convexon.report.quantization import (
    FRONT_HEADER,
    LAYER_HEADER,
    front_drawing,
    front_rows,
    layer_rows,
    layers_note,
)
from convexon.report.recording import Recording
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
        *_accuracy_table(content, by_name),
        *_certificate_table(by_name),
        *_quantization_tables(content),
        _hardware_table(by_name),
        _operations_table(by_name),
        *_energy_table(by_name),
        _time_table(by_name),
    ]


def _accuracy_table(content: RunContent, figures: Mapping[str, Figure]) -> list[Table]:
    """Accuracies on labelled samples; nothing where there are none."""
    if content.test is None:
        return []
    trained = f"{content.train.n_samples} training and " if content.train is not None else ""
    methods = (
        ("accuracy", "Convexon, integer network"),
        ("baseline.logistic.accuracy", "logistic regression on raw features"),
        ("baseline.reservoir.accuracy", "random reservoir, ridge readout"),
    )
    rows = [
        (label, *(_cell(figures, f"{key}.{split}") for split in ("train", "test")))
        for key, label in methods
        if f"{key}.test" in figures
    ]
    return [
        Table(
            "Accuracy",
            f"{trained}{content.test.n_samples} test samples; all methods on the same split, "
            "regularisation chosen on validation.",
            ("method", "train", "test"),
            rows,
        )
    ]


def _cell(figures: Mapping[str, Figure], name: str) -> str:
    """A figure as text; a dash where it was not obtained."""
    return value_text(figures[name]) if name in figures else "-"


def _certificate_table(figures: Mapping[str, Figure]) -> list[Table]:
    """What the certificate claims; nothing where there is none."""
    names = (
        ("columns", "columns selected, with the intercept"),
        ("primal", "primal objective"),
        ("dual", "dual objective, feasible by construction"),
        ("gap", "duality gap over the selected columns"),
        ("drawn.dual", "lower bound over all drawn columns"),
        ("windows.neurons", "neurons on windows of a few inputs, every one of them priced"),
        ("windows.dual", "lower bound over any number of these and of the drawn columns"),
        ("windows.gap", "how far the network is at most from the best of them"),
        ("universal_lower_bound", "universal lower bound: no network at all does better"),
    )
    known = [
        (label, f"certificate.{key}") for key, label in names if f"certificate.{key}" in figures
    ]
    if not known:
        return []
    return [
        Table(
            "Certificate",
            "The network is optimal over the selected columns to within the gap; lower bounds say "
            "what more columns, and any network whatever, could reach.",
            ("figure", "value"),
            [(label, value_text(figures[name])) for label, name in known],
        )
    ]


def _quantization_tables(content: RunContent) -> list[Table]:
    """Float beside integer, and the front of bits; nothing where the network was not quantized."""
    record = content.quantization
    if record is None:
        return []
    found = [
        Table("Float and integer", layers_note(record), LAYER_HEADER, layer_rows(record)),
    ]
    if record.front:
        note = "Of the bits that were tried, those that no others beat on the calibration samples."
        found.append(Table("Bits of the layers", note, FRONT_HEADER, front_rows(record.front)))
    return found


def _front(content: RunContent) -> list[str]:
    """The front of bits, drawn; nothing where none was searched."""
    record = content.quantization
    if record is None or not record.front:
        return []
    note = "A point is a choice of bits, named by layer; the last one is on the card."
    return [_section("Front of bits", note, front_drawing(record.front))]


def _hardware_table(figures: Mapping[str, Figure]) -> Table:
    groups = ("verify.", "latency.", "interval.", "build.", "cells.", "network.")
    return _listed(
        "Network and hardware",
        "A mismatch is an inference that differs in any spike, membrane, score or label, or comes "
        "at another cycle than the schedule says.",
        [f for n, f in figures.items() if n.startswith(groups) and not n.endswith(".seconds")],
    )


def _operations_table(figures: Mapping[str, Figure]) -> Table:
    return _listed(
        "Operations and energy",
        "Means of a test sample. The energy is that of the counted operations in the technology "
        "that papers compare networks by, between the two ends; an FPGA takes more.",
        [f for n, f in figures.items() if n.startswith(("operations.", "energy.neutral."))],
    )


def _listed(title: str, note: str, figures: Sequence[Figure]) -> Table:
    """Figures as they are, with their units and kinds."""
    rows = [(f.name, value_text(f), f.unit, f.kind.value) for f in figures]
    return Table(title, note, ("figure", "value", "unit", "kind"), rows)


def _energy_table(figures: Mapping[str, Figure]) -> list[Table]:
    """What `convexon energy` estimated, by part and resource; nothing where it did not run."""
    lows = [
        name.removesuffix(".low")
        for name in figures
        if name.startswith("energy.") and name.endswith(".low") and ".neutral." not in name
    ]
    rows = [
        (
            name.removeprefix("energy."),
            *(value_text(figures[f"{name}.{e}"]) for e in ("low", "high")),
        )
        for name in lows
    ]
    note = (
        "Joules of an inference while they follow one another: toggles of the mapped netlist times "
        "energies of the part, between the ends of all of them. Pads, PLL and board come on top."
    )
    header = ("part and resource", "low, J", "high, J")
    return [Table("Energy on the part", note, header, rows)] if rows else []


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
    parts = [f"# {_title(content)}\n\n{_lead(content)}\n"]
    parts += [f"\n**Not verified.** {fault}\n" for fault in _faults(content)]
    for table in tables(content, figures):
        parts.append(f"\n## {table.title}\n\n{table.note}\n\n{markdown_table(table)}")
    return "".join(parts)


def markdown_table(table: Table) -> str:
    """Return a table in Markdown."""
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def as_html(content: RunContent, figures: Sequence[Figure], recording: Recording | None) -> str:
    """Return report.html: tables, drawings, and a viewer of inferences; it loads nothing.

    Without ``recording``, as where there are no samples, there is no viewer.
    """
    faults = "".join(
        f'<p class="fault"><strong>Not verified.</strong> {escape(fault)}</p>\n'
        for fault in _faults(content)
    )
    all_tables = tables(content, figures)
    leading = ("Accuracy", "Certificate", "Float and integer", "Bits of the layers")
    first = [table for table in all_tables if table.title in leading]
    sections = [
        *_inference(content),
        *([] if recording is None else [web("viewer.html")]),
        *map(_html_table, first),
        *_convergence(content),
        *_front(content),
        *(_html_table(table) for table in all_tables if table not in first),
    ]
    return document(
        title=f"Convexon: {_title(content)}",
        body=f"<h1>{escape(_title(content))}</h1>\n<p>{escape(_lead(content))}</p>\n"
        f"{faults}{''.join(sections)}",
        data={} if recording is None else {"traces": packed_traces(recording)},
        scripts=() if recording is None else REPORT_SCRIPTS,
    )


def _title(content: RunContent) -> str:
    """What the samples are called, or else the network."""
    return "a network" if content.test is None else content.test.name


def _lead(content: RunContent) -> str:
    card = content.card
    others = card.n_neurons - card.n_cells
    kinds = f"{others} LIF neurons" if others or not card.n_cells else ""
    if card.n_cells:
        kinds = " and ".join(filter(None, [kinds, f"{card.n_cells} logic cells"]))
    return (
        f"A spiking network of {kinds} in {len(card.branches)} parallel "
        f"branches, with {card.n_synapses} synapses and {card.n_steps} steps. "
        f"Silicon card {content.card_digest}."
    )


def _faults(content: RunContent) -> list[str]:
    """What simulators found wrong, in words; nothing where all was equal."""
    return [
        f"{name}: {found.first}" for name, found in content.verifications.items() if found.first
    ]


def _inference(content: RunContent) -> list[str]:
    """The first test sample as a raster; nothing without samples."""
    test, trace = content.test, content.test_trace
    if test is None or trace is None:
        return []
    label, answer = int(test.labels.ravel()[0]), int(trace.labels[0, 0])
    groups = [("input", (test.inputs[0] > 0).astype("uint8"))]
    for branch, depth, layer in trace.flat_layers():
        groups.append((f"branch {branch}.{depth}", layer.spikes[0]))
    interface = content.card.interface
    names = range(max(2, content.card.n_classes)) if interface is None else interface.classes
    note = (
        f"The first test sample, of class {names[label]}, which the network takes for class "
        f"{names[answer]}."
    )
    drawing = raster(groups, title="Spike raster of the first test sample")
    return [_section("An inference", note, drawing)]


def _convergence(content: RunContent) -> list[str]:
    """How the solver went on; nothing where the network is not the solver's."""
    if content.solved is None:
        return []
    history = content.solved.history
    series = [("gap", history[:, [0, 3]]), ("primal", history[:, [0, 1]])]
    return [
        _section(
            "Convergence",
            "Duality gap over all columns of the program, certified from each iterate.",
            convergence(series, title="Duality gap and primal objective over iterations"),
        )
    ]


def _section(title: str, note: str, body: str) -> str:
    """Titled part; what is wider than the page scrolls inside it, by keyboard too."""
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(note)}</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"{body}</div></section>\n"
    )


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _section(table.title, table.note, body)
