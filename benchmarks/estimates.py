"""Estimates of a mapping against synthesis: a part of benchmarks/results/estimates.json.

    python benchmarks/estimates.py [--fit] [--jobs N] [--known] [--quick]

Random designs of every kind (``designs.py``): LUT sites and block RAMs that `convexon_hdl.cost`
estimates, against the netlist's on each family. ``--fit`` first fits the LUT sites of each kind of
logic on designs of their own, and writes ``hdl/convexon_hdl/resource_model.json`` with the errors
on the designs that it has not seen, which are larger. Latency is the schedule's, against a
simulation of every design that the host feeds.

The fit minimises the sum of relative errors, by linear programming; no kind gives sites back.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import designs
import networks
import numpy as np
from cells import CACHE
from scipy.optimize import linprog

from convexon import simulate as model
from convexon.artefact import atomic_write, pretty
from convexon.cells import Family
from convexon.mapping import Mapping, Weights
from convexon.network import FixedPointNetwork
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.schedule import Schedule
from convexon.simulator import SimulatorKind, find
from convexon_boards.synthesis import synthesize
from convexon_hdl import resource_model
from convexon_hdl.amounts import Logic, mapping_amounts
from convexon_hdl.cost import estimated_resources
from convexon_hdl.emit import emit
from convexon_sim.runner import simulate

RESULT = Path(__file__).parent / "results" / "estimates.json"
MODEL = Path(resource_model.__file__).parent / resource_model.FILE
SAMPLES = 8

FITTED = tuple(range(110))
FITTED_INPUTS = 36
UNSEEN = tuple(range(10_000, 10_030))
UNSEEN_INPUTS = 72

Row = dict[str, Any]


def measure(seed: int, most_inputs: int, *, known: bool = False) -> Row | None:
    """What was counted of a design, and what is estimated; None where ``known`` has none.

    Counts are kept in a file, estimates made anew.
    """
    kept = CACHE / "estimates" / f"{seed}-{most_inputs}.json"
    if known and not kept.exists():
        return None
    network, mapping = designs.drawn(seed, most_inputs=most_inputs)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(kept, pretty(counted(seed, network, mapping)).encode())
    row: Row = json.loads(kept.read_text(encoding="utf-8"))
    for family in Family:
        amounts = mapping_amounts(network, mapping, family)
        blocks = estimated_resources(network, mapping, family).block_rams
        row[family.value] |= {"amounts": amounts, "blocks": blocks}
    return row


def counted(seed: int, network: FixedPointNetwork, mapping: Mapping) -> Row:
    """What synthesis counts of a design on every family, and what simulation does not confirm."""
    bundle = emit(network, mapping)
    row: Row = {"seed": seed, "late": 0 if seed in FITTED else late(network, mapping)}
    for family in Family:
        cells = synthesize(bundle, family).cells
        row[family.value] = {"luts": cells.lut4_sites, "bram": cells.block_ram}
    print(f"{seed}: {[row[family.value]['luts'] for family in Family]}", flush=True)
    return row


def late(network: FixedPointNetwork, mapping: Mapping) -> int:
    """Inferences whose cycles or results differ from the schedule's and the golden model's."""
    choices = [choice for layers in mapping.layers for choice in layers]
    loaded = any(getattr(choice, "weights", None) is Weights.LOADED for choice in choices)
    if mapping.encoder is not None or mapping.decision.is_early or loaded:
        return 0  # `tests/sim` has these
    inputs = networks.inputs_of(network, SAMPLES) * ((1 << network.input_bits) - 1)
    trace = model.run(network, inputs.astype(np.uint8))
    verdict = simulate(
        emit(network, mapping),
        find(SimulatorKind.VERILATOR),
        inputs=inputs.astype(np.uint8),
        expected=trace,
        cycles=Schedule.of(network, mapping).cycles(inputs.astype(np.uint8), trace),
    )
    return verdict.mismatches


def fitted_sites(rows: Sequence[Row], family: Family) -> dict[str, float]:
    """Sites of each kind that minimise the sum of relative errors over ``rows``."""
    luts = np.array([row[family.value]["luts"] for row in rows], dtype=float)
    shares = np.array(
        [[row[family.value]["amounts"][logic] for logic in Logic] for row in rows], dtype=float
    )
    shares /= luts[:, None]
    n, k = shares.shape
    # minimise the sum of e, where -e <= shares @ sites - 1 <= e
    identity = np.eye(n)
    found = linprog(
        np.concatenate([np.zeros(k), np.ones(n)]),
        A_ub=np.block([[shares, -identity], [-shares, -identity]]),
        b_ub=np.concatenate([np.ones(n), -np.ones(n)]),
        bounds=[(0, None)] * (k + n),
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
    found["latency.error"] = (float(sum(row["late"] for row in unseen)), "inferences")
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
        for seed in UNSEEN[:2]:
            measure(seed, FITTED_INPUTS)
        return
    with ProcessPoolExecutor(options.jobs) as pool:
        due = [(seed, UNSEEN_INPUTS) for seed in UNSEEN]
        if options.fit:
            due = [*((seed, FITTED_INPUTS) for seed in FITTED), *due]
        tasks = [pool.submit(measure, *one, known=options.known) for one in due]
        rows = [row for row in (task.result() for task in tasks) if row is not None]
    unseen = [row for row in rows if row["seed"] in UNSEEN]
    if options.fit:
        fit([row for row in rows if row["seed"] in FITTED], unseen)
    found = figures(unseen)
    for name, (value, unit) in found.items():
        print(f"{name}: {value:g} {unit}")
    source = f"benchmarks/estimates.py: random designs from seed {UNSEEN[0]} on, Yosys"
    own = [
        Figure(name=f"estimate.{name}", value=round(value, 4), unit=unit,
               kind=FigureKind.MEASURED, source=source)
        for name, (value, unit) in found.items()
    ]  # fmt: skip
    others = read_figures(RESULT).values() if RESULT.exists() else ()
    kept = [figure for figure in others if figure.name.startswith("estimate.energy.")]
    write_figures([*own, *kept], RESULT)


if __name__ == "__main__":
    main()
