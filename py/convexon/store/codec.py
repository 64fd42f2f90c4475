"""One codec for every artefact: a frozen dataclass to JSON and arrays, and back.

The type hints of a dataclass are its file format; nothing else describes it. A file may come from
anywhere, so reading checks every value against its hint and says where one does not fit, before
the class's own ``__post_init__`` checks what they mean together.

=========================  =======================================================================
hint                       in the file
=========================  =======================================================================
bool, int, float, str      themselves; an int is no bool and of 64 bits, a float is finite and may
                           be written 1, a str is one printable line
``Annotated[X, bound]``    X, within the bound (`convexon.store.untrusted`)
a Path, bytes              their text, and in hexadecimal
an Enum                    its value
``X | None``               null, or X; ``int | str`` is whichever of them it is
``tuple[X, ...]``, list    a list
``Mapping[str, X]``        an object, in its order
a dataclass                an object with a member for each field
a union of dataclasses     the same, and ``kind``: the class's name in lower case
``NDArray[dtype]``         an array of the npz beside the file, named by where it stands in the
                           content; a nested list where the codec is ``inline``; numbers are finite
an array or a dataclass    whichever of them it is
``Any``                    any JSON
=========================  =======================================================================
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from convexon.errors import ConvexonError, InputError
from convexon.store.untrusted import MAX_INTEGER, AnyWidth, require_line

Json = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]
T = TypeVar("T")

DERIVED = "derived"
"""Member of a file that is for its readers: it follows from the others, and is checked to."""


@dataclass(frozen=True)
class Codec(Generic[T]):
    """File form of one kind of artefact.

    Members
    -------
    hint : type
        What the artefact is: a dataclass, or a tuple of them.
    schema, version : str, int
        Name and version that the file states.
    inline : bool
        Whether arrays stand in the JSON, for files that people read and edit.
    derived : callable or None
        Further content that follows from the artefact, for readers of the file.
    made_by : str
        Command that makes it, for messages.
    accepted_by : str
        Command that takes a file that was edited, for messages.
    """

    hint: Any
    schema: str
    version: int
    inline: bool = False
    derived: Callable[[T], Json] | None = None
    made_by: str = ""
    accepted_by: str = ""

    def encode(self, artefact: T) -> tuple[Any, Arrays]:
        """Return the artefact as JSON content and arrays."""
        arrays: Arrays = {}
        content = _write(artefact, self.hint, "", None if self.inline else arrays)
        if self.derived is not None:
            content[DERIVED] = self.derived(artefact)
        return content, arrays

    def decode(self, content: Any, arrays: Arrays) -> T:
        """Inverse of `encode`.

        Raises
        ------
        ConvexonError
            If a member is missing, unknown or of another type, or the artefact refuses it.
        """
        derived = None
        if self.derived is not None:
            content = dict(_an_object(content, "content"))
            derived = content.pop(DERIVED, None)
        artefact: T = _Reader(None if self.inline else arrays, complete=True).read(
            content, self.hint, ""
        )
        if self.derived is not None and derived != (right := self.derived(artefact)):
            stated = derived if isinstance(derived, Mapping) else {}
            wrong = next((name for name in right if stated.get(name) != right[name]), DERIVED)
            raise InputError(f"{DERIVED}.{wrong} must agree with the rest of the file")
        return artefact


def to_json(value: object) -> Any:
    """Return a dataclass as JSON, arrays as nested lists."""
    return _write(value, type(value), "", None)


def from_json(hint: type[T], content: object, where: str = "") -> T:
    """Return what ``content`` says, where members that have a default may be left out.

    This is how people's own files are read: TOML, and JSON from the command line.

    Raises
    ------
    InputError
        If a member is unknown, missing or does not fit; it names ``where``.
    """
    value: T = _Reader(None, complete=False).read(content, hint, where)
    return value


# -- writing ---------------------------------------------------------------------------------------


def _write(value: Any, hint: Any, place: str, arrays: Arrays | None) -> Any:
    """Return ``value`` as JSON; arrays go to ``arrays`` under their place, or inline if None."""
    if value is None or hint is Any or hint is object:
        return value
    if get_origin(hint) is Annotated:
        return _write(value, get_args(hint)[0], place, arrays)
    origin, members = get_origin(hint), get_args(hint)
    if _is_union(hint):
        chosen = _member_of(hint, value)
        content = _write(value, chosen, place, arrays)
        return {"kind": _kind(chosen), **content} if _is_tagged(hint) else content
    if origin in (tuple, list):
        parts = _each(origin, members, len(value))
        return [
            _write(item, part, _under(place, k), arrays)
            for k, (item, part) in enumerate(zip(value, parts, strict=True))
        ]
    if _is_mapping(origin or hint):
        part = members[1] if members else Any
        return {
            name: _write(item, part, _under(place, name), arrays) for name, item in value.items()
        }
    if _is_array(hint):
        if arrays is None:
            return np.asarray(value).tolist()
        arrays[place] = value
        return None
    if _is_dataclass(hint):
        own = _hints(hint)
        content = {}
        for name, field in own.items():
            item = getattr(value, name)
            written = _write(item, field.hint, _under(place, name), arrays)
            if arrays is None or not isinstance(item, np.ndarray):
                content[name] = written
        return content
    if isinstance(value, Enum):
        return value.value
    if hint is Path:
        return str(value)
    if hint is bytes:
        return value.hex()
    return hint(value)  # numpy's numbers become Python's


def _under(place: str, name: object) -> str:
    return f"{place}.{name}" if place else str(name)


# -- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reader:
    """Reads values by their hints.

    Members
    -------
    arrays : mapping of str to array, or None
        Arrays by their place; None where they are inline.
    complete : bool
        Whether members that have a default must be there too.
    """

    arrays: Arrays | None
    complete: bool

    def read(self, value: Any, hint: Any, place: str) -> Any:
        """Return ``value`` as its hint says; the messages name its place."""
        if hint is Any or hint is object:
            return value
        origin, members = get_origin(hint), get_args(hint)
        if origin is Annotated:
            is_wide = isinstance(members[1], AnyWidth)
            found = value if is_wide else self.read(value, members[0], place)
            for bound in members[1:]:
                bound.require(found, _told(place))
            return found
        if _is_union(hint):
            return self._union(value, hint, place)
        if origin in (tuple, list):
            if not isinstance(value, list | tuple):
                raise InputError(f"{_told(place)} must be a list, not {_short(value)}")
            parts = _each(origin, members, len(value))
            if len(parts) != len(value):
                raise InputError(
                    f"{_told(place)} must be a list of {len(parts)}, not of {len(value)}"
                )
            read = (
                self.read(item, part, _under(place, k))
                for k, (item, part) in enumerate(zip(value, parts, strict=True))
            )
            return origin(read)
        if _is_mapping(origin or hint):
            part = members[1] if members else Any
            return {
                require_line(name, "a name"): self.read(item, part, _under(place, name))
                for name, item in _an_object(value, place).items()
            }
        if _is_array(hint):
            return self._array(value, hint, place)
        if _is_dataclass(hint):
            return self._object(_an_object(value, place), hint, place)
        if isinstance(hint, type) and issubclass(hint, Enum):
            try:
                return hint(value)
            except (ValueError, TypeError):
                known = ", ".join(str(member.value) for member in hint)
                raise InputError(
                    f"{_told(place)} must be one of {known}, not {_short(value)}"
                ) from None
        return _plain(value, hint, place)

    def _union(self, value: Any, hint: Any, place: str) -> Any:
        """An optional value, or one of several dataclasses by its ``kind``."""
        chosen = [member for member in get_args(hint) if member is not type(None)]
        if value is None and len(chosen) < len(get_args(hint)):
            return None
        if len(chosen) == 1:
            return self.read(value, chosen[0], place)
        if any(map(_is_array, chosen)):
            is_object = isinstance(value, Mapping)
            return self.read(value, next(m for m in chosen if _is_array(m) != is_object), place)
        if not is_dataclass(chosen[0]):
            return _plain(value, type(value) if type(value) in chosen else chosen[0], place)
        content = dict(_an_object(value, place))
        kinds = {_kind(member): member for member in chosen}
        kind = content.pop("kind", None)
        if not isinstance(kind, str) or kind not in kinds:
            raise InputError(
                f"kind of {_told(place)} must be one of {', '.join(kinds)}, not {_short(kind)}"
            )
        return self._object(content, kinds[kind], place)

    def _object(self, content: Mapping[str, Any], hint: Any, place: str) -> Any:
        """A dataclass from its members; what it says of them itself is told with the place."""
        own = _hints(hint)
        for name in content:
            if name not in own:
                raise InputError(
                    f"{_told(place)} must have members of {', '.join(own)}, not {name!r}"
                )
        members = {}
        for name, field in own.items():
            inner = _under(place, name)
            if name in content:
                members[name] = self.read(content[name], field.hint, inner)
            elif self.arrays is not None and field.is_array and inner in self.arrays:
                members[name] = self._array(None, field.array, inner)
            elif self.arrays is not None and field.is_array and field.is_optional:
                members[name] = None
            elif self.complete or field.is_required:
                raise InputError(f"{name} of {_told(place)} must be given, which it is not")
        try:
            return hint(**members)
        except ConvexonError as error:
            raise type(error)(f"{place}: {error}" if place else str(error)) from None

    def _array(self, value: Any, hint: Any, place: str) -> npt.NDArray[Any]:
        """An array of the npz, or a nested list, of the type that the hint states."""
        kind = get_args(get_args(hint)[1])[0]
        if self.arrays is not None:
            if place not in self.arrays:
                raise InputError(f"array {place} is missing")
            return _of_type(self.arrays[place], kind, place)
        try:
            array = np.array(value)
        except ValueError:
            raise InputError(f"{_told(place)} must be a table of numbers") from None
        if array.dtype.kind != "b" and bool in {*map(type, np.array(value, dtype=object).flat)}:
            raise InputError(f"{_told(place)} must hold numbers, not true or false")
        whole = array.dtype.kind in "iu" or not array.size
        fits = whole or (array.dtype.kind == "f" and np.issubdtype(kind, np.floating))
        if array.dtype.kind == "f":
            _require_finite(array, place)
        converted = array.astype(kind) if fits else array
        if not fits or (whole and (converted != array).any()):
            raise InputError(f"{_told(place)} must hold {np.dtype(kind)}, not {array.dtype}")
        return converted


def _of_type(array: npt.NDArray[Any], kind: Any, place: str) -> npt.NDArray[Any]:
    """The array in the type of its hint; integers may have come in another width."""
    if array.dtype.kind == "f":
        _require_finite(array, place)
    if np.issubdtype(array.dtype, kind):
        return array
    both_whole = array.dtype.kind in "iu" and np.issubdtype(kind, np.integer)
    converted = array.astype(kind) if both_whole else array
    if not both_whole or (converted != array).any():
        raise InputError(f"{place} must be {np.dtype(kind)}, not {array.dtype}")
    return converted


def _require_finite(array: npt.NDArray[Any], place: str) -> None:
    if not np.isfinite(array).all():
        raise InputError(f"{_told(place)} must hold finite numbers, not NaN or infinite ones")


def _plain(value: Any, hint: Any, place: str) -> Any:
    """Return a bool, int, float, str, path or bytes."""
    if type(value) is int and not ~MAX_INTEGER <= value <= MAX_INTEGER:
        raise InputError(f"{_told(place)} must be an integer of 64 bits, not {_short(value)}")
    if type(value) is str and hint is not bytes:
        require_line(value, _told(place))
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and math.isfinite(value):
            return float(value)
        raise InputError(f"{_told(place)} must be a finite number, not {_short(value)}")
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is bytes and isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise InputError(f"{_told(place)} must be hexadecimal, not {_short(value)}") from None
    if type(value) is not hint:
        told = {int: "an integer", str: "text", bool: "true or false"}.get(hint, hint.__name__)
        raise InputError(f"{_told(place)} must be {told}, not {_short(value)}")
    return value


def _an_object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{_told(place)} must be an object, not {_short(value)}")
    return value


def _told(place: str) -> str:
    return place or "content"


def _short(value: object) -> str:
    """A value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


# -- what hints say --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FieldHint:
    """What is known of a field: its hint, and whether it is an array, optional, or required."""

    hint: Any
    is_array: bool
    is_optional: bool
    is_required: bool

    @property
    def array(self) -> Any:
        """The array's hint, without None."""
        return next(part for part in (self.hint, *get_args(self.hint)) if _is_array(part))


@cache
def _hints(cls: Any) -> dict[str, _FieldHint]:
    """Fields of a dataclass that its constructor takes, in order."""
    hints = get_type_hints(cls, include_extras=True)

    def told(field: Field[Any]) -> _FieldHint:
        hint = hints[field.name]
        parts = get_args(hint) if _is_union(hint) else (hint,)
        return _FieldHint(
            hint=hint,
            is_array=any(_is_array(part) for part in parts),
            is_optional=type(None) in parts,
            is_required=field.default is MISSING and field.default_factory is MISSING,
        )

    return {field.name: told(field) for field in fields(cls) if field.init}


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _is_tagged(hint: Any) -> bool:
    return sum(is_dataclass(member) for member in get_args(hint)) > 1


def _is_dataclass(hint: Any) -> bool:
    return is_dataclass(hint)


def _is_mapping(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Mapping)


def _is_array(hint: Any) -> bool:
    return get_origin(hint) is np.ndarray


def _member_of(hint: Any, value: Any) -> Any:
    """The member of a union that ``value`` is written as; numpy's numbers are Python's."""
    members = [member for member in get_args(hint) if member is not type(None)]
    kind = type(value.item()) if isinstance(value, np.generic) else type(value)
    return kind if kind in members else members[0]


def _kind(cls: Any) -> str:
    return str(cls.__name__).lower()


def _each(origin: Any, members: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """Hints of the parts of a tuple or a list."""
    if origin is list or (len(members) == 2 and members[1] is Ellipsis):
        return (members[0],) * count
    return members
