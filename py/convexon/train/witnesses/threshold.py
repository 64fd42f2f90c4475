"""Recurrent threshold branches, and the LIF neuron as a special case of them.

The networks of arXiv:2605.08022 are parallel recurrent threshold networks: a layer computes

    h_t = 1{P_in^T x_t + P_rec^T h_(t-1) >= theta},        h_0 = 0

which is `convexon.snn.neuron`'s contract with a full leak and no reset. Its statements, in our
words:

- *Duality.* With K parallel branches under a linear readout and a penalty on the path norm, the
  training problem has the bidual ``min_W L(D W, Y) + rho ||W||_1`` over the dictionary D of all
  last-step patterns that some branch realises. There is no gap once K is at least some K* <= n + 1:
  Slater's condition holds for ``W = 0`` inside any finite loss, and by Caratheodory's theorem an
  optimum needs at most n + 1 of the patterns for each output.
- *Path regularisation.* Scaling all weights into a unit, and its threshold with them, by any
  positive factor changes no spike. So a branch's path norm can be moved into its readout weight,
  which is why the penalty is on ``||W_j||`` alone, and why integer weights lose nothing but the
  resolution of their ratios.
- *LIF as a special case.* Unrolling ``v_t = beta v_(t-1) + W^T x_t - theta s_t`` gives

      s_t = 1{sum_k beta^k W^T x_(t-k) - theta sum_(k>=1) beta^k s_(t-k) >= theta}

  a threshold unit whose weights on past inputs and spikes are tied to powers of beta. The past is
  held by units that copy, so T steps need no more than T - 1 copies; a test builds it. It holds for
  reset by subtraction and for no reset; a reset to zero is no linear function of the past. It is
  exact where the integer leak never rounds: every membrane a multiple of 2^f before each leak, as
  with all weights and thresholds multiples of 2^(f (T - 1)), which the rescaling above makes of any
  grid.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.models.simulate import layer_spikes
from convexon.snn.network import Layer
from convexon.snn.neuron import MEMORYLESS, Reset
from convexon.snn.ranges import weighted_range
from convexon.train.witnesses.alphabet import Alphabet

IntArray = npt.NDArray[np.int64]


def threshold_layer(
    weights: npt.ArrayLike,
    thresholds: npt.ArrayLike,
    recurrent: npt.ArrayLike | None = None,
) -> Layer:
    """Return the layer ``h_t = 1{P_in^T x_t + P_rec^T h_(t-1) >= theta}``.

    ``weights`` are P_in (inputs, units), ``thresholds`` theta (units,), and ``recurrent`` P_rec
    (units, units), which is none where it is left out or holds zeros alone.

    Raises `InputError` if a shape does not fit or a value is not an integer.
    """
    into, levels = np.asarray(weights), np.asarray(thresholds)
    lateral = None if recurrent is None or not np.any(recurrent) else np.asarray(recurrent)
    every = [0, *into.ravel().tolist(), *([] if lateral is None else lateral.ravel().tolist())]
    return Layer(
        weights=into,
        thresholds=levels,
        biases=np.zeros(levels.shape, dtype=np.int64),
        recurrent=lateral,
        leak=MEMORYLESS,
        reset=Reset.NONE,
        weight_format=QFormat(width_of(Interval.hull(every))),
        threshold_format=QFormat(width_of(Interval.hull([0, *levels.ravel().tolist()]))),
    )


def delay_line(n_inputs: int, n_taps: int) -> Layer:
    """Return a layer of taps: unit ``k * n_inputs + i`` fires where input i did k steps ago.

    A last layer above it sees the last ``n_taps`` steps at once, the present one among them. Its
    copies are its lateral weights; in hardware a tap is a flip-flop.

    Raises `InputError` if there is no tap.
    """
    if n_taps < 1:
        raise InputError(f"n_taps must be at least 1, not {n_taps!r}")
    n = n_inputs * n_taps
    weights = np.zeros((n_inputs, n), dtype=np.int64)
    weights[:, :n_inputs] = np.eye(n_inputs, dtype=np.int64)
    lateral = np.eye(n, k=n_inputs, dtype=np.int64)
    return threshold_layer(weights, np.ones(n, dtype=np.int64), lateral)


def self_exciting(
    inputs: npt.NDArray[np.uint8], reach: Interval, *, alphabet: Alphabet, max_units: int = 512
) -> Layer:
    """Return every unit with a weight on its own last spike that behaves in a way of its own.

    Weights on the inputs and on the unit's spike of the step before are all values of the alphabet,
    thresholds all levels that can be reached: the smallest units with a memory, such as a carry. Of
    those with equal spikes on ``inputs`` (samples, steps, inputs) the first is kept.

    Raises `InputError` if there are more than ``max_units``, or none.
    """
    n_inputs = inputs.shape[2]
    seen: set[bytes] = set()
    units: list[tuple[tuple[int, ...], int]] = []
    for vector in product(alphabet.values.tolist(), repeat=n_inputs + 1):
        if not vector[-1] or not any(vector[:-1]):
            continue
        span = weighted_range(np.array(vector[:-1]), reach)
        levels = np.arange(span.low + min(vector[-1], 0) + 1, span.high + max(vector[-1], 0) + 1)
        layer = threshold_layer(
            np.repeat(np.array(vector[:-1])[:, None], len(levels), axis=1),
            levels,
            vector[-1] * np.eye(len(levels), dtype=np.int64),
        )
        spikes = layer_spikes(layer, inputs, reach)
        for j, level in enumerate(levels.tolist()):
            key = np.packbits(spikes[:, :, j]).tobytes()
            if key not in seen and 0 < spikes[:, :, j].mean() < 1:
                seen.add(key)
                units.append((vector, level))
    if not 1 <= len(units) <= max_units:
        raise InputError(
            f"max_units must hold the {len(units)} self-exciting units that differ, not "
            f"{max_units}: take a smaller alphabet"
        )
    vectors = np.array([vector for vector, _ in units], dtype=np.int64)
    thresholds = np.array([level for _, level in units], dtype=np.int64)
    return threshold_layer(vectors[:, :-1].T, thresholds, np.diag(vectors[:, -1]))
