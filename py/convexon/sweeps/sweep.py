"""What a sweep tries: the choices of its points, their budget, and the TOML file that states both.

::

    data = "digits"
    rho = [0.01, 0.005]       # each network takes the one that is best on validation

    [sweep]                   # a value, or a list of values to try
    steps = [4, 8]
    max_neurons = [32, 64, 128]
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

Points are all combinations. Every setting of ``convexon solve`` but ``rho`` is an axis by its own
name; what is left out has the value that ``convexon solve`` and ``convexon map`` take by default.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from convexon.data.loading import EMBEDDED
from convexon.errors import InputError
from convexon.plan.cost.budget import Budget, Limits
from convexon.plan.family import Family
from convexon.plan.mapping import Style
from convexon.settings import Setting, settings_of
from convexon.snn.coding import CODINGS
from convexon.store.codec import Json
from convexon.store.untrusted import read_toml
from convexon.train.settings import SolveSettings
from convexon_boards.catalogue import board_of
from convexon_boards.settings import Placement

Values = Mapping[str, Any]


AXES: Mapping[str, Setting] = {
    each.name: each
    for cls in (SolveSettings, Placement)
    for each in settings_of(cls)
    if not each.several
}
"""Every setting that a sweep may vary, by its name; those of the network first."""

LIMITS = tuple(each.name for each in settings_of(Limits))
"""Names of the limits."""

_PLACES = tuple(each.name for each in settings_of(Placement))


@dataclass(frozen=True, kw_only=True)
class PointSettings:
    """All choices of one point.

    Members
    -------
    solve : None where a network is mapped as it is
    place : with a family; lanes only where layers are folded
    """

    solve: SolveSettings | None
    place: Placement
    limits: Limits

    @property
    def family(self) -> Family:
        """Family of the part."""
        return self.place.family or Family.ECP5

    @property
    def budget(self) -> Budget:
        """What the mapping may use."""
        return self.place.budget(self.limits)

    def to_json(self) -> Json:
        """Return every choice that is made, by the names that users write, and the limits."""
        chosen = {
            name: plain(value)
            for part in (self.solve, self.place)
            for name, value in ({} if part is None else vars(part)).items()
            if value is not None
        }
        if self.solve is not None:
            chosen["rho"] = list(self.solve.rho)
        limits = {name: value for name, value in vars(self.limits).items() if value is not None}
        return {**chosen, "budget": limits}


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Points to try.

    Members
    -------
    data : ``digits``, or the path of a file
    network : run folder of a network that is mapped as it is, with its own samples; or empty
    axes : values to try, by name in `AXES`
    rho : strengths of the l1 penalty that each network chooses from; the default ones where empty

    Raises
    ------
    InputError
        If a value does not fit, lanes are given and nothing is folded, or samples or choices of
        ``convexon solve`` are given beside a network.
    """

    data: str = EMBEDDED
    network: str = ""
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    rho: tuple[float, ...] = ()
    limits: Limits = Limits()  # noqa: RUF009  (frozen)

    def __post_init__(self) -> None:
        if self.axes.get("lanes") and Style.FOLDED not in self.axes.get("mapping", ()):
            raise InputError("lanes must come with folded mappings: add the mapping folded")
        if self.axes.get("board") and self.axes.get("family"):
            raise InputError("family must be left out where boards are given: each has its own")
        if self.network:
            chosen = [name for name in self.axes if name not in _PLACES]
            chosen += ["rho"] * bool(self.rho) + ["data"] * (self.data != EMBEDDED)
            if chosen:
                raise InputError(
                    f"{chosen[0]} must be left out beside a network, which is mapped as it is"
                )
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
        place = Placement(**{name: values[name] for name in _PLACES if name in values})
        family = place.family or Family.ECP5
        return PointSettings(
            solve=None if self.network else self._solve(values),
            place=replace(
                place,
                lanes=place.lanes if place.mapping is Style.FOLDED else None,
                family=family if place.board is None else family_of(place.board),
            ),
            limits=self.limits,
        )

    def _solve(self, values: dict[str, Any]) -> SolveSettings:
        members = {name: value for name, value in values.items() if name not in _PLACES}
        if self.rho:
            members["rho"] = self.rho
        most = {coding: CODINGS[coding].max_bits for coding in self.axes.get("coding", ())}
        if max(most.values(), default=1) > 1:  # then bits are of the codings that have levels
            members["bits"] = min(members.get("bits") or 1, most[members["coding"]])
        solve = SolveSettings(**members)
        if solve.depth == 1:  # there is no layer below the last
            return replace(solve, hidden=SolveSettings.hidden)
        return solve


def family_of(board: str) -> Family:
    """Family of a board's part; `InputError` if there is no such board, or open tools lack it."""
    return board_of(board).open_part.family


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
    return read_toml(path, "a sweep")


def sweep_from(tables: Values) -> Sweep:
    """Make a sweep of the tables of its file.

    Raises
    ------
    InputError
        If a key is unknown, or a value does not fit; it names the key.
    """
    _require_known(tables, ("data", "network", "rho", "sweep", "budget"), "a sweep")
    choices, budget = _table(tables, "sweep"), _table(tables, "budget")
    _require_known(choices, tuple(AXES), "[sweep]")
    _require_known(budget, LIMITS, "[budget]")
    data = tables.get("data", Sweep.data)
    if not isinstance(data, str) or not data:
        raise InputError(f"data must be {EMBEDDED!r} or a file's name, not {data!r}")
    network = tables.get("network", "")
    if not isinstance(network, str):
        raise InputError(f"network must be the name of a run folder, not {network!r}")
    rho = next(each for each in settings_of(SolveSettings) if each.name == "rho")
    return Sweep(
        data=data,
        network=network,
        axes={name: _values(name, choices[name]) for name in choices},
        rho=rho.convert(tables["rho"]) if "rho" in tables else (),
        limits=Limits(**budget),
    )


def _values(name: str, given: Any) -> list[Any]:
    """Values of an axis, each in its type."""
    several = isinstance(given, list | tuple | range | np.ndarray)
    values = list(given) if several else [given]
    if not values:
        raise InputError(f"{name} must have a value to try, not none")
    return [AXES[name].convert(value) for value in values]


def _table(tables: Values, name: str) -> dict[str, Any]:
    content = tables.get(name, {})
    if not isinstance(content, dict):
        raise InputError(f"[{name}] must be a table, not {content!r}")
    return content


def _require_known(content: Values, known: Sequence[str], where: str) -> None:
    for name in content:
        if name not in known:
            raise InputError(f"{where} must have the keys {', '.join(known)}, not {name!r}")
