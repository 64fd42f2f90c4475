"""Weight images: their words, and what they are refused for."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from convexon.errors import FormatError, InputError
from convexon.plan.image import (
    MAGIC,
    fingerprint,
    image_digest,
    loaded_plans,
    weight_image,
)
from convexon.plan.mapping import Folded, Mapping, Spatial, Weights
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, FixedPointNetwork
from strategies import image_words, interface_of, layer_of, network_of

RNG = np.random.default_rng(4)


def loaded(lanes: int, banks: int = 1) -> Folded:
    return Folded(lanes=lanes, banks=banks, weights=Weights.LOADED)


def network() -> FixedPointNetwork:
    """Two branches on 5 inputs; the first has a second, recurrent layer."""
    first = layer_of(RNG.integers(-8, 8, (5, 3)), [4, 5, 6], weight_format=QFormat(4))
    second = layer_of(
        RNG.integers(-60, 60, (3, 5)),
        [9] * 5,
        recurrent=RNG.integers(-60, 60, (5, 5)),
        weight_format=QFormat(7),
    )
    other = layer_of(RNG.integers(-8, 8, (5, 2)), [3, 3], weight_format=QFormat(4))
    return network_of((first, second), (other,), n_steps=3)


MAPPING = Mapping(layers=((loaded(2, 2), loaded(5, 3)), (loaded(2, 2),)))


def with_weights(source: FixedPointNetwork, b: int, depth: int, **changes) -> FixedPointNetwork:  # type: ignore[no-untyped-def]
    branches = [list(branch.layers) for branch in source.branches]
    branches[b][depth] = replace(branches[b][depth], **changes)
    return replace(source, branches=tuple(Branch(tuple(layers)) for layers in branches))


def bits_of(words: list[int], offset: int, width: int) -> int:
    """A signed field of a row."""
    value = sum(word << (32 * k) for k, word in enumerate(words)) >> offset & ((1 << width) - 1)
    return value - (1 << width) if value >> (width - 1) else value


def test_rows_are_engine_by_engine_bank_by_bank_and_address_by_address() -> None:
    net = network()
    words = image_words(weight_image(net, MAPPING))
    assert words[:3] == [
        int.from_bytes(b"CVW1", "little"),
        fingerprint(net, MAPPING),
        len(words) - 4,
    ]
    body = words[3:-1]
    # First engine: both first layers side by side, 5 neurons in 3 folds of 2, 5 sources in 2 banks.
    shallow = np.hstack([net.branches[0].layers[0].weights, net.branches[1].layers[0].weights])
    place = 0
    for bank in range(2):
        for fold in range(3):
            for row in range(3):
                source = 2 * row + bank
                for lane in range(2):
                    j = 2 * fold + lane
                    inside = source < 5 and j < 5
                    want = int(shallow[source, j]) if inside else 0
                    assert bits_of([body[place]], 4 * lane, 4) == want
                place += 1
    # Second engine: 8 sources in 3 banks, rows of 35 bits in two words.
    deep = np.vstack([net.branches[0].layers[1].weights, net.branches[0].layers[1].recurrent])
    for bank in range(3):
        for row in range(3):
            source = 3 * row + bank
            for lane in range(5):
                want = int(deep[source, lane]) if source < 8 else 0
                assert bits_of(body[place : place + 2], 7 * lane, 7) == want
            place += 2
    assert place == len(body)


def test_last_word_is_the_crc_of_all_others() -> None:
    image = weight_image(network(), MAPPING)
    assert int.from_bytes(image[-4:], "little") == zlib.crc32(image[:-4])
    # Bit by bit, as the document has it.
    register = 0xFFFFFFFF
    for byte in image[:-4]:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    assert register ^ 0xFFFFFFFF == zlib.crc32(image[:-4])
    assert int.from_bytes(image[:4], "little") == MAGIC


def test_digest_is_of_the_whole_image() -> None:
    image = weight_image(network(), MAPPING)
    assert image_digest(image).startswith("sha256:")
    assert image_digest(image) != image_digest(image[:-1] + bytes([image[-1] ^ 1]))


def test_fingerprint_is_that_of_all_that_is_not_loaded() -> None:
    net = network()
    own = fingerprint(net, MAPPING)
    layer = net.branches[0].layers[1]
    same = [
        with_weights(net, 0, 0, weights=-net.branches[0].layers[0].weights // 2),
        with_weights(net, 0, 1, recurrent=np.zeros((5, 5), dtype=np.int64)),
        replace(net, interface=interface_of(net)),
    ]
    others = [
        with_weights(net, 0, 0, thresholds=[4, 5, 7]),
        with_weights(net, 0, 1, biases=[1, 0, 0, 0, 0]),
        with_weights(net, 0, 1, weight_format=QFormat(8)),
        replace(net, readout_weights=2 * net.readout_weights),
        replace(net, n_steps=4),
    ]
    assert [fingerprint(one, MAPPING) for one in same] == [own] * len(same)
    assert own not in [fingerprint(other, MAPPING) for other in others]
    mapping = replace(MAPPING, layers=((loaded(2, 2), loaded(5, 2)), (loaded(2, 2),)))
    assert fingerprint(net, mapping) != own
    for k, other in enumerate(others):
        with pytest.raises(InputError, match=f"^network must be that of the accelerator {own:08x}"):
            weight_image(other, MAPPING, accelerator=own)
        assert len(image_words(weight_image(other, MAPPING))) > 0, k
    assert weight_image(same[0], MAPPING, accelerator=own) != weight_image(net, MAPPING)
    # The weights of a layer that is not loaded are the accelerator's own.
    partly = replace(MAPPING, layers=((loaded(2, 2), Spatial()), (loaded(2, 2),)))
    changed = with_weights(net, 0, 1, weights=layer.weights // 2)
    assert fingerprint(changed, partly) != fingerprint(net, partly)


def test_weights_beyond_the_format_are_refused() -> None:
    net = network()
    weights = net.branches[0].layers[0].weights.copy()
    weights[1, 2] = 8
    with pytest.raises(FormatError, match=r"^weights\[1, 2\] must lie in -8\.\.7"):
        with_weights(net, 0, 0, weights=weights)


def test_extreme_weights_fit() -> None:
    net = with_weights(network(), 0, 0, weights=np.full((5, 3), -8))
    (plan, _) = loaded_plans(net, MAPPING)
    assert plan.weight_width == 4
    words = image_words(weight_image(net, MAPPING))
    assert words[3] & 0xFF == 0x88


def test_nothing_to_load_is_refused() -> None:
    net = network()
    with pytest.raises(InputError, match=r"^mapping must have a layer with loaded weights"):
        weight_image(net, Mapping.spatial(net))
    with pytest.raises(InputError, match=r"^mapping must have \[2, 1\] layers by branch"):
        weight_image(net, Mapping(layers=((loaded(2),),)))
