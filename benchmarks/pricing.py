"""Measure column generation against sampling: `python benchmarks/pricing.py`.

The instance is FIRST-LAST-XOR on all 64 strings of 6 bits, squared loss, one unit of penalty for
each unit of weight (beta = 1), objectives unaveraged, as where sampling was measured. Three forms
of network are priced exactly: one LIF layer of the paper's leak, threshold units above a delay
line, and one more layer of those above. Heuristic oracles are compared on the first form and on
8x8 digits. Then small instances are closed, by enumeration and by the mixed-integer program.

Writes benchmarks/results/pricing.json.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from baselines import gaussian_branch

from convexon.convex.bounds.universal import universal_bound
from convexon.convex.model.losses import Softmax, Squared
from convexon.convex.model.penalty import L1, GroupL2
from convexon.convex.model.problem import Problem
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.data.loading import digits
from convexon.report.figure import Figure, FigureKind, write_figures
from convexon.snn.coding import THRESHOLD
from convexon.snn.interface import Interface
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.columns.dictionary import build_dictionary
from convexon.train.columns.rows import Rows, distinct_rows
from convexon.train.generation import Generated, GenerationBudget, deepened, generate
from convexon.train.master import program_over
from convexon.train.pricing.ascent import SurrogateAscent
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.milp import MixedIntegerProgram
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.oracles import RandomDraws
from convexon.train.pricing.site import Site, site_on
from convexon.train.witnesses.alphabet import TERNARY, Alphabet
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import Guide, WitnessFamily

RESULTS = Path(__file__).parent / "results"
MODE = ReadoutMode.LAST
PAPER_LEAK = Leak(10, 10)
LIF = WitnessFamily(
    fan_in=2,
    alphabet=Alphabet.integers(4),
    leak=PAPER_LEAK,
    reset=Reset.SUBTRACT,
    at_last=True,
    guide=Guide.BLIND,
)
UNITS = WitnessFamily(fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True)
SAMPLED = (100, 400, 1000, 4000)
SOURCE = "benchmarks/pricing.py, 64 strings of 6 bits, squared loss, beta 1"


def strings(length: int) -> SpikeDataset:
    """Return all strings of a length with their FIRST-LAST-XOR."""
    bits = np.array(list(itertools.product([0, 1], repeat=length)), dtype=np.uint8)
    return SpikeDataset(
        inputs=np.stack([1 - bits, bits], axis=2),
        labels=(bits[:, 0] ^ bits[:, -1]).astype(np.int64),
        n_classes=2,
        input_bits=1,
        name=f"FIRST-LAST-XOR, all strings of {length} bits",
    )


def task_of(data: SpikeDataset, *, beta: float = 1.0) -> tuple[Rows, Problem]:
    """Return the rows, and the squared problem whose unaveraged objective has penalty ``beta``."""
    rows = distinct_rows(data, MODE)
    return rows, rows.problem(Squared(), L1(), beta / rows.counts.sum(), n_outputs=1)


def grown(
    problem: Problem, sites: Sequence[Site], oracles: Sequence[Oracle], **budget: int
) -> Generated:
    """Run column generation with one seed."""
    return generate(
        problem,
        sites,
        oracles,
        budget=GenerationBudget(**{"max_rounds": 60, "columns_per_round": 32, **budget}),
        generator=np.random.default_rng(0),
    )


def figure(
    name: str, value: float, unit: str, *, source: str = SOURCE, proved: bool = False
) -> Figure:
    """Return a figure; objectives and bounds are proved by their certificates."""
    kind = FigureKind.PROVED if proved else FigureKind.MEASURED
    return Figure(name=f"pricing.{name}", value=value, unit=unit, kind=kind, source=source)


def rounds_of(name: str, generated: Generated, scale: float) -> Iterator[Figure]:
    """Yield what each round came to, and the end."""
    for k, record in enumerate(generated.rounds):
        where = f"{name}.round{k}"
        yield figure(f"{where}.objective", scale * record.objective, "1", proved=True)
        yield figure(f"{where}.violation", record.largest_ratio, "1")
        yield figure(f"{where}.columns", record.n_columns, "columns")
        if record.exact_bound is not None:
            yield figure(f"{where}.lower_bound", scale * record.exact_bound, "1", proved=True)
    yield from ending(name, generated, scale)


def ending(name: str, generated: Generated, scale: float) -> Iterator[Figure]:
    """Yield the figures of the last round."""
    last, prefix = generated.rounds[-1], f"{name}." if name else ""
    objective = scale * generated.solution.certificate.primal
    yield figure(f"{prefix}objective", objective, "1", proved=True)
    yield figure(f"{prefix}columns", generated.dictionary.n_columns, "columns")
    yield figure(f"{prefix}violation", last.largest_ratio, "1")
    yield figure(f"{prefix}seconds", last.seconds, "seconds")
    if last.exact_bound is not None:
        yield figure(f"{prefix}lower_bound", scale * last.exact_bound, "1", proved=True)
        yield figure(f"{prefix}closed", int(generated.closed), "1", proved=True)


def sampling(data: SpikeDataset, rows: Rows, problem: Problem, site: Site) -> Iterator[Figure]:
    """Yield what the paper's Gaussian branches come to, and what pricing says of them."""
    problem_grid = Enumeration().columns(site).dense().astype(np.float64)
    for n_drawn in SAMPLED:
        branch = gaussian_branch(2, (64, n_drawn), 1, np.random.default_rng(0))
        dictionary = build_dictionary([branch], data, MODE, rows=rows)
        solution = solve(program_over(problem, dictionary.bits, np.ones(dictionary.n_columns)))
        objective = 64 * solution.certificate.primal
        violation = float(np.abs(problem_grid.T @ solution.dual).max()) / problem.rho
        print(f"sampled {n_drawn}: {dictionary.n_columns} distinct, objective {objective:.4f}")
        name = f"sampled.{n_drawn}"
        yield figure(f"{name}.objective", objective, "1", proved=True)
        yield figure(f"{name}.columns", dictionary.n_columns, "columns")
        yield figure(f"{name}.violation", violation, "1")


def exact(data: SpikeDataset, rows: Rows, problem: Problem, site: Site) -> Iterator[Figure]:
    """Yield the three forms of network, each priced exactly."""
    one = grown(problem, [site], [Enumeration()])
    print(f"one LIF layer: {64 * one.solution.certificate.primal:.5f}, closed {one.closed}")
    yield from rounds_of("lif", one, 64)
    taps = site_on(data, rows, UNITS, trunk=[delay_line(2, data.n_steps)], name="taps")
    two = grown(problem, [taps], [Enumeration()], columns_per_round=4)
    print(f"delay line and units: {64 * two.solution.certificate.primal:.5f}, closed {two.closed}")
    yield from rounds_of("delay", two, 64)
    above = deepened(two, taps, UNITS, name="second layer")
    three = grown(problem, [taps, above], [Enumeration()], columns_per_round=4)
    print(f"one layer more: {64 * three.solution.certificate.primal:.5f}, closed {three.closed}")
    yield from rounds_of("deep", three, 64)
    yield from ending("", three, 64)
    bound = universal_bound(problem)
    yield figure("universal_lower_bound", 64 * bound.value, "1", proved=True)


def heuristics(problem: Problem, site: Site) -> Iterator[Figure]:
    """Yield objective and violation, round by round, of the oracles that prove nothing."""
    oracles: dict[str, Oracle] = {
        "random": RandomDraws(n_drawn=2000),
        "local": LocalSearch(n_candidates=128, n_moves=80, n_rows=4096),
        "ascent": SurrogateAscent(n_candidates=128, n_steps=60),
    }
    for name, oracle in oracles.items():
        found = grown(problem, [site], [oracle], max_rounds=8)
        print(f"{name}: {64 * found.solution.certificate.primal:.4f}")
        yield from rounds_of(f"lif.{name}", found, 64)
    samples = digits()
    scale = Interface.fitted(samples.values, coding=THRESHOLD, classes=samples.classes)
    images = samples.encoded(scale, n_steps=1, bits=1)
    rows = distinct_rows(images, MODE)
    of_digits = rows.problem(Softmax(), GroupL2(), 1e-3, n_outputs=10)
    place = site_on(images, rows, replace(UNITS, fan_in=8), name="pixels")
    oracles["local"] = LocalSearch(n_candidates=128, n_moves=40, n_rows=2048)
    for name, oracle in oracles.items():
        found = grown(of_digits, [place], [oracle], max_rounds=6, columns_per_round=64)
        print(f"digits, {name}: {found.solution.certificate.primal:.5f}")
        yield from rounds_of(f"digits.{name}", found, 1.0)


def small_instances() -> Iterator[tuple[str, bool, float]]:
    """Yield small instances with whether exact pricing closed, and the gap that is left."""
    resets = (Reset.SUBTRACT, Reset.ZERO, Reset.NONE)
    for length, leak, reset in itertools.product(
        (3, 4, 5), (PAPER_LEAK, Leak(1, 1), INTEGRATE), resets
    ):
        data = strings(length)
        rows, problem = task_of(data)
        site = site_on(data, rows, replace(LIF, leak=leak, reset=reset))
        found = grown(problem, [site], [Enumeration()])
        yield f"{length} bits, leak {leak.factor:.2f}, {reset.value}", found.closed, _gap(found)
    for reset in resets:
        data = strings(3)
        rows, problem = task_of(data)
        family = replace(LIF, alphabet=TERNARY, leak=Leak(1, 1), reset=reset)
        site = site_on(data, rows, family)
        found = grown(problem, [site], [MixedIntegerProgram()], max_rounds=8)
        yield f"3 bits by HiGHS, {reset.value}", found.closed, _gap(found)


def _gap(found: Generated) -> float:
    last = found.rounds[-1]
    return found.solution.certificate.primal - (last.exact_bound or 0.0)


def main() -> None:
    """Run the benchmark."""
    began = time.perf_counter()
    data = strings(6)
    rows, problem = task_of(data)
    site = site_on(data, rows, LIF, name="LIF")
    figures = [
        *sampling(data, rows, problem, site),
        *exact(data, rows, problem, site),
        *heuristics(problem, site),
    ]
    instances = list(small_instances())
    for name, closed, gap in instances:
        print(f"{name}: {'closed' if closed else 'open'}, gap {gap:.1e}")
    source = "benchmarks/pricing.py, FIRST-LAST-XOR of 3 to 5 bits, squared loss, beta 1"
    proved = [closed for name, closed, _ in instances if "HiGHS" not in name]
    others = [closed for name, closed, _ in instances if "HiGHS" in name]
    counts = (
        ("certified.total", len(proved)),
        ("certified.instances", sum(proved)),
        ("highs.total", len(others)),
        ("highs.closed", sum(others)),
    )
    figures += [figure(name, count, "instances", source=source) for name, count in counts]
    figures.append(figure("benchmark.seconds", time.perf_counter() - began, "seconds"))
    write_figures(figures, RESULTS / "pricing.json")


if __name__ == "__main__":
    main()
