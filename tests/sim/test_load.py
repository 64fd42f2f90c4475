"""The bench loads weights into an accelerator that has none of its own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from convexon.errors import InputError
from convexon.plan.image import fingerprint, weight_image
from convexon.plan.mapping import Folded, Mapping, Weights
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Leak, ReadoutMode
from convexon.snn.seeded import seeded_weights
from convexon_hdl.emit.emitter import emit
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.bench.runner import simulate_all
from convexon_sim.trial import Trial
from sim_bench import icarus, inputs_of, loaded_mapping, other_weights, rich_network, small_network
from strategies import image_words, layer_of, network_of
from tiers import exhaustive

pytestmark = pytest.mark.usefixtures("build_cache")


@pytest.mark.parametrize("network", [small_network(), rich_network()], ids=["small", "rich"])
def test_one_accelerator_runs_two_networks(network: FixedPointNetwork) -> None:
    simulator = icarus()
    mapping = loaded_mapping(network)
    bundle = emit(network, mapping)
    trials = []
    for own in (network, other_weights(network)):
        assert fingerprint(own, mapping) == bundle.ports["weights"]["fingerprint"]
        image = weight_image(own, mapping, accelerator=bundle.ports["weights"]["fingerprint"])
        assert len(image_words(image)) == bundle.ports["weights"]["words"]
        inputs = inputs_of(own, 8)
        expected = golden.run(own, inputs)
        cycles = Schedule.of(own, mapping).cycles(inputs, expected)
        trials += [
            Trial(
                bundle=bundle,
                inputs=inputs,
                expected=expected,
                cycles=cycles,
                traffic=traffic,
                image=image,
            )
            for traffic in (SMOOTH, Traffic(idle=0.3, back_pressure=0.5, resets=(1, 5), seed=2))
        ]
    broken = bytearray(trials[0].image or b"")
    broken[20] ^= 4
    trials.append(dataclasses.replace(trials[0], image=bytes(broken)))
    wrong = dataclasses.replace(trials[0], image=trials[2].image)
    *verdicts, refused, other = simulate_all([*trials, wrong], simulator)
    assert [verdict.inferences for verdict in verdicts] == [8] * 4
    assert [verdict.first for verdict in verdicts] == [None] * 4
    assert refused.inferences == 0
    assert "image was refused" in str(refused.first)
    assert other.first is not None


@pytest.mark.parametrize(
    ("lanes", "banks"),
    [
        *((6, 2), (4, 3)),
        pytest.param(6, 1, marks=exhaustive),
        pytest.param(2, 1, marks=exhaustive),
    ],
)
def test_seeded_weights_in_verilog_are_those_of_the_generator(lanes: int, banks: int) -> None:
    layer = layer_of(
        seeded_weights(31, 40, [2, 3, 5, 7, 11, 13], bits=4),
        [9, 4, 8, 12, 5, 6],
        leak=Leak(1, 2),
        weight_format=QFormat(4),
    )
    network = network_of((layer,), n_steps=4, readout_mode=ReadoutMode.COUNT)
    choice = Folded(lanes=lanes, banks=banks, weights=Weights.SEEDED, seed=31)
    mapping = Mapping(layers=((choice,),))
    inputs = inputs_of(network, 10)
    expected = golden.run(network, inputs)
    assert expected.scores.any()
    cycles = Schedule.of(network, mapping).cycles(inputs, expected)
    bundle = emit(network, mapping)
    trial = Trial(bundle=bundle, inputs=inputs, expected=expected, cycles=cycles)
    (verdict,) = simulate_all([trial], icarus())
    assert (verdict.inferences, verdict.first) == (10, None)


def test_an_image_is_needed_where_weights_are_loaded_and_nowhere_else() -> None:
    network = small_network()
    inputs = inputs_of(network, 2)
    expected = golden.run(network, inputs)
    for mapping, image in ((loaded_mapping(network), None), (Mapping.spatial(network), b"1234")):
        with pytest.raises(InputError, match=r"^image must be given where weights are loaded"):
            Trial(
                bundle=emit(network, mapping),
                inputs=inputs,
                expected=expected,
                cycles=Schedule.of(network, mapping).cycles(inputs, expected),
                image=image,
            )
    assert np.array_equal(
        -other_weights(network).branches[0].layers[0].weights, network.branches[0].layers[0].weights
    )
    assert network.branches[0].layers[0].weight_format == QFormat(5)
