"""The two tiers of the suite: `make test` leaves out what only repeats, `make test-all` nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

exhaustive = pytest.mark.exhaustive
"""Marks a test that repeats another one with other numbers: CONTRIBUTING.md states the rule."""


def leading(values: Iterable[Any], n: int = 1) -> list[Any]:
    """Return parameters of a test, of which all but the first ``n`` are exhaustive."""
    every = list(values)
    return [*every[:n], *(pytest.param(value, marks=exhaustive) for value in every[n:])]
