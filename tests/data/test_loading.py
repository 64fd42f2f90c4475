"""Files of samples: every form that is read, and what is said of the others."""

from __future__ import annotations

import gzip
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from convexon.data.loading import TOLD, from_file, load_samples, to_npz
from convexon.data.samples import Samples
from convexon.errors import ArtefactError, InputError


def file_with(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


GOOD = {"features": np.array([[0, 5], [10, 5], [5, 0]]), "labels": np.array([0, 1, 1])}


def test_file_of_a_user_comes_in_as_it_is(tmp_path: Path) -> None:
    path = file_with(tmp_path, **GOOD)
    for data in (from_file(path), load_samples(str(path))):
        assert data.values.tolist() == GOOD["features"].tolist()
        assert (data.labels.tolist(), data.classes, data.name) == ([0, 1, 1], (0, 1), "data")


def test_file_may_hold_spikes_no_labels_and_other_arrays(tmp_path: Path) -> None:
    spikes = np.ones((3, 4, 2), np.uint8)
    data = from_file(file_with(tmp_path, spikes=spikes, names=np.array(["x"])))
    assert (data.values.shape, data.values.dtype, data.labels) == ((3, 4, 2), np.uint8, None)


def test_labels_of_a_file_may_be_texts(tmp_path: Path) -> None:
    data = from_file(file_with(tmp_path, features=GOOD["features"], labels=["b", "a", "b"]))
    assert (data.classes, data.labels.tolist()) == (("a", "b"), [1, 0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": [["a"], ["b"], ["c"]]}, "samples must be numbers, not <U1"),
        ({"features": [0.0, 1, 2]}, "samples must have shape (samples, features), none 0, not (3,"),
        ({"features": np.zeros((0, 2))}, "labels must have shape (0,), not (3,)"),
        ({"labels": [0, 1]}, "labels must have shape (3,), not (2,)"),
        ({"labels": [0.5, 1, 1]}, "labels must be classes, not real numbers: regression is not"),
        ({"labels": [[0, 1, 1]]}, "labels must have shape (3,), not int64 of (1, 3)"),
        ({"labels": np.eye(3, dtype=int)}, "labels must be one class a sample, not several"),
        ({"labels": np.zeros(0, int)}, "labels must have shape (3,), not (0,)"),
        ({"lengths": [1, 2]}, "lengths must be left out for features: name the array series or"),
    ],
)
def test_file_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = file_with(tmp_path, **{**GOOD, **changes})
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        from_file(path)


# Series, events, groups and splits


def test_series_of_unequal_length_are_padded_with_their_last_values(tmp_path: Path) -> None:
    rows = np.array([[1, 10], [2, 20], [3, 30], [4, 40]])
    series = from_file(file_with(tmp_path, series=rows, lengths=[1, 3], labels=["a", "b"]))
    assert series.values.tolist() == [[[1, 10]] * 3, [[2, 20], [3, 30], [4, 40]]]
    spikes = from_file(file_with(tmp_path, spikes=rows > 2, lengths=[3, 1]))
    assert spikes.values[1].tolist() == [[True, True], [False, False], [False, False]]
    assert (spikes.are_spikes, series.are_spikes) == (True, False)


EVENTS = np.array(
    [[10, 1, 0, 1], [11, 0, 1, 0], [20, 1, 1, 1], [5, 0, 0, 0], [5, 0, 0, 0], [5, 1, 1, 1]]
)


@pytest.mark.parametrize("steps", ["of the file", "of the caller"])
def test_events_are_binned_to_steps(tmp_path: Path, steps: str) -> None:
    own = {"steps": 2} if steps == "of the file" else {}
    path = file_with(tmp_path, events=EVENTS, lengths=[3, 3], labels=[0, 1], **own)
    data = from_file(path, n_steps=9 if own else 2)
    assert (data.values.shape, data.are_spikes) == ((2, 2, 8), True)
    # polarity, row, column
    first = data.values[0].reshape(2, 2, 2, 2)
    assert sorted(map(tuple, np.argwhere(first).tolist())) == [
        (0, 0, 1, 0),
        (0, 1, 0, 1),
        (1, 1, 1, 1),
    ]
    second = data.values[1].reshape(2, 2, 2, 2)
    assert sorted(map(tuple, np.argwhere(second).tolist())) == [(0, 0, 0, 0), (0, 1, 1, 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": None}, "lengths must be given: events of each sample, one after the other"),
        ({"lengths": [3, 4]}, "lengths must sum up to the 6 rows there are, not 7"),
        ({"lengths": [6, 0]}, "lengths must be positive integers, one a sample"),
        ({"lengths": [3.0, 3.0]}, "lengths must be positive integers, one a sample"),
        ({"steps": 2.5}, "the file must have an integer steps: events are binned to so many"),
        ({"steps": 0}, "n_steps must be at least 1, not 0"),
        ({"steps": None}, "the file must have an integer steps: events are binned to so many"),
        ({"sensor": [2]}, "sensor must be two integers, height and width, not [2]"),
        ({"sensor": [1, 2]}, "events of sample 0 must lie on the sensor of 1 rows and 2 columns"),
        ({"sensor": [1 << 20, 1 << 20]}, "events must give at most"),
        ({"events": EVENTS[:, :3]}, "events of sample 0 must have shape (events, 4): t, x, y, po"),
        ({"events": EVENTS - 1}, "events of sample 0 must have whole x and y from 0 on"),
        ({"events": EVENTS * np.nan}, "events of sample 0 must be finite numbers"),
        ({"events": EVENTS + np.array([0, 0, 0, 2])}, "events of sample 0 must have a polarity o"),
    ],
)
def test_events_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    arrays = {"events": EVENTS, "lengths": [3, 3], "steps": 2, **changes}
    path = file_with(tmp_path, **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        from_file(path)


def test_groups_and_split_of_a_file_come_along_and_back(tmp_path: Path) -> None:
    data = from_file(
        file_with(tmp_path, **GOOD, groups=["ann", "bob", "ann"], split=["train", "test", "train"])
    )
    assert data.groups.tolist() == [0, 1, 0]
    assert data.held_out.tolist() == [False, True, False]
    to_npz(tmp_path / "again.npz", data)
    assert from_file(tmp_path / "again.npz").digest == data.digest


def test_npy_is_samples_without_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GOOD["features"])
    data = from_file(tmp_path / "x.npy")
    assert (data.values.tolist(), data.labels) == (GOOD["features"].tolist(), None)
    np.save(tmp_path / "x.npy", np.array([[{}]]), allow_pickle=True)
    unreadable(tmp_path / "x.npy")


# Tables


def write_csv(path: Path, columns: dict[str, list[Any]], separator: str = ",") -> None:
    rows = [separator.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([separator.join(columns), *rows]) + "\n", encoding="utf-8")


def write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    parquet.write_table(pa.table(columns), path)


WRITERS = {
    "comma": write_csv,
    "semicolon": lambda path, columns: write_csv(path, columns, ";"),
    "tab": lambda path, columns: write_csv(path, columns, "\t"),
    "parquet": write_parquet,
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Samples]:
    """Writes columns in one of the forms, and reads them."""

    def written(**columns: list[Any]) -> Samples:
        path = tmp_path / "any name"
        WRITERS[request.param](path, columns)
        return from_file(path)

    return written


def test_table_of_named_columns_is_read(write: Callable[..., Samples]) -> None:
    data = write(
        width=[1.5, 2, 3], Label=["b", "a", "b"], height=[4, 5, 6],
        subject=["ann", "bob", "ann"], split=["train", "test", "train"],
    )  # fmt: skip
    assert data.values.tolist() == [[1.5, 4], [2, 5], [3, 6]]
    assert (data.classes, data.labels.tolist()) == (("a", "b"), [1, 0, 1])
    assert (data.groups.tolist(), data.held_out.tolist()) == ([0, 1, 0], [False, True, False])


def test_class_that_is_a_number_is_called_by_it(write: Callable[..., Samples]) -> None:
    assert write(x=[1, 2, 3], label=[3, 7, 3]).classes == (3, 7)


def test_table_without_labels_is_read(write: Callable[..., Samples]) -> None:
    assert write(x=[1, 2], z=[3, 4]).labels is None


def test_rows_that_are_steps_become_series(write: Callable[..., Samples]) -> None:
    data = write(sample=["p", "q", "p", "q", "q"], step=[1, 2, 0, 0, 1], x=[1, 2, 0, 10, 11],
                 label=["b", "a", "b", "a", "a"])  # fmt: skip
    assert data.values[:, :, 0].tolist() == [[0, 1, 1], [10, 11, 2]]
    assert [data.classes[k] for k in data.labels] == ["b", "a"]


def test_rows_that_are_events_are_binned(write: Callable[..., Samples], tmp_path: Path) -> None:
    columns = dict(zip(("t", "x", "y", "polarity"), EVENTS.T.tolist(), strict=True))
    with pytest.raises(InputError, match=r"^the file must have an integer steps"):
        write(sample=[0] * 3 + [1] * 3, **columns)
    data = from_file(tmp_path / "any name", n_steps=2)
    path = file_with(tmp_path, events=EVENTS, lengths=[3, 3], steps=2)
    assert (data.values == from_file(path).values).all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1], "label": [1], "Class": [1]}, "must have one column of labels, not label, Clas"),
        ({"label": [1, 2]}, "must have a column of numbers besides label"),
        ({"sample": [1], "x": [1]}, "must have a column step beside sample, or t, x, y, polarity"),
        ({"sample": [1, 1], "step": [0, 1], "x": [1, 2], "label": [0, 1]},
         "must have one value of labels for all rows of a sample"),
        ({"sample": [1], "step": [1]}, "must have a column of numbers besides sample, step"),
    ],
)  # fmt: skip
def test_columns_that_do_not_go_together_are_refused(
    write: Callable[..., Samples], columns: dict[str, list[Any]], message: str
) -> None:
    with pytest.raises(InputError, match=f" {re.escape(message)}"):
        write(**columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,4\n", "must begin with a line of column names, of which one may be label, not"),
        ("a,a\n1,2\n", "must name each column once, not 'a'"),
        ("a,\n1,2\n", "must name each column once, not ''"),
        ("a,b\n", "must have rows below its line of column names"),
        ("a,b\n1,red\n", "must hold a number in every cell of a feature: could not convert stri"),
        ("a,b\n1,\n", "must hold a number in every cell of a feature: could not convert string '"),
        ("a,b\n1,2\n3\n", "must hold a number in every cell of a feature: "),
        (b"a,b\n1,2\n\xff,3\n", "is no text in UTF-8: "),
        ('a,b\n"1,2\n', "must hold a number in every cell of a feature: "),
    ],
)
def test_csv_that_is_no_table_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ArtefactError, match=f"^{re.escape(f'{path} {message}')}") as caught:
        from_file(path)
    assert "\n" not in str(caught.value)


def test_a_cell_that_is_no_number_is_told_by_its_row_below_the_header(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n3,red\n")
    with pytest.raises(ArtefactError, match=r"'red' to float64 at row 2, column 2\."):
        from_file(path)


@pytest.mark.parametrize("cell", ["", "  ", '""'])
@pytest.mark.parametrize("name", ["a", "3"])
def test_an_empty_label_is_missing_and_no_class(tmp_path: Path, name: str, cell: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"x,label\n1,{name}\n2,{cell}\n3,{name}\n")
    with pytest.raises(InputError, match=r"^labels\[1\] is missing: label every sample, or leave"):
        from_file(path)


def test_an_empty_line_of_csv_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b,label\n1,2,x\n\n3,4,y\n\n", encoding="utf-8")
    data = from_file(path)
    assert (data.values.tolist(), data.classes) == ([[1, 2], [3, 4]], ("x", "y"))


def test_csv_with_a_byte_order_mark_and_quotes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes('\ufeff"x",label\r\n"1","salt, pepper"\r\n2,plain\r\n'.encode())
    data = from_file(path)
    assert (data.values.tolist(), data.classes) == ([[1], [2]], ("plain", "salt, pepper"))


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    write_parquet(path, {"x": [1, 2]})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArtefactError, match="is damaged and no Parquet file: "):
        from_file(path)


# What is none of these


def zipped(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, f"is missing: {TOLD}"),
    "folder": (lambda path: path.mkdir(), f"is a folder: {TOLD}"),
    "empty": (lambda path: path.write_bytes(b""), f"is empty: {TOLD}"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps([1])), "is a pickle, which can run any progr"),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"a")), "is packed with gzip: unpack it"),
    "torch": (lambda p: zipped(p, "archive/data.pkl"), "is a file of torch.save, a pickle within"),
    "excel": (lambda p: zipped(p, "[Content_Types].xml"), "is an office document: export a table"),
    "zip": (lambda p: zipped(p, "a.txt"), "is a zip archive of other files: unpack it; give an"),
    "hdf5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file: load it where it"),
    "matlab": (lambda p: p.write_bytes(b"MATLAB 5.0 MAT-file"), "is a MATLAB file: load it with"),
    "image": (lambda p: p.write_bytes(b"\x89PNG\r\n"), "is a PNG image: stack images to an array"),
    "idx": (lambda p: p.write_bytes(b"\0\0\x08\x03" + bytes(9)), "is an IDX file, as MNIST has"),
    "json": (lambda path: path.write_text('{"a": 1}'), f"is JSON: {TOLD}"),
    "html": (lambda path: path.write_text("<!doctype html>"), "is HTML or XML, perhaps an error"),
    "arff": (lambda path: path.write_text("@relation x"), "is an ARFF or .ts file, or has comment"),
    "binary": (lambda path: path.write_bytes(bytes(range(256))), "is a .data file of a kind that "),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_file_says_what_it_is_and_what_to_do(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "some.data"
    make, message = FOREIGN[kind]
    make(path)
    with pytest.raises(ArtefactError, match=f"^{re.escape(f'{path} {message}')}") as caught:
        load_samples(str(path))
    assert "\n" not in str(caught.value)


def test_npz_of_one_thing_alone_is_read(tmp_path: Path) -> None:
    for arrays in ({"labels": GOOD["labels"]}, {"spikes": GOOD["features"], **GOOD}):
        path = file_with(tmp_path, **arrays)
        message = f"{path} must hold one of features, series, spikes, events: {TOLD}"
        with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
            from_file(path)


def unreadable(path: Path) -> None:
    with pytest.raises(ArtefactError, match=f"^{re.escape(str(path))} is ") as caught:
        from_file(path)
    assert "\n" not in str(caught.value)


def test_every_truncation_of_a_file_is_refused(tmp_path: Path) -> None:
    path = file_with(tmp_path, **GOOD)
    whole = path.read_bytes()
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        unreadable(path)


def test_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **GOOD)
    content = bytearray(path.read_bytes())
    content[70:90] = b"\xff" * 20
    path.write_bytes(content)
    unreadable(path)


def test_file_is_never_unpickled(tmp_path: Path) -> None:
    features = np.array([[{}], [{}], [{}]], dtype=object)
    unreadable(file_with(tmp_path, features=features, labels=GOOD["labels"]))
    unreadable(file_with(tmp_path, features=GOOD["features"], labels=features[:, 0]))


def test_a_parquet_file_with_a_name_twice_or_a_row_of_no_sample_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    twice = pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"])
    parquet.write_table(twice, path)
    with pytest.raises(ArtefactError, match=r"must name each column once, not 'x'$"):
        from_file(path)
    rows = {"sample": ["a", None, "b"], "step": [0, 0, 0], "x": [1.0, 2.0, 3.0]}
    write_parquet(path, rows)
    with pytest.raises(
        InputError, match=r"must have one value in column sample of every row: row 1$"
    ):
        from_file(path)
    write_parquet(path, {**rows, "sample": [[1, 2], [1, 2], [3, 4]]})
    with pytest.raises(
        InputError, match=r"must have one value in column sample of every row: row 0$"
    ):
        from_file(path)
    write_parquet(path, {**rows, "sample": ["a", "a", "b"], "step": [0, None, 0]})
    with pytest.raises(
        InputError, match=r"must have one value in column step of every row: row 1$"
    ):
        from_file(path)
