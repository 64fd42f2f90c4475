"""Stage ``map``: which layers stand in logic and which in block RAM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.encoder import Encoder
from convexon.errors import InputError
from convexon.flow.hardware.stimulus import Stimulus, stimulus_of
from convexon.flow.run import Made, Run
from convexon.plan.cost.budget import Budget, fastest_within
from convexon.plan.cost.mapping_cost import Activity, Cost, mapping_cost
from convexon.plan.mapping import MAPPING, LayerMapping, Mapping, Spatial
from convexon.plan.mapping_file import read_mapping
from convexon.plan.pipeline import Cycles
from convexon.plan.schedule import Schedule
from convexon.progress import QUIET, Progress
from convexon.snn.card import CARD
from convexon.snn.decision import Decision, decided_trace
from convexon.snn.models import simulate
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.store.codec import to_json
from convexon_hdl.accelerator import require_mappable

MAX_SAMPLES = 64
"""Samples whose spikes say how busy a folded layer is."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What an encoder on chip and a rule change on the test samples.

    Members
    -------
    accuracy, before : float
        Share of right labels, and as it is when the host encodes and all steps are read.
    steps : float
        Mean number of steps that the decision reads.
    n_steps : int
        T.
    cycles, cycles_before : float
        Mean latency of the first samples, and as it is under `Rule.END`.
    """

    accuracy: float
    before: float
    steps: float
    n_steps: int
    cycles: float
    cycles_before: float

    def __str__(self) -> str:
        return (
            f"accuracy {100 * self.accuracy:.2f} % with this encoder and rule, "
            f"{100 * self.before:.2f} % without; {self.steps:.2f} of {self.n_steps} steps read, "
            f"{self.cycles_before - self.cycles:.2f} of {self.cycles_before:.2f} cycles saved"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class MapResult:
    """What the stage chose.

    Members
    -------
    mapping : Made of Mapping
    cost : Cost
        Estimated.
    cycles : Cycles
        Exact, of the first test samples.
    effect : Effect or None
        Of the encoder and the rule; None where the host makes the steps and all are read.
    """

    mapping: Made[Mapping]
    cost: Cost
    cycles: Cycles
    effect: Effect | None

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        latency = self.cycles.latency
        return (
            f"map: {_described(self.mapping.value)}; about {self.cost.luts:.0f} LUTs and "
            f"{self.cost.block_rams} block RAMs (estimated), latency {latency.min()} to "
            f"{latency.max()} cycles on {len(latency)} samples"
            f"{'' if self.effect is None else f'; {self.effect}'}"
        )


def map_stage(
    folder: Run,
    *,
    budget: Budget | None = None,
    file: Path | None = None,
    encoder: Encoder | None = None,
    decision: Decision | None = None,
    progress: Progress = QUIET,
) -> MapResult:
    """Choose the mapping of the card in ``folder``: by hand, or the fastest within a budget.

    Parameters
    ----------
    folder : Run
        With a card and test samples, whose spikes say how busy folded layers are.
    budget : Budget, optional
        Without limits by default, so that everything is spatial.
    file : Path, optional
        A TOML file (`convexon.plan.mapping_file`) that is taken instead.
    encoder : Encoder, optional
        What makes the steps on chip; the host by default. Not with ``file``, which says so itself.
    decision : Decision, optional
        When an inference ends; after its last step by default. Not with ``file``.

    Raises
    ------
    ConvexonError
        If nothing fits, the clock is out of reach, the file does not fit the network, or the folder
        lacks a card or test samples.
    """
    budget, rule = budget or Budget(), decision or Decision()
    card, test = folder.read("card", CARD), folder.read("test", DATASET)
    network = card.value
    by_hand = None if file is None else read_mapping(file, network)
    framed = by_hand or replace(Mapping.spatial(network), encoder=encoder, decision=rule)
    framed.check(network)
    stimulus = stimulus_of(folder, framed)
    inputs = stimulus.inputs[:MAX_SAMPLES]
    trace = simulate.run(network, inputs)
    activity = Activity.of(inputs, trace)

    def choose() -> Mapping:
        progress.begin("choosing a mapping")
        chosen = by_hand or fastest_within(
            network, budget, activity, encoder=encoder, decision=rule
        )
        require_mappable(network, chosen)
        _require_latency(Schedule.of(network, chosen).cycles(inputs, trace), budget)
        return chosen

    made = folder.made(
        "mapping",
        MAPPING,
        choose,
        parents={"card": card, "test": test},
        recipe=_recipe(budget, by_hand, framed),
    )
    return MapResult(
        mapping=made,
        cost=mapping_cost(network, made.value, activity, budget.family),
        cycles=Schedule.of(network, made.value).cycles(inputs, trace),
        effect=_effect(network, made.value, stimulus, test.value, trace),
    )


def _recipe(budget: Budget, by_hand: Mapping | None, framed: Mapping) -> dict[str, Any]:
    """What the choice follows from, besides the card and the samples."""
    encoder = framed.encoder
    return {
        "budget": {name: getattr(value, "value", value) for name, value in vars(budget).items()},
        "file": None if by_hand is None else to_json(by_hand),
        "encoder": None if encoder is None else to_json(encoder),
        "decision": to_json(framed.decision),
    }


def _effect(
    network: FixedPointNetwork,
    mapping: Mapping,
    stimulus: Stimulus,
    samples: SpikeDataset,
    first: SpikeTrace,
) -> Effect | None:
    """Compare labels under an encoder and a rule with those of the network alone.

    ``samples`` are the same, as the host encodes them; ``first`` is the trace of the first ones,
    whose cycles are compared too.
    """
    if mapping.encoder is None and not mapping.decision.is_early:
        return None
    inputs = stimulus.inputs[:MAX_SAMPLES]
    cycles, late = (
        Schedule.of(network, each).cycles(inputs, first).latency
        for each in (mapping, replace(mapping, decision=Decision()))
    )
    labels = samples.labels.reshape(samples.n_samples, -1)
    alone = simulate.run(network, samples.inputs)
    trace = decided_trace(mapping.decision, network, simulate.run(network, stimulus.inputs))
    steps = network.n_steps if trace.steps is None else trace.steps
    return Effect(
        accuracy=float((trace.labels == labels).mean()),
        before=float((alone.labels == labels).mean()),
        steps=float(np.mean(steps)),
        n_steps=network.n_steps,
        cycles=float(cycles.mean()),
        cycles_before=float(late.mean()),
    )


def _require_latency(cycles: Cycles, budget: Budget) -> None:
    """Raise `InputError` where the mean latency exceeds the budget."""
    mean = float(cycles.latency.mean())
    if budget.latency_cycles is not None and mean > budget.latency_cycles:
        raise InputError(
            f"latency must be at most {budget.latency_cycles} cycles, and is {mean:.1f} on average "
            f"under the fastest mapping that fits: {_way_out(budget)}"
        )


def _way_out(budget: Budget) -> str:
    """What may make a mapping faster."""
    if budget.luts is not None or budget.block_rams is not None:
        return "raise --luts or --block-rams"
    if budget.clock_hz is not None:
        return "lower --clock, which takes fewer registers"
    return "the network takes that long, whatever is spent; solve one of fewer steps"


def _described(mapping: Mapping) -> str:
    """Every layer depth and the readout in a few words."""
    depth = max(len(layers) for layers in mapping.layers)
    parts = []
    for d in range(depth):
        kinds = dict.fromkeys(_words(choice) for choice in mapping.at_depth(d).values())
        parts.append(f"layer {d} {' and '.join(kinds)}")
    return ", ".join([*parts, f"readout {_words(mapping.readout)}"])


def _words(choice: LayerMapping) -> str:
    if isinstance(choice, Spatial):
        return f"spatial ({choice.registers} registers)"
    return f"folded ({choice.lanes} lanes, {choice.banks} banks, {choice.updates} updates)"
