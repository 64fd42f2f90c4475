"""The one stage mechanism: a function becomes a stage that is run only when something changed.

::

    @stage("dictionary", DICTIONARY)
    def dictionary(settings: SolveSettings, train: Made[SpikeDataset], ...) -> SpikeDictionary: ...

    made = dictionary(run, settings, train, progress=progress)      # a Made[SpikeDictionary]

What the result follows from is recorded, not listed. Arguments that are artefacts (`Made`) are its
parents, by their parameter's name. Of a settings object each member that the function reads is part
of the recipe, and no other: which those are depends on members that are part of it too, so that
equal values of them mean an equal result. Other arguments are part of the recipe as they are,
except for those in `SILENT`, on which no result depends.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from convexon.flow.run import Keeper, Made
from convexon.settings import Settings
from convexon.store.artefact import Record, canonical
from convexon.store.codec import Codec, to_json

P = ParamSpec("P")
T = TypeVar("T")

SILENT = ("progress", "executor")
"""Parameters on which no result depends: who watches, and who computes."""


def stage(
    name: str, codec: Codec[T]
) -> Callable[[Callable[P, T]], Callable[Concatenate[Keeper, P], Made[T]]]:
    """Return a decorator that makes a stage of a function with one result.

    Parameters
    ----------
    name : str
        Of the artefact, which is its file's name too.
    codec : Codec
    """

    def decorate(function: Callable[P, T]) -> Callable[Concatenate[Keeper, P], Made[T]]:
        together = _stages((name,), codec, lambda *args, **kwargs: (function(*args, **kwargs),))

        @functools.wraps(function)
        def staged(keeper: Keeper, /, *args: P.args, **kwargs: P.kwargs) -> Made[T]:
            return together(keeper, _bound(function, args, kwargs))[0]

        return staged

    return decorate


def stages(
    names: Sequence[str], codec: Codec[T]
) -> Callable[[Callable[P, tuple[T, ...]]], Callable[Concatenate[Keeper, P], tuple[Made[T], ...]]]:
    """Return a decorator for a function with several results of one kind, ``names`` in order."""

    def decorate(
        function: Callable[P, tuple[T, ...]],
    ) -> Callable[Concatenate[Keeper, P], tuple[Made[T], ...]]:
        together = _stages(tuple(names), codec, function)

        @functools.wraps(function)
        def staged(keeper: Keeper, /, *args: P.args, **kwargs: P.kwargs) -> tuple[Made[T], ...]:
            return together(keeper, _bound(function, args, kwargs))

        return staged

    return decorate


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments by their parameter's name, defaults included."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _stages(
    names: tuple[str, ...], codec: Codec[T], function: Callable[..., tuple[T, ...]]
) -> Callable[[Keeper, dict[str, Any]], tuple[Made[T], ...]]:
    """What `stage` and `stages` have in common."""

    def staged(keeper: Keeper, arguments: dict[str, Any]) -> tuple[Made[T], ...]:
        origins = _Origins.of(arguments)
        found = [keeper.current(name, codec, origins.are_those_of) for name in names]
        current = tuple(made for made in found if made is not None)
        if len(current) == len(names):
            return current
        recorded = {name: _Recorder.around(value) for name, value in arguments.items()}
        values = function(**recorded)
        recipe = origins.recipe({n: r for n, r in recorded.items() if isinstance(r, _Recorder)})
        return tuple(
            keeper.keep(name, codec, value, parents=origins.parents, recipe=recipe)
            for name, value in zip(names, values, strict=True)
        )

    return staged


@dataclass(frozen=True)
class _Origins:
    """What a result follows from.

    Members
    -------
    parents : mapping of str to str
        Digests of the artefacts among the arguments.
    given : mapping
        Plain arguments, as JSON.
    settings : mapping of str to Settings
        Settings objects, whose members are looked at as they are read.
    """

    parents: Mapping[str, str]
    given: Mapping[str, Any]
    settings: Mapping[str, Settings]

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> _Origins:
        """Sort arguments by what they are."""
        parents: dict[str, str] = {}
        given: dict[str, Any] = {}
        settings: dict[str, Settings] = {}
        for name, value in arguments.items():
            if isinstance(value, Made):
                parents[name] = value.record.digest
            elif isinstance(value, Settings):
                settings[name] = value
            elif name not in SILENT:
                given[name] = _plain(value)
        return cls(parents, given, settings)

    def recipe(self, recorders: Mapping[str, _Recorder]) -> dict[str, Any]:
        """Return the recipe: plain arguments, and the members that were read."""
        read = {name: dict(sorted(each.read.items())) for name, each in recorders.items()}
        return {**self.given, **read}

    def are_those_of(self, record: Record) -> bool:
        """Whether what was read then has the same value now."""
        if dict(record.parents) != dict(self.parents):
            return False
        if set(record.recipe) != {*self.given, *self.settings}:
            return False
        now = dict(self.given)
        for name, settings in self.settings.items():
            read = record.recipe[name]
            if not isinstance(read, dict) or not all(hasattr(settings, key) for key in read):
                return False
            now[name] = {key: _plain(getattr(settings, key)) for key in read}
        return canonical(now) == canonical(record.recipe)


class _Recorder:
    """Stands for a settings object, and notes which members are read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.read: dict[str, Any] = {}

    @classmethod
    def around(cls, value: Any) -> Any:
        """Return a recorder of settings, and anything else as it is."""
        return cls(value) if isinstance(value, Settings) else value

    def __getattr__(self, name: str) -> Any:
        found = inspect.getattr_static(type(self._settings), name, None)
        if isinstance(found, property):
            assert found.fget is not None  # noqa: S101  (settings have no write-only property)
            return found.fget(self)
        if inspect.isfunction(found):
            return functools.partial(found, self)
        value = getattr(self._settings, name)
        self.read[name] = _plain(value)
        return value


def _plain(value: Any) -> Any:
    """A value as JSON: what a recipe holds of it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list | range):
        return [_plain(item) for item in value]
    if isinstance(digest := getattr(value, "digest", None), str):
        return digest
    if is_dataclass(value):
        return to_json(value)
    raise TypeError(f"a stage cannot tell whether {value!r} changed: pass it as an artefact")
