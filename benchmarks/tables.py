"""Make the tables of README.md and docs: `python benchmarks/tables.py [--check]`.

A table stands between ``<!-- figures:NAME -->`` and ``<!-- figures:end -->`` and is made from the
results. With --check nothing is written, and the exit code is 1 if a table differs from its
results.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hardware_tables import (
    activity,
    adders,
    boards,
    checks,
    estimates,
    generator,
    hardware,
    predictions,
    synapses,
)
from tabling import ABSENT, figures_of, number, share, table, two_columns

from convexon.interop.importers import ReadingSettings
from convexon.plan.cost.budget import Limits
from convexon.quantizer.settings import HiddenSettings, InputSettings
from convexon.settings import Setting, Settings, settings_of
from convexon.snn.card import schema
from convexon.store.codec import Json
from convexon.train.settings import SolveSettings
from convexon_boards.settings import Placement

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    *(f"docs/{name}.md" for name in ("benchmarks", "card", "reliability", "settings")),
)
MARKED = re.compile(r"(<!-- figures:(\w+) -->\n).*?(<!-- figures:end -->)", re.DOTALL)
DEMO_ROWS = (
    ("accuracy.test", "test accuracy, integer network"),
    ("baseline.logistic.accuracy.test", "logistic regression on raw pixels"),
    ("baseline.reservoir.accuracy.test", "random reservoir, ridge readout"),
    ("certificate.primal", "primal objective"),
    ("certificate.gap", "duality gap over the selected columns"),
    ("certificate.drawn.dual", "lower bound over all drawn columns"),
    ("certificate.universal_lower_bound", "universal lower bound"),
    ("certificate.windows.neurons", "neurons on windows of 4 pixels, all of them priced"),
    ("certificate.windows.gap", "objective above the best network of these, at most"),
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

ROUNDINGS = ("nearest", "descent")

SOLVER_ROWS = (
    ("agreement.programs", "random programs compared with CVXPY and Clarabel"),
    ("agreement.max_relative_error", "largest relative difference of the objectives"),
    ("solver.seconds", "softmax l1, n = 1000, P = 256, C = 10: seconds"),
    ("solver.full.seconds", "softmax, row-group l2, n = 60000, P = 4096, to 1e-3: seconds"),
    ("solver.full.memory_bytes", "memory of the process meanwhile, bytes"),
    ("solver.speedup.scs", "times faster than CVXPY with SCS, to its gap or 1e-6"),
    ("solver.scs.gap", "relative gap that SCS reached"),
    ("solver.speedup.clarabel", "times faster than CVXPY with Clarabel"),
    ("solver.speedup.clarabel.at_least", "times faster than CVXPY with Clarabel, at least"),
    ("solver.speedup.saga", "times faster than scikit-learn's saga"),
    ("solver.large.seconds", "softmax l1, n = 6000, P = 1024, C = 10: seconds"),
    ("solver.large.gap", "its relative gap"),
)


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


PROGRAMS = {
    "squared": "squared, l1",
    "logistic": "logistic, l1",
    "multitask": "squared, 10 outputs, row-group l2",
}
SIZES = {"": "1,000 x 1,024", ".narrow": "1,000 x 512", ".6000": "6,000 x 1,024"}


def descent() -> str:
    """Return how many times faster than coordinate descent each program is solved."""
    figures = figures_of("solver")
    peers = ("skglm", "celer", "liblinear")
    rows = []
    for program, label in PROGRAMS.items():
        for size, n in SIZES.items():
            names = [f"{each}.{program}{size}{goal}" for each in peers for goal in ("", ".loose")]
            ratios = [number(figures, f"solver.speedup.{name}", ".2f") for name in names]
            rows.append((label, n, *("" if each == ABSENT else each for each in ratios)))
    header = [f"{each}, {goal}" for each in peers for goal in ("1e-6", "1e-3")]
    return table(("program", "rows x columns", *header), rows)


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


CERTIFIED = {
    "mnist6000": "MNIST, n = 6,000",
    "mnist60000": "MNIST, n = 60,000",
    "vowels": "JapaneseVowels, n = 216",
}
"""Samples whose gap over all neurons on windows was to close."""


def certified() -> str:
    """Return how far the networks are from the best of all neurons on windows."""
    figures = figures_of("certified")
    forms = (
        ("neurons priced", "set", ",d"),
        ("rho at which it closes", "rho", "g"),
        ("rho of seven that validation chooses", "rho_validation", "g"),
        ("objective", "primal", ".6f"),
        ("no network goes below", "lower_bound", ".6f"),
        ("relative gap", "gap", ".3%"),
        ("neurons of the network", "neurons", "d"),
        ("its test accuracy", "test", ".2%"),
        ("rounds of pricing", "rounds", "d"),
        ("seconds", "seconds", ".0f"),
        ("memory, bytes", "memory_bytes", ",d"),
        ("seconds of `convexon certify`", "certify_seconds", ".0f"),
    )
    rows = [
        (label, *(number(figures, f"certified.{data}.{name}", form) for data in CERTIFIED))
        for label, name, form in forms
    ]
    return table(("figure", *CERTIFIED.values()), rows)


def certified_rounds() -> str:
    """Return objective, ratio and bound of every round."""
    figures = figures_of("certified")
    rows = []
    for data, label in CERTIFIED.items():
        k = 0
        while (name := f"certified.{data}.round{k}") + ".rho" in figures:
            rows.append(
                (
                    f"{label}, round {k}",
                    number(figures, f"{name}.rho", "g"),
                    number(figures, f"{name}.objective", ".5f"),
                    number(figures, f"{name}.ratio", ".4f"),
                    number(figures, f"{name}.bound", ".5f"),
                )
            )
            k += 1
    return table(("samples", "rho", "objective", "largest dual ratio", "lower bound"), rows)


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
    ("sg_cvx", "SG-CVX"),
    ("cvx_sg", "CVX, then SG"),
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


def paper() -> str:
    """Return the paper's figures beside ours, by task; nothing where nothing is published."""
    figures = figures_of("paper")
    tasks = dict.fromkeys(name.removeprefix("paper.").rpartition(".")[0] for name in figures)
    methods = ("cvx", "sg-cvx", "cvx-sg", "sg")
    rows = []
    for task in dict.fromkeys(each.rpartition(".")[0] for each in tasks):
        names = [f"paper.{task}.{m}.{side}" for m in methods for side in ("ours", "published")]
        cells = [share(figures, name) if name in figures else "" for name in names]
        rows.append((task.replace(".", ", "), *cells))
    header = [f"{method}, {side}" for method in methods for side in ("ours", "theirs")]
    return table(("task", *header), rows)


def interchange() -> str:
    """Return networks that other tools trained, by bits."""
    figures = figures_of("interchange")
    names = sorted({name.split(".")[1] for name in figures} - {"door"})
    bits = ("float", "8bit", "6bit", "4bit", "3bit", "2bit")
    rows = [
        (
            name,
            number(figures, f"interchange.{name}.float_mismatches", ".0f"),
            *(share(figures, f"interchange.{name}.accuracy.{each}") for each in bits),
            share(figures, f"interchange.{name}.spike_disagreement.4bit"),
            number(figures, f"interchange.{name}.hardware_mismatches", ".0f"),
            number(figures, f"interchange.{name}.hardware_inferences", ",.0f"),
        )
        for name in names
    ]
    header = ("network", "float spikes that differ", "float: test %", "8 bits", "6", "4", "3", "2")
    last = ("spikes that differ at 4 bits, %", "hardware mismatches", "of inferences")
    return table((*header, *last), rows)


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
    figures = figures_of("mnist_sequential", "engine")
    rows = [
        (
            label,
            share(figures, f"engine.mnist6000{few}.{method}.test"),
            number(figures, f"engine.mnist6000{few}.{method}.neurons", ".0f"),
            share(figures, f"engine.mnist60000{few}.{method}.test"),
            number(figures, f"engine.mnist60000{few}.{method}.neurons", ".0f"),
        )
        for few, method, label in (
            ("", "cvx", "CVX: refined witnesses that see rectangles"),
            ("-256", "cvx", "the same, at most 256 neurons"),
            ("", "sg", "SG: surrogate gradient, on jittered digits or not"),
            ("", "sg-cvx", "its SG-CVX"),
            ("", "cvx-sg", "the same, then fine-tuned"),
        )
    ]
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


def digits_cells() -> str:
    """Return sequential MNIST by logic cells, which are no LIF neurons."""
    figures = figures_of("engine")
    rows = []
    for method, most in (("cell", "1,024"), ("cell2048", "2,048")):
        row = [f"at most {most}"]
        for data in ("mnist6000", "mnist60000"):
            name = f"engine.{data}.{method}"
            row += [share(figures, f"{name}.test"), number(figures, f"{name}.neurons", ".0f")]
        rows.append(tuple(row))
    header = ("logic cells", "n = 6,000: test %", "cells", "n = 60,000: test %", "cells")
    return table(header, rows)


SMALL_DATA = (
    ("digits", "8 x 8 digits"),
    ("wine", "wine"),
    ("cancer", "breast cancer"),
    ("power", "ItalyPowerDemand"),
    ("vowels", "JapaneseVowels"),
    ("watch", "watch, subjects apart"),
    ("mnist5k", "5,000 digits of MNIST"),
)


def small() -> str:
    """Return every method on data that packages ship, where it was measured."""
    figures = figures_of("engine")
    rows = []
    for name, label in SMALL_DATA:
        if f"engine.{name}.cvx.test" not in figures:
            continue
        cells = []
        for method in ("cvx", "sg", "reservoir", "logistic"):
            figure = f"engine.{name}.{method}.test"
            error = figures.get(f"{figure}.stderr")
            cells.append(share(figures, figure) + (f" ± {100 * error.value:.2f}" if error else ""))
        neurons = number(figures, f"engine.{name}.cvx.neurons", ".0f")
        rows.append((label, cells[0], neurons, *cells[1:]))
    header = ("data", "CVX", "neurons", "surrogate gradient", "reservoir, ridge", "logistic")
    return table(header, rows)


def readout() -> str:
    """Return the accuracy of the demo's network with a readout of fewer bits."""
    figures = figures_of("readout")
    rows = [
        (f"{bits}", *(share(figures, f"readout.digits.{how}.{bits}bit.test") for how in ROUNDINGS))
        for bits in (8, 6, 5, 4, 3, 2)
    ]
    return table(("bits of a readout weight", *ROUNDINGS), rows)


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


def convolution() -> str:
    """Return what a trained convolutional network takes on an ECP5."""
    place = "convolution.cnn-sinabs"
    rows = (
        (
            f"{place}.inferences",
            "inferences simulated, spikes, membranes, scores and cycles compared",
        ),
        (f"{place}.mismatches", "inferences that differ"),
        (f"{place}.weights", "weights on the card"),
        (f"{place}.weights_unrolled", "weights of the matrices that it stands for"),
        (f"{place}.cycles_per_step", "cycles a step"),
        (f"{place}.lut4_sites", "LUT4 sites, those of carry cells included"),
        (f"{place}.ff", "flip-flops"),
        (f"{place}.bram", "block RAMs"),
        (f"{place}.estimated.lut4_sites", "LUT4 sites, estimated"),
        (f"{place}.estimated.bram", "block RAMs, estimated"),
        (f"{place}.fmax_mhz", "MHz, placed and routed on an LFE5U-85F of speed grade 6, one seed"),
        (f"{place}.seconds.import", "seconds to import and round it"),
        (f"{place}.seconds.emit", "seconds to emit it"),
    )
    return two_columns(figures_of("convolution"), rows)


TRUST_ROWS = (
    (
        "tampers.total",
        "changes of a certificate and of what it speaks of, digests made again",
        (("tampers.accepted_false", "a false claim passed"), ("tampers.tracebacks", "a traceback")),
    ),
    (
        "attacks.total",
        "ways to make a certificate say what is not so",
        (("attacks.stopped", "stopped"),),
    ),
    (
        "files.fuzzed",
        "broken files, given to every reader",
        (("files.crashes", "a crash"), ("files.hangs", "no end")),
    ),
    (
        "link.inferences",
        "inferences on a board behind a faulty line",
        (
            ("link.faults", "kinds of fault"),
            ("link.wrong", "a wrong answer"),
            ("link.hangs", "no end"),
        ),
    ),
    (
        "kills.total",
        "kills by a signal at a random moment of a stage",
        (
            ("kills.wrong", "another result of the next run"),
            ("kills.leftovers", "a file left"),
            ("signals.orphans", "a process left"),
        ),
    ),
    (
        "environment.variables",
        "hostile variables in the environment",
        (("environment.affected", "something else built or run"),),
    ),
)


def trust() -> str:
    """Return what was tried to break a promise, how often, and how often it broke."""
    figures = figures_of("trust")
    rows = []
    for total, tried, outcomes in TRUST_ROWS:
        if f"trust.{total}" not in figures:
            continue
        count = number(figures, f"trust.{total}", ",.0f")
        for name, outcome in outcomes:
            rows.append((tried, count, outcome, number(figures, f"trust.{name}", ",.0f")))
            tried = count = ""
    return table(("what was tried", "how often", "what came of it", "how often"), rows)


TABLES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        demo,
        seeds,
        solver,
        descent,
        pricing,
        oracles,
        certified,
        certified_rounds,
        addition,
        strings,
        automata,
        paper,
        digits,
        digits_cells,
        interchange,
        small,
        readout,
        scaling,
        memory,
        hardware,
        convolution,
        checks,
        generator,
        synapses,
        activity,
        adders,
        boards,
        predictions,
        estimates,
        trust,
    )
}


def settings_table(cls: type[Settings]) -> str:
    """Return the settings of a class: option, default, what it is."""
    return table(
        ("setting", "option", "default", "what it is"),
        [
            (
                f"`{each.name}`",
                f"`{each.flag}`",
                _default(each),
                f"{each.help} {'One of ' + ', '.join(each.choices) + '.' if each.choices else ''}",
            )
            for each in settings_of(cls)
        ],
    )


def _default(each: Setting) -> str:
    values = each.default if each.several else (each.default,)
    return ", ".join("-" if v is None else str(getattr(v, "value", v)) for v in values)


def card_fields() -> str:
    """Return every field of the card, from the JSON Schema that ships with the package."""
    return table(("field", "what it holds", "what it is"), _fields(schema(), ""))


def _fields(part: Json, place: str) -> Iterator[tuple[str, str, str]]:
    """Fields of an object, and those of the objects within them, depth first."""
    for name, stated in part["properties"].items():
        inner = f"{place}.{name}" if place else name
        yield f"`{inner}`", _holds(stated), stated["description"]
        target, brackets = _object_of(stated)
        if target is not None:
            yield from _fields(target, inner + brackets)


def _object_of(stated: Json) -> tuple[Json | None, str]:
    """The object that a field holds, alone or in a list, unless it was told of before."""
    if "items" in stated:
        target, brackets = _object_of(stated["items"])
        return target, f"[]{brackets}"
    for option in stated.get("anyOf", [stated]):
        name = str(option.get("$ref", "")).rpartition("/")[2]
        if name and name != "format":
            found: Json = schema()["$defs"][name]
            return found, ""
    return None, ""


def _holds(stated: Json) -> str:
    """Type of a field in words."""
    if "const" in stated or "enum" in stated:
        return ", ".join(f"`{value}`" for value in stated.get("enum", [stated.get("const")]))
    if "anyOf" in stated:
        return " or ".join(_holds(option) for option in stated["anyOf"])
    if "$ref" in stated:
        name = stated["$ref"].rpartition("/")[2]
        return "format" if name == "format" else "object"
    if stated["type"] == "array":
        inner = _holds(stated["items"])
        return f"list of {inner}"
    kind = stated["type"]
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


TABLES |= {
    "card_fields": card_fields,
    "card_format": lambda: table(
        ("field", "what it holds", "what it is"), _fields(schema()["$defs"]["format"], "")
    ),
    "solve_settings": lambda: settings_table(SolveSettings),
    "placement": lambda: settings_table(Placement),
    "reading_settings": lambda: settings_table(ReadingSettings),
    "hidden_settings": lambda: settings_table(HiddenSettings),
    "input_settings": lambda: settings_table(InputSettings),
    "limits": lambda: settings_table(Limits),
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
