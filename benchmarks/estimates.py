"""Estimates of a mapping against synthesis: a part of benchmarks/results/estimates.json.

    python benchmarks/estimates.py [--fit] [--jobs N] [--known] [--quick]

Random designs of every kind (``designs.py``): LUT sites and block RAMs that
`convexon.plan.cost.mapping_cost` estimates, against the netlist's on each family. ``--fit`` first
fits the LUT sites of each kind of logic on designs of their own, and writes
``py/convexon/plan/cost/resource_model.json`` with the errors on the designs that it has not seen,
most of them larger. Latency is the schedule's, against a simulation of each of those.

The fit is a linear program: the least sum of relative errors, and no kind gives sites back.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import designs
import networks
import numpy as np
from cells import CACHE
from scipy.optimize import linprog

from convexon.data.encoder import encode_levels
from convexon.plan.cost import resource_model
from convexon.plan.cost.amounts import Logic, mapping_amounts, memories_of
from convexon.plan.family import Family
from convexon.plan.image import image_where_loaded
from convexon.plan.schedule import Schedule
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.decision import decided_trace
from convexon.snn.models import simulate as model
from convexon.store.artefact import atomic_write, digest_of, pretty
from convexon_boards.tools.synthesis import FLOW_VERSION, synthesize
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit, yosys
from convexon_sim.judge import observe
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Trial

RESULT = Path(__file__).parent / "results" / "estimates.json"
MODEL = Path(resource_model.__file__).parent / resource_model.FILE
SAMPLES = 8

SMALL = partial(designs.drawn, most_inputs=36, most_neurons=12)
LARGE = partial(designs.drawn, most_inputs=72, most_neurons=24)
WIDE = partial(designs.drawn, most_inputs=300, most_neurons=16, all_folded=True)
FITTED = {
    **dict.fromkeys(range(110), SMALL),
    **dict.fromkeys(range(200, 214), WIDE),
    **dict.fromkeys(range(300, 330), designs.typical),
    **dict.fromkeys(range(400, 424), designs.threshold_units),
}
UNSEEN = {
    **dict.fromkeys(range(10_000, 10_020), LARGE),
    **dict.fromkeys(range(10_200, 10_206), WIDE),
    **dict.fromkeys(range(10_300, 10_314), designs.typical),
    **dict.fromkeys(range(10_400, 10_410), designs.threshold_units),
}
"""Designs by their seed, with what draws them."""

Row = dict[str, Any]


def measure(seed: int, *, known: bool = False) -> Row | None:
    """What was counted of a design, and what is estimated; None where ``known`` has none.

    Counts are kept in a file that is named for what they are of, estimates made anew.
    """
    network, mapping = (FITTED | UNSEEN)[seed](seed)
    bundle = emit(network, mapping)
    key = digest_of([bundle.digest, FLOW_VERSION, yosys.version()]).removeprefix("sha256:")
    kept = CACHE / "estimates" / f"{seed}-{key[:16]}.json"
    if known and not kept.exists():
        return None
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(kept, pretty(counted(bundle)).encode())
    row: Row = {"seed": seed} | json.loads(kept.read_text(encoding="utf-8"))
    for family in Family:
        amounts = mapping_amounts(network, mapping, family)
        blocks = sum(memory.blocks(family) for memory in memories_of(network, mapping))
        row[family.value] |= {"amounts": amounts, "blocks": blocks}
    print(f"{seed}: {[row[family.value]['luts'] for family in Family]}", flush=True)
    return row


def counted(bundle: RtlBundle) -> Row:
    """What synthesis counts of a design on every family."""
    row: Row = {}
    for family in Family:
        cells = synthesize(bundle, family).cells
        row[family.value] = {"luts": cells.lut4_sites, "bram": cells.block_ram}
    return row


def late(seed: int) -> int:
    """Inferences of a design whose results or cycles are not the model's and the schedule's."""
    network, mapping = UNSEEN[seed](seed)
    encoder = mapping.encoder
    inputs = transfers = networks.inputs_of(network, SAMPLES) * ((1 << network.input_bits) - 1)
    if encoder is not None:
        levels = np.random.default_rng(seed).integers(
            0, encoder.max_level + 1, (SAMPLES, network.n_inputs), dtype=np.uint8
        )
        inputs, transfers = encode_levels(encoder, levels, n_steps=network.n_steps), levels[:, None]
    trace = decided_trace(mapping.decision, network, model.run(network, inputs.astype(np.uint8)))
    trial = Trial(
        bundle=emit(network, mapping),
        inputs=transfers.astype(np.uint8),
        expected=trace,
        cycles=Schedule.of(network, mapping).cycles(inputs.astype(np.uint8), trace),
        image=image_where_loaded(network, mapping),
    )
    verdict = observe(trial, find(SimulatorKind.VERILATOR)).verification
    print(f"{seed}: {verdict.mismatches} of {verdict.inferences} differ", flush=True)
    return verdict.mismatches


USUAL = dict.fromkeys(Logic, 1.0) | {
    Logic.NEURON: 0.0, Logic.SUBTRACT: 2.0, Logic.STAGE: 2.0, Logic.ENGINE: 40.0,
    Logic.GROUP: 4.0, Logic.WORD: 3.0, Logic.PLANE: 0.5, Logic.BANK: 10.0,
    Logic.CONSTANT_BIT: 0.125, Logic.MIXER: 150.0, Logic.TOURNAMENT: 2.0, Logic.CONTROL: 15.0,
    Logic.EXIT: 10.0, Logic.EXIT_CERTAIN: 7.5, Logic.LEVEL_RATE: 2.3, Logic.LOADER: 540.0,
    Logic.LOADED_BIT: 1.5, Logic.LEVEL_DELTA: 5.0, Logic.LEVEL_CROSSING: 3.1,
}  # fmt: skip
"""Sites of one unit as one would count them, from which the fit departs where designs tell."""

PULL = 0.05
"""Weight of that departure, the best of 0 to 0.2 in ten-fold cross-validation."""


def fitted_sites(rows: Sequence[Row], family: Family) -> dict[str, float]:
    """Sites of each kind that minimise the sum of relative errors over ``rows``.

    As many kinds go together in all designs, each is held to what is usual by ``PULL`` times the
    share that it has of the designs.
    """
    luts = np.array([row[family.value]["luts"] for row in rows], dtype=float)
    shares = np.array(
        [[row[family.value]["amounts"][logic] for logic in Logic] for row in rows], dtype=float
    )
    shares /= luts[:, None]
    usual = np.array([USUAL[logic] for logic in Logic])
    n, k = shares.shape
    # Of the variables (sites, errors, departures), minimise the errors and the weighed departures:
    # -error <= shares @ sites - 1 <= error, and -departure <= sites - usual <= departure.
    by_row, by_kind = (
        np.hstack([-np.eye(n), np.zeros((n, k))]),
        np.hstack([np.zeros((k, n)), -np.eye(k)]),
    )
    found = linprog(
        np.concatenate([np.zeros(k), np.ones(n), PULL * shares.sum(axis=0) + 1e-9]),
        A_ub=np.vstack(
            [
                np.hstack([shares, by_row]),
                np.hstack([-shares, by_row]),
                np.hstack([np.eye(k), by_kind]),
                np.hstack([-np.eye(k), by_kind]),
            ]
        ),
        b_ub=np.concatenate([np.ones(n), -np.ones(n), usual, -usual]),
    )
    return {logic.value: round(float(x), 4) for logic, x in zip(Logic, found.x[:k], strict=True)}


def errors(rows: Sequence[Row], family: Family, sites: dict[str, float]) -> np.ndarray:
    """Shares by which estimates differ from synthesis."""
    estimated = [
        sum(sites[logic.value] * x for logic, x in row[family.value]["amounts"].items())
        for row in rows
    ]
    return np.array(
        [x / row[family.value]["luts"] - 1 for x, row in zip(estimated, rows, strict=True)]
    )


def fit(fitted: Sequence[Row], unseen: Sequence[Row]) -> None:
    """Write the model anew."""
    content = {}
    for family in Family:
        sites = fitted_sites(fitted, family)
        far = abs(errors(unseen, family, sites))
        content[family.value] = {
            "sites": sites,
            "median_error": round(float(np.median(far)), 4),
            "usual_error": round(float(np.quantile(far, 0.9)), 4),
            "max_error": round(float(far.max()), 4),
            "fitted": len(fitted),
            "unseen": len(unseen),
        }
        near = abs(errors(fitted, family, sites))
        print(f"{family.value}: fitted {np.median(near):.3f}, at most {near.max():.3f}; "
              f"unseen {np.median(far):.3f}, at most {far.max():.3f}")  # fmt: skip
    atomic_write(MODEL, pretty(content).encode())


def figures(unseen: Sequence[Row]) -> dict[str, tuple[float, str]]:
    """Errors on the designs that the fit has not seen, under the model as it stands."""
    content = json.loads(MODEL.read_text(encoding="utf-8"))
    found: dict[str, tuple[float, str]] = {}
    for family in Family:
        far = abs(errors(unseen, family, content[family.value]["sites"]))
        found[f"lut.{family.value}.median_error"] = (float(np.median(far)), "1")
        found[f"lut.{family.value}.usual_error"] = (float(np.quantile(far, 0.9)), "1")
        found[f"lut.{family.value}.max_error"] = (float(far.max()), "1")
        off = [abs(row[family.value]["bram"] - row[family.value]["blocks"])
               for row in unseen]  # fmt: skip
        found[f"bram.{family.value}.error"] = (float(max(off)), "block RAMs")
    worst = {
        "lut.median_error": max(found[f"lut.{f.value}.median_error"][0] for f in Family),
        "lut.max_error": max(found[f"lut.{f.value}.max_error"][0] for f in Family),
    }
    found |= {name: (value, "1") for name, value in worst.items()}
    bram = max(found[f"bram.{f.value}.error"][0] for f in Family)
    found["bram.error"] = (bram, "block RAMs")
    found["designs"] = (len(unseen), "designs")
    return found


def main() -> None:
    """Measure, fit where asked, and write the errors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", action="store_true", help="fit the model anew")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--known", action="store_true", help="measure nothing")
    parser.add_argument("--quick", action="store_true", help="two designs; no results")
    options = parser.parse_args()
    if options.quick:
        for seed in list(UNSEEN)[:2]:
            measure(seed)
        return
    with ProcessPoolExecutor(options.jobs) as pool:
        due = [*(FITTED if options.fit else ()), *UNSEEN]
        tasks = [pool.submit(measure, seed, known=options.known) for seed in due]
        rows = [row for row in (task.result() for task in tasks) if row is not None]
        differ = [] if options.known else list(pool.map(late, UNSEEN))
    unseen = [row for row in rows if row["seed"] in UNSEEN]
    if options.fit:
        fit([row for row in rows if row["seed"] in FITTED], unseen)
    found = figures(unseen)
    if differ:
        found["latency.error"] = (float(sum(differ)), "inferences")
        found["latency.inferences"] = (float(SAMPLES * len(differ)), "inferences")
    for name, (value, unit) in found.items():
        print(f"{name}: {value:g} {unit}")
    source = f"benchmarks/estimates.py: random designs from seed {min(UNSEEN)} on, Yosys"
    own = [
        Figure(name=f"estimate.{name}", value=round(value, 4), unit=unit,
               kind=FigureKind.MEASURED, source=source)
        for name, (value, unit) in found.items()
    ]  # fmt: skip
    others = read_figures(RESULT).values() if RESULT.exists() else ()
    starts = ("estimate.energy.", *(() if differ else ("estimate.latency.",)))
    kept = [figure for figure in others if figure.name.startswith(starts)]
    write_figures([*own, *kept], RESULT)


if __name__ == "__main__":
    main()
