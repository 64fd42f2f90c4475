"""Cycles under encoders and early decisions, and traces of which some steps do not count."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.plan.mapping import MAPPING, Folded, Mapping, Spatial
from convexon.plan.mapping_file import parse_mapping
from convexon.plan.pipeline import run_pipeline, spatial_cycles, steps_used
from convexon.plan.schedule import Schedule
from convexon.snn.decision import Decision, Rule, decided_trace
from convexon.snn.models import golden
from convexon.snn.models.divergence import first_divergence
from convexon.snn.models.trace import TRACE, SpikeTrace, differing_samples, first_mismatch
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load, save
from strategies import layer_of, network_of, networks_with_inputs

CERTAIN = Decision(rule=Rule.CERTAIN)
RATE = Encoder(kind=EncoderKind.RATE, bits=4, seed=3)


def counting(network: FixedPointNetwork) -> FixedPointNetwork:
    return dataclasses.replace(network, readout_mode=ReadoutMode.COUNT)


@given(networks_with_inputs(), st.integers(0, 2), st.integers(0, 2), st.booleans(), st.booleans())
def test_closed_form_equals_the_pipeline_followed_step_by_step(
    drawn: tuple[FixedPointNetwork, np.ndarray],
    registers: int,
    between: int,
    early: bool,
    encodes: bool,
) -> None:
    network, inputs = counting(drawn[0]), drawn[1]
    hold = Encoder(kind=EncoderKind.HOLD, bits=network.input_bits)
    mapping = dataclasses.replace(
        Mapping.spatial(network, Spatial(registers=registers)),
        decision_registers=between,
        decision=CERTAIN if early else Decision(),
        encoder=hold if encodes else None,
    )
    trace = golden.run(network, inputs)
    followed = run_pipeline(network, mapping, inputs, trace)
    schedule = Schedule.of(network, mapping)
    closed = schedule.cycles(inputs, trace)
    assert followed.taken.tolist() == closed.taken.tolist()
    assert followed.given.tolist() == closed.given.tolist()
    assert schedule.is_constant == (not early)
    if not early:
        assert set(closed.latency.tolist()) == {schedule.latency_cycles}


def _network(n_steps: int = 8) -> FixedPointNetwork:
    """Three neurons that repeat their inputs, under a readout that adds up."""
    layer = layer_of(np.eye(3, dtype=np.int64), np.ones(3, dtype=np.int64))
    return network_of(
        (layer,),
        n_steps=n_steps,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=np.eye(3, dtype=np.int64),
        readout_biases=np.zeros(3, dtype=np.int64),
    )


def _inputs(n_steps: int = 8) -> np.ndarray:
    """One sample that class 0 wins at once, and one that is open to the end."""
    inputs = np.zeros((2, n_steps, 3), dtype=np.uint8)
    inputs[0, :5, 0] = 1
    inputs[1, ::2, 2] = inputs[1, 1::2, 1] = 1
    return inputs


def test_cycles_by_hand() -> None:
    network, inputs = _network(), _inputs()
    trace = golden.run(network, inputs)
    mapping = dataclasses.replace(Mapping.spatial(network), decision=CERTAIN)
    # Class 0 leads by 4 with 4 steps left, and would win a tie. Registers: stage, readout, argmax,
    # exit.
    assert steps_used(network, mapping, trace).tolist() == [4, 8]
    cycles = Schedule.of(network, mapping).cycles(inputs, trace)
    assert (cycles.taken.tolist(), cycles.given.tolist()) == ([0, 8], [3 + 4, 8 + 7 + 4])
    encoded = dataclasses.replace(mapping, encoder=RATE)
    cycles = Schedule.of(network, encoded).cycles(inputs, trace)
    # Levels at edge 0, step 0 at edge 1; the exit is seen at edge 8, with the last step sent.
    assert (cycles.taken.tolist(), cycles.given.tolist()) == ([0, 8], [1 + 3 + 4, 8 + 1 + 7 + 4])


def test_an_early_decision_frees_an_encoder_before_its_last_step() -> None:
    cycles = spatial_cycles(np.array([1, 2, 9]), n_steps=9, registers=4, encodes=True)
    assert cycles.taken.tolist() == [0, 5, 11]
    assert cycles.given.tolist() == [0 + 1 + 0 + 4, 5 + 1 + 1 + 4, 11 + 1 + 8 + 4]


def test_folded_layers_gain_from_an_early_decision_even_without_an_encoder() -> None:
    network, inputs = _network(32), np.repeat(_inputs(32)[:1], 4, axis=0)
    inputs[:, :, 0] = 1
    trace = golden.run(network, inputs)
    folded = Mapping(layers=((Folded(lanes=3),),))
    spans = []
    for decision in (Decision(), CERTAIN):
        mapping = dataclasses.replace(folded, decision=decision)
        spans.append(Schedule.of(network, mapping).cycles(inputs, trace).given[-1])
    assert spans[1] < 0.7 * spans[0]


def test_cycles_of_an_early_decision_are_not_constant() -> None:
    network = _network()
    schedule = Schedule.of(network, dataclasses.replace(Mapping.spatial(network), decision=CERTAIN))
    assert not schedule.is_constant
    message = "cycles of a folded network, and of an early decision, follow from the spikes: "
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        _ = schedule.latency_cycles


def _decided() -> tuple[SpikeTrace, SpikeTrace]:
    """Trace of a rule, and the same as hardware that took two steps more than it needed."""
    network = _network()
    expected = decided_trace(CERTAIN, network, golden.run(network, _inputs()))
    assert expected.steps is not None
    return expected, dataclasses.replace(expected, steps=np.minimum(expected.steps + 2, 8))


def test_trace_of_a_rule_has_its_labels_scores_and_steps(tmp_path: Path) -> None:
    network = _network()
    trace = golden.run(network, _inputs())
    assert decided_trace(Decision(), network, trace) is trace
    expected, _ = _decided()
    assert expected.steps is not None
    assert expected.steps.tolist() == [4, 8]
    assert expected.scores[:, 0].tolist() == [[4, 0, 0], [0, 4, 4]]
    assert expected.labels.tolist() == [[0], [1]]
    save(TRACE, expected, tmp_path / "trace.json")
    again, _ = load(TRACE, tmp_path / "trace.json")
    assert again.steps is not None
    assert again.steps.tolist() == [4, 8]
    head = again.head(1)
    assert head.steps is not None
    assert head.steps.tolist() == [4]


def with_membrane(trace: SpikeTrace, sample: int, step: int) -> SpikeTrace:
    """The trace with a membrane and a spike changed."""
    layer = trace.layers[0][0]
    membranes, spikes = layer.membranes.copy(), layer.spikes.copy()
    membranes[sample, step, 1] += 1
    spikes[sample, step, 1] ^= 1
    changed = dataclasses.replace(layer, membranes=membranes, spikes=spikes)
    return dataclasses.replace(trace, layers=((changed,),))


@pytest.mark.parametrize(("step", "counts"), [(0, True), (3, True), (5, True), (6, False)])
def test_steps_that_were_taken_are_compared_and_no_others(step: int, counts: bool) -> None:
    expected, actual = _decided()
    assert first_mismatch(expected, actual) is None
    wrong = with_membrane(actual, 0, step)
    found = first_mismatch(expected, wrong)
    assert (found is not None) == counts
    assert differing_samples(expected, wrong).tolist() == [counts, False]
    assert (first_divergence(expected, wrong) is not None) == counts


def test_too_few_steps_are_a_mismatch() -> None:
    expected, _ = _decided()
    actual = dataclasses.replace(expected, steps=np.array([4, 7]))
    assert str(first_mismatch(expected, actual)) == "steps at sample 1: expected 8, got 7"
    assert differing_samples(expected, actual).tolist() == [False, True]


TOML = """
[default]
kind = "spatial"
registers = 1
[encoder]
kind = "rate"
bits = 4
seed = 3
[decision]
rule = "threshold"
threshold = 2
"""


def test_mapping_file_has_tables_for_encoder_and_decision(tmp_path: Path) -> None:
    network = _network()
    mapping = parse_mapping(TOML, network)
    assert mapping.encoder == RATE
    assert mapping.decision == Decision(rule=Rule.THRESHOLD, threshold=2)
    save(MAPPING, mapping, tmp_path / "mapping.json")
    assert load(MAPPING, tmp_path / "mapping.json")[0] == mapping
    assert parse_mapping("", network).decision == Decision()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder = 3", "encoder must be an object, not 3"),
        ("decision = 'end'", "decision must be an object, not 'end'"),
        ("[decision]\nthreshold = 3", "decision: threshold must be given for the rule "),
        ("[encoder]", "kind of encoder must be given, which it is not"),
    ],
)
def test_bad_tables_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        parse_mapping(text, _network())
