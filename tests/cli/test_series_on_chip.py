"""A file of series, from its rows to what an encoder on chip is sent."""

from __future__ import annotations

import numpy as np
import pytest
from cli_bench import SMALL, invoke, refused

from convexon.data.dataset import DATASET
from convexon.data.encoder import Encoder, EncoderKind
from convexon.flow.hardware.stimulus import stimulus_of
from convexon.flow.run import Run
from convexon.plan.mapping import MAPPING


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two channels, of unequal length, by subjects."""
    place = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(0)
    lengths = 8 + np.arange(60) % 3
    classes = np.arange(60) % 2
    rows = [
        np.stack([np.linspace(0, 1, n), np.linspace(1, 0, n) ** (1 + 2 * c)], axis=1)[:: 1 - 2 * c]
        + rng.normal(0, 0.05, (n, 2))
        for n, c in zip(lengths, classes, strict=True)
    ]
    np.savez(
        place / "series.npz",
        series=np.concatenate(rows),
        lengths=lengths,
        labels=np.array(["up", "down"])[classes],
        groups=np.arange(60) // 6,
    )
    options = ("--coding", "delta-3", *SMALL, "--fan-in", "2")
    result = invoke("solve", place / "run", "--data", place / "series.npz", *options)
    assert result.exit_code == 0, result.output
    return Run(place / "run")


def test_encoder_of_eight_bits_makes_the_steps_of_the_host(folder: Run) -> None:
    assert invoke("map", folder.path, "--encoder", "delta").exit_code == 0
    mapping = folder.read("mapping", MAPPING).value
    assert mapping.encoder == Encoder(kind=EncoderKind.DELTA, bits=8, resolution=3)
    stimulus = stimulus_of(folder, mapping)
    own = folder.read("test", DATASET).value
    assert stimulus.transfers.shape == (own.n_samples, 10, 2)
    assert own.inputs.shape == (own.n_samples, 10, 4)
    assert np.array_equal(stimulus.inputs, own.inputs)


def test_encoder_of_another_kind_of_samples_is_refused(folder: Run) -> None:
    message = "--encoder latency must have a network that reads one vector of values a sample, not"
    refused(invoke("map", folder.path, "--encoder", "latency"), f"{message} one of delta-3 coding")
