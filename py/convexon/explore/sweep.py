"""What a sweep tries: the choices of its points, their budget, and the TOML file that states both.

::

    data = "digits"
    rhos = [0.01, 0.005]      # each network takes the one that is best on validation

    [sweep]                   # a value, or a list of values to try
    steps = [4, 8]
    neurons = [32, 64, 128]
    fan_in = 8
    readout_bits = [4, 8]
    mapping = ["spatial", "folded"]
    lanes = [8, 32]           # of folded mappings
    family = "ecp5"           # or board = ["icebreaker", "ulx3s-25f"], which has one

    [budget]                  # what a point may take
    luts = 20000
    block_rams = 50
    latency_cycles = 500
    clock = 48                # MHz

Points are all combinations. What is left out has the value that ``convexon solve`` and ``convexon
map`` take by default.
"""

from __future__ import annotations

import importlib
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from convexon.convex.model.loss import LossKind
from convexon.data.coding import Coding
from convexon.errors import InputError, require_integer, require_within
from convexon.plan.family import Family
from convexon.plan.mapping import MAX_LANES, Style
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import Json
from convexon.train.cost import CostKind
from convexon.train.settings import SolveSettings, choice

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """A choice that a sweep may vary.

    Members
    -------
    member : str
        Of `SolveSettings`; empty for a choice of the mapping.
    kind : type
        int, str, or an enumeration.
    """

    member: str
    kind: type[Any]


AXES: Mapping[str, Axis] = MappingProxyType(
    {
        "coding": Axis("coding", Coding),
        "steps": Axis("n_steps", int),
        "bits": Axis("bits", int),
        "loss": Axis("loss", LossKind),
        "readout": Axis("readout_mode", ReadoutMode),
        "witnesses": Axis("n_witnesses", int),
        "fan_in": Axis("fan_in", int),
        "depth": Axis("depth", int),
        "hidden": Axis("hidden", int),
        "alphabet": Axis("alphabet", str),
        "pricing_rounds": Axis("pricing_rounds", int),
        "cost": Axis("cost", CostKind),
        "neurons": Axis("max_neurons", int),
        "readout_bits": Axis("readout_bits", int),
        "seed": Axis("seed", int),
        "mapping": Axis("", Style),
        "lanes": Axis("", int),
        "family": Axis("", Family),
        "board": Axis("", str),
    }
)
"""Every choice by the name that users write; those of the network first."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a point may take; None is no limit.

    Members
    -------
    luts, block_rams, latency_cycles : int or None
    clock : float or None
        In MHz, which the mapping must keep.

    Raises
    ------
    InputError
        If a limit is not positive; 0 block RAMs are a limit.
    """

    luts: int | None = None
    block_rams: int | None = None
    latency_cycles: int | None = None
    clock: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("luts", 1), ("block_rams", 0), ("latency_cycles", 1)):
            value = getattr(self, name)
            if value is not None and require_integer(name, value) < least:
                raise InputError(f"{name} must be at least {least}, not {value!r}")
        clock = self.clock
        if clock is not None and (
            isinstance(clock, bool)
            or not isinstance(clock, int | float)
            or not 0 < clock < math.inf
        ):
            raise InputError(f"clock must be a number of MHz above 0, not {clock!r}")


LIMITS = tuple(f.name for f in fields(Limits))
"""Names of the limits."""


@dataclass(frozen=True, kw_only=True)
class PointSettings:
    """All choices of one point.

    Members
    -------
    solve : SolveSettings
    style : Style
    lanes : int or None
        Of every folded layer; any number that is worth it where None.
    family : Family
    limits : Limits
    board : str
        Board whose part, less the link, and whose oscillator are limits too; empty for none.

    Raises
    ------
    InputError
        If ``lanes`` does not fit.
    """

    solve: SolveSettings
    style: Style
    lanes: int | None
    family: Family
    limits: Limits
    board: str = ""

    def __post_init__(self) -> None:
        if self.lanes is not None:
            require_within("lanes", self.lanes, 1, MAX_LANES)

    def to_json(self) -> Json:
        """Return every choice that is made, by the names that users write, and the limits."""
        values = {name: getattr(self.solve, axis.member) for name, axis in _NETWORK_AXES.items()}
        values |= {"mapping": self.style, "lanes": self.lanes, "family": self.family}
        values |= {"board": self.board or None}
        values |= {"rhos": list(self.solve.rhos)}
        limits = {name: value for name, value in vars(self.limits).items() if value is not None}
        return {
            **{name: plain(value) for name, value in values.items() if value is not None},
            "budget": limits,
        }


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Points to try.

    Members
    -------
    data : str
        As of `SolveSettings`.
    axes : mapping of str to sequence
        Values to try, by name in `AXES`, typed as `AXES` says.
    rhos : tuple of float
        Strengths of the l1 penalty that each network chooses from; the default ones where empty.
    limits : Limits

    Raises
    ------
    InputError
        If a value does not fit, or lanes are given and nothing is folded.
    """

    data: str = "digits"
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    rhos: tuple[float, ...] = ()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.axes.get("lanes") and Style.FOLDED not in self.axes.get("mapping", ()):
            raise InputError("lanes must come with folded mappings: add the mapping folded")
        if self.axes.get("board") and self.axes.get("family"):
            raise InputError("family must be left out where boards are given: each has its own")
        _ = self.points  # every combination is checked before anything is written

    @property
    def points(self) -> list[PointSettings]:
        """All combinations; those that differ in nothing that matters are one."""
        names = [name for name in AXES if self.axes.get(name)]
        combinations = itertools.product(*(self.axes[name] for name in names))
        found = [self._point(dict(zip(names, values, strict=True))) for values in combinations]
        return list(dict.fromkeys(found))

    @property
    def varied(self) -> list[str]:
        """Names of the choices that have more than one value."""
        return [name for name in AXES if len(set(self.axes.get(name, ()))) > 1]

    def _point(self, values: dict[str, Any]) -> PointSettings:
        members = {_NETWORK_AXES[n].member: values[n] for n in values if n in _NETWORK_AXES}
        if self.rhos:
            members["rhos"] = self.rhos
        solve = SolveSettings(data=self.data, **members)
        if solve.depth == 1:  # there is no layer below the last
            solve = replace(solve, hidden=SolveSettings.hidden)
        style = values.get("mapping", Style.ANY)
        board = values.get("board", "")
        return PointSettings(
            solve=solve,
            style=style,
            lanes=values.get("lanes") if style is Style.FOLDED else None,
            family=family_of(board) if board else values.get("family", Family.ECP5),
            limits=self.limits,
            board=board,
        )


def family_of(board: str) -> Family:
    """Family of a board's part; `InputError` if there is no such board, or open tools lack it."""
    part = importlib.import_module("convexon_boards.catalogue").board_of(board).open_part
    return Family(part.family)


_NETWORK_AXES = {name: axis for name, axis in AXES.items() if axis.member}


def plain(value: Any) -> Any:
    """Return a choice as JSON and people have it."""
    return value.value if isinstance(value, Enum) else value


def read_sweep(path: Path) -> dict[str, Any]:
    """Read the TOML file at ``path`` as its tables, checked by `sweep_from` alone.

    Raises
    ------
    InputError
        If it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: give a TOML file with a sweep") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} must be TOML: {error}") from None


def sweep_from(tables: Values) -> Sweep:
    """Make a sweep of the tables of its file.

    Raises
    ------
    InputError
        If a key is unknown, or a value does not fit; it names the key.
    """
    _require_known(tables, ("data", "rhos", "sweep", "budget"), "a sweep")
    choices, budget = _table(tables, "sweep"), _table(tables, "budget")
    _require_known(choices, tuple(AXES), "[sweep]")
    _require_known(budget, LIMITS, "[budget]")
    data = tables.get("data", Sweep.data)
    if not isinstance(data, str) or not data:
        raise InputError(f"data must be 'digits' or a file's name, not {data!r}")
    return Sweep(
        data=data,
        axes={name: _values(name, choices[name]) for name in choices},
        rhos=_rhos(tables.get("rhos", [])),
        limits=Limits(**budget),
    )


def _values(name: str, given: Any) -> list[Any]:
    """Values of an axis, each of its kind."""
    values = given if isinstance(given, list) else [given]
    if not values:
        raise InputError(f"{name} must have a value to try, not none")
    return [_value(name, value) for value in values]


def _value(name: str, value: Any) -> Any:
    kind = AXES[name].kind
    if kind is int:
        return require_integer(name, value)
    if kind is str:
        if not isinstance(value, str):
            raise InputError(f"{name} must be text, not {value!r}")
        return value
    return choice(kind, value, name)


def _rhos(given: Any) -> tuple[float, ...]:
    values = given if isinstance(given, list) else [given]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"rhos must be numbers, not {value!r}")
    return tuple(map(float, values))


def _table(tables: Values, name: str) -> dict[str, Any]:
    content = tables.get(name, {})
    if not isinstance(content, dict):
        raise InputError(f"{name} must be a table, not {content!r}: write [{name}]")
    return content


def _require_known(content: Values, known: Sequence[str], where: str) -> None:
    for name in content:
        if name not in known:
            raise InputError(f"{where} must have the keys {', '.join(known)}, not {name!r}")
