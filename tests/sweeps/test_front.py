"""Pareto fronts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.errors import InputError
from convexon.report.figure import Figure, FigureKind
from convexon.sweeps.front import dominates, pareto_front
from convexon.sweeps.point import EXPLORATION, OBJECTIVES, POINT, Exploration, Point

POINTS = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.tuples(*[st.integers(0, 5)] * n), max_size=24)
)
"""Few values, so that many are equal."""


def point(family: str, values: tuple[float, ...]) -> Point:
    figures = [
        Figure(name=name, value=sign * value, unit="1", kind=FigureKind.ESTIMATED, source="test")
        for (name, sign), value in zip(OBJECTIVES.items(), values, strict=True)
    ]
    return Point(settings={"family": family}, figures=tuple(figures))


def exploration(*points: Point) -> Exploration:
    return Exploration(names=tuple(f"p{k}" for k in range(len(points))), points=points)


@given(POINTS)
def test_none_of_the_front_is_dominated_and_every_other_point_is_by_one_of_it(
    points: list[tuple[int, ...]],
) -> None:
    front = pareto_front(points)
    assert front == sorted(set(front))
    assert not [k for k in front if any(dominates(other, points[k]) for other in points)]
    for k in set(range(len(points))) - set(front):
        assert any(dominates(points[kept], points[k]) for kept in front)


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points: list[tuple[int, ...]], random) -> None:
    shuffled = random.sample(points, len(points))
    assert sorted(points[k] for k in pareto_front(points)) == sorted(
        shuffled[k] for k in pareto_front(shuffled)
    )


def test_small_cases() -> None:
    assert pareto_front([]) == []
    assert pareto_front([(1, 2), (2, 1), (2, 2), (1, 2)]) == [0, 1, 3]
    assert not dominates((1, 2), (1, 2))
    assert dominates((1, 1), (1, 2))
    assert not dominates((0, 3), (1, 2))


def test_accuracy_is_better_where_it_is_larger_and_all_else_where_it_is_smaller() -> None:
    best = (-0.9, 10.0, 100.0, 2.0, 1.0)
    worse = [(-0.8, *best[1:]), *((*best[:k], best[k] + 1, *best[k + 1 :]) for k in (1, 2, 3, 4))]
    for values in worse:
        assert exploration(point("ecp5", values), point("ecp5", best)).front == [1]


def test_points_of_two_families_are_not_compared_and_points_that_failed_are_not_on_the_front() -> (
    None
):
    found = exploration(
        Point(settings={"family": "ecp5"}, reason="too large"),
        point("ecp5", (-0.9, 10.0, 100.0, 2.0, 1.0)),
        point("ice40", (-0.8, 20.0, 200.0, 8.0, 1.0)),
        point("ecp5", (-0.8, 20.0, 200.0, 8.0, 1.0)),
    )
    assert found.front == [1, 2]


def test_files_give_back_what_was_written() -> None:
    failed = Point(settings={"family": "ecp5"}, reason="too large")
    found = exploration(failed, point("ecp5", (-0.9, 10.0, 100.0, 2.0, 1.0)))
    for codec, value in ((EXPLORATION, found), *((POINT, p) for p in found.points)):
        content, arrays = codec.encode(value)
        assert codec.encode(codec.decode(content, arrays)) == (content, arrays)
    content = EXPLORATION.encode(found)[0]
    assert content["derived"]["front"] == [found.names[1]]
    assert list(content["derived"]["objectives"]) == list(OBJECTIVES)
    assert content["points"][0]["reason"] == "too large"
    assert content["points"][0]["figures"] == []
    content["derived"]["front"] = [found.names[0]]
    with pytest.raises(InputError, match=r"^derived\.front must agree with the rest of the file$"):
        EXPLORATION.decode(content, {})


def test_a_point_has_all_figures_or_a_reason() -> None:
    figures = point("ecp5", (-0.9, 10.0, 100.0, 2.0, 1.0)).figures
    for members in ({}, {"figures": figures[1:]}, {"figures": figures, "reason": "too large"}):
        with pytest.raises(InputError, match=r"^a point must have a reason or all of accuracy"):
            Point(settings={"family": "ecp5"}, **members)
