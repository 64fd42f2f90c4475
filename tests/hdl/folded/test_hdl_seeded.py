# amaranth: UnusedElaboratable=no
"""Weights that are made on chip from a seed."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.sim import Simulator
from hdl_bench import words_of

from convexon.errors import InputError
from convexon.plan.family import Family
from convexon.plan.fold import FoldPlan, plans_at
from convexon.plan.mapping import Folded, Mapping, Spatial, Weights
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.snn.seeded import seeded_weights
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.emit.emitter import to_verilog
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.seeded import SeededBank
from faulty_parts import mutated

RNG = np.random.default_rng(12)
SEED = 2024


def seeded_layer(n_inputs: int, numbers: list[int], *, bits: int = 4) -> Layer:
    return Layer(
        weights=seeded_weights(SEED, n_inputs, numbers, bits=bits),
        thresholds=RNG.integers(1, 12, len(numbers)),
        biases=RNG.integers(-2, 3, len(numbers)),
        leak=Leak(1, 2),
        reset=Reset.SUBTRACT,
        weight_format=QFormat(bits),
        threshold_format=QFormat(8),
    )


def network(*branches: tuple[Layer, ...], n_steps: int = 3) -> FixedPointNetwork:
    n_features = sum(layers[-1].n_neurons for layers in branches)
    return FixedPointNetwork(
        branches=tuple(Branch(layers) for layers in branches),
        n_steps=n_steps,
        input_bits=1,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=RNG.integers(-7, 8, (n_features, 3)),
        readout_biases=RNG.integers(-5, 6, 3),
        readout_format=QFormat(4),
        bias_format=QFormat(4),
    )


def folded(lanes: int, banks: int = 1, updates: int = 1) -> Folded:
    return Folded(lanes=lanes, banks=banks, updates=updates, weights=Weights.SEEDED, seed=SEED)


def rows_of(bank: SeededBank) -> list[list[int]]:
    """What the bank gives for every address, read one a clock."""
    plan = bank.plan
    width, rows = plan.weight_width, []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for clock in range(plan.depth_of_bank + 2):
            if clock >= 2:
                word = ctx.get(bank.data)
                fields = [
                    word >> (k * width) & ((1 << width) - 1) for k in range(plan.choice.lanes)
                ]
                rows.append([v - (v >> (width - 1) << width) for v in fields])
            ctx.set(bank.address, min(clock, plan.depth_of_bank - 1))
            await ctx.tick()

    simulator = Simulator(bank)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return rows


def differing(plan: FoldPlan, index: int, rows: list[list[int]]) -> list[int]:
    """Addresses of sources, and of the row of zeros, where a bank gives something else."""
    want = plan.bank(index).tolist()
    n_rows = len(range(index, plan.n_sources, plan.choice.banks))
    places = [fold * plan.stride + row for fold in range(plan.folds) for row in range(n_rows)]
    if plan.choice.banks > 1:
        places.append(plan.depth_of_bank - 1)
    return [place for place in places if rows[place] != want[place]]


@pytest.mark.parametrize(
    ("n_inputs", "numbers", "choice", "bits"),
    [
        (1, [3], folded(1), 4),
        (40, [0, 1, 2, 3, 9], folded(5), 2),
        (40, [7, 90, 11, 5, 4], folded(2, banks=3), 4),
        (17, [5, 0, 6000], folded(1, banks=2), 8),
        (300, list(range(12)), folded(6, banks=4), 3),
    ],
)
def test_every_row_is_that_of_the_generator(
    n_inputs: int, numbers: list[int], choice: Folded, bits: int
) -> None:
    net = network((seeded_layer(n_inputs, numbers, bits=bits),))
    (plan,) = plans_at(net, {0: choice}, 0)
    for index in range(choice.banks):
        assert differing(plan, index, rows_of(SeededBank(plan, bank=index))) == []


def test_branches_of_other_formats_share_an_engine() -> None:
    net = network((seeded_layer(30, [4, 2, 9]),), (seeded_layer(30, [11, 0], bits=2),))
    (plan,) = plans_at(net, {0: folded(2, banks=2), 1: folded(2, banks=2)}, 0)
    for index in range(2):
        assert differing(plan, index, rows_of(SeededBank(plan, bank=index))) == []


def with_another_tap(chosen: list[np.ndarray], j: int) -> list[list[int]]:
    """Taps of a neuron's bits, where that of neuron 1's sign is another one."""
    bits = [[int(tap) for tap in each] for each in chosen]
    if j == 1:
        bits[-1][0] = (bits[-1][0] + 1) % 64
    return bits


OtherTap = mutated(SeededBank, "in chosen]", "in other(chosen, j)]", other=with_another_tap)


def test_another_tap_is_caught_by_the_rows() -> None:
    (plan,) = plans_at(network((seeded_layer(40, [7, 90, 11]),)), {0: folded(3)}, 0)
    assert differing(plan, 0, rows_of(OtherTap(plan, bank=0)))


def observed(accelerator: Accelerator, inputs: np.ndarray) -> tuple[list, list[int], list[int]]:
    """Results, and the edges at which steps are taken and results given, from the first."""
    words = words_of(inputs, 1)
    results: list = []  # type: ignore[type-arg]
    taken: list[int] = []
    given: list[int] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(accelerator.o.ready, 1)
        for clock in range(4000):
            position = len(taken)
            ctx.set(accelerator.i.valid, int(position < len(words)))
            ctx.set(accelerator.i.payload, words[min(position, len(words) - 1)])
            if ctx.get(accelerator.i.valid) and ctx.get(accelerator.i.ready):
                taken.append(clock)
            if ctx.get(accelerator.o.valid):
                payload = ctx.get(accelerator.o.payload)
                results.append((payload.label, list(payload.scores)))
                given.append(clock)
            if len(results) == len(inputs):
                return
            await ctx.tick()

    simulator = Simulator(accelerator)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results, [edge - taken[0] for edge in taken], [edge - taken[0] for edge in given]


CASES = {
    "one fold": (folded(6, updates=2), folded(2)),
    "folds and banks": (folded(2, banks=3), folded(2, banks=3)),
    "shared": (folded(4, banks=2), folded(4, banks=2)),
}


def _two_branches() -> tuple[FixedPointNetwork, np.ndarray]:
    deep = seeded_layer(6, [1, 5, 0])
    net = network(
        (seeded_layer(20, [3, 8, 21, 22, 40, 2]), deep), (seeded_layer(20, [0, 9, 4, 6]),)
    )
    return net, RNG.integers(0, 2, (5, 3, 20)).astype(np.uint8)


@pytest.mark.parametrize("case", CASES)
def test_accelerator_equals_the_golden_model(case: str) -> None:
    net, inputs = _two_branches()
    first, other = CASES[case]
    mapping = Mapping(layers=((first, folded(3)), (other,)), readout=Spatial())
    trace = golden.run(net, inputs)
    results, taken, given = observed(Accelerator(net, mapping=mapping), inputs)
    assert results == list(
        zip(trace.labels.ravel().tolist(), trace.scores[:, 0].tolist(), strict=True)
    )
    cycles = Schedule.of(net, mapping).cycles(inputs, trace)
    assert given == cycles.given.tolist()
    assert taken[:: net.n_steps] == cycles.taken.tolist()


def test_another_tap_is_caught_by_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network((seeded_layer(20, [3, 8, 21, 22]),))
    inputs = RNG.integers(0, 2, (20, 3, 20)).astype(np.uint8)
    mapping = Mapping(layers=((folded(4),),))
    right, *_ = observed(Accelerator(net, mapping=mapping), inputs)
    monkeypatch.setattr("convexon_hdl.folded.accumulator.SeededBank", OtherTap)
    wrong, *_ = observed(Accelerator(net, mapping=mapping), inputs)
    assert [label for label, _ in right] == golden.run(net, inputs).labels.ravel().tolist()
    assert wrong != right


def test_other_weights_are_refused_before_anything_is_built() -> None:
    layer = seeded_layer(20, [3, 8, 21])
    weights = layer.weights.copy()
    weights[19, 2] = 1 if weights[19, 2] != 1 else 2
    other = Layer(**{**vars(layer), "weights": weights})
    mapping = Mapping(layers=((folded(3),),))
    with pytest.raises(InputError, match=r"^branch 0 layer 0: .* those of neuron 2 are not"):
        Accelerator(network((other,)), mapping=mapping)


def test_no_memory_holds_weights() -> None:
    net = network((seeded_layer(200, list(range(16))),))
    cells = {}
    for weights, seed in ((Weights.SEEDED, SEED), (Weights.FIXED, None)):
        choice = Folded(lanes=16, weights=weights, seed=seed)
        (plan,) = plans_at(net, {0: choice}, 0)
        verilog = to_verilog(FoldedEngine(plan), "engine")
        cells[weights] = synthesize_verilog(verilog, "engine", Family.ECP5).cells
    assert cells[Weights.SEEDED].block_ram == 0 < cells[Weights.FIXED].block_ram
    assert cells[Weights.SEEDED].lutram <= cells[Weights.FIXED].lutram
    # A LUT4 for each bit of a weight, less a few for bits that happen to have common parts.
    assert cells[Weights.SEEDED].lut4 - cells[Weights.FIXED].lut4 > 16 * 4
