"""Digits with a bound over every neuron on windows, here of single pixels: the checker agrees."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from convexon.certify.check import check_file
from scripts import example

certified = example("mnist_certified")
digits = example("mnist_data")
SIDE = certified.SIDE


def dataset(n: int, *, seed: int):
    """Images of ten templates, one pixel in seven changed."""
    templates = np.random.default_rng(0).random((10, SIDE * SIDE)) < 0.3
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    images = 255 * (templates[labels] ^ (rng.random((n, SIDE * SIDE)) < 1 / 7))
    return digits.sequential(images.astype(np.uint8), labels.astype(np.int64), n_steps=1)


def test_an_interrupted_run_ends_near_the_best_and_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certified, "WINDOW", 1)
    train, test = dataset(60, seed=1), dataset(40, seed=2)
    site = certified.site_of(train)
    kept, seen = tmp_path / certified.COLUMNS, []
    plan = certified.Pricing(rho=2e-2, gap=1e-3, per_round=40, rounds=2)
    certified.fit_certified(site, train, plan, seed=0, kept=kept, progress=seen.append)
    assert len(seen) == 2
    plan = certified.Pricing(rho=2e-2, gap=1e-3, per_round=40)
    fitted = certified.fit_certified(site, train, plan, seed=0, kept=kept, progress=seen.append)
    assert seen[2].n_columns == seen[1].n_columns > 0
    given = Namespace(run=tmp_path / "run", seed=0, readout_bits=8, rho=2e-2)
    certified.keep(given, train, test, fitted)
    verdict = check_file(given.run)
    assert [found.line for found in verdict.findings if not found.checked] == []
    bound = verdict.certificate.windows
    assert bound.sets[0].n_neurons == 2 * SIDE * SIDE
    assert 0 <= 1 - bound.lower_bound / verdict.certificate.primal <= 1e-3
    assert "the least over any number of 1,568 threshold units on 784 windows" in verdict.claim
