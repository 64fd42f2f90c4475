"""Tables with named columns, from csv or Parquet, as samples.

A row is a sample, and every column a feature but those that have a name of their own: a label, a
group, a split. With columns ``sample`` and ``step``, a row is one step of a series; with ``sample``
and the columns of `convexon.data.events.COLUMNS`, it is an event.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.data.events import COLUMNS
from convexon.errors import ArtefactError, InputError

Columns = Mapping[str, npt.NDArray[Any]]
Arrays = dict[str, npt.NDArray[Any]]

NAMED = {
    "labels": ("label", "labels", "class", "target"),
    "groups": ("group", "groups", "subject", "subjects"),
    "split": ("split",),
}
"""Columns that are no features, by the array that they become."""

SAMPLE, STEP = "sample", "step"
"""Columns that say which sample a row is of, and which step."""


def read_csv(path: Path) -> Arrays:
    """Return the columns of a csv file with a header, as `as_arrays` does.

    The separator is the comma, semicolon or tab that the header has most of.

    Raises
    ------
    ArtefactError
        If the file is no table of numbers with a header; it names row and column.
    InputError
        If columns do not go together.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            line = stream.readline()
            separator = max(",;\t", key=line.count)
            header = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
            first = next(csv.reader(stream, delimiter=separator), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArtefactError(f"{path} is no text in UTF-8: {error}") from error
    _require_header(path, header, first)
    texts = [k for k, name in enumerate(header) if _role(name) is not None or name == SAMPLE]
    numbers = [k for k in range(len(header)) if k not in texts]
    columns: Arrays = {}
    for places, kind in ((numbers, np.float64), (texts, np.str_)):
        if not places:
            continue
        table = _cells(path, separator, places, kind, header)
        columns |= {header[k]: _narrowed(table[:, i]) for i, k in enumerate(places)}
    return as_arrays({name: columns[name] for name in header}, str(path))


def _require_header(path: Path, header: list[str], first: list[str]) -> None:
    """Raise `ArtefactError` unless the first line names the columns."""
    if all(_is_number(name) for name in header):
        raise ArtefactError(
            f"{path} must begin with a line of column names, of which one may be label, not with "
            "numbers"
        )
    _require_once(path, header)
    if not first:
        raise ArtefactError(f"{path} must have rows below its line of column names")


def _require_once(path: Path, names: list[str]) -> None:
    """Raise `ArtefactError` unless each column has a name of its own."""
    twice = [name for name in names if names.count(name) > 1 or not name]
    if twice:
        raise ArtefactError(f"{path} must name each column once, not {twice[0]!r}")


def _cells(
    path: Path, separator: str, places: list[int], kind: type, header: list[str]
) -> npt.NDArray[Any]:
    """Some columns, shape (rows, columns)."""
    try:
        with warnings.catch_warnings():
            # An empty line is no row; numpy tells of it in terms of its own arguments.
            warnings.simplefilter("ignore", UserWarning)
            return np.loadtxt(
                path,
                dtype=kind,
                delimiter=separator,
                skiprows=1,
                usecols=places,
                ndmin=2,
                comments=None,
                quotechar='"',
                encoding="utf-8-sig",
            )
    except UnicodeDecodeError as error:
        raise ArtefactError(f"{path} is no text in UTF-8: {error}") from error
    except ValueError as error:
        told = ", ".join(f"column {k + 1} is {header[k]}" for k in places[:3])
        where = re.sub(  # numpy counts these rows from 0, below the header
            r"at row (\d+), column", lambda row: f"at row {int(row[1]) + 1}, column", str(error)
        )
        raise ArtefactError(
            f"{path} must hold a number in every cell of a feature: {where} ({told}); encode "
            "categories as numbers, and fill or drop what is missing"
        ) from None


def _narrowed(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Texts that are all integers as such, so that a class is called 3 and not '3'."""
    if column.dtype.kind != "U":
        return column
    stripped = np.char.strip(column)
    try:
        whole = stripped.astype(np.int64)
    except (ValueError, OverflowError):
        return stripped
    return whole if (whole.astype(str) == stripped).all() else stripped


def read_parquet(path: Path) -> Arrays:
    """Return the columns of a Parquet file, as `as_arrays` does.

    Raises
    ------
    ArtefactError
        If the file is damaged, or pyarrow is not installed.
    InputError
        If columns do not go together.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise ArtefactError(f"{path} is Parquet: pip install pyarrow to read it") from None
    try:
        names = parquet.read_schema(path).names
        _require_once(path, names)
        table = parquet.read_table(path)
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
    except (OSError, ValueError, NotImplementedError) as error:
        raise ArtefactError(f"{path} is damaged and no Parquet file: {error}") from error
    return as_arrays(columns, str(path))


def as_arrays(columns: Columns, place: str) -> Arrays:
    """Return columns as the arrays of `convexon.data.loading.ARRAYS`.

    Raises
    ------
    InputError
        If two columns are one thing, a feature is not numbers, or samples are no samples.
    """
    roles: dict[str, str] = {}
    for name in columns:
        role = _role(name)
        if role is None:
            continue
        if role in roles:
            raise InputError(f"{place} must have one column of {role}, not {roles[role]}, {name}")
        roles[role] = name
    arrays = {role: np.asarray(columns[name]) for role, name in roles.items()}
    rest = {name: columns[name] for name in columns if name not in roles.values()}
    if SAMPLE in rest:
        return _by_sample(rest, arrays, place)
    if not rest:
        raise InputError(f"{place} must have a column of numbers besides {', '.join(columns)}")
    return {"features": _table(rest, place), **arrays}


def _by_sample(rest: Columns, arrays: Arrays, place: str) -> Arrays:
    """Rows of one sample together: steps in their order, or events in that of time."""
    sample = np.asarray(rest[SAMPLE])
    is_events = all(name in rest for name in COLUMNS)
    order_by = COLUMNS[0] if is_events else STEP
    if order_by not in rest:
        raise InputError(
            f"{place} must have a column {STEP} beside {SAMPLE}, or {', '.join(COLUMNS)}"
        )
    for name in (SAMPLE, order_by):
        _require_present(rest[name], name, place)
    _, first, of_row = np.unique(sample, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[of_row.ravel()]  # samples in the order they come in
    order = np.lexsort((np.asarray(rest[order_by]), rank))
    lengths = np.bincount(rank)
    heads = np.sort(first)
    for role, values in arrays.items():
        if (values != values[heads][rank]).any():
            raise InputError(f"{place} must have one value of {role} for all rows of a sample")
    names = COLUMNS if is_events else [n for n in rest if n not in (SAMPLE, STEP)]
    if not names:
        raise InputError(f"{place} must have a column of numbers besides {', '.join(rest)}")
    values = _table({name: rest[name] for name in names}, place)[order]
    return {
        "events" if is_events else "series": values,
        "lengths": lengths,
        **{role: each[heads] for role, each in arrays.items()},
    }


def _require_present(column: npt.NDArray[Any], name: str, place: str) -> None:
    """Raise `InputError` where a row has nothing in a column, or several things."""
    for k, value in enumerate(column.tolist()):
        if value is None or (isinstance(value, float) and np.isnan(value)) or np.ndim(value):
            raise InputError(f"{place} must have one value in column {name} of every row: row {k}")


def _table(columns: Columns, place: str) -> npt.NDArray[Any]:
    """Columns of numbers side by side, shape (rows, columns)."""
    for name, values in columns.items():
        if np.asarray(values).dtype.kind not in "biuf":
            raise InputError(
                f"{place} must have numbers in column {name}: encode categories as numbers, and "
                "drop names and dates"
            )
    return np.column_stack([np.asarray(values) for values in columns.values()])


def _role(name: str) -> str | None:
    """The array that a column becomes, unless it is a feature."""
    return next((role for role, names in NAMED.items() if name.lower() in names), None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
