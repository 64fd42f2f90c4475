"""Weights that are made from a seed, so that hardware needs no memory for them.

A *row* is the number of a source (an input of the layer), a *neuron* the number of a witness. The
generator mixes the row into 64 bits; every bit of a weight is the exclusive or of four of them, so
that a weight of b bits costs hardware about b lookup tables, and the mixer is shared by all
neurons. Which four is a matter of the seed, the neuron and the bit, and no two bits of a seed have
the same four: as far as the mixed bits are random, any two weights of a row are independent.

The mixer has four words of 16 bits, each the row rotated, exclusive-or a key. A round is, with
words modulo 2**16 and keys that follow from the seed::

    a = a + b;  b = rotate(b) ^ a;  c = c + d;  d = rotate(d) ^ c;  b, d = d, b;  all words ^= keys

This is no cipher, and does not claim to be one: ``tests/snn/test_seeded.py`` says what was
looked at. Weights depend on nothing but seed, row and neuron: neither on how a layer is laid out
nor on how many neurons it has, so that a pruned layer is still made from its seed (`identify`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, require_within

IntArray = npt.NDArray[np.int64]

WORD_BITS = 16
WORDS = 4
MIXED_BITS = WORD_BITS * WORDS
"""Bits that a row is mixed into."""

SPREAD = (0, 5, 11, 14)
"""Places by which the row is rotated to the left for each word."""

ROTATIONS = ((5, 9), (7, 3), (11, 6))
"""Places by which words b and d are rotated to the left, round after round."""

TAPS = 4
"""Mixed bits that make one bit of a weight: what a lookup table of four inputs takes."""

MAX_BITS = 8
"""Widest weight."""

MAX_NEURONS = 1 << 16
"""Neurons of a seed."""

MAX_ROWS = 1 << WORD_BITS
"""Rows of a seed."""

_MASK = (1 << WORD_BITS) - 1
_PREFIX = 64
"""Rows by which `identify` finds candidates."""

_BLOCK = 2048
"""Neurons that it makes at once."""


def seeded_weights(
    seed: int, n_inputs: int, neurons: Sequence[int] | IntArray, *, bits: int
) -> IntArray:
    """Return the weights from every input to some neurons.

    Weights are uniform but for zero, which is twice as likely as any other value: they are codes
    of ``bits`` bits in two's complement, and the code of the most negative number means 0. So they
    are symmetric, as `convexon.train.witnesses.alphabet.Alphabet.integers` is; of 2 bits they are
    ternary, half of them zero.

    Parameters
    ----------
    seed : 0 to 2**32 - 1
    n_inputs : 1 to 65,536
    neurons : sequence or array of int
        Numbers of the neurons, each below 65,536.
    bits : 2 to 8

    Returns
    -------
    int64 array, shape (n_inputs, len(neurons))

    Raises
    ------
    InputError
        If an argument is out of its range.
    """
    require_within("seed", seed, 0, (1 << 32) - 1)
    require_within("n_inputs", n_inputs, 1, MAX_ROWS)
    require_within("bits of a seeded weight", bits, 2, MAX_BITS)
    numbers = np.asarray(neurons, dtype=np.int64)
    for extreme in (numbers.min(initial=0), numbers.max(initial=0)):
        require_within("number of a neuron", int(extreme), 0, MAX_NEURONS - 1)
    return _weights(seed, n_inputs, numbers, bits)


def identify(weights: IntArray, seed: int, *, bits: int) -> tuple[int, ...]:
    """Return the number of each neuron whose weights were made from ``seed``.

    Where several numbers give the same weights, which happens with few inputs, it is the lowest.

    Parameters
    ----------
    weights : int64 array, shape (n_inputs, n_neurons)

    Raises
    ------
    InputError
        If there is a neuron that no number explains; it names the first. And as `seeded_weights`.
    """
    return _identified(np.ascontiguousarray(weights).tobytes(), weights.shape, seed, bits)


@lru_cache(maxsize=64)
def _identified(content: bytes, shape: tuple[int, int], seed: int, bits: int) -> tuple[int, ...]:
    """`identify` of an array by its content: plans are made again and again."""
    weights = np.frombuffer(content, dtype=np.int64).reshape(shape)
    n_inputs, n_neurons = shape
    prefix = min(n_inputs, _PREFIX)
    candidates: dict[bytes, list[int]] = {}
    for j, column in enumerate(weights.T):
        candidates.setdefault(column[:prefix].tobytes(), []).append(j)
    found: dict[int, int] = {}
    for first in range(0, MAX_NEURONS, _BLOCK):
        block = range(first, first + _BLOCK)
        made = seeded_weights(seed, prefix, block, bits=bits)
        for number, start in zip(block, np.ascontiguousarray(made.T), strict=True):
            for j in candidates.get(start.tobytes(), ()):
                if j not in found and _explains(weights[:, j], seed, number, bits):
                    found[j] = number
        if len(found) == n_neurons:
            break
    missing = [j for j in range(n_neurons) if j not in found]
    if missing:
        raise InputError(
            f"weights must be made from seed {seed} with {bits} bits, which those of neuron "
            f"{missing[0]} are not: draw them with convexon.snn.seeded, or map the layer otherwise"
        )
    return tuple(found[j] for j in range(n_neurons))


def _explains(column: IntArray, seed: int, number: int, bits: int) -> bool:
    made = seeded_weights(seed, len(column), [number], bits=bits)[:, 0]
    return np.array_equal(made, column)


def round_keys(seed: int) -> tuple[tuple[int, ...], ...]:
    """Return the keys of the mixer's words: before the first round, and after each."""
    stream = _stream(seed)
    return tuple(
        tuple(next(stream) & _MASK for _ in range(WORDS)) for _ in range(1 + len(ROTATIONS))
    )


def taps(seed: int, neurons: npt.ArrayLike, bit: int) -> IntArray:
    """Return which mixed bits make bit ``bit`` of the weights of ``neurons``.

    A permutation, keyed by the seed, takes the number of neuron and bit to the number of a set of
    four, so that no two have the same.

    Returns
    -------
    int64 array, shape (len(neurons), 4)
        In descending order.
    """
    index = np.asarray(neurons, dtype=np.int64) * MAX_BITS + bit
    return _subset(_permuted(index, _tap_keys(seed)))


def _weights(seed: int, n_inputs: int, neurons: IntArray, bits: int) -> IntArray:
    mixed = _mixed(seed, np.arange(n_inputs, dtype=np.int64))
    code = np.zeros((n_inputs, len(neurons)), dtype=np.int64)
    for bit in range(bits):
        chosen = taps(seed, neurons, bit)
        parity = np.zeros(code.shape, dtype=np.uint8)
        for k in range(TAPS):
            parity ^= mixed[:, chosen[:, k]]
        place = -(1 << bit) if bit == bits - 1 else 1 << bit
        code += place * parity.astype(np.int64)
    code[code == -(1 << (bits - 1))] = 0
    return code


def _mixed(seed: int, rows: IntArray) -> npt.NDArray[np.uint8]:
    """Mixed bits of each of ``rows``, word after word, the lowest first: shape (rows, 64)."""
    first, *others = round_keys(seed)
    a, b, c, d = (_rotated(rows, place) ^ key for place, key in zip(SPREAD, first, strict=True))
    for (left, right), keys in zip(ROTATIONS, others, strict=True):
        a = (a + b) & _MASK
        c = (c + d) & _MASK
        b, d = _rotated(d, right) ^ c, _rotated(b, left) ^ a
        a, b, c, d = (word ^ key for word, key in zip((a, b, c, d), keys, strict=True))
    words = np.stack([a, b, c, d], axis=1)
    bits = (words[:, :, None] >> np.arange(WORD_BITS)) & 1
    return bits.reshape(len(rows), MIXED_BITS).astype(np.uint8)


def _rotated(words: IntArray, places: int) -> IntArray:
    """``words`` of 16 bits, rotated to the left."""
    return ((words << places) | (words >> (WORD_BITS - places))) & _MASK


def _stream(start: int) -> Iterator[int]:
    """Endless numbers of 32 bits: a Weyl sequence whose terms are mixed by multiplication."""
    state = start
    while True:
        state = (state + 0x9E3779B97F4A7C15) % (1 << 64)
        term = state
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            term = ((term ^ (term >> shift)) * factor) % (1 << 64)
        yield term >> 32


_CHOOSE: IntArray = np.array(
    [[math.comb(n, k) for n in range(MIXED_BITS + 1)] for k in range(TAPS + 1)], dtype=np.int64
)
"""Sets of k out of n, by k and n."""

_HALF_BITS = 10
"""Half the bits of the number of a set: 64 bits have 635,376 sets of four, less than 2**20."""


def _subset(rank: IntArray) -> IntArray:
    """Set number ``rank`` of four out of 64, in the order of its highest members: (..., 4)."""
    members = []
    for k in range(TAPS, 0, -1):
        member = np.searchsorted(_CHOOSE[k], rank, side="right") - 1
        rank = rank - _CHOOSE[k][member]
        members.append(member)
    return np.stack(members, axis=-1)


def _tap_keys(seed: int) -> list[int]:
    """Keys of the permutation's rounds."""
    stream = _stream(seed ^ (1 << 63))
    return [next(stream) for _ in range(4)]


def _permuted(index: IntArray, keys: list[int]) -> IntArray:
    """Permute the numbers of sets: a Feistel network on 20 bits, walked until it is in range."""
    index = _feistel(index, keys)
    outside = index >= _CHOOSE[TAPS][MIXED_BITS]
    while outside.any():
        index = np.where(outside, _feistel(index, keys), index)
        outside = index >= _CHOOSE[TAPS][MIXED_BITS]
    return index


def _feistel(index: IntArray, keys: list[int]) -> IntArray:
    mask = (1 << _HALF_BITS) - 1
    left, right = index >> _HALF_BITS, index & mask
    for key in keys:
        term = ((right ^ (key & mask)) + 1) * (key >> _HALF_BITS | 1)
        left, right = right, left ^ ((term ^ (term >> 7)) >> 5 & mask)
    return left << _HALF_BITS | right
