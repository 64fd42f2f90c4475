"""The one codec: every hint there and back, and what it says of a file that does not fit."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convexon.errors import FormatError, InputError
from convexon.store.codec import Codec, from_json, to_json


class Colour(Enum):
    RED = "red"
    BLUE = 2


@dataclass(frozen=True)
class Size:
    width: int
    height: float = 1.0

    def __post_init__(self) -> None:
        if self.width < 0:
            raise FormatError(f"width must be 0 or more, not {self.width}")


@dataclass(frozen=True)
class Circle:
    radius: float


@dataclass(frozen=True)
class Square:
    side: float = 1.0
    size: Size = Size(3)


@dataclass(frozen=True)
class Everything:
    """A member of each hint."""

    flag: bool
    count: int
    share: float
    name: str
    path: Path
    colour: Colour
    size: Size
    shape: Circle | Square
    perhaps: int | None
    maybe: Size | None
    number_or_name: int | str
    numbers: tuple[int, ...]
    pair: tuple[int, str]
    sizes: tuple[Size, ...]
    shapes: tuple[Circle | Square, ...]
    table: Mapping[str, float]
    nested: Mapping[str, tuple[Size, ...]]
    anything: Any


WHOLE = Everything(
    flag=True,
    count=-3,
    share=0.5,
    name="a name",
    path=Path("some/where"),
    colour=Colour.BLUE,
    size=Size(4, 2.5),
    shape=Square(2.0, Size(1)),
    perhaps=None,
    maybe=Size(0),
    number_or_name="x",
    numbers=(1, 2, 3),
    pair=(1, "one"),
    sizes=(Size(1), Size(2)),
    shapes=(Circle(1.0), Square()),
    table={"b": 1.0, "a": 2.0},
    nested={"z": (Size(5),), "a": ()},
    anything={"k": [1, None, "x"]},
)

FORM = {
    "flag": True,
    "count": -3,
    "share": 0.5,
    "name": "a name",
    "path": "some/where",
    "colour": 2,
    "size": {"width": 4, "height": 2.5},
    "shape": {"kind": "square", "side": 2.0, "size": {"width": 1, "height": 1.0}},
    "perhaps": None,
    "maybe": {"width": 0, "height": 1.0},
    "number_or_name": "x",
    "numbers": [1, 2, 3],
    "pair": [1, "one"],
    "sizes": [{"width": 1, "height": 1.0}, {"width": 2, "height": 1.0}],
    "shapes": [
        {"kind": "circle", "radius": 1.0},
        {"kind": "square", "side": 1.0, "size": {"width": 3, "height": 1.0}},
    ],
    "table": {"b": 1.0, "a": 2.0},
    "nested": {"z": [{"width": 5, "height": 1.0}], "a": []},
    "anything": {"k": [1, None, "x"]},
}

CODEC: Codec[Everything] = Codec(Everything, "convexon.everything", 1)


def test_every_hint_has_its_form_and_comes_back() -> None:
    content, arrays = CODEC.encode(WHOLE)
    assert (content, arrays) == (FORM, {})
    assert list(content["table"]) == ["b", "a"], "in its order"
    again = CODEC.decode(json.loads(json.dumps(content)), {})
    assert again == WHOLE
    assert isinstance(again.path, Path)
    assert from_json(Everything, to_json(WHOLE)) == WHOLE


def changed(name: str, value: Any) -> dict[str, Any]:
    """The form with one member changed; a name with dots leads to an inner one."""
    content = json.loads(json.dumps(FORM))
    *outer, last = name.split(".")
    target = content
    for key in outer:
        target = target[int(key) if isinstance(target, list) else key]
    target[int(last) if isinstance(target, list) else last] = value
    return content


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("share", 1, 1.0),
        ("number_or_name", 4, 4),
        ("perhaps", 7, 7),
        ("maybe", None, None),
        ("colour", "red", Colour.RED),
        ("numbers", [], ()),
        ("table", {}, {}),
        ("anything", None, None),
    ],
)
def test_other_values_that_fit_are_read(name: str, value: Any, expected: Any) -> None:
    found = getattr(CODEC.decode(changed(name, value), {}), name)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flag", 1, "flag must be true or false, not 1"),
        ("flag", "yes", "flag must be true or false, not 'yes'"),
        ("count", True, "count must be an integer, not True"),
        ("count", 1.0, "count must be an integer, not 1.0"),
        ("count", None, "count must be an integer, not None"),
        ("share", "1", "share must be a finite number, not '1'"),
        ("share", True, "share must be a finite number, not True"),
        ("share", float("nan"), "share must be a finite number, not nan"),
        ("share", float("inf"), "share must be a finite number, not inf"),
        ("name", 3, "name must be text, not 3"),
        ("name", "x" * 50, None),
        ("name", ["x" * 50], "name must be text, not ['" + "x" * 35 + "..."),
        ("path", 3, "path must be Path, not 3"),
        ("colour", "green", "colour must be one of red, 2, not 'green'"),
        ("colour", [], "colour must be one of red, 2, not []"),
        ("size", 3, "size must be an object, not 3"),
        ("size", [4, 2.5], "size must be an object, not [4, 2.5]"),
        ("size.width", "4", "size.width must be an integer, not '4'"),
        ("size.width", -1, "size: width must be 0 or more, not -1"),
        ("size.depth", 1, "size must have members of width, height, not 'depth'"),
        ("shape", None, "shape must be an object, not None"),
        ("shape.kind", "line", "kind of shape must be one of circle, square, not 'line'"),
        ("shape.kind", None, "kind of shape must be one of circle, square, not None"),
        ("shape.kind", {}, "kind of shape must be one of circle, square, not {}"),
        ("shape.kind", "circle", "shape must have members of radius, not 'side'"),
        ("shape.size.width", 1.5, "shape.size.width must be an integer, not 1.5"),
        ("perhaps", "x", "perhaps must be an integer, not 'x'"),
        ("maybe", 3, "maybe must be an object, not 3"),
        ("number_or_name", 1.5, "number_or_name must be an integer, not 1.5"),
        ("number_or_name", True, "number_or_name must be an integer, not True"),
        ("numbers", 3, "numbers must be a list, not 3"),
        ("numbers", "12", "numbers must be a list, not '12'"),
        ("numbers.1", "2", "numbers.1 must be an integer, not '2'"),
        ("pair", [1], "pair must be a list of 2, not of 1"),
        ("pair", [1, "one", 2], "pair must be a list of 2, not of 3"),
        ("pair", ["one", 1], "pair.0 must be an integer, not 'one'"),
        ("sizes.1.width", None, "sizes.1.width must be an integer, not None"),
        ("sizes.0", {}, "width of sizes.0 must be given, which it is not"),
        ("sizes.0", {"width": 1}, "height of sizes.0 must be given, which it is not"),
        ("shapes.0.kind", "x", "kind of shapes.0 must be one of circle, square, not 'x'"),
        ("table", [1.0], "table must be an object, not [1.0]"),
        ("table.a", "x", "table.a must be a finite number, not 'x'"),
        ("nested.z.0.height", None, "nested.z.0.height must be a finite number, not None"),
        ("extra", 1, "content must have members of flag, count, share, "),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_with_its_place(
    name: str, value: Any, message: str | None
) -> None:
    content = changed(name, value)
    if message is None:
        assert getattr(CODEC.decode(content, {}), name) == value
        return
    with pytest.raises(InputError, match=f"^{re.escape(message)}") as caught:
        CODEC.decode(content, {})
    assert "\n" not in str(caught.value)


def test_the_kind_of_an_error_of_the_class_itself_is_kept() -> None:
    with pytest.raises(FormatError, match=r"^size: width must be 0 or more, not -1$"):
        CODEC.decode(changed("size.width", -1), {})


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(Everything)])
def test_a_file_must_have_every_member(name: str) -> None:
    content = {key: value for key, value in FORM.items() if key != name}
    message = f"^{name} of content must be given, which it is not$"
    with pytest.raises(InputError, match=message):
        CODEC.decode(content, {})


@pytest.mark.parametrize("content", [None, 3, [], "x"])
def test_content_that_is_no_object_is_refused(content: Any) -> None:
    with pytest.raises(InputError, match=r"^content must be an object, not "):
        CODEC.decode(content, {})


# What people write


def test_members_with_a_default_may_be_left_out_by_people() -> None:
    assert from_json(Size, {"width": 2}) == Size(2, 1.0)
    assert from_json(Square, {}) == Square()
    both: Any = Circle | Square
    assert from_json(both, {"kind": "square", "size": {"width": 2}}) == Square(size=Size(2))
    with pytest.raises(InputError, match=r"^width of \[size\] must be given, which it is not$"):
        from_json(Size, {"height": 2}, "[size]")
    with pytest.raises(InputError, match=r"^\[size\] must have members of width, height, not 'w'"):
        from_json(Size, {"w": 2}, "[size]")


def test_numbers_of_numpy_are_written_as_pythons() -> None:
    size = Size(np.int64(3), np.float32(0.5))  # type: ignore[arg-type]
    written = to_json(size)
    assert written == {"width": 3, "height": 0.5}
    assert [type(value) for value in written.values()] == [int, float]
    assert type(to_json(dataclasses.replace(WHOLE, number_or_name=np.int64(3)))["number_or_name"])


# Arrays


@dataclass(frozen=True, eq=False)
class Layers:
    """Arrays at every place where they may stand."""

    weights: npt.NDArray[np.int64]
    biases: npt.NDArray[np.float64] | None = None
    inner: tuple[Layers, ...] = ()
    named: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    any_number: npt.NDArray[np.generic] | None = None


DEEP = Layers(
    weights=np.arange(6).reshape(2, 3),
    biases=np.array([0.5]),
    inner=(Layers(np.array([7])), Layers(np.array([8]), np.array([1.5]))),
    any_number=np.array([1], np.uint16),
)

LAYERS: Codec[Layers] = Codec(Layers, "convexon.layers", 1)
INLINE: Codec[Layers] = Codec(Layers, "convexon.layers", 1, inline=True)


def same(one: Layers, other: Layers) -> bool:
    for name in ("weights", "biases", "any_number"):
        a, b = getattr(one, name), getattr(other, name)
        if (a is None) != (b is None) or (a is not None and not np.array_equal(a, b)):
            return False
        if a is not None and a.dtype != b.dtype:
            return False
    return all(same(a, b) for a, b in zip(one.inner, other.inner, strict=True))


def test_arrays_are_named_by_where_they_stand() -> None:
    content, arrays = LAYERS.encode(DEEP)
    assert set(arrays) == {
        *("weights", "biases", "inner.0.weights", "inner.1.weights", "inner.1.biases"),
        "any_number",
    }
    # An optional array that is None says so; one that is there is in the npz alone.
    inner = [{"biases": None, "inner": [], "named": {}, "any_number": None}, {
        "inner": [], "named": {}, "any_number": None
    }]  # fmt: skip
    assert content == {"inner": inner, "named": {}}
    assert same(LAYERS.decode(json.loads(json.dumps(content)), arrays), DEEP)


def test_arrays_of_people_stand_in_the_text() -> None:
    bare = dataclasses.replace(DEEP, any_number=None)
    content, arrays = INLINE.encode(bare)
    assert arrays == {}
    assert content["weights"] == [[0, 1, 2], [3, 4, 5]]
    assert content["inner"][0]["biases"] is None
    assert same(INLINE.decode(json.loads(json.dumps(content)), {}), bare)
    assert to_json(bare) == content


@given(npst.arrays(np.int64, npst.array_shapes(max_dims=3), elements=st.integers(-9, 9)))
def test_arrays_of_any_shape_come_back(weights: np.ndarray) -> None:
    whole = Layers(weights)
    for codec in (LAYERS, INLINE):
        assert same(codec.decode(*codec.encode(whole)), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "weights of content must be given, which it is not"),
        ({"inner.0.weights": None}, "weights of inner.0 must be given, which it is not"),
        ({"weights": np.array([0.5])}, "weights must be int64, not float64"),
        ({"weights": np.array([2**63], np.uint64)}, "weights must be int64, not uint64"),
        ({"biases": np.array([1])}, "biases must be float64, not int64"),
        ({"biases": np.array([1.0], np.float32)}, "biases must be float64, not float32"),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    content, arrays = LAYERS.encode(DEEP)
    kept = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        LAYERS.decode(content, kept)


def test_integers_of_another_width_are_read_where_none_is_lost() -> None:
    content, arrays = LAYERS.encode(Layers(np.array([3, 200])))
    found = LAYERS.decode(content, {"weights": arrays["weights"].astype(np.uint8)})
    assert (found.weights.dtype, found.weights.tolist()) == (np.int64, [3, 200])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2], [3]], "weights must be a table of numbers"),
        ([0.5], "weights must hold int64, not float64"),
        (["a"], "weights must hold int64, not <U1"),
        ([True], "weights must hold int64, not bool"),
        ([1 << 70], "weights must hold int64, not object"),
        (None, "weights must hold int64, not object"),
        ({}, "weights must hold int64, not object"),
        ([1 << 63], "weights must hold int64, not uint64"),
    ],
    ids=str,
)
def test_tables_that_do_not_fit_are_refused(value: Any, message: str) -> None:
    content, _ = INLINE.encode(Layers(np.array([1])))
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        INLINE.decode({**content, "weights": value}, {})


def test_tables_of_no_number_have_the_type_of_their_hint() -> None:
    content, _ = INLINE.encode(Layers(np.array([1])))
    found = INLINE.decode({**content, "weights": [], "biases": [1, 2]}, {})
    assert (found.weights.dtype, found.weights.shape) == (np.int64, (0,))
    assert (found.biases.dtype, found.biases.tolist()) == (np.float64, [1.0, 2.0])


# What follows from the rest


DERIVED: Codec[Size] = Codec(
    Size, "convexon.size", 1, derived=lambda size: {"area": size.width * size.height, "unit": "m2"}
)


def test_what_follows_is_written_and_checked() -> None:
    content, _ = DERIVED.encode(Size(3, 2.0))
    assert content == {"width": 3, "height": 2.0, "derived": {"area": 6.0, "unit": "m2"}}
    assert DERIVED.decode(content, {}) == Size(3, 2.0)


@pytest.mark.parametrize(
    ("derived", "wrong"),
    [
        ({"area": 5.0, "unit": "m2"}, "area"),
        ({"area": 6.0}, "unit"),
        ({"area": 6.0, "unit": "m2", "more": 1}, "derived"),
        (None, "area"),
        (3, "area"),
        ([], "area"),
    ],
    ids=str,
)
def test_what_does_not_follow_is_refused(derived: Any, wrong: str) -> None:
    content = {"width": 3, "height": 2.0, "derived": derived}
    with pytest.raises(InputError, match=rf"^derived\.{wrong} must agree with the rest of the fil"):
        DERIVED.decode(content, {})
    content.pop("derived")
    with pytest.raises(InputError, match=r"^derived\.area must agree with the rest of the file$"):
        DERIVED.decode(content, {})


def test_an_artefact_may_be_a_tuple() -> None:
    codec: Codec[tuple[Size, ...]] = Codec(tuple[Size, ...], "convexon.sizes", 1)
    content, _ = codec.encode((Size(1), Size(2)))
    assert codec.decode(content, {}) == (Size(1), Size(2))
    with pytest.raises(InputError, match=r"^content must be a list, not \{\}$"):
        codec.decode({}, {})
    with pytest.raises(InputError, match=r"^1: width must be 0 or more, not -2$"):
        codec.decode([{"width": 1, "height": 1}, {"width": -2, "height": 1}], {})
