"""The witnesses of stage ``solve``: drawn, priced, and weighed by what they cost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from convexon.certify.certificate import WindowBound
from convexon.convex.bounds.priced import priced_bound
from convexon.convex.model.loss import FloatArray
from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import L1, GroupL2
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.record import GapRecord
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.progress import Progress
from convexon.snn.network import Layer
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import SpikeDictionary, build_dictionary
from convexon.train.columns.rows import Rows, distinct_rows
from convexon.train.cost import SiliconCost
from convexon.train.generation import GenerationBudget, Round, generate
from convexon.train.master import program_over
from convexon.train.pricing.cells import CellPricing
from convexon.train.pricing.milp import MixedIntegerProgram
from convexon.train.pricing.oracle import Oracle, Windowed
from convexon.train.pricing.oracles import ORACLES
from convexon.train.pricing.site import PricingProblem, Site, site_on
from convexon.train.refinement import Refinement, refine
from convexon.train.selection import SELECTION_TOLERANCE, Pool, rows_apart, select
from convexon.train.settings import Sight, SolveSettings
from convexon.train.solved import Branches
from convexon.train.witnesses.witness import WitnessFamily, draw_branch

_COLUMNS_PER_ROUND = 64


def witnesses_for(
    settings: SolveSettings,
    train: SpikeDataset,
    shape: tuple[int, ...],
    rows: Rows,
    progress: Progress,
) -> Branches:
    """Return drawn branches, one a family, then refined and priced ones where these are asked for.

    ``shape`` is that of a raw sample whose features are the inputs, else empty.

    The drawn witnesses are shared out evenly. Pricing adds what the selecting program lacks: it
    grows a dictionary of its own, by the oracle that is asked for, whose neurons join the drawn
    ones. Drawing and pricing see all training samples, those too on which rho is chosen later, and
    refinement all others; test samples are never seen.

    Raises `InputError` if rectangles are asked for where the samples are no images, and
    `SolverError` if a master's gap is not reached.
    """
    drawn = _draw(settings, train, shape)
    refined: Branches = ()
    if settings.refine_sweeps:
        refined = _refine(settings, train, shape, rows, drawn, progress)
    if not settings.pricing_rounds:
        return (*drawn, *refined)
    progress.begin("pricing witnesses")

    def watch(record: Round) -> None:
        progress.advance(f"{record.n_columns} columns, largest ratio {record.largest_ratio:.2f}")

    oracle = ORACLES[settings.oracle]()
    sites = {_place(oracle, site): site for site in _sites(settings, drawn, train, rows, shape)}
    # A mixed-integer program prices one score at a time, which is what the l1 norm asks for.
    penalty = L1() if isinstance(oracle, MixedIntegerProgram) else GroupL2()
    priced = generate(
        rows.problem(Softmax(), penalty, settings.selection_rho, n_outputs=train.n_classes),
        list(sites.values()),
        [oracle],
        budget=GenerationBudget(
            max_rounds=settings.pricing_rounds + 1,
            columns_per_round=_COLUMNS_PER_ROUND,
            tolerance=1e-3,
        ),
        generator=np.random.default_rng([settings.seed, 3]),
        progress=watch,
    )
    return (*drawn, *refined, *priced.branches)


def _refine(
    settings: SolveSettings,
    train: SpikeDataset,
    shape: tuple[int, ...],
    rows: Rows,
    drawn: Branches,
    progress: Progress,
) -> Branches:
    """Select neurons among those drawn, and refine them for what the selecting program leaves.

    Each sweep solves that program over the neurons as they are, and gives each of them its turn.
    Rows on which rho is chosen are not looked at.
    """
    fit, _ = rows_apart(settings, rows)
    seen = rows.take(fit)
    progress.begin("refining witnesses")

    def watch(record: GapRecord) -> None:
        progress.advance(f"gap {record.gap:.1e}")

    def turned(sweep: int, neurons: int) -> None:
        progress.advance(f"sweep {sweep + 1} of {settings.refine_sweeps}, {neurons} neurons")

    dictionary = build_dictionary(drawn, train, settings.readout, rows=seen)
    pool = pool_for(settings, train, seen, drawn, dictionary)
    chosen = dictionary.witnesses[select(settings, pool, None, watch)]
    sites = _sites(settings, drawn, train, seen, shape)
    standing: list[tuple[Site, Layer]] = []
    for b, (site, branch) in enumerate(zip(sites, drawn, strict=True)):
        neurons = np.sort(chosen[chosen[:, 0] == b, 1])
        if len(neurons):
            last = branch.layers[-1]
            standing.append((site, last.restricted(neurons, np.arange(last.n_inputs))))
    problem = seen.problem(Softmax(), GroupL2(), settings.selection_rho, n_outputs=train.n_classes)
    generator = np.random.default_rng([settings.seed, 5])
    start = None
    for sweep in range(settings.refine_sweeps):
        features = [site.features(layer) for site, layer in standing]
        columns = BitColumns.pack(np.concatenate(features, axis=1), max_value=sites[0].max_feature)
        weights = np.concatenate([site.weights(layer) for site, layer in standing])
        program = program_over(problem, columns, weights)
        start = solve(program, tolerance=SELECTION_TOLERANCE, start=start, progress=watch).W
        scores = program.predict(start)
        ends = np.cumsum([layer.n_neurons for _, layer in standing])
        for k, own in enumerate(np.split(start[:-1], ends[:-1])):
            site, layer = standing[k]
            rest = scores - features[k].astype(np.float64) @ own
            layer = refine(
                site,
                layer,
                own,
                rest,
                problem,
                Refinement(),
                generator=generator,
                progress=partial(turned, sweep),
            )
            scores = rest + site.features(layer).astype(np.float64) @ own
            standing[k] = (site, layer)
    return tuple(site.branch(layer) for site, layer in standing)


def pool_for(
    settings: SolveSettings,
    train: SpikeDataset,
    rows: Rows,
    branches: Branches,
    dictionary: SpikeDictionary,
) -> Pool:
    """Return the dictionary with the penalty weight of each of its columns."""
    weights = np.ones(dictionary.n_columns)
    if settings.cost is not None:
        sites = _sites(settings, branches, train, rows)
        of_neurons = [s.weights(b.layers[-1]) for s, b in zip(sites, branches, strict=True)]
        weights = np.array([of_neurons[b][j] for b, j in dictionary.witnesses.tolist()])
    return Pool(rows=rows, n_classes=train.n_classes, dictionary=dictionary, weights=weights)


def _draw(settings: SolveSettings, train: SpikeDataset, shape: tuple[int, ...]) -> Branches:
    """Draw one branch a family, the witnesses shared out evenly."""
    families = settings.families(train.n_inputs, shape)
    if settings.sight is Sight.RECTANGLE and all(family.field is None for family in families):
        raise InputError(
            f"sight must be all for the coding {settings.known_coding}, which reads series and "
            "no image"
        )
    counts = [len(part) for part in np.array_split(np.arange(settings.witnesses), len(families))]
    below = settings.depth - 1
    return tuple(
        draw_branch(
            _stacked(family, settings.depth),
            train,
            widths=[settings.hidden] * below + [count],
            generator=np.random.default_rng([settings.seed, index]),
        )
        for index, (family, count) in enumerate(zip(families, counts, strict=True))
        if count
    )


def _stacked(family: WitnessFamily, depth: int) -> list[WitnessFamily]:
    """The family of each layer: only the lowest sees the data, only the last spikes often."""
    layers = [replace(family, spikes_per_sample=1.0, field=None) for _ in range(depth)]
    layers[-1] = replace(layers[-1], spikes_per_sample=family.spikes_per_sample)
    layers[0] = replace(layers[0], field=family.field)
    return layers


def window_bound(
    settings: SolveSettings,
    train: SpikeDataset,
    shape: tuple[int, ...],
    branches: Branches,
    program: ConvexProgram,
    dual: FloatArray,
) -> WindowBound | None:
    """Return a bound over all neurons on windows, where the oracle is over these.

    ``program`` is over every column drawn, for which ``dual`` is feasible; ``shape`` is as for
    `witnesses_for`.
    """
    oracle = ORACLES[settings.oracle]()
    if not isinstance(oracle, Windowed):
        return None
    rows = distinct_rows(train, settings.readout)
    every = _sites(settings, branches, train, rows, shape)
    # The first branch of each leak is drawn, and has the trunk of those that pricing added.
    first = {_place(oracle, site): b for b, site in reversed(list(enumerate(every)))}
    sites = [(b, every[b]) for b in sorted(first.values())]
    asked = PricingProblem(dual=dual, penalty=program.penalty, rho=program.rho, n_wanted=1)
    generator = np.random.default_rng(settings.seed)
    ratios = [oracle.propose(asked, site, generator).largest_ratio or 0.0 for _, site in sites]
    bound = priced_bound(
        program, dual, max(ratios), max_feature=every[0].max_feature, least_weight=1.0
    )
    return WindowBound(
        sets=tuple(oracle.set_of(site, b) for b, site in sites),
        lower_bound=bound.value,
        dual=bound.dual,
    )


def _place(oracle: Oracle, site: Site) -> object:
    """What tells sites of an oracle apart: a leak, which has a trunk; of logic cells the trunk."""
    return site.trunk if isinstance(oracle, CellPricing) else site.family.leak


def _sites(
    settings: SolveSettings,
    branches: Branches,
    train: SpikeDataset,
    rows: Rows,
    shape: tuple[int, ...] = (),
) -> list[Site]:
    """Return for each branch the site that its last layer stands on, its neurons weighed.

    The mean neuron of the first branch, which is drawn, has a weight of one. Fields are of samples
    of the shape, where branches have one layer. Logic cells may stand where the first family does.
    """
    shape = shape if settings.depth == 1 else ()
    every = settings.families(train.n_inputs, shape)
    families = {family.leak: family for family in every}
    sites = [
        site_on(
            train,
            rows,
            every[0] if last.tables is not None else families[last.leak],
            trunk=branch.layers[:-1],
            name=f"leak {last.leak.factor:g}",
        )
        for branch in branches
        for last in branch.layers[-1:]
    ]
    if settings.cost is None:
        return sites
    cost = SiliconCost.relative_to(settings.cost, sites[0], branches[0].layers[-1])
    return [replace(site, cost=cost) for site in sites]
