"""Registries: what can be added from outside, by one class and without touching Convexon.

A loss, a penalty, a pricing oracle, an encoder, a board, an importer: each kind has one registry,
which knows the built-in ones by name. Another package adds one with an entry point of the
registry's group, in its own pyproject.toml::

    [project.entry-points."convexon.losses"]
    huber = "my_package.losses:Huber"

or, within a process, by `Registry.add`. Entry points are loaded when they are first asked for. A
name that a file states is looked up in the same way, and never imported as a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.metadata import distributions, entry_points
from typing import Generic, TypeVar

from convexon.errors import InputError

T = TypeVar("T")


def plugins() -> list[tuple[str, ...]]:
    """Return everything that other packages announce: group, name, what it is, package, version."""
    found = {
        (point.group, point.name, point.value, package.name, package.version)
        for package in distributions()
        for point in package.entry_points
        if point.group.startswith("convexon.")
    }
    return sorted(found)


class Registry(Generic[T]):
    """Named things of one kind.

    Parameters
    ----------
    kind : what one of them is called in messages: ``loss``
    group : the entry points' group: ``convexon.losses``
    check : callable or None
        Raises `InputError` for a thing that lacks what this kind must state.
    """

    def __init__(self, kind: str, group: str, check: Callable[[T], None] | None = None) -> None:
        self.kind, self.group, self._check = kind, group, check
        self._known: dict[str, T] = {}

    def add(self, name: str, thing: T) -> T:
        """Register ``thing``, and return it.

        Raises
        ------
        InputError
            If the name is taken by another thing, or the thing lacks what its kind must state.
        """
        if self._known.get(name, thing) is not thing:
            raise InputError(f"{self.kind} {name!r} is there already: choose another name")
        if self._check is not None:
            self._check(thing)
        self._known[name] = thing
        return thing

    def __call__(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates."""
        return lambda thing: self.add(name, thing)

    def __getitem__(self, name: str) -> T:
        """Return the thing of this name; an `InputError` lists the names if there is none."""
        if name not in self._known:
            for point in entry_points(group=self.group, name=name):
                try:
                    thing = point.load()
                except (ImportError, AttributeError) as error:
                    raise InputError(
                        f"{self.kind} {name!r} cannot be loaded from {point.value}: {error}"
                    ) from error
                self.add(name, thing)
        try:
            return self._known[name]
        except (KeyError, TypeError):
            near = get_close_matches(str(name), self.names, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise InputError(
                f"{self.kind} must be one of {', '.join(self.names)}, not {name!r}{hint}"
            ) from None

    def name_of(self, thing: T) -> str:
        """Name of a thing; an `InputError` says how to register it if it has none."""
        for name, known in self._known.items():
            if known is thing:
                return name
        for point in entry_points(group=self.group):
            if self[point.name] is thing:
                return point.name
        raise InputError(
            f"{self.kind} {getattr(thing, '__name__', thing)} must be registered: give it a name "
            f"in the entry points of {self.group}"
        )

    def __contains__(self, name: object) -> bool:
        """Whether there is a thing of this name."""
        return name in tuple(self._known) or name in self.names  # entry points are slow to look at

    def __iter__(self) -> Iterator[str]:
        """Names, built-in ones first."""
        return iter(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is registered or announced by an entry point, built-in ones first."""
        announced = (point.name for point in entry_points(group=self.group))
        return tuple(dict.fromkeys((*self._known, *announced)))
