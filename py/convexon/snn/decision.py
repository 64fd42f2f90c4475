"""Rules that turn scores into a label, some of them before all steps were seen.

`decide` is the twin of `convexon_hdl.core.decision`, which shares the description of the choice,
`Decision`, and the constants of the network with it, and nothing that computes.

The early rules read the scores of `ReadoutMode.COUNT` as they accumulate: after step t = 1 .. T ::

    score[c, t] = b[c] + sum over steps s <= t of sum_j w[j, c] * spike[j, s]

At every step the *leader* l is the class that argmax names: the largest score, the lowest class
among equals. A network with a single class decides between class 0 with the constant score 0 and
class 1 with its score, and every rule reads it as that pair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode

IntArray = npt.NDArray[np.int64]


class Rule(Enum):
    """When an inference ends.

    ``END``: after step T. ``CERTAIN``: as soon as no spikes of the steps that are left can change
    the label, which is therefore that of ``END``; see `margins`. ``THRESHOLD``: as soon as a score
    reaches the threshold (the leader wins, so the larger score, then the lowest class), at the
    latest after step T.
    """

    END = "end"
    CERTAIN = "certain"
    THRESHOLD = "threshold"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Choice of a rule.

    Members
    -------
    threshold : of `Rule.THRESHOLD`, for which it must be given: a score on the grid of the readout

    Raises
    ------
    InputError
        Also from `check`, if the rule does not suit the network.
    """

    rule: Rule = Rule.END
    threshold: int | None = None

    def __post_init__(self) -> None:
        if (self.threshold is not None) != (self.rule is Rule.THRESHOLD):
            raise InputError(
                "threshold must be given for the rule threshold, and for no other, "
                f"not {self.threshold!r} with the rule {self.rule.value}"
            )

    @property
    def is_early(self) -> bool:
        """Whether an inference may end before step T."""
        return self.rule is not Rule.END

    def registers(self, between: int) -> int:
        """Pipeline registers from the scores to the result.

        Parameters
        ----------
        between : registers between the rounds of the tournament. Where there are any, the exit of
            the rule ``CERTAIN`` has one before its comparison.
        """
        if not self.is_early:
            return 1 + between
        return 2 + between + int(self.rule is Rule.CERTAIN and between > 0)

    def check(self, network: FixedPointNetwork) -> None:
        """Raise `InputError` unless the rule suits ``network``."""
        if not self.is_early:
            return
        if network.readout_mode is not ReadoutMode.COUNT:
            raise InputError(
                f"rule {self.rule.value} must have a network that counts spikes, "
                f"not one with the readout {network.readout_mode.value}: use the rule end"
            )
        highest = max(interval.high for interval in network.score_ranges)
        if self.threshold is not None and self.threshold > highest:
            raise InputError(
                f"threshold must be at most {highest}, the highest score that this network "
                f"can have, not {self.threshold!r}"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Decided:
    """What a rule made of a set of samples.

    Members
    -------
    labels : int64 array, shape (samples,)
    steps : int64 array, shape (samples,)
        Steps that the decision read, 1 to T.
    scores : int64 array, shape (samples, classes)
        As they stood at the decision.
    n_steps : T
    """

    labels: IntArray
    steps: IntArray
    scores: IntArray
    n_steps: int

    @property
    def saved(self) -> IntArray:
        """Steps that the decision did without, and clocks that its result came earlier."""
        return self.n_steps - self.steps


def step_scores(network: FixedPointNetwork, trace: SpikeTrace) -> IntArray:
    """Scores as they accumulate, shape (samples, steps, classes).

    Parameters
    ----------
    network : with `ReadoutMode.COUNT`
    trace : of any model of ``network``; its last layers' spikes are read

    Raises
    ------
    InputError
        If the network does not count spikes.
    """
    if network.readout_mode is not ReadoutMode.COUNT:
        raise InputError(
            f"network must count spikes, not have the readout {network.readout_mode.value}"
        )
    spikes = np.concatenate([layers[-1].spikes for layers in trace.layers], axis=2)
    counts = np.cumsum(spikes, axis=1, dtype=np.int64)
    scores: IntArray = counts @ network.readout_weights + network.readout_biases
    return scores


def decide(decision: Decision, network: FixedPointNetwork, scores: IntArray) -> Decided:
    """Apply a rule to scores as they accumulate.

    Parameters
    ----------
    scores : int64 array, shape (samples, steps, classes)
        From `step_scores`.

    Raises
    ------
    InputError
        If the rule does not suit the network, or the scores have another shape.
    """
    decision.check(network)
    expected = (network.n_steps, network.n_classes)
    if scores.ndim != 3 or scores.shape[1:] != expected:
        raise InputError(
            f"scores must have shape (samples, {expected[0]}, {expected[1]}), not {scores.shape}"
        )
    pairs = np.pad(scores, ((0, 0), (0, 0), (1, 0))) if network.n_classes == 1 else scores
    leaders = pairs.argmax(axis=2)  # the first among equals
    if decision.rule is Rule.CERTAIN:
        ends = _is_certain(network, pairs, leaders)
    elif decision.threshold is not None:
        ends = pairs.max(axis=2) >= decision.threshold
    else:
        ends = np.zeros(leaders.shape, dtype=np.bool_)
    ends[:, -1] = True
    step = ends.argmax(axis=1)
    samples = np.arange(len(scores))
    return Decided(
        labels=leaders[samples, step].astype(np.int64),
        steps=step.astype(np.int64) + 1,
        scores=scores[samples, step],
        n_steps=network.n_steps,
    )


def _is_certain(
    network: FixedPointNetwork, pairs: IntArray, leaders: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Whether the leader of each step cannot be overtaken, shape (samples, steps)."""
    n_classes = pairs.shape[2]
    lead = np.take_along_axis(pairs, leaders[:, :, None], axis=2) - pairs
    left = network.n_steps - 1 - np.arange(network.n_steps, dtype=np.int64)
    gain = margins(network)[:, leaders].transpose(1, 2, 0)  # of each class on the leader
    # A lower class wins a tie: against one, the leader must stay ahead.
    wins_tie = np.arange(n_classes)[None, None, :] < leaders[:, :, None]
    safe: npt.NDArray[np.bool_] = lead >= gain * left[None, :, None] + wins_tie
    return np.asarray(safe.all(axis=2))


def margins(network: FixedPointNetwork) -> IntArray:
    """Most that one step can add to score[c] - score[l], shape (classes c, classes l).

    ::

        M[c, l] = sum_j max(0, w[j, c] - w[j, l])

    which spikes of just those neurons reach. With g steps left, leader l is certain if for every
    other class c ``score[l] - score[c] >= g * M[c, l] + (1 if c < l else 0)``. Shape (2, 2) for a
    single class.
    """
    weights = network.readout_weights
    if network.n_classes == 1:
        weights = np.pad(weights, ((0, 0), (1, 0)))
    difference = weights[:, :, None] - weights[:, None, :]
    gains: IntArray = np.maximum(difference, 0).sum(axis=0, dtype=np.int64)
    return gains


def decided_trace(decision: Decision, network: FixedPointNetwork, trace: SpikeTrace) -> SpikeTrace:
    """Trace of ``network`` under a rule: scores and labels of its decision, and the steps it read.

    What the layers do in later steps stays in the trace: hardware does some of them, as they are on
    their way by then. Under `Rule.END` this is ``trace`` itself.

    Parameters
    ----------
    trace : of any model of ``network``

    Raises
    ------
    InputError
        If the rule does not suit the network.
    """
    decision.check(network)
    if not decision.is_early:
        return trace
    decided = decide(decision, network, step_scores(network, trace))
    return replace(
        trace,
        scores=decided.scores[:, None],
        labels=decided.labels[:, None],
        steps=decided.steps,
    )
