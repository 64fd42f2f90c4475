"""The artefact store: same bytes, digests that notice every change, and writes that are whole."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.errors import ArtefactError, InputError
from convexon.store import artefact
from convexon.store.archive import read_npz
from convexon.store.artefact import (
    atomic_write,
    canonical,
    digest_of,
    load,
    open_artefact,
    pretty,
    save,
)
from convexon.store.codec import Codec


@dataclass(frozen=True, eq=False)
class Thing:
    """An artefact of text and arrays."""

    text: Any
    a: npt.NDArray[np.int64] | None = None
    b: npt.NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        if self.text == "refused":
            raise InputError("text must be welcome, not 'refused'")
        if self.text == "garbled":
            raise TypeError("text")

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        members = {"a": self.a, "b": self.b}
        return {name: array for name, array in members.items() if array is not None}


THING: Codec[Thing] = Codec(Thing, "convexon.thing", 3, made_by="convexon make")
NUMBERS = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.array([1, 0], np.uint8)}
PARENTS = {"card": "sha256:" + "01" * 32}
RECIPE = {"stage": "make", "seed": 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """File of a thing with arrays."""
    file = tmp_path / "run" / "thing.json"
    save(THING, Thing("a text", **NUMBERS), file, parents=PARENTS, recipe=RECIPE)
    return file


def npz_of(path: Path) -> Path:
    (found,) = path.parent.glob("*.npz")
    return found


def again(path: Path) -> str:
    return f"run `convexon make {path.parent}` again"


def listing(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refuses(path: Path, message: str) -> None:
    """Loading fails with one line that begins with the path."""
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}") as caught:
        load(THING, path)
    assert "\n" not in str(caught.value)


def rewritten(path: Path, **changes: Any) -> None:
    """Change fields of the head and give it the digest that then fits."""
    head = {**json.loads(path.read_text()), **changes}
    digest = digest_of({**head, "digest": "", "source": ""})
    path.write_text(json.dumps({**head, "digest": digest}))


def test_file_holds_the_artefact_unchanged(path: Path) -> None:
    thing, record = load(THING, path)
    assert thing.text == "a text"
    for name, array in NUMBERS.items():
        assert thing.arrays[name].dtype == array.dtype
        assert np.array_equal(thing.arrays[name], array)
    assert (record.schema, record.version) == ("convexon.thing", 3)
    assert (record.parents, record.recipe) == (PARENTS, RECIPE)
    assert record.digest == json.loads(path.read_text())["digest"]


def test_same_artefact_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    backwards = {name: np.asfortranarray(NUMBERS[name]) for name in reversed(NUMBERS)}
    save(
        THING,
        Thing("a text", **backwards),
        tmp_path / "b" / "thing.json",
        parents=PARENTS,
        recipe=dict(reversed(RECIPE.items())),
    )
    assert listing(path.parent) == listing(tmp_path / "b")


@pytest.mark.parametrize(
    ("thing", "parents", "recipe"),
    [
        (Thing("other", **NUMBERS), PARENTS, RECIPE),
        (Thing("a text", **{**NUMBERS, "b": np.array([1, 1], np.uint8)}), PARENTS, RECIPE),
        (Thing("a text", **{**NUMBERS, "b": np.array([1, 0], np.int8)}), PARENTS, RECIPE),
        (Thing("a text", **{**NUMBERS, "b": np.array([[1, 0]], np.uint8)}), PARENTS, RECIPE),
        (Thing("a text", **NUMBERS), {"card": "sha256:" + "02" * 32}, RECIPE),
        (Thing("a text", **NUMBERS), PARENTS, {**RECIPE, "seed": 4}),
    ],
)
def test_digest_covers_content_arrays_parents_and_recipe(
    path: Path, thing: Thing, parents: dict[str, str], recipe: dict[str, Any]
) -> None:
    before = json.loads(path.read_text())["digest"]
    assert save(THING, thing, path, parents=parents, recipe=recipe).digest != before


def test_new_arrays_replace_the_old_ones(path: Path) -> None:
    old = npz_of(path)
    save(THING, Thing("a text", a=np.array([7])), path)
    assert npz_of(path) != old
    assert load(THING, path)[0].arrays["a"].tolist() == [7]
    save(THING, Thing("no arrays"), path)
    assert [file.name for file in path.parent.iterdir()] == ["thing.json"]


def test_neighbours_keep_their_arrays(path: Path) -> None:
    other = path.with_name("other.json")
    save(THING, Thing("other", **NUMBERS), other)
    save(THING, Thing("new", **NUMBERS), path)
    assert load(THING, other)[0].text == "other"


def test_the_digest_covers_all_but_the_source(path: Path) -> None:
    before = load(THING, path)[1]
    thing = Thing("a text", **NUMBERS)
    record = save(THING, thing, path, parents=PARENTS, recipe=RECIPE, source="sha256:99")
    assert record == load(THING, path)[1]
    assert (record.digest, record.source, before.source) == (before.digest, "sha256:99", "")
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, "source": "sha256:other"}))
    assert load(THING, path)[1].digest == before.digest


def test_the_json_is_read_without_the_arrays(path: Path) -> None:
    npz_of(path).unlink()
    opened = open_artefact(THING, path)
    assert (opened.record.parents, opened.record.recipe) == (PARENTS, RECIPE)
    with pytest.raises(ArtefactError, match=r"\.npz is missing: run `convexon make "):
        opened.value()


def test_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    refuses(path, f"{path} is missing: run `convexon make {path.parent}` first")


def test_file_in_place_of_the_folder_is_refused(path: Path) -> None:
    inside = path / "thing.json"
    refuses(inside, f"{inside} cannot be read: Not a directory")


def test_binary_file_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    refuses(path, f"{path} cannot be read: ")


def test_every_truncation_of_the_json_is_refused(path: Path) -> None:
    whole = path.read_bytes().rstrip()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refuses(path, f"{path} is truncated or not JSON (line ")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "1" * 5000 + "}"])
def test_json_past_the_limits_of_the_parser_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    refuses(path, f"{path} is ")


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"schema": "convexon.thing"}'])
def test_foreign_json_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    refuses(path, f"{path} is not an artefact of Convexon: its fields differ")


def test_foreign_schema_is_refused(path: Path) -> None:
    rewritten(path, schema="convexon.other")
    refuses(path, f"{path} must hold convexon.thing, not 'convexon.other'")


@pytest.mark.parametrize("version", [2, 4, "3", None])
def test_unknown_schema_version_is_refused(path: Path, version: object) -> None:
    rewritten(path, schema_version=version)
    refuses(
        path,
        f"{path} must have convexon.thing version 3, not {version!r}: {again(path)} with this "
        "version of Convexon",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", {"text": "another text"}),
        ("content", {"text": float("nan")}),
        ("parents", {"card": "sha256:" + "02" * 32}),
        ("recipe", {}),
        ("arrays", {}),
        ("digest", "sha256:0000"),
        ("digest", None),
    ],
)
def test_edited_file_is_refused(path: Path, field: str, value: object) -> None:
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, field: value}))
    refuses(path, f"{path} does not match its digest: it was changed or damaged; {again(path)}")


@pytest.mark.parametrize("digest", ["", "sha256:01", "sha256:" + "0G" * 32, "0" * 64, None])
def test_parents_are_named_by_digests(path: Path, digest: str | None) -> None:
    head = {**json.loads(path.read_text()), "parents": {"card": digest}}
    path.write_text(json.dumps(head))
    refuses(path, f"{path} is damaged: a field of its head has another form; {again(path)}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refused", "holds bad content: text must be welcome, not 'refused'"),
        ("garbled", "garbles convexon.thing: text"),
    ],
)
def test_sound_file_of_bad_content_is_refused(path: Path, text: str, message: str) -> None:
    rewritten(path, content={"text": text}, arrays={})
    refuses(path, f"{path} {message}")


def test_missing_arrays_are_refused(path: Path) -> None:
    arrays = npz_of(path)
    arrays.unlink()
    refuses(path, f"{arrays} is missing: {again(path)}")


def test_every_truncation_of_the_arrays_is_refused(path: Path) -> None:
    arrays = npz_of(path)
    whole = arrays.read_bytes()
    for length in range(0, len(whole), 7):
        arrays.write_bytes(whole[:length])
        refuses(path, f"{arrays} is truncated or damaged: {again(path)}")


def test_no_changed_byte_of_the_arrays_goes_unnoticed(path: Path) -> None:
    arrays = npz_of(path)
    whole = arrays.read_bytes()
    refused = 0
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x41
        arrays.write_bytes(changed)
        try:
            thing, _ = load(THING, path)
        except ArtefactError:
            refused += 1
        else:  # a date or an attribute of the archive, which no value depends on
            for name, array in NUMBERS.items():
                assert np.array_equal(thing.arrays[name], array)
    assert refused > len(whole) // 3


def test_other_arrays_under_the_same_name_are_refused(path: Path) -> None:
    arrays = npz_of(path)
    with arrays.open("wb") as stream:
        np.savez_compressed(stream, **{**NUMBERS, "b": np.array([0, 0], np.uint8)})
    refuses(path, f"{arrays} does not match its digest in 'b': it was changed; {again(path)}")


def test_nothing_is_ever_unpickled(path: Path) -> None:
    arrays = npz_of(path)
    with arrays.open("wb") as stream:
        np.savez(stream, a=np.array([{}], dtype=object), b=NUMBERS["b"])
    refuses(path, f"{arrays} is truncated or damaged: {again(path)}")
    with pytest.raises(ArtefactError, match=r"^arrays must be numbers, not object$"):
        save(THING, Thing("a", a=np.array([{}], dtype=object)), path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "thing.json"
    with pytest.raises(ArtefactError, match=f"^{path} cannot hold NaN or infinite numbers: "):
        save(THING, Thing(value, **NUMBERS), path)
    assert list(tmp_path.iterdir()) == []


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_permission(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(
    ("target", "name", "failure", "reason"),
    [
        (artefact.os, "fsync", no_space, "No space left on device"),
        (artefact.os, "replace", no_permission, "Permission denied"),
        (artefact.tempfile, "mkstemp", no_permission, "Permission denied"),
    ],
)
@pytest.mark.parametrize("calls_before", [0, 1])
def test_failed_write_leaves_the_old_artefact_and_nothing_else(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    name: str,
    failure: Any,
    reason: str,
    calls_before: int,
) -> None:
    before = listing(path.parent)
    works, calls = getattr(target, name), iter(range(calls_before))

    def fails_at_last(*arguments: Any, **options: Any) -> Any:
        return works(*arguments, **options) if next(calls, None) is not None else failure()

    monkeypatch.setattr(target, name, fails_at_last)
    message = rf"^{path.parent}/thing\S* cannot be written: {reason}; choose another folder or free"
    with pytest.raises(ArtefactError, match=message):
        save(THING, Thing("new", a=np.array([7])), path)
    monkeypatch.undo()
    assert listing(path.parent) == before
    assert load(THING, path)[0].text == "a text"


def test_failed_rewrite_of_the_same_arrays_keeps_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(path.parent)
    calls = iter([None])
    works = os.replace

    def fails_at_second(source: str, target: Path) -> None:
        works(source, target) if next(calls, 1) is None else no_space()

    monkeypatch.setattr(artefact.os, "replace", fails_at_second)
    with pytest.raises(ArtefactError, match=r" cannot be written: No space left on device; "):
        save(THING, Thing("a text", **NUMBERS), path, parents=PARENTS, recipe=RECIPE)
    monkeypatch.undo()
    assert listing(path.parent) == before


def test_folder_that_cannot_be_made_is_one_clear_line(path: Path) -> None:
    below = path / "folder" / "thing.json"
    message = f"{below} cannot be written: Not a directory; choose another folder or free space"
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
        save(THING, Thing("new"), below)


def test_interrupted_write_leaves_no_temporary_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(path.parent)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(artefact.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(THING, Thing("new"), path)
    monkeypatch.undo()
    assert listing(path.parent) == before


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(
            ArtefactError, match=r"cannot be written: it is no file; choose another"
        ):
            atomic_write(path, b"x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_written_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab"\\é'), inner),
    max_leaves=12,
)


@given(values)
def test_readable_json_holds_what_it_was_made_from(value: object) -> None:
    assert json.loads(pretty(value)) == value
    assert canonical(json.loads(pretty(value))) == canonical(value)


def test_readable_json_has_a_field_and_a_row_a_line() -> None:
    text = pretty({"rows": [[1, 2], [3, 4]], "name": "x", "none": {}, "few": [1, 2]})
    assert text.splitlines() == [
        "{",
        '  "rows": [',
        "    [1, 2],",
        "    [3, 4]",
        "  ],",
        '  "name": "x",',
        '  "none": {},',
        '  "few": [1, 2]',
        "}",
    ]


def test_arrays_that_lack_are_left_out_of_what_is_read_and_refused_in_an_artefact(
    path: Path,
) -> None:
    assert set(read_npz(npz_of(path), ["a", "c"])) == {"a"}
    arrays = npz_of(path)
    np.savez(arrays, a=NUMBERS["a"])
    refuses(path, f"{arrays} is truncated or damaged: {again(path)}")


def test_a_file_that_no_digest_can_be_of_is_refused_whatever_it_states(path: Path) -> None:
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, "content": {"text": float("nan")}, "digest": None}))
    refuses(path, f"{path} does not match its digest: it was changed or damaged; {again(path)}")
