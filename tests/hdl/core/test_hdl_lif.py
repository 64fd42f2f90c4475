"""One neuron over its whole state space, and mutants that this check must reject."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from amaranth.sim import Simulator

from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models import golden
from convexon.snn.network import Layer
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, LeakRounding, Reset
from convexon_hdl.core.lif import LIFUpdate, NeuronParameters, SplitUpdate
from faulty_parts import (
    ComparesAfterReset,
    ForgetsLateReset,
    IgnoresSaturation,
    LeakDown,
    LeaksAfterCurrent,
    LeakTowardZero,
    ResetsBeforeStep,
    SplitIgnoresSaturation,
    SplitKeepsThreshold,
    SplitStrictThreshold,
    StrictThreshold,
)
from tiers import leading

MEMBRANES = range(-16, 16)
CURRENTS = range(-8, 8)
LEAKS = (
    *(INTEGRATE, MEMORYLESS, Leak(1, 1), Leak(3, 3, LeakRounding.ZERO)),
    *(Leak(1, 3), Leak(3, 2), Leak(5, 3), Leak(10, 10)),
)
THRESHOLDS = (-3, 0, 1, 5, 200)
SATURATIONS = (None, QFormat(4))


@dataclass(frozen=True)
class Case:
    """One parameter set, with the golden model's answer for every state and current."""

    parameters: NeuronParameters
    answers: dict[tuple[int, int], tuple[int, int]]


def _case(leak: Leak, threshold: int, reset: Reset, saturation: QFormat | None) -> Case:
    layer = Layer(
        weights=[[1]],
        thresholds=[threshold],
        biases=[0],
        leak=leak,
        reset=reset,
        weight_format=QFormat(2),
        threshold_format=QFormat(9),
        saturation=saturation,
    )
    limits = saturation.interval if saturation is not None else None
    states = [(v, i) for v in MEMBRANES for i in CURRENTS if limits is None or v in limits]
    before = {v: int(v >= threshold) for v in MEMBRANES}  # as it is after a late reset's step
    steps = {(v, i): golden.neuron_step(layer, 0, (v, 0), [i], [before[v]]) for v, i in states}
    answers = {state: (spike, after) for state, (spike, (after, _)) in steps.items()}
    late = threshold if reset is Reset.LATE else 0
    integrated = Interval.hull(golden.leaked(v, leak) + i - late * before[v] for v, i in states)
    membrane = Interval.hull([v for v, _ in states] + [v for _, v in answers.values()])
    parameters = NeuronParameters(
        threshold=threshold,
        leak=leak,
        reset=reset,
        saturation=limits,
        current=Interval.hull(CURRENTS),
        integrated=integrated,
        membrane=membrane,
    )
    return Case(parameters, answers)


CASES = [_case(*choice) for choice in itertools.product(LEAKS, THRESHOLDS, Reset, SATURATIONS)]


def first_difference(update_class: type[LIFUpdate], case: Case) -> str | None:
    """Text that names the first state in which the hardware disagrees, or None."""
    update = update_class(case.parameters)
    found: list[str] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for (v, i), expected in case.answers.items():
            ctx.set(update.membrane, v)
            ctx.set(update.current, i)
            if "fired" in update.signature.members:
                ctx.set(update.fired, int(v >= case.parameters.threshold))
            if "surplus" in update.signature.members:
                ctx.set(update.surplus, i - case.parameters.threshold)
            actual = (ctx.get(update.spike), ctx.get(update.next_membrane))
            if actual != expected:
                found.append(f"v={v}, I={i}: expected {expected}, got {actual}")
                return

    simulator = Simulator(update)
    simulator.add_testbench(bench)
    simulator.run()
    return found[0] if found else None


@pytest.mark.parametrize("update", [LIFUpdate, SplitUpdate])
@pytest.mark.parametrize("leak", leading(LEAKS, 4), ids=str)
def test_every_state_equals_golden_model(leak: Leak, update: type[LIFUpdate]) -> None:
    for case in CASES:
        if case.parameters.leak == leak:
            assert first_difference(update, case) is None, case.parameters


@pytest.mark.parametrize(
    "mutant",
    [
        StrictThreshold,
        LeakTowardZero,
        LeakDown,
        ComparesAfterReset,
        LeaksAfterCurrent,
        ResetsBeforeStep,
        ForgetsLateReset,
        IgnoresSaturation,
        SplitIgnoresSaturation,
        SplitKeepsThreshold,
        SplitStrictThreshold,
    ],
)
def test_mutant_is_rejected(mutant: type[LIFUpdate]) -> None:
    assert any(first_difference(mutant, case) for case in CASES)
