"""Canonical signed digits: constants as the fewest shifts that are added or subtracted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LUT_INPUTS = 4
"""Inputs of the lookup table that ECP5, iCE40 and Gowin parts are made of."""


def signed_digits(number: int) -> tuple[tuple[int, int], ...]:
    """Canonical signed digits of ``number``: (place, +1 or -1), lowest place first.

    No two are adjacent, and no other sum of signed powers of two has fewer terms: 7 is 8 - 1.
    """
    digits: list[tuple[int, int]] = []
    place = 0
    while number:
        if number & 1:
            digit = 2 - (number & 3)  # ...01 -> +1, ...11 -> -1
            digits.append((place, digit))
            number -= digit
        number >>= 1
        place += 1
    return tuple(digits)


def n_signed_digits(weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many canonical signed digits each weight has, for a whole array at once."""
    magnitude = np.abs(weights)
    # A run of ones is a power of two above it less one at its end: 3 w has a digit wherever w's
    # canonical form has one, and w itself tells where it is not.
    return np.bitwise_count((3 * magnitude) ^ magnitude).astype(np.int64)
