"""Canonical signed digits: constants as the fewest shifts that are added or subtracted."""

from __future__ import annotations

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
