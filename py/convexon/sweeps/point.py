"""Results of a sweep: one point, and all of them with their Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convexon.errors import InputError
from convexon.report.figure import Figure
from convexon.store.codec import Codec, Json
from convexon.sweeps.front import pareto_front

OBJECTIVES: Mapping[str, int] = {
    "accuracy.test": -1,
    "latency.cycles.mean": 1,
    "estimate.luts": 1,
    "estimate.block_rams": 1,
    "energy.neutral.high": 1,
}
"""Figures that the front weighs, with the sign that makes smaller better."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Point:
    """What came of one combination of choices.

    Members
    -------
    settings : JSON object
        Every choice by the name that users write (`convexon.sweeps.sweep`).
    figures : None where the point failed
    reason : why it failed, in a line; empty where it did not

    Raises
    ------
    InputError
        Unless it has either the figures of `OBJECTIVES` or a reason.
    """

    settings: Json
    figures: tuple[Figure, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        names = {figure.name for figure in self.figures}
        if bool(self.reason) == bool(names) or (names and not names >= set(OBJECTIVES)):
            raise InputError(f"a point must have a reason or all of {', '.join(OBJECTIVES)}")

    def __getitem__(self, name: str) -> int | float:
        """Value of the figure ``name``."""
        return next(figure.value for figure in self.figures if figure.name == name)

    @property
    def objectives(self) -> tuple[float, ...]:
        """What the front weighs; smaller is better."""
        return tuple(sign * self[name] for name, sign in OBJECTIVES.items())


@dataclass(frozen=True, eq=False, kw_only=True)
class Exploration:
    """Points of a sweep, in its order.

    Members
    -------
    names : folder of each point, in ``points``
    """

    names: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def front(self) -> list[int]:
        """Indices of the points that none beats, family by family.

        A LUT or a block RAM of one family is not one of another.
        """
        found: list[int] = []
        fits = [k for k, point in enumerate(self.points) if not point.reason]
        for family in dict.fromkeys(self.points[k].settings["family"] for k in fits):
            own = [k for k in fits if self.points[k].settings["family"] == family]
            found += [own[i] for i in pareto_front([self.points[k].objectives for k in own])]
        return sorted(found)


def _front(exploration: Exploration) -> Json:
    """The points on the front, for readers of the file."""
    return {
        "objectives": list(OBJECTIVES),
        "front": [exploration.names[k] for k in exploration.front],
    }


POINT: Codec[Point] = Codec(Point, "convexon.point", 2, made_by="convexon explore")
"""File form of a `Point`."""


EXPLORATION: Codec[Exploration] = Codec(
    Exploration, "convexon.exploration", 2, derived=_front, made_by="convexon explore"
)
"""File form of an `Exploration`; which points are on the front follows from their figures."""
