"""A small network of convolutions goes the whole way: rounded, mapped, emitted, simulated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import convexon as cx
from convexon.plan.cost.budget import Budget, fastest_within
from convexon.plan.cost.mapping_cost import Activity, mapping_cost
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping, Style
from convexon.plan.schedule import Schedule
from convexon.snn.convolution import Convolution, IntegerConvolution, Windows
from convexon.snn.models import golden, simulate
from convexon.snn.models.real import RealLayer, RealNetwork
from convexon.snn.network import Branch, FixedPointNetwork
from convexon_hdl.emit.emitter import emit
from convexon_sim.bench.job import Traffic
from convexon_sim.judge import observe
from convexon_sim.trial import Trial
from convolutions import convolutional
from sim_bench import icarus
from strategies import equal

pytestmark = pytest.mark.usefixtures("build_cache")

PIXELS = 64


def trained() -> RealNetwork:
    """1 x 8 x 8 pixels, two convolutions with pooling between, and a dense layer of 3."""
    rng = np.random.default_rng(2)
    kernels = (
        Convolution(
            rng.normal(0.2, 0.6, (4, 1, 3, 3)),
            Windows(shape=(1, 8, 8), stride=(2, 2), padding=((1, 1), (1, 1))),
        ),
        Convolution(
            rng.normal(0.1, 0.5, (4, 4, 2, 2)),
            Windows(shape=(4, 4, 4), pool=(2, 2), padding=((0, 1), (0, 1))),
        ),
        rng.normal(0.1, 0.7, (16, 3)),
    )
    layers = tuple(
        RealLayer(
            name=f"layer {depth}",
            weights=own,
            biases=np.full(n, 0.1),
            leak=np.full(n, 0.75),
            thresholds=np.ones(n),
        )
        for depth, (own, n) in enumerate(zip(kernels, (64, 16, 3), strict=True))
    )
    return RealNetwork(layers=layers, readout_weights=np.eye(3), readout_biases=np.zeros(3))


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    return (np.random.default_rng(4).random((6, 3, PIXELS)) < 0.3).astype(np.uint8)


@pytest.fixture(scope="module")
def network(spikes: np.ndarray) -> FixedPointNetwork:
    found = cx.quantize(trained(), calibrate=spikes, bits=4, rounding="nearest")
    return found.network.card


MAPPING = Mapping(
    layers=((Folded(lanes=4), Folded(lanes=2, updates=2), Folded(lanes=3)),),
    readout=Folded(lanes=3),
)


def trial_of(network: FixedPointNetwork, mapping: Mapping, spikes: np.ndarray) -> Trial:
    expected = golden.run(network, spikes)
    assert equal(expected, simulate.run(network, spikes))
    return Trial(
        bundle=emit(network, mapping),
        inputs=spikes,
        expected=expected,
        cycles=Schedule.of(network, mapping).cycles(spikes, expected),
    )


def test_windows_are_streamed_as_the_models_and_the_schedule_say(
    network: FixedPointNetwork, spikes: np.ndarray
) -> None:
    """Under stalls, and with a reset in the midst; smooth traffic is the front door's."""
    first, second, _ = network.branches[0].layers
    assert isinstance(first.weights, IntegerConvolution)
    assert isinstance(second.weights, IntegerConvolution)
    trial = trial_of(network, MAPPING, spikes[:2])
    for layer in trial.expected.layers[0]:
        assert 0.02 < layer.spikes.mean() < 0.98
    probes = trial.bundle.ports["probes"]
    assert [probe.get("spread", 1) for probe in probes] == [16, 4, 1]
    stalls = trial.head(2, Traffic(idle=0.2, back_pressure=0.3, resets=(1,), seed=3))
    verdict = observe(stalls, icarus()).verification
    assert (verdict.inferences, verdict.first) == (2, None)


def test_the_front_door_leads_to_windows(
    network: FixedPointNetwork, spikes: np.ndarray, tmp_path: Path
) -> None:
    accelerator = cx.compile(cx.Network(network), target="ecp5", luts=2000)
    chosen = accelerator.mapping.layers[0]
    assert all(isinstance(choice, Folded) and choice.banks == 1 for choice in chosen[:2])
    accelerator.write(tmp_path / "rtl")
    accelerator.verify(spikes, simulator="verilator").raise_if_different()


def test_a_convolution_in_logic_is_the_matrix_that_it_means() -> None:
    network = convolutional("pooled")
    layers = network.branches[0].layers
    matrices = tuple(replace(layer, weights=layer.matrix) for layer in layers)
    meant = replace(network, branches=(Branch(matrices),))
    ours, theirs = (emit(each, Mapping.spatial(each)) for each in (network, meant))
    assert ours.verilog == theirs.verilog


def test_the_planner_trades_lanes_for_clocks(
    network: FixedPointNetwork, spikes: np.ndarray
) -> None:
    activity = Activity.of(spikes, golden.run(network, spikes))
    fast = fastest_within(network, Budget(style=Style.FOLDED), activity)
    small = fastest_within(network, Budget(style=Style.FOLDED, lanes=1), activity)
    assert [choice.lanes for choice in fast.layers[0][:2]] == [4, 4]
    assert [choice.lanes for choice in small.layers[0][:2]] == [1, 1]
    costs = [mapping_cost(network, each, activity, Family.ECP5) for each in (fast, small)]
    assert costs[0].clocks < costs[1].clocks
    assert costs[0].luts > costs[1].luts
