"""What can go wrong, in one place.

Every error that a user can cause derives from `ConvexonError`. Its text is one line that says what
is wrong, where, and how to mend it; the command line prints that line and exits with `EXIT_USAGE`.
"""

import math
import operator
from typing import SupportsIndex

EXIT_USAGE = 2
"""Exit code of the command line for any `ConvexonError`."""


class ConvexonError(Exception):
    """Root of all errors that a user can cause and mend."""


class InputError(ConvexonError, ValueError):
    """A value handed in by the user does not fit: shape, range, NaN, labels, an empty class."""


class FormatError(InputError):
    """An integer does not fit the number format that must hold it."""


class ArtefactError(ConvexonError):
    """A file is missing, truncated, tampered with, foreign, or of an unknown schema version."""


class ToolError(ConvexonError):
    """An external tool is missing, too old, or failed."""


class MissingToolError(ToolError):
    """An external tool is not installed; what only adds to a result can do without it."""


class LinkError(ConvexonError):
    """A board does not answer, or is not the one that was expected."""


class SolverError(ConvexonError):
    """A solver ended without reaching the accuracy that was asked for."""


class MismatchError(ConvexonError):
    """The hardware and the golden model disagree; the text names the first place where they do."""


class ClaimError(MismatchError):
    """A claim of a certificate does not hold; the text names the claim."""


def require_within(name: str, value: int, low: int, high: int) -> None:
    """Raise `InputError` unless ``value`` is ``low`` to ``high``."""
    if not low <= value <= high:
        raise InputError(f"{name} must be {low} to {high}, not {value!r}")


def require_positive(**values: float | None) -> None:
    """Raise `InputError` for the first value that is given and not positive and finite."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} must be positive, not {value!r}")


def require_counts(of: object, *names: str) -> None:
    """Raise `InputError` for the first of these members that is negative."""
    for name in names:
        if getattr(of, name) < 0:
            raise InputError(f"{name} must be 0 or more, not {getattr(of, name)!r}")


def require_integer(name: str, value: object) -> int:
    """Return an integer of any type, numpy's too, as an int; no bool, and no float.

    Raises
    ------
    InputError
    """
    if not isinstance(value, bool) and isinstance(value, SupportsIndex):
        return operator.index(value)
    raise InputError(f"{name} must be an integer, not {value!r}")


def require_type(name: str, value: object, *kinds: type) -> None:
    """Raise `InputError` unless ``value`` is of one of ``kinds``."""
    if not isinstance(value, kinds):
        told = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise InputError(f"{name} must be {told}, not {value!r}")
