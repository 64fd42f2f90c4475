"""Twins of the early decisions: by hand, against brute force, and what they refuse."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.errors import InputError
from convexon.plan.pipeline import spatial_cycles
from convexon.snn.decision import (
    Decision,
    Rule,
    decide,
    margins,
    step_scores,
)
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.store.codec import from_json, to_json
from strategies import integers, layer_of, network_of, networks_with_inputs

CERTAIN = Decision(rule=Rule.CERTAIN)


def readout_of(weights: Any, n_steps: int) -> FixedPointNetwork:
    """A network of as many neurons as rows, which may spike as they like."""
    rows, classes = np.shape(weights)
    layer = layer_of(np.eye(rows, dtype=np.int64), np.ones(rows, dtype=np.int64))
    return network_of(
        (layer,),
        n_steps=n_steps,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=np.asarray(weights),
        readout_biases=np.zeros(classes, dtype=np.int64),
    )


def test_margins_by_hand() -> None:
    network = readout_of([[3, 1, 0], [-1, 2, 2]], n_steps=4)
    # From class 0 to class 1, the second neuron brings 3, and the first one would cost 2.
    assert margins(network).tolist() == [[0, 2, 3], [3, 0, 1], [3, 0, 0]]
    assert margins(readout_of([[3], [-2]], n_steps=4)).tolist() == [[0, 2], [3, 0]]


@pytest.mark.parametrize(
    ("scores", "label", "steps"),
    [
        # Margins are 2 either way, so 4 with two steps left, and 2 with one.
        ([[4, 0], [9, 9], [9, 9]], 0, 1),  # a tie after two more steps would go to class 0
        ([[0, 4], [0, 4], [0, 4]], 1, 2),  # here it would not: class 1 needs 5, then 3
        ([[0, 5], [0, 0], [0, 0]], 1, 1),
        ([[0, 2], [0, 2], [0, 1]], 1, 3),
        ([[0, 0], [0, 0], [0, 0]], 0, 3),
    ],
)
def test_certain_by_hand(scores: list[list[int]], label: int, steps: int) -> None:
    network = readout_of([[1, -1], [-1, 1]], n_steps=3)
    decided = decide(CERTAIN, network, np.array([scores]))
    assert (decided.labels.tolist(), decided.steps.tolist()) == ([label], [steps])
    assert decided.saved.tolist() == [3 - steps]
    assert decided.scores.tolist() == [scores[steps - 1]]


@pytest.mark.parametrize(
    ("scores", "label", "steps"),
    [
        ([[4, 0, 0], [5, 0, 0], [0, 9, 0]], 0, 2),
        ([[4, 0, 0], [5, 6, 6], [0, 9, 0]], 1, 2),  # the larger score, then the lowest class
        ([[4, 0, 0], [4, 0, 0], [1, 2, 2]], 1, 3),  # none reaches it
    ],
)
def test_threshold_by_hand(scores: list[list[int]], label: int, steps: int) -> None:
    network = readout_of(np.eye(3, dtype=np.int64) * 3, n_steps=3)
    decided = decide(Decision(rule=Rule.THRESHOLD, threshold=5), network, np.array([scores]))
    assert (decided.labels.tolist(), decided.steps.tolist()) == ([label], [steps])


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.data())
def test_certain_is_exact(rows: int, classes: int, n_steps: int, data: st.DataObject) -> None:
    """Against every continuation: none changes the label, and one step earlier some could."""
    network = readout_of(data.draw(integers(-3, 3, rows, classes)), n_steps)
    spikes = data.draw(integers(0, 1, n_steps, rows))
    scores = np.cumsum(spikes, axis=0) @ network.readout_weights
    decided = decide(CERTAIN, network, scores[None])
    used = int(decided.steps[0])
    assert decided.labels[0] == golden.decide(scores[-1].tolist())
    assert labels_that_can_follow(network, scores[used - 1], n_steps - used) == {
        int(decided.labels[0])
    }
    if used > 1:
        assert len(labels_that_can_follow(network, scores[used - 2], n_steps - used + 1)) > 1


def labels_that_can_follow(network: FixedPointNetwork, scores: np.ndarray, left: int) -> set[int]:
    """Labels after ``left`` more steps of any spikes; the counts of each neuron are 0 .. left."""
    counts = itertools.product(range(left + 1), repeat=network.n_features)
    return {
        golden.decide((scores + np.array(count) @ network.readout_weights).tolist())
        for count in counts
    }


@given(networks_with_inputs())
def test_accumulated_scores_end_in_those_of_the_golden_model(
    drawn: tuple[FixedPointNetwork, np.ndarray],
) -> None:
    network = dataclasses.replace(drawn[0], readout_mode=ReadoutMode.COUNT)
    trace = golden.run(network, drawn[1])
    scores = step_scores(network, trace)
    assert np.array_equal(scores[:, -1], trace.scores[:, 0])
    for decision in (Decision(), CERTAIN):
        decided = decide(decision, network, scores)
        assert np.array_equal(decided.labels, trace.labels[:, 0])
    assert (decide(Decision(), network, scores).saved == 0).all()


@given(networks_with_inputs(), st.integers(-20, 20))
def test_threshold_is_the_first_step_that_reaches_it(
    drawn: tuple[FixedPointNetwork, np.ndarray], threshold: int
) -> None:
    network = dataclasses.replace(drawn[0], readout_mode=ReadoutMode.COUNT)
    threshold = min(threshold, max(interval.high for interval in network.score_ranges))
    scores = step_scores(network, golden.run(network, drawn[1]))
    decided = decide(Decision(rule=Rule.THRESHOLD, threshold=threshold), network, scores)
    for rows, steps, label in zip(
        scores.tolist(), decided.steps.tolist(), decided.labels.tolist(), strict=True
    ):
        best = [max([0, *row] if len(row) == 1 else row) for row in rows]
        reached = [t for t, score in enumerate(best, start=1) if score >= threshold]
        assert steps == (reached[0] if reached else network.n_steps)
        assert label == golden.decide(rows[steps - 1])


@pytest.mark.parametrize(
    ("encodes", "is_early", "taken", "given"),
    [
        (False, False, [0, 8, 16], [10, 18, 26]),
        (True, False, [0, 8, 16], [11, 19, 27]),
        (False, True, [0, 8, 16], [3, 15, 26]),
        (True, True, [0, 4, 12], [4, 12, 23]),
    ],
)
def test_edges_by_hand(encodes: bool, is_early: bool, taken: list[int], given: list[int]) -> None:
    used = np.array([1, 5, 8] if is_early else [8, 8, 8])
    edges = spatial_cycles(used, n_steps=8, registers=3, encodes=encodes)
    assert (edges.taken.tolist(), edges.given.tolist()) == (taken, given)


def test_registers_of_the_decision() -> None:
    threshold = Decision(rule=Rule.THRESHOLD, threshold=1)
    assert [Decision().registers(n) for n in (0, 1, 3)] == [1, 2, 4]
    assert [threshold.registers(n) for n in (0, 1, 3)] == [2, 3, 5]
    assert [CERTAIN.registers(n) for n in (0, 1, 3)] == [2, 4, 6]


@pytest.mark.parametrize(
    "decision", [Decision(), CERTAIN, Decision(rule=Rule.THRESHOLD, threshold=-3)]
)
def test_json_gives_the_decision_back(decision: Decision) -> None:
    assert from_json(Decision, to_json(decision)) == decision


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"rule": "never"},
            "decision.rule must be one of end, certain, threshold, not 'never'",
        ),
        ({"rule": "end", "x": 1}, "decision must have members of rule, threshold, not 'x'"),
        (
            {"rule": "threshold", "threshold": 1.5},
            "decision.threshold must be an integer, not 1.5",
        ),
        (
            {"rule": "threshold"},
            "decision: threshold must be given for the rule threshold, and for no other, "
            "not None with the rule threshold",
        ),
        (
            {"rule": "end", "threshold": 1},
            "decision: threshold must be given for the rule threshold, and for no other, "
            "not 1 with the rule end",
        ),
    ],
)
def test_bad_json_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        from_json(Decision, content, "decision")


def test_rule_that_does_not_suit_is_refused() -> None:
    network = readout_of([[1, -1]], n_steps=3)
    last = dataclasses.replace(network, readout_mode=ReadoutMode.LAST)
    Decision().check(last)
    message = (
        "rule certain must have a network that counts spikes, not one with the readout last: "
        "use the rule end"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        CERTAIN.check(last)
    message = "threshold must be at most 3, the highest score that this network can have, not 4"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Decision(rule=Rule.THRESHOLD, threshold=4).check(network)
    message = "scores must have shape (samples, 3, 2), not (1, 2, 2)"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        decide(CERTAIN, network, np.zeros((1, 2, 2), dtype=np.int64))
    with pytest.raises(InputError, match=r"^network must count spikes, not have the readout last$"):
        step_scores(last, golden.run(last, np.zeros((1, 3, 1), dtype=np.uint8)))
