"""Labels of any kind: numbers for the program, names for people and files."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.interface import ClassName
from convexon.store.untrusted import require_line

PLAIN = (bool, int, float, str)
"""Types of a class's name that a file holds as they are."""

REAL = (
    "{} must be classes, not real numbers: regression is not what these networks are certified "
    "for; round them, or bin them"
)
MULTI_LABEL = (
    "labels must be one class a sample, not several: a decision is one of C; fit a network for "
    "each label, or make each combination a class"
)


@dataclass(frozen=True, eq=False)
class Numbered:
    """Labels by number.

    Members
    -------
    numbers : int64 array, shape (samples,)
        Place of each sample's class in ``names``.
    names : what each class is called in files: itself if it is plain, else its text
    classes : the classes as they came
    """

    numbers: npt.NDArray[np.int64]
    names: tuple[ClassName, ...]
    classes: tuple[Hashable, ...]


def numbered(
    labels: Any, *, count: int, names: Sequence[ClassName] | None = None, what: str = "labels"
) -> Numbered:
    """Number labels of any hashable kind.

    Parameters
    ----------
    labels : array or sequence, shape (samples,)
        All numbers, all texts, or all of one other type, such as dates or tuples.
    count : samples
    names : names that the labels are of; those that occur, sorted, where None
    what : what the labels are called in messages

    Raises
    ------
    InputError
        If their number differs, one is missing or no class, kinds are mixed, two classes have one
        name, or a label is none of ``names``.
    """
    each = _listed(labels, count, what)
    _require_one_kind(each, what)
    if each and isinstance(each[0], float):
        each = [int(label) for label in each]
    places: dict[Any, int] = {}
    for label in each:
        places.setdefault(label, len(places))
    found = list(places)
    texts = [label if isinstance(label, PLAIN) else str(label) for label in found]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise InputError(f"{what} must have names of their own: two read {twice!r}")
    if names is None:
        order = sorted(range(len(found)), key=lambda k: texts[k])
        known = tuple(texts[k] for k in order)
        classes = tuple(found[k] for k in order)
    else:
        known, classes = tuple(names), tuple(names)
    place = {name: k for k, name in enumerate(known)}
    by_class = {}
    for label, text in zip(found, texts, strict=True):
        if text not in place:
            told = ", ".join(str(name) for name in known[:8])
            raise InputError(f"{what} must be of the classes {told}, not {text!r}")
        by_class[label] = place[text]
    numbers = np.array([by_class[label] for label in each], dtype=np.int64)
    return Numbered(numbers=numbers, names=known, classes=classes)


def _listed(labels: Any, count: int, what: str) -> list[Any]:
    """One label a sample, numpy's scalars as Python's."""
    if isinstance(labels, list | tuple) and any(isinstance(each, tuple) for each in labels):
        listed: list[Any] = list(labels)  # an array would take tuples apart
    else:
        array = np.asarray(labels)
        if array.ndim == 2 and len(array) == count and array.shape[1] > 1:
            raise InputError(MULTI_LABEL)
        if array.ndim != 1 or array.dtype.kind == "c":
            raise InputError(
                f"{what} must have shape ({count},), not {array.dtype} of {array.shape}"
            )
        if array.dtype.kind == "f":
            array = _whole(array, what)
        elif array.dtype.kind == "M":
            array = array.astype(str).astype(object)
        listed = array.tolist()
    if len(listed) != count:
        raise InputError(f"{what} must have shape ({count},), not ({len(listed)},)")
    return [each.item() if isinstance(each, np.generic) else each for each in listed]


def _whole(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.int64]:
    """Classes that came as floats, as a column of a table has them."""
    missing = np.flatnonzero(np.isnan(array))
    if len(missing):
        raise InputError(f"{what}[{missing[0]}] is missing: label every sample, or leave it out")
    array = array.astype(np.float64)
    if not ((np.abs(array) < 2.0**63) & (array == np.rint(array))).all():
        raise InputError(REAL.format(what))
    return array.astype(np.int64)


def _require_one_kind(each: list[Any], what: str) -> None:
    """Raise `InputError` where labels are missing, no classes, or of several kinds."""
    for k, label in enumerate(each):
        empty = isinstance(label, str) and not label.strip()
        if label is None or empty or (isinstance(label, float) and math.isnan(label)):
            raise InputError(f"{what}[{k}] is missing: label every sample, or leave it out")
        try:
            hash(label)
        except TypeError:
            raise InputError(MULTI_LABEL) from None
        if type(label) is int and label.bit_length() > 63:
            raise InputError(f"{what} must be integers of 64 bits, or texts, not {label}")
        if isinstance(label, str):
            require_line(label, f"{what}[{k}]")
        if type(label) is not type(each[0]):
            raise InputError(
                f"{what} must be all numbers or all texts, not {each[0]!r} and {label!r}"
            )
    if each and isinstance(each[0], float) and not all(label.is_integer() for label in each):
        raise InputError(REAL.format(what))
