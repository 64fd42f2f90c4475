"""Witnesses that see a rectangle of the data's own shape."""

from __future__ import annotations

import numpy as np
import pytest

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.progress import Quiet
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Reset
from convexon.train.columns.rows import distinct_rows
from convexon.train.settings import Sight, SolveSettings
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.stage import witnesses_for
from convexon.train.witnesses.witness import Field, WitnessFamily, draw_branch

SHAPE = (7, 9)


def images(n: int = 200, *, steps: int = 1) -> SpikeDataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    bright = rng.random((3, *SHAPE))[labels]
    spikes = rng.random((n, steps, *SHAPE)) < bright[:, None]
    return SpikeDataset(
        inputs=spikes.reshape(n, steps, -1).astype(np.uint8),
        labels=labels,
        n_classes=3,
        input_bits=1,
        name="images",
    )


def family(field: Field | None, *, fan_in: int = 63, memoryless: bool = True) -> WitnessFamily:
    return WitnessFamily(
        fan_in=fan_in,
        alphabet=Alphabet.parse("ternary"),
        leak=MEMORYLESS if memoryless else INTEGRATE,
        reset=Reset.NONE if memoryless else Reset.SUBTRACT,
        at_last=memoryless,
        field=field,
    )


def drawn(chosen: WitnessFamily, n: int = 150) -> np.ndarray:
    branch = draw_branch([chosen], images(), widths=[n], generator=np.random.default_rng(1))
    return branch.layers[0].weights


def test_weights_lie_within_a_rectangle_of_the_stated_sides() -> None:
    field = Field(places=np.arange(63).reshape(SHAPE), sides=(0.3, 0.6))
    weights = drawn(family(field), 600)
    for column in weights.T:
        rows, columns = np.nonzero(column.reshape(SHAPE))
        assert 1 <= np.ptp(rows) + 1 <= round(0.6 * 7)
        assert 1 <= np.ptp(columns) + 1 <= round(0.6 * 9)
    seen = np.count_nonzero(weights, axis=1)
    assert (seen > 0).all()  # no corner of the image is blind
    assert np.count_nonzero(weights, axis=0).max() > 8


def test_weights_are_differences_of_two_samples_there() -> None:
    """Ternary weights of binary samples: each is the sign of what two samples differ by."""
    field = Field(places=np.arange(63).reshape(SHAPE), sides=(0.3, 0.3))
    data = images(30).inputs[:, 0].astype(int)
    labels = images(30).labels
    branch = draw_branch(
        [family(field)], images(30), widths=[40], generator=np.random.default_rng(2)
    )
    pairs = [(a, b) for a in range(30) for b in range(30) if labels[a] != labels[b]]
    differences = np.array([data[a] - data[b] for a, b in pairs])
    for column in branch.layers[0].weights.T:
        read = np.flatnonzero(column)
        assert (differences[:, read] == column[read]).all(axis=1).any()


def test_the_fan_in_is_the_most_that_is_read() -> None:
    field = Field(places=np.arange(63).reshape(SHAPE), sides=(0.5, 0.9))
    fans = np.count_nonzero(drawn(family(field, fan_in=5)), axis=0)
    assert (fans.min(), fans.max()) == (fans.min(), 5)
    assert fans.min() >= 1


def test_channels_of_one_place_are_seen_together() -> None:
    field = Field.of((3, 4, 2))
    assert field is not None
    for seed in range(20):
        seen = field.drawn(np.random.default_rng(seed))
        assert set((seen ^ 1).tolist()) == set(seen.tolist())
    assert Field.of((24,)) is None


def test_thresholds_split_the_samples_with_and_without_a_memory() -> None:
    for memoryless in (True, False):
        field = Field(places=np.arange(63).reshape(SHAPE))
        branch = draw_branch(
            [family(field, memoryless=memoryless)],
            images(),
            widths=[100],
            generator=np.random.default_rng(1),
        )
        lowest = branch.layers[0].thresholds.min()
        assert (lowest < 1) == memoryless  # a membrane that is reset needs a positive one


def test_settings_choose_rectangles_for_images_alone() -> None:
    settings = SolveSettings()
    assert all(f.field is not None for f in settings.families(64, (8, 8)))
    assert all(f.field is None for f in settings.families(64, (64,)))
    assert all(f.field is None for f in SolveSettings(sight="all").families(64, (8, 8)))
    assert SolveSettings(sight="rectangle").sight is Sight.RECTANGLE
    with pytest.raises(InputError, match=r"^sight must be all for samples of shape \(64,\)"):
        SolveSettings(sight="rectangle").families(64, (64,))


def test_rectangles_of_series_are_refused() -> None:
    settings = SolveSettings(sight="rectangle", coding="delta-3")
    rows = distinct_rows(images(), settings.readout)
    with pytest.raises(InputError, match=r"^sight must be all for the coding delta-3, which reads"):
        witnesses_for(settings, images(), (), rows, Quiet())


@pytest.mark.parametrize(
    ("places", "sides", "message"),
    [
        (np.arange(6), (0.2, 0.7), "places must be"),
        (np.zeros((0, 3), int), (0.2, 0.7), "places must be"),
        (np.arange(6).reshape(2, 3), (0.0, 0.7), "sides must be a range within 0..1"),
        (np.arange(6).reshape(2, 3), (0.8, 0.7), "sides must be a range within 0..1"),
    ],
)
def test_a_field_of_wrong_values_is_refused(
    places: np.ndarray, sides: tuple[float, float], message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        Field(places=places, sides=sides)
