"""Pareto fronts: what no other choice beats in everything."""

from __future__ import annotations

from collections.abc import Sequence


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether ``a`` is nowhere worse than ``b`` and somewhere better; smaller is better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points that no other dominates, in the order of ``points``.

    Equal points are on the front together, or not at all.

    Parameters
    ----------
    points : sequence of sequences of float, shape (points, objectives)
        Smaller is better: of what should be large, hand in the negative.
    """
    # What dominates a point comes before it in this order, and so does a point of the front
    # that dominates it: one that is on the front already.
    order = sorted(range(len(points)), key=lambda k: tuple(points[k]))
    front: list[int] = []
    for k in order:
        if not any(dominates(points[kept], points[k]) for kept in front):
            front.append(k)
    return sorted(front)
