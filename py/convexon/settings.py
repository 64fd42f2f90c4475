"""Settings: one frozen dataclass a stage, from which all its doors are made.

A field states its default, what it means, and its bounds once. The command line makes an option of
it, a sweep an axis, the documents a row, and the estimator a parameter, all of the same name
(``fan_in`` is ``--fan-in`` on the command line).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from convexon.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is known of one setting.

    Members
    -------
    hint : int, float, bool, str or an enumeration; of the items where ``several``
    several, optional : whether it is a tuple; whether it may be None
    default : object
    help : a sentence that begins with a capital letter, units included
    least, most, above : bounds; ``above`` itself is not allowed
    names : callable or None
        Returns the names that are allowed, where they are a registry's.
    """

    name: str
    hint: Any
    several: bool
    optional: bool
    default: Any
    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    names: Callable[[], Iterable[str]] | None = None

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """Values to choose from; none where any will do."""
        if self.names is not None:
            return tuple(self.names())
        is_enum = isinstance(self.hint, type) and issubclass(self.hint, Enum)
        return tuple(str(member.value) for member in self.hint) if is_enum else ()

    def convert(self, value: Any) -> Any:
        """Return ``value`` in the type of the setting, where that is exact.

        Raises
        ------
        InputError
            If it is of another type or out of bounds.
        """
        if value is None and self.optional:
            return None
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not self.several:
            return self._one(value)
        is_list = isinstance(value, list | tuple | set | range | np.ndarray)
        items = tuple(self._one(item) for item in (value if is_list else (value,)))
        if not items:
            raise InputError(f"{self.name} must hold a value, not none")
        return items

    def _one(self, value: Any) -> Any:
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(self.hint, type) and issubclass(self.hint, Enum):
            if isinstance(plain, self.hint):
                return plain
            try:
                return self.hint(plain)
            except ValueError:
                raise self._error(value) from None
        if self.hint is float and type(plain) is int and plain.bit_length() < 64:
            plain = float(plain)
        elif self.hint is int and type(plain) is float and plain.is_integer():
            plain = int(plain)
        if type(plain) is not self.hint:
            raise self._error(value)
        if type(plain) is int and plain.bit_length() > 64:
            raise InputError(f"{self.name} must be an integer of 64 bits, not {value!r}")
        if self.hint in (int, float):
            self._require_bounds(plain, value)
        elif self.names is not None and plain not in self.choices:
            raise self._error(value)
        return plain

    def _require_bounds(self, number: float, value: Any) -> None:
        inside = (
            math.isfinite(number)
            and (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
        )
        if not inside:
            raise self._error(value)

    def _error(self, value: Any) -> InputError:
        return InputError(f"{self.name} must be {self.expected}, not {_plain(value)!r}")

    @property
    def expected(self) -> str:
        """What a value must be, in words that follow "must be"."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.hint is str:
            return "text"
        if self.hint is bool:
            return "true or false"
        noun = "an integer" if self.hint is int else "a number"
        if self.least is not None and self.most is not None:
            return f"{noun} of {self.least} to {self.most}"
        if self.above is not None:
            noun += f" above {self.above}"
        if self.least is not None:
            noun += f" of at least {self.least}"
        if self.most is not None:
            noun += f" of at most {self.most}"
        return noun if self.hint is int else f"{noun} that is finite"


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def setting(
    default: Any,
    help: str,
    **stated: Any,
) -> Any:
    """Return a dataclass field of a `Settings` class; ``stated`` are members of `Setting`."""
    return field(default=default, metadata={"help": help, **stated})


class Settings:
    """Base of the settings classes: values are converted where that is exact, else refused.

    Raises
    ------
    InputError
        In one line that names the setting, if a value does not fit.
    """

    def __post_init__(self) -> None:
        for each in settings_of(type(self)):
            object.__setattr__(self, each.name, each.convert(getattr(self, each.name)))


@cache
def _settings_of(cls: Any) -> tuple[Setting, ...]:
    hints = get_type_hints(cls)

    def told(name: str, default: Any, stated: Mapping[str, Any]) -> Setting:
        hint = hints[name]
        parts = [part for part in get_args(hint) if part is not NoneType]
        optional = NoneType in get_args(hint)
        hint = parts[0] if optional else hint
        several = get_origin(hint) is tuple
        return Setting(
            name=name,
            hint=get_args(hint)[0] if several else hint,
            several=several,
            optional=optional,
            default=None if default is MISSING else default,
            **stated,
        )

    return tuple(
        told(each.name, each.default, each.metadata) for each in fields(cls) if each.metadata
    )


def settings_of(cls: type[Settings]) -> Iterator[Setting]:
    """Yield what is known of the settings of a class, in their order."""
    found: tuple[Setting, ...] = _settings_of(cls)  # type: ignore[arg-type]
    yield from found


E = TypeVar("E", bound=Enum)


def choice(kind: type[E], value: str, name: str) -> E:
    """Return the member of an enumeration with this value.

    Raises
    ------
    InputError
        If there is none; the text lists those that there are.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise InputError(f"{name} must be one of {known}, not {value!r}") from None
