"""The accelerator's pipeline as edges of its clock: when each register takes and gives each step.

Every unit of the hardware is a queue whose capacity and delays are known, so that the edge at which
a step enters it follows from the edge at which the step is offered, and from those at which earlier
steps left. `run_pipeline` follows the steps of a run through all units, one after the other. Where
all is spatial, `spatial_cycles` says the same in closed form.

A source learns of an early decision at the edge that hands over the result: what it offers there is
the last step of that inference, and no step before the deciding one ever depends on it. So steps
can still be followed in order, and what was decided is known before it is needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.plan.fold import FoldPlan, plans_at, readout_plan
from convexon.plan.mapping import Mapping, Spatial, registers_in
from convexon.snn.decision import decide, step_scores
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Cycles:
    """Clock edges of a run whose source is never idle and whose sink is always ready."""

    taken: IntArray  # (samples,), edge that takes the first step of each, or an encoder's levels
    given: IntArray  # (samples,), edge that hands over the (last) result of each sample

    @property
    def latency(self) -> IntArray:
        """Clock edges from the first step, or the levels, to the result, shape (samples,)."""
        return self.given - self.taken

    @property
    def interval(self) -> IntArray:
        """Clock edges between the results of two samples in a row, shape (samples - 1,)."""
        return np.diff(self.given)


class Unit(ABC):
    """A part of a stage: takes a step, and offers its result until it leaves."""

    def __init__(self) -> None:
        self.valid = 0  # first edge at which the result of the last step can leave
        self._left = [-1, -1]  # edges at which the last results left

    @abstractmethod
    def take(self, step: int, offered: int) -> int:
        """Return the edge at which step number ``step`` of the run, offered from then on, enters.

        Steps come in order, and `leave` of the step before has been called.
        """

    def leave(self, edge: int) -> None:
        """Note the edge at which that result leaves."""
        self._left = [self._left[-1], edge]


class Registers(Unit):
    """Elastic registers in a row: each is free when it is empty or is being emptied."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._free = [0] * count

    def take(self, step: int, offered: int) -> int:  # noqa: D102
        entered = []
        for free in self._free:
            offered = max(offered, free) + 1
            entered.append(offered - 1)
        self._free[:-1] = entered[1:]
        self.valid = offered
        return entered[0]

    def leave(self, edge: int) -> None:  # noqa: D102
        self._free[-1] = edge


class Buffer(Unit):
    """Two steps; nothing but flip-flops on either side."""

    def take(self, step: int, offered: int) -> int:  # noqa: D102
        entered = max(offered, self._left[-2] + 1)
        self.valid = max(entered, self._left[-1]) + 1
        return entered


class Engine(Unit):
    """A folded engine: passes over the spikes of a step, while earlier results are on their way.

    ``spikes`` are the reads of every pass of a fold, `FoldPlan.spikes_of_pass`, of shape (steps of
    the run, input_bits).
    """

    def __init__(self, plan: FoldPlan, spikes: IntArray) -> None:
        super().__init__()
        self._plan = plan
        clocks = plan.clocks_of_pass(spikes)
        self._clocks: list[int] = clocks.sum(axis=1).tolist()
        self._ready = 0
        self._end = -plan.spacing

    def take(self, step: int, offered: int) -> int:  # noqa: D102
        plan = self._plan
        taken = max(offered, self._ready) + plan.load_clocks - 1
        edge = taken
        room = self._left[-2] + 1  # one result may wait in the output, one behind it
        for fold in range(plan.folds):
            edge = max(edge + self._clocks[step], self._end + plan.spacing, 0 if fold else room)
            self._end = edge
        complete = edge + plan.completion_clocks
        self._ready = 1 + (edge if plan.layer.recurrent is None else complete)
        self.valid = max(complete + 1, self._left[-1]) + 1
        return taken


class ScoreEngine(Unit):
    """The folded readout: passes over the features of the steps that it reads.

    ``spikes`` are the reads of every step of the run; with ``every`` each step has a result.
    """

    def __init__(
        self,
        plan: FoldPlan,
        spikes: IntArray,
        n_steps: int,
        mode: ReadoutMode,
        *,
        every: bool,
    ) -> None:
        super().__init__()
        self._every = every
        self._plan = plan
        self._clocks = plan.clocks_of_pass(spikes).tolist()
        self._n_steps = n_steps
        self._mode = mode
        self._ready = 0
        self._end = -plan.spacing

    def take(self, step: int, offered: int) -> int:
        """See `Unit`; a step that is not read enters at once."""
        last = step % self._n_steps == self._n_steps - 1
        if not last and self._mode in (ReadoutMode.LAST, ReadoutMode.SIGN):
            return offered
        taken = max(offered, self._ready)
        edge = max(taken + self._clocks[step], self._end + self._plan.spacing)
        if last or self._every:
            edge = max(edge, self._left[-1] + 1)  # the last result has left
            self.valid = edge + self._plan.handover_clocks + 1
        self._ready, self._end = edge + 1, edge
        return taken


class Stage(Unit):
    """Units between a fork and a join: a step waits until all have taken it, and leaves at once."""

    def __init__(self, units: Sequence[Unit]) -> None:
        super().__init__()
        self._units = units

    def take(self, step: int, offered: int) -> int:  # noqa: D102
        entered = max(unit.take(step, offered) for unit in self._units)
        self.valid = max(unit.valid for unit in self._units)
        return entered

    def leave(self, edge: int) -> None:  # noqa: D102
        for unit in self._units:
            unit.leave(edge)


class Line:
    """Stages, readout and decision in a row, before a sink that is always ready."""

    def __init__(self, stages: Sequence[Unit], decision: Registers) -> None:
        self._stages = stages
        self._decision = decision

    def take(self, step: int, offered: int) -> int:
        """Return the edge at which a step enters; it stops where it is absorbed, at the readout."""
        entered = []
        for stage in self._stages:
            entered.append(stage.take(step, offered))
            offered = stage.valid
        for stage, edge in zip(self._stages, entered[1:], strict=False):
            stage.leave(edge)
        return entered[0]

    def hand_over(self, step: int) -> int:
        """Pass what the readout made of the step just taken on; return when its result leaves."""
        readout = self._stages[-1]
        readout.leave(self._decision.take(step, readout.valid))
        self._decision.leave(self._decision.valid)
        return self._decision.valid


def run_pipeline(
    network: FixedPointNetwork,
    mapping: Mapping,
    inputs: npt.NDArray[np.uint8],
    trace: SpikeTrace,
) -> Cycles:
    """Follow all steps of a run whose source is never idle and whose sink is always ready.

    ``inputs`` (samples, steps, inputs) are what the network reads: of an encoder, the steps that it
    makes. ``trace`` is the golden model's of them.
    """
    stages: list[Unit] = []
    for depth in range(network.depth):
        stages.append(Stage(units_at(network, mapping, depth, inputs, trace)))
        if mapping.is_buffered(depth):
            stages.append(Buffer())
    stages.append(_readout(network, mapping, trace))
    line = Line(stages, Registers(mapping.decision.registers(mapping.decision_registers)))
    used = steps_used(network, mapping, trace)
    encodes, n_steps = mapping.makes_steps, network.n_steps
    always = network.readout_mode is ReadoutMode.STEP or mapping.decision.is_early
    taken = np.zeros(len(inputs), dtype=np.int64)
    given = np.zeros(len(inputs), dtype=np.int64)
    offered = int(encodes)  # levels are taken at edge 0, and their first step is there at edge 1
    for sample, needed in enumerate(used.tolist()):
        for t in range(n_steps):
            if t >= needed and offered > given[sample]:
                if encodes:
                    break
                offered += 1  # taken from the host, and dropped
                continue
            entered = line.take(sample * n_steps + t, offered)
            if t == 0:
                taken[sample] = offered - 1 if encodes else entered
            if always or t == n_steps - 1:
                result = line.hand_over(sample * n_steps + t)
                if t < needed:
                    given[sample] = result
            offered = entered + 1
    return Cycles(taken=taken, given=given)


def steps_used(network: FixedPointNetwork, mapping: Mapping, trace: SpikeTrace) -> IntArray:
    """Steps that the decision reads of each sample, shape (samples,): T, if it waits for the end.

    ``trace`` is of any model of ``network``, whichever rule its scores are of.
    """
    if not mapping.decision.is_early:
        return np.full(trace.n_samples, network.n_steps, dtype=np.int64)
    return decide(mapping.decision, network, step_scores(network, trace)).steps


def spatial_cycles(used: IntArray, *, n_steps: int, registers: int, encodes: bool) -> Cycles:
    """Cycles of a network that is spatial throughout, so takes a step a clock.

    An inference that decides after step u gives its result u - 1 + ``registers`` edges after its
    first step entered the pipeline. That same edge is the first at which the source of the steps
    knows of it, and the last at which it sends a step of that inference. An encoder then begins
    the next inference, and saves what is left of T steps. Steps from the host keep coming for T
    clocks, whether they are wanted or not; the result alone is early.

    ``used`` is u of every sample, from `steps_used`, and ``registers`` are those from the sequencer
    or the encoder to the output. Where an encoder makes the steps, its own register holds the
    levels for one edge more.
    """
    sent = np.minimum(n_steps, used + registers) if encodes else np.full_like(used, n_steps)
    taken = np.cumsum(sent) - sent
    return Cycles(taken=taken, given=taken + int(encodes) + used - 1 + registers)


def units_at(
    network: FixedPointNetwork,
    mapping: Mapping,
    depth: int,
    inputs: npt.NDArray[np.uint8],
    trace: SpikeTrace,
) -> list[Unit]:
    """Units of the stage at ``depth``, engines first."""
    choices = mapping.at_depth(depth)
    units: list[Unit] = []
    for plan in plans_at(network, choices, depth):
        own = np.concatenate([trace.layers[b][depth].spikes for b in plan.branches], axis=2)
        reads = inputs if depth == 0 else trace.layers[plan.branches[0]][depth - 1].spikes
        passes = plan.spikes_of_pass(plan.sources_of_planes(reads, own))
        units.append(Engine(plan, passes.reshape(-1, plan.input_bits)))
    if len(mapping.folded_at(depth)) < len(network.branches):
        most = max((registers_in(choice) for choice in choices.values()), default=0)
        units.append(Registers(1 + most))
    return units


def _readout(network: FixedPointNetwork, mapping: Mapping, trace: SpikeTrace) -> Unit:
    """The readout, by its mapping."""
    if isinstance(mapping.readout, Spatial):
        return Registers(1 + mapping.readout.registers)
    mode = network.readout_mode
    ends = [layers[-1] for layers in trace.layers]
    features = np.concatenate(
        [end.membranes >= 0 if mode is ReadoutMode.SIGN else end.spikes for end in ends], axis=2
    ).astype(np.uint8)
    plan = readout_plan(network, mapping.readout)
    every = mode is ReadoutMode.STEP or mapping.decision.is_early
    return ScoreEngine(
        plan, plan.spikes_of_pass(features).ravel(), network.n_steps, mode, every=every
    )
