"""Twins of the encoders on chip: by hand, against the codings, and their statistics."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.encoder import (
    LEVEL_KINDS,
    Encoder,
    EncoderKind,
    encode_levels,
    encode_transfers,
    next_state,
    rate_numbers,
    step_thresholds,
    transfers_of,
)
from convexon.errors import InputError
from convexon.snn.coding import CODINGS, INTENSITY, LATENCY, THRESHOLD, quantized
from convexon.snn.interface import Interface
from convexon.store.codec import from_json, to_json
from strategies import layer_of, network_of

ENCODERS = [
    Encoder(kind=kind, bits=bits, seed=7 if kind is EncoderKind.RATE else None)
    for kind in LEVEL_KINDS
    for bits in (1, 3, 8)
]


def steps_of(level: int, kind: EncoderKind, n_steps: int, bits: int) -> list[int]:
    encoder = Encoder(kind=kind, bits=bits)
    return encode_levels(encoder, np.array([[level]]), n_steps=n_steps)[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("level", "threshold", "latency", "planes"),
    [
        # Thresholds of four steps are 0.8, 0.6, 0.4 and 0.2, so 5.6, 4.2, 2.8 and 1.4 of 7.
        (7, [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1]),
        (5, [0, 1, 1, 1], [0, 1, 0, 0], [1, 0, 1, 1]),
        (2, [0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0]),
        (1, [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]),
        (0, [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_codings_by_hand(
    level: int, threshold: list[int], latency: list[int], planes: list[int]
) -> None:
    assert steps_of(level, EncoderKind.THRESHOLD, 4, 3) == threshold
    assert steps_of(level, EncoderKind.LATENCY, 4, 3) == latency
    assert steps_of(level, EncoderKind.BIT_PLANE, 4, 3) == planes
    assert steps_of(level, EncoderKind.HOLD, 2, 3) == [level, level]


@pytest.mark.parametrize("bits", range(1, 9))
def test_thresholds_are_those_of_the_coding_for_every_level(bits: int) -> None:
    """Both sides of the comparison in the coding are rounded by division, and rounding is monotone:
    it could only make different numbers equal. They differ by 1 / ((2**k - 1) (T + 1)) or more.
    """
    levels = np.arange(1 << bits)[None]
    features = levels / ((1 << bits) - 1)
    for n_steps in [*range(1, 34), 63, 64, 254, 255, 256, 1000]:
        for kind, coding in (
            (EncoderKind.THRESHOLD, THRESHOLD),
            (EncoderKind.LATENCY, LATENCY),
        ):
            twin = encode_levels(Encoder(kind=kind, bits=bits), levels, n_steps=n_steps)
            coded = CODINGS[coding].encode(features, n_steps=n_steps, bits=1)
            assert np.array_equal(twin, coded)


@pytest.mark.parametrize("bits", range(1, 9))
def test_held_levels_are_the_intensities_of_the_coding(bits: int) -> None:
    features = np.linspace(0, 1, 701)[None]
    held = encode_levels(
        Encoder(kind=EncoderKind.HOLD, bits=bits), quantized(features, bits=bits), n_steps=2
    )
    coded = CODINGS[INTENSITY].encode(features, n_steps=2, bits=bits)
    assert np.array_equal(held, coded)


@pytest.mark.parametrize(
    ("coding", "encoder"),
    [
        ("midpoint", Encoder(kind=EncoderKind.MIDPOINT, bits=8)),
        ("delta-3", Encoder(kind=EncoderKind.DELTA, bits=8, resolution=3)),
        ("crossing-2", Encoder(kind=EncoderKind.CROSSING, bits=8, resolution=2)),
    ],
)
def test_codings_of_series_are_those_of_the_chip_at_eight_bits(
    coding: str, encoder: Encoder
) -> None:
    """Whatever the series are: both sides round to levels first."""
    series = np.random.default_rng(2).random((20, 12, 3))
    interface = Interface.fitted(series, coding=coding, classes=(0, 1))
    levels = transfers_of(encoder, interface, series)
    assert levels.shape == series.shape
    on_chip = encode_transfers(encoder, levels, n_steps=12)
    assert np.array_equal(on_chip, interface.encode(series, n_steps=12, bits=1))
    with pytest.raises(InputError, match=r"^levels must have 11 steps, not 12$"):
        encode_levels(encoder, levels, n_steps=11)
    latency = Encoder(kind=EncoderKind.LATENCY, bits=8)
    message = "encoder latency must have a network that reads one vector of values a sample, not"
    with pytest.raises(InputError, match=f"^{message} one of {coding} coding$"):
        transfers_of(latency, interface, series)


@pytest.mark.parametrize(
    ("kind", "resolution", "message"),
    [
        (EncoderKind.DELTA, None, "resolution must be given for delta and crossing coding, and"),
        (EncoderKind.MIDPOINT, 2, "resolution must be given for delta and crossing coding, and"),
        (EncoderKind.HOLD, 2, "resolution must be given for delta and crossing coding, and"),
        (EncoderKind.CROSSING, 4, "resolution must be 1 to 3, the bits of a level, not 4"),
        (EncoderKind.DELTA, 0, "resolution must be 1 to 3, the bits of a level, not 0"),
    ],
)
def test_resolution_is_of_the_encoders_that_have_one(
    kind: EncoderKind, resolution: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        Encoder(kind=kind, bits=3, resolution=resolution)


@given(st.integers(1, 300), st.integers(1, 8))
def test_lowest_level_is_silent_and_the_highest_always_spikes(n_steps: int, bits: int) -> None:
    thresholds = step_thresholds(Encoder(kind=EncoderKind.LATENCY, bits=bits), n_steps=n_steps)
    assert thresholds.min() >= 1
    assert thresholds.max() <= (1 << bits) - 1
    assert (np.diff(thresholds) <= 0).all()


@given(st.integers(1, 8), st.integers(1, 3), st.data())
def test_bit_planes_give_the_level_back(bits: int, rounds: int, data: st.DataObject) -> None:
    levels = np.array([data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1))])
    encoder = Encoder(kind=EncoderKind.BIT_PLANE, bits=bits)
    planes = encode_levels(encoder, levels, n_steps=bits * rounds)[0].astype(np.int64)
    weights = 1 << (bits - 1 - np.arange(bits))
    for planes_of_round in planes.reshape(rounds, bits, -1):
        assert np.array_equal(weights @ planes_of_round, levels[0])


POLYNOMIAL = 1 << 32 | 1 << 22 | 0b111


def times(a: int, b: int) -> int:
    """Product of two polynomials over GF(2), modulo POLYNOMIAL."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a <<= 1
        a ^= POLYNOMIAL if a >> 32 else 0
        b >>= 1
    return product


def power(exponent: int) -> int:
    result, square = 1, 2
    while exponent:
        result = times(result, square) if exponent & 1 else result
        square = times(square, square)
        exponent >>= 1
    return result


def test_polynomial_of_the_register_is_primitive() -> None:
    period = (1 << 32) - 1
    primes = (3, 5, 17, 257, 65537)
    assert int(np.prod(primes, dtype=np.uint64)) == period
    assert power(period) == 1
    assert all(power(period // prime) != 1 for prime in primes)
    assert period % 2  # so eight shifts at a time have the same period


def test_register_follows_the_recurrence_of_the_polynomial() -> None:
    state, sequence = 0xACE1_2B4D, []
    for _ in range(40):
        sequence += [state >> n & 1 for n in range(8)]
        state = next_state(state)
    for n in range(len(sequence) - 32):
        expected = sequence[n] ^ sequence[n + 1] ^ sequence[n + 2] ^ sequence[n + 22]
        assert sequence[n + 32] == expected


def test_bytes_of_any_two_inputs_are_independent() -> None:
    """The 16 bits of two numbers, as functions of the state's 32, have full rank: exactly so."""

    def number(state: int, i: int, side: int) -> int:
        bytes_ = [state >> shift & 0xFF for shift in (0, 8, 16)]
        product = bytes_[0]
        for factor, byte in ((i % side, bytes_[1]), (i // side, bytes_[2])):
            for place in range(8):
                shifted = byte << place if factor >> place & 1 else 0
                for high in range(15, 7, -1):
                    shifted ^= 0x11D << (high - 8) if shifted >> high & 1 else 0
                product ^= shifted
        return product

    side = 28
    rng = np.random.default_rng(3)
    numbers = rate_numbers(
        Encoder(kind=EncoderKind.RATE, bits=8, seed=1), n_inputs=side * side, n_steps=1
    )[0]
    start = 0x9E3779B1
    assert numbers.tolist() == [number(start, i, side) for i in range(side * side)]
    pairs = rng.integers(0, side * side, (400, 2))
    for a, b in pairs[pairs[:, 0] != pairs[:, 1]].tolist():
        columns = [number(1 << k, a, side) << 8 | number(1 << k, b, side) for k in range(32)]
        rank = 0
        for place in range(16):
            pivot = next((c for c in columns[rank:] if c >> place & 1), None)
            if pivot is None:
                continue
            columns.remove(pivot)
            columns = [c ^ pivot if c >> place & 1 else c for c in columns]
            columns.insert(0, pivot)
            rank += 1
        assert rank == 16, (a, b)


def test_rate_of_each_level_and_correlation_of_inputs() -> None:
    n_steps, bits = 4096, 4
    encoder = Encoder(kind=EncoderKind.RATE, bits=bits, seed=1)
    numbers = rate_numbers(encoder, n_inputs=100, n_steps=n_steps)
    for level in range(1 << bits):
        rate = level / (1 << bits)
        deviation = (rate * (1 - rate) / n_steps) ** 0.5
        rates = (numbers < level).mean(axis=0)
        assert np.abs(rates - rate).max() <= 4.5 * deviation
    correlations = np.corrcoef((numbers < 8).T) - np.eye(100)
    assert np.abs(correlations).max() < 5 / n_steps**0.5
    for lag in (1, 2, 3, 4):  # nor is an input with itself or others at the steps that follow
        both = np.corrcoef((numbers[:-lag] < 8).T, (numbers[lag:] < 8).T)[:100, 100:]
        assert np.abs(both).max() < 5 / n_steps**0.5, lag


@pytest.mark.parametrize("seed", [1, 2, 3, 1000, 2**32 - 1])
def test_short_inferences_are_not_biased_by_small_seeds(seed: int) -> None:
    encoder = Encoder(kind=EncoderKind.RATE, bits=8, seed=seed)
    rate = (rate_numbers(encoder, n_inputs=784, n_steps=16) < 128).mean()
    assert abs(rate - 0.5) < 0.06


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: f"{e.kind.value}-{e.bits}")
def test_samples_do_not_depend_on_each_other(encoder: Encoder) -> None:
    levels = np.random.default_rng(4).integers(0, encoder.max_level + 1, (6, 5))
    together = encode_levels(encoder, levels, n_steps=7)
    alone = [encode_levels(encoder, row[None], n_steps=7)[0] for row in levels]
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: f"{e.kind.value}-{e.bits}")
def test_json_gives_the_encoder_back(encoder: Encoder) -> None:
    assert from_json(Encoder, to_json(encoder)) == encoder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 0}, "bits must be 1 to 8, not 0"),
        ({"bits": 9}, "bits must be 1 to 8, not 9"),
        (
            {"seed": 3},
            "seed must be given for rate coding, and for nothing else, not 3 with hold coding",
        ),
        (
            {"kind": EncoderKind.RATE},
            "seed must be given for rate coding, and for nothing else, not None with rate coding",
        ),
        ({"kind": EncoderKind.RATE, "seed": 0}, "seed must be 1 to 4294967295, not 0"),
        (
            {"kind": EncoderKind.RATE, "seed": 1 << 32},
            f"seed must be 1 to 4294967295, not {1 << 32}",
        ),
    ],
)
def test_encoder_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Encoder(**{"kind": EncoderKind.HOLD, "bits": 4, **changes})


@pytest.mark.parametrize(
    ("levels", "n_steps", "message"),
    [
        ([[1]], 0, "n_steps must be at least 1, not 0"),
        ([1], 2, "levels must have shape (samples, inputs), not (1,)"),
        ([[0.5]], 2, "levels must be integers, not float64"),
        ([[3], [8]], 2, "levels[1, 0] must lie in 0..7 (3 bits), not 8"),
        ([[3, -1]], 2, "levels[0, 1] must lie in 0..7 (3 bits), not -1"),
    ],
)
def test_levels_are_refused(levels: Any, n_steps: int, message: str) -> None:
    encoder = Encoder(kind=EncoderKind.HOLD, bits=3)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        encode_levels(encoder, np.array(levels), n_steps=n_steps)


def test_network_that_reads_something_else_is_refused() -> None:
    spikes = network_of((layer_of([[1]], [1]),), n_steps=2)
    intensities = network_of((layer_of([[1]], [1]),), n_steps=2, input_bits=3)
    Encoder(kind=EncoderKind.HOLD, bits=3).check(intensities)
    Encoder(kind=EncoderKind.LATENCY, bits=3).check(spikes)
    message = "encoder of kind hold must feed a network whose inputs have 3 bits, not 1"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Encoder(kind=EncoderKind.HOLD, bits=3).check(spikes)
    message = "encoder of kind latency must feed a network whose inputs have 1 bits, not 3"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Encoder(kind=EncoderKind.LATENCY, bits=3).check(intensities)
    with pytest.raises(InputError, match=r"^encoder must be of kind rate, not hold$"):
        rate_numbers(Encoder(kind=EncoderKind.HOLD, bits=3), n_inputs=1, n_steps=1)
    with pytest.raises(
        InputError, match=r"^rate coding must have at most 65536 inputs, not 65537$"
    ):
        rate_numbers(Encoder(kind=EncoderKind.RATE, bits=3, seed=1), n_inputs=65537, n_steps=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"kind": "x"},
            "encoder.kind must be one of threshold, latency, bit-plane, rate, hold, midpoint, "
            "delta, crossing, not 'x'",
        ),
        ({"kind": "hold"}, "bits of encoder must be given, which it is not"),
        ({"kind": "hold", "bits": True}, "encoder.bits must be an integer, not True"),
        (
            {"kind": "rate", "bits": 1, "seed": "a"},
            "encoder.seed must be an integer, not 'a'",
        ),
        (
            {"kind": "hold", "bit": 1},
            "encoder must have members of kind, bits, seed, resolution, not 'bit'",
        ),
    ],
)
def test_bad_json_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        from_json(Encoder, content, "encoder")


@pytest.mark.parametrize(
    ("features", "bits", "message"),
    [
        ([[0.5]], 9, "bits must be 1 to 8, not 9"),
        ([[0.5, 1.5]], 3, "values[0, 1] must lie in 0..1, not 1.5: scale them"),
        ([[np.nan]], 3, "values[0, 0] must be finite, not nan"),
    ],
)
def test_features_without_a_level_are_refused(features: Any, bits: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        quantized(features, bits=bits)
