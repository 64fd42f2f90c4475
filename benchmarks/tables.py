"""Make the tables of README.md and docs/benchmarks.md: `python benchmarks/tables.py [--check]`.

A table stands between ``<!-- figures:NAME -->`` and ``<!-- figures:end -->`` and is made from the
results. With --check nothing is written, and the exit code is 1 if a table differs from its
results.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from convexon.report.figure import Figure, read_figures
from convexon.report.page import Table, markdown_table, value_text

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = ("README.md", "docs/benchmarks.md")
MARKED = re.compile(r"(<!-- figures:(\w+) -->\n).*?(<!-- figures:end -->)", re.DOTALL)
ABSENT = "not measured"

Figures = dict[str, Figure]

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

SEED_ROWS = DEMO_ROWS[:3]

SOLVER_ROWS = (
    ("agreement.programs", "random programs compared with CVXPY and Clarabel"),
    ("agreement.max_relative_error", "largest relative difference of the objectives"),
    ("solver.seconds", "softmax l1, n = 1000, P = 256, C = 10: seconds"),
    ("solver.speedup.scs", "times faster than CVXPY with SCS, at the gap that SCS reached"),
    ("solver.scs.gap", "relative gap that SCS reached"),
    ("solver.speedup.clarabel", "times faster than CVXPY with Clarabel"),
    ("solver.speedup.clarabel.at_least", "times faster than CVXPY with Clarabel, at least"),
    ("solver.speedup.saga", "times faster than scikit-learn's saga"),
    ("solver.speedup.skglm.squared", "times faster than skglm: squared, l1"),
    ("solver.speedup.skglm.logistic", "times faster than skglm: logistic, l1"),
    ("solver.speedup.skglm.multitask", "times faster than skglm: squared, row-group l2"),
    ("solver.speedup.celer.squared", "times faster than celer: squared, l1"),
    ("solver.speedup.celer.logistic", "times faster than celer: logistic, l1"),
    ("solver.speedup.celer.multitask", "times faster than celer: squared, row-group l2"),
    ("solver.large.seconds", "softmax l1, n = 6000, P = 1024, C = 10: seconds"),
    ("solver.large.gap", "its relative gap"),
)


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


def demo() -> str:
    """Return the table of one run."""
    return two_columns(figures_of("demo"), DEMO_ROWS)


def seeds() -> str:
    """Return the accuracies over splits: mean, smallest, largest."""
    figures = figures_of("demo_seeds")
    rows = []
    for name, label in SEED_ROWS:
        values = [figures[f"seeds.{name}.{kind}"].value for kind in ("mean", "min", "max")]
        rows.append((label, *(f"{100 * value:.2f} %" for value in values)))
    source = next(iter(figures.values())).source
    return table(
        (f"over splits ({source.partition(', ')[2]})", "mean", "smallest", "largest"), rows
    )


def solver() -> str:
    """Return agreement and speed."""
    return two_columns(figures_of("agreement", "solver"), SOLVER_ROWS)


def pricing() -> str:
    """Return how objective, violation and bound went, round by round, and what sampling gives."""
    figures = figures_of("pricing")
    rows = []
    for n in (100, 400, 1000, 4000):
        name = f"pricing.sampled.{n}"
        rows.append(
            (
                f"{n} sampled witnesses",
                number(figures, f"{name}.columns", "d"),
                number(figures, f"{name}.objective", ".4f"),
                number(figures, f"{name}.violation", ".2f"),
                "none",
            )
        )
    forms = (
        ("lif", "one LIF layer, leak 0.99"),
        ("delay", "delay line, threshold units"),
        ("deep", "one layer more"),
    )
    for form, label in forms:
        k = 0
        while f"pricing.{form}.round{k}.objective" in figures:
            name = f"pricing.{form}.round{k}"
            rows.append(
                (
                    f"{label}: round {k}",
                    number(figures, f"{name}.columns", "d"),
                    number(figures, f"{name}.objective", ".4f"),
                    number(figures, f"{name}.violation", ".2f"),
                    number(figures, f"{name}.lower_bound", ".4f"),
                )
            )
            k += 1
    header = ("networks", "columns", "objective", "largest dual ratio", "lower bound, certified")
    return table(header, rows)


def oracles() -> str:
    """Return objective and violation per round of the heuristic oracles."""
    figures = figures_of("pricing")
    rows = []
    for place, label in (("lif", "64 strings, one LIF layer"), ("digits", "8x8 digits")):
        for oracle in ("random", "local", "ascent"):
            for k in range(6):
                name = f"pricing.{place}.{oracle}.round{k}"
                if f"{name}.objective" in figures:
                    rows.append(
                        (
                            label,
                            oracle,
                            str(k),
                            number(figures, f"{name}.columns", "d"),
                            number(figures, f"{name}.objective", ".4f"),
                            number(figures, f"{name}.violation", ".2f"),
                        )
                    )
    return table(("instance", "oracle", "round", "columns", "objective", "violation"), rows)


METHODS = (
    ("convexon", "Convexon"),
    ("cvx", "CVX as in the paper"),
    ("sg", "surrogate gradient"),
    ("sg_leaky", "surrogate gradient, leak 0.99"),
    ("reservoir", "reservoir, ridge"),
    ("logistic", "logistic on raw input"),
)


def addition() -> str:
    """Return joint and sequence accuracy at each length."""
    figures = figures_of("addition")
    rows = []
    for variant, label in (("", "carry given"), (".nocarry", "carry remembered")):
        for base in (2, 3, 5):
            for method, name in METHODS:
                infix = "" if method == "convexon" else f".{method}"
                start = f"addition.base{base}{variant}{infix}"
                if f"{start}.joint.1x" in figures:
                    joint = [share(figures, f"{start}.joint.{k}x") for k in (1, 2, 5, 10)]
                    whole = share(figures, f"{start}.sequence.10x")
                    rows.append((str(base), label, name, *joint, whole))
    header = ("base", "variant", "method", "1x", "2x", "5x", "10x", "whole sums, 10x")
    return table(header, rows)


def strings() -> str:
    """Return FIRST-LAST-XOR by length, depth and method."""
    figures = figures_of("xor")
    rows = []
    chosen = [(m, label) for m, label in METHODS if m != "sg_leaky"]
    for split, lengths in (("disjoint", (6, 8, 11, 14)), ("paper", (6, 8))):
        for length in lengths:
            for depth in (3, 5):
                start = f"xor.t{length}.l{depth}.{split}"
                rows.append(
                    (
                        split,
                        str(length),
                        str(depth),
                        *(share(figures, f"{start}.{method}") for method, _ in chosen),
                    )
                )
    return table(("split", "T", "L", *(label for _, label in chosen)), rows)


def automata() -> str:
    """Return random automata by size and method."""
    figures = figures_of("automata")
    cells = sorted({name.split(".")[1:3] and tuple(name.split(".")[1:3]) for name in figures})
    chosen = [(m, label) for m, label in METHODS if m not in ("sg_leaky", "logistic")]
    rows = [
        (
            f"{states[1:]} states, {symbols[1:]} symbols",
            *(share(figures, f"automata.{states}.{symbols}.{method}") for method, _ in chosen),
        )
        for states, symbols in cells
    ]
    return table(("automaton", *(label for _, label in chosen)), rows)


DIGITS = (
    ("test", "chosen on validation"),
    ("cvx", "CVX: drawn witnesses"),
    ("priced", "CVX: priced witnesses"),
    ("sg", "SG: surrogate gradient"),
    ("sg_cvx", "SG-CVX"),
    ("cvx_sg", "SG-CVX, then fine-tuned"),
    ("reservoir", "reservoir, ridge"),
    ("logistic", "logistic on raw input"),
)


def digits() -> str:
    """Return sequential MNIST."""
    figures = figures_of("mnist_sequential")
    rows = []
    for name, label in DIGITS:
        small, full = f"mnist.t4.n6000.{name}", f"mnist.full.{name}"
        neurons = "neurons" if name == "test" else f"{name}.neurons"
        rows.append(
            (
                label,
                share(figures, small),
                number(figures, f"mnist.t4.n6000.{neurons}", ".0f"),
                share(figures, full),
                number(figures, f"mnist.full.{neurons}", ".0f"),
            )
        )
    return table(("method", "n = 6,000: test %", "neurons", "n = 60,000: test %", "neurons"), rows)


def scaling() -> str:
    """Return costs by size."""
    figures = figures_of("scaling")
    rows = []
    for letter in ("n", "p", "t"):
        sizes = sorted(
            int(name.split(".")[1][1:])
            for name in figures
            if re.fullmatch(rf"scaling\.{letter}\d+\.build", name)
        )
        for size in sizes:
            where = f"scaling.{letter}{size}"
            peak = figures[f"{where}.peak"].value / 2**20
            rows.append(
                (
                    f"{letter} = {size:,}",
                    number(figures, f"{where}.build", ".1f"),
                    number(figures, f"{where}.solve", ".1f"),
                    f"{peak:.0f}",
                    share(figures, f"{where}.accuracy.test"),
                )
            )
        exponents = [
            number(figures, f"scaling.{part}.exponent.{letter}", ".2f")
            for part in ("build", "solve")
        ]
        rows.append((f"exponent in {letter}", *exponents, "", ""))
    return table(("size", "build, s", "solve, s", "peak, MiB", "test %"), rows)


def memory() -> str:
    """Return what the largest dictionary takes."""
    rows = (
        ("scaling.memory.bytes_per_bit", "bytes an entry of the dictionary"),
        ("scaling.memory.peak", "peak bytes, build and packing"),
        ("scaling.memory.build", "seconds to draw, simulate and pack"),
    )
    return two_columns(figures_of("scaling"), rows)


HARDWARE_CELLS = (
    ("hw.spatial.40-16-10", "40-16-10, 6 bits, spatial, ECP5"),
    ("hw.folded.40-16-10", "40-16-10, 6 bits, folded, ECP5"),
    ("peer.spiker-plus.40-16-10", "the same, Spiker+"),
    ("peer.sc-neurocore.40-16-10", "the same, sc-neurocore"),
    ("hw.folded.784-128-10", "784-128-10, 4 bits, folded, ECP5"),
    ("peer.spiker-plus.784-128-10", "the same, Spiker+"),
    ("hw.spatial.ice40", "40-16-10, 6 bits, spatial, iCE40 UP5K"),
    ("hw.folded.ice40", "40-16-10, 6 bits, folded, iCE40 UP5K"),
)

CHECK_ROWS = (
    ("hw.inferences", "inferences simulated, spikes, membranes, scores and cycles compared"),
    ("hw.mismatches", "inferences that differ"),
    ("hw.mutants.caught", "mutants caught"),
    ("hw.mutants.total", "mutants"),
    ("hw.mutants.by_bench", "of them by a bench"),
    ("hw.mutants.refuted", "of them refuted by a proof"),
    ("hw.mutants.unproved", "of them left without a proof"),
    ("hw.mutants.equal", "mutants that change nothing, not counted"),
    ("hw.mutants.right", "mutants that are proved right, not counted"),
    ("hw.proofs.passed", "obligations proved"),
    ("hw.proofs.total", "obligations"),
)


def _least(figures: Figures, start: str) -> tuple[str, str]:
    """Cycles and microseconds of a step; of a peer that has a range, all of it."""
    if f"{start}.cycles_per_step" in figures or f"{start}.cycles_per_step_min" not in figures:
        cycles = [f"{start}.cycles_per_step"]
    else:
        cycles = [f"{start}.cycles_per_step_{end}" for end in ("min", "max")]
    values = [figures[name].value for name in cycles if name in figures]
    if not values or f"{start}.fmax_mhz" not in figures:
        return ABSENT, ABSENT
    clock = figures[f"{start}.fmax_mhz"].value
    return (
        " to ".join(f"{value:.4g}" for value in values),
        " to ".join(f"{value / clock:.3g}" for value in values),
    )


def hardware() -> str:
    """Return what place and route reaches, beside the peers."""
    figures = figures_of("hardware")
    rows = [
        (
            label,
            number(figures, f"{start}.lut4", ".0f"),
            number(figures, f"{start}.carry", ".0f"),
            number(figures, f"{start}.ff", ".0f"),
            number(figures, f"{start}.bram", ".0f") if f"{start}.bram" in figures else "0",
            number(figures, f"{start}.fmax_mhz", ".1f"),
            *_least(figures, start),
        )
        for start, label in HARDWARE_CELLS
    ]
    header = ("network", "LUT4", "carry cells", "flip-flops", "block RAMs", "MHz", "cycles a step",
              "us a step")  # fmt: skip
    return table(header, rows)


def checks() -> str:
    """Return what was simulated, proved and caught."""
    return two_columns(figures_of("hardware"), CHECK_ROWS)


def generator() -> str:
    """Return how the generator scales."""
    figures = figures_of("generator")
    rows = []
    for name, figure in figures.items():
        match = re.fullmatch(r"generator\.emit\.(\w+)\.(\d+)\.seconds", name)
        if match:
            label = f"{match[1]}, {int(match[2]):,} synapses: emission, seconds"
            rows.append((label, f"{figure.value:.2f}"))
    for kind in ("spatial", "folded"):
        name = f"generator.emit.{kind}.exponent"
        rows.append((f"{kind}: exponent in the synapses", number(figures, name, ".2f")))
    for name, label in (
        ("generator.volume.inferences_per_second", "volume runner: digit inferences a second"),
        ("generator.volume.inferences", "volume runner: inferences"),
    ):
        rows.append((label, number(figures, name, ".0f")))
    return table(("figure", "value"), rows)


def synapses() -> str:
    """Return LUTs of a synapse by its bits, and cycles by activity."""
    figures = figures_of("generator")
    bits = [number(figures, f"generator.lut4_per_synapse.bits{k}", ".2f") for k in range(1, 9)]
    return table(("bits", *map(str, range(1, 9))), [("LUT4 sites a synapse", *bits)])


def activity() -> str:
    """Return cycles of a folded layer by the activity of its inputs."""
    figures = figures_of("generator")
    shares = (0, 2, 5, 10, 15, 25, 50, 100)
    start = "generator.cycles_per_step.activity"
    cycles = [number(figures, f"{start}{k:03d}", ".1f") for k in shares]
    header = ("inputs that spike", *(f"{k} %" for k in shares))
    return table(header, [("cycles a step", *cycles)])


WAYS = ("tables", "tree", "shared", "auto", "da4ml")


def adders() -> str:
    """Return LUTs of the sums of a layer by the way that they are added."""
    figures = figures_of("adders")
    layers = dict.fromkeys(name.split(".")[1] + "." + ".".join(name.split(".")[2:-2])
                           for name in figures)  # fmt: skip
    rows = [
        (
            layer.replace(".", ", ").replace("bits", "bits ").replace("density", "density "),
            *(number(figures, f"adders.{layer}.{way}.lut4", ".0f") for way in WAYS),
        )
        for layer in layers
    ]
    return table(("layer", *WAYS), rows)


TABLES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        demo,
        seeds,
        solver,
        pricing,
        oracles,
        addition,
        strings,
        automata,
        digits,
        scaling,
        memory,
        hardware,
        checks,
        generator,
        synapses,
        activity,
        adders,
    )
}


def made(document: str) -> str:
    """Return a document with its tables made anew."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


def main() -> int:
    """Write the documents, or check them."""
    for document in DOCUMENTS:
        text = made(document)
        path = ROOT / document
        if "--check" in sys.argv[1:]:
            if text != path.read_text(encoding="utf-8"):
                print(f"{document} differs from the results", file=sys.stderr)
                return 1
        else:
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
