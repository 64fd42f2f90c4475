"""Make the tables of README.md from the results: `python benchmarks/tables.py [--check]`.

With --check nothing is written, and the exit code is 1 if a table differs from its results.
"""

from __future__ import annotations

import sys
from pathlib import Path

from convexon.report.figure import Figure, read_figures
from convexon.report.page import Table, markdown_table, value_text

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- figures:begin -->\n", "<!-- figures:end -->"

DEMO_ROWS = (
    ("accuracy.test", "test accuracy, integer network"),
    ("baseline.logistic.accuracy.test", "logistic regression on raw pixels"),
    ("baseline.reservoir.accuracy.test", "random reservoir, ridge readout"),
    ("certificate.primal", "primal objective"),
    ("certificate.gap", "duality gap over the selected columns"),
    ("certificate.drawn.dual", "lower bound over all drawn columns"),
    ("certificate.universal_lower_bound", "universal lower bound"),
    ("dictionary.columns", "columns of the dictionary"),
    ("network.neurons", "neurons"),
    ("network.synapses", "synapses"),
    ("verify.verilator.inferences", "inferences verified in Verilator"),
    ("verify.verilator.mismatches", "mismatches in Verilator"),
    ("verify.icarus.inferences", "inferences verified in Icarus"),
    ("verify.icarus.mismatches", "mismatches in Icarus"),
    ("latency.cycles.predicted", "latency predicted, cycles"),
    ("latency.cycles.simulated", "latency simulated, cycles"),
    ("cells.ecp5.lut4", "LUT4 on ECP5"),
    ("cells.ecp5.carry", "carry cells (CCU2C) on ECP5"),
    ("cells.ecp5.lut4_sites", "LUT4 sites taken, carry cells included"),
    ("cells.ecp5.ff", "flip-flops on ECP5"),
    ("demo.seconds", "whole demo, nothing cached, seconds"),
)

SEED_ROWS = (
    ("accuracy.test", "test accuracy, integer network"),
    ("baseline.logistic.accuracy.test", "logistic regression on raw pixels"),
    ("baseline.reservoir.accuracy.test", "random reservoir, ridge readout"),
)


def demo_table(figures: dict[str, Figure]) -> str:
    """Return the table of one run."""
    rows = [(label, value_text(figures[name])) for name, label in DEMO_ROWS if name in figures]
    return markdown_table(Table("", "", ("figure", "value"), rows))


def seeds_table(figures: dict[str, Figure]) -> str:
    """Return the accuracies over splits: mean, smallest, largest."""
    rows = []
    for name, label in SEED_ROWS:
        values = [figures[f"seeds.{name}.{kind}"].value for kind in ("mean", "min", "max")]
        rows.append((label, *(f"{100 * value:.2f} %" for value in values)))
    source = next(iter(figures.values())).source
    header = (f"over splits ({source.partition(', ')[2]})", "mean", "smallest", "largest")
    return markdown_table(Table("", "", header, rows))


def readme() -> str:
    """Return README.md with its tables made anew."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    results = ROOT / "benchmarks" / "results"
    demo = demo_table(read_figures(results / "demo.json"))
    seeds = seeds_table(read_figures(results / "demo_seeds.json"))
    return f"{head}{BEGIN}{demo}\n{seeds}{END}{tail}"


def main() -> int:
    """Write README.md, or check it."""
    made = readme()
    if "--check" in sys.argv[1:]:
        return int(made != (ROOT / "README.md").read_text(encoding="utf-8"))
    (ROOT / "README.md").write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
