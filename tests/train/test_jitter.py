"""Jittered copies: samples that moved a little, whose labels and groups are their origins'."""

import re
from dataclasses import replace

import numpy as np
import pytest

from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.snn.coding import THRESHOLD
from convexon.snn.interface import is_image
from convexon.train.jitter import jittered, with_copies
from convexon.train.settings import SolveSettings


def blobs(n: int = 6, side: int = 12, dtype: type = float) -> np.ndarray:
    """Images with a bright square each."""
    images = np.zeros((n, side, side))
    images[:, 4:8, 5:9] = np.arange(1, n + 1)[:, None, None]
    return images.astype(dtype)


def waves(n: int = 5) -> np.ndarray:
    """Series (n, 30, 2) whose channels have ranges of their own."""
    t = np.arange(30)[:, None] + np.arange(n)[:, None, None]
    return np.concatenate([np.sin(t / 4), 100.0 + t / 30], axis=2)


def test_copies_follow_the_samples_and_keep_their_labels_and_groups() -> None:
    given = Samples.of(blobs(), list("aabbcc"), groups=[3, 3, 4, 5, 5, 6], name="blobs")
    more = with_copies(given, 2, coding=THRESHOLD, seed=0)
    assert np.array_equal(more.values[:6], given.values)
    assert np.array_equal(more.labels, np.tile(given.labels, 3))
    assert np.array_equal(more.groups, np.tile(given.groups, 3))
    assert more.name == "blobs, with 2 jittered copies each"
    for copy in (more.values[6:12], more.values[12:]):
        assert all((a != b).any() for a, b in zip(copy, given.values, strict=True))
    assert (more.values[6:12] != more.values[12:]).any()


def test_a_sample_without_a_group_is_one_with_its_copies() -> None:
    more = with_copies(Samples.of(blobs(), list("aabbcc")), 3, coding=THRESHOLD, seed=0)
    assert np.array_equal(more.groups, np.tile(np.arange(6), 4))


def test_the_seed_decides_and_no_copies_change_nothing() -> None:
    given = Samples.of(blobs(), list("aabbcc"))
    one, same, other = (
        with_copies(given, 1, coding=THRESHOLD, seed=seed).digest for seed in (1, 1, 2)
    )
    assert one == same
    assert other != one
    assert with_copies(given, 0, coding=THRESHOLD, seed=1) is given


@pytest.mark.parametrize(
    "dtype", [float, np.float32, np.float16, ">f8", np.uint8, np.int16, np.int64, bool]
)
def test_types_and_ranges_stay(dtype: str | type) -> None:
    images = blobs(dtype=dtype)
    moved = jittered(images, np.random.default_rng(0))
    assert (moved.dtype, moved.shape) == (images.dtype, images.shape)
    assert images.min() <= moved.min() <= moved.max() <= images.max()
    assert (moved != images).any()


def test_images_keep_their_size_and_nearly_their_place() -> None:
    """Of a disc near the middle; moves are of all kinds, and the same again by the same draws."""
    row, column = np.indices((28, 28))
    disc = (255 * ((row - 12) ** 2 + (column - 15) ** 2 < 30)).astype(np.uint8)
    images = np.tile(disc, (50, 1, 1))
    moved = np.asarray(jittered(images, np.random.default_rng(0)))
    lit = moved >= 128
    places = np.array([[where.mean() for where in np.nonzero(one)] for one in lit])
    assert np.abs(places - [12, 15]).max() < 3.0
    assert np.abs(places - [12, 15]).max(axis=0).min() > 0.5
    size = lit.sum(axis=(1, 2)) / (disc >= 128).sum()
    assert ((size > 0.7) & (size < 1.4)).all()
    assert len(np.unique(lit.reshape(50, -1), axis=0)) > 40
    assert np.array_equal(jittered(images, np.random.default_rng(0)), moved)


def test_colours_move_together() -> None:
    colours = np.stack([blobs(), 2 * blobs(), 3 * blobs()], axis=3)
    moved = jittered(colours, np.random.default_rng(0))
    assert np.allclose(moved[..., 1], 2 * moved[..., 0])
    assert np.allclose(moved[..., 2], 3 * moved[..., 0])


def test_a_series_moves_along_time_alone() -> None:
    """Channels that are functions of time keep what holds between them at each step."""
    t = np.linspace(0.0, 1.0, 40)
    series = np.tile(np.stack([t, 50.0 - 3.0 * t], axis=1), (20, 1, 1))
    moved = jittered(series, np.random.default_rng(0), image=False)
    assert np.allclose(moved[..., 1], 50.0 - 3.0 * moved[..., 0])
    assert (moved != series).any(axis=(1, 2)).all()


def test_series_are_told_from_images() -> None:
    given = Samples.of(waves(), list("aabbb"))
    more = with_copies(given, 4, coding=THRESHOLD, seed=0)
    assert ((more.values[..., 1] >= 100.0) & (more.values[..., 0] <= 1.0)).all()


def test_what_a_coding_of_series_reads_is_no_image() -> None:
    """Channels of one range, of which one is silent, look like pixels: the coding says more."""
    t = np.arange(30)[:, None] + np.arange(6)[:, None, None]
    series = np.concatenate([np.abs(np.sin(t / 3)), np.zeros_like(t, dtype=float)], axis=2)
    assert is_image(series)
    more = with_copies(Samples.of(series, list("aabbcc")), 3, coding="delta-4", seed=0)
    assert not more.values[..., 1].any()


@pytest.mark.parametrize("constant", [0.9, 21.37, -5.3, 1 / 3, 1.7e308])
def test_what_is_constant_stays_so(constant: float) -> None:
    """Interpolation would move its last digit, and scaling would make noise of that."""
    images = np.full((20, 9, 9), constant)
    assert (jittered(images, np.random.default_rng(0)) == constant).all()
    series = np.concatenate([waves(20), np.full((20, 30, 1), constant)], axis=2)
    assert (jittered(series, np.random.default_rng(0), image=False)[..., 2] == constant).all()


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64])
def test_the_ends_of_a_type_stay_in_it(dtype: type) -> None:
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    images = np.full((30, 8, 8), info.min, dtype=dtype)
    images[:, 2:6, 3:7] = info.max
    moved = jittered(images, np.random.default_rng(0))
    assert np.isfinite(moved.astype(float)).all()
    assert (moved[:, 3:5, 4:6].astype(float) > 0.9 * float(info.max)).all()  # none wraps
    assert (moved[:, 0, 0].astype(float) <= 0.9 * float(info.min)).all()


@pytest.mark.parametrize(
    ("samples", "coding", "message"),
    [
        (
            Samples.of(np.eye(4), list("aabb")),
            THRESHOLD,
            "jitter must be 0 for a table, whose features have no neighbours, not 2",
        ),
        (
            replace(Samples.of(blobs(dtype=bool), list("aabbcc")), are_spikes=True),
            "direct",
            "jitter must be 0 for spikes and intensities, not 2",
        ),
        (
            Samples.of(blobs(dtype=np.uint8), list("aabbcc")),
            "direct",
            "jitter must be 0 for spikes and intensities, not 2",
        ),
        (
            Samples.of(np.stack([blobs()] * 3, axis=1), list("aabbcc")),
            THRESHOLD,
            "jitter needs images of (height, width, channels), not (3, 12, 12): move the channels "
            "to the end",
        ),
    ],
    ids=["table", "spikes", "direct", "channels first"],
)
def test_what_cannot_move_is_refused(samples: Samples, coding: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        with_copies(samples, 2, coding=coding, seed=0)
    with pytest.raises(InputError, match=re.escape(message)):
        SolveSettings(jitter=2, coding=coding).on(samples)
