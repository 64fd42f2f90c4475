"""Selection by the residual: of many drawn columns, those that together say most.

The row-group program selects too, but it has to weigh every drawn column at once. Here columns are
taken in blocks: those that go along best with what the ones before leave unexplained, near twins
left out, and all weights fitted anew by least squares after each block (orthogonal matching
pursuit). The certified program is solved over what is kept; its bound covers all that was drawn.
Nothing need be drawn where an oracle prices: it proposes each block for what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve

from convexon.convex.model.penalty import GroupL2
from convexon.errors import InputError
from convexon.plan.fold import merged
from convexon.snn.network import Layer
from convexon.train.columns.bits import BitColumns
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.site import PricingProblem, Site

Float32 = npt.NDArray[np.float32]

_COLUMNS = 1024
"""Columns that are unpacked at once."""

_TWIN_ROWS = 4096
"""Most rows on which two columns are compared."""


@dataclass(frozen=True, kw_only=True)
class Pursuit:
    """How columns are selected.

    Raises `InputError` if a member is out of its range.
    """

    keep: int  # columns, at most
    block: int = 32  # columns that are taken at once
    twins: float = 0.9  # correlation from which two columns of a block are twins
    ridge: float = 3.0  # added to each column's own second moment
    # Share of the rows that a column must fire in, and be silent in; of counts, as much spread.
    rare: float = 0.01

    def __post_init__(self) -> None:
        for name, low in (("keep", 1), ("block", 1)):
            if getattr(self, name) < low:
                raise InputError(f"{name} must be at least {low}, not {getattr(self, name)!r}")
        if not (0 < self.twins <= 1 and self.ridge > 0 and 0 <= self.rare < 0.5):
            raise InputError("twins must lie in 0..1, ridge be positive, rare lie below 0.5")


def pursue(
    columns: BitColumns,
    labels: npt.NDArray[np.int64],
    n_classes: int,
    plan: Pursuit,
    *,
    counts: npt.NDArray[np.int64] | None = None,
    progress: Callable[[int], None] | None = None,
) -> npt.NDArray[np.intp]:
    """Return the columns to keep, in the order in which they were taken.

    Parameters
    ----------
    columns : BitColumns
        P columns over n rows.
    labels : int64 array, shape (n,)
    n_classes : int
    plan : Pursuit
    counts : int64 array, shape (n,), optional
        Samples that a row stands for; one each by default.
    progress : callable, optional
        Called with the columns taken so far.

    Raises `InputError` if no column fires in some rows, and is silent in others.
    """
    n = columns.n_rows
    root = _root(np.ones(n) if counts is None else counts)
    mean, spread = _moments(columns, root)
    alive = spread > np.sqrt(plan.rare * (1 - plan.rare)) * np.sqrt(n)
    if not alive.any():
        raise InputError("columns must fire in some rows and be silent in others: draw more")
    fit = _Fit.of(root, labels, n_classes)
    taken: list[int] = []
    twins = _compared(n)
    while len(taken) < plan.keep:
        pull = _pull(columns, root, mean, fit.residual) / np.maximum(spread, 1.0)
        pull[~alive] = -1.0
        pull[taken] = -1.0
        order = np.argsort(-pull, kind="stable")[: 8 * plan.block]
        order = order[pull[order] > 0]
        wanted = min(plan.block, plan.keep - len(taken))
        fresh = _distinct(columns.dense(order)[twins].astype(np.float32), plan.twins, wanted)
        if not len(fresh):
            break
        new = order[fresh]
        fit.add(root[:, None] * columns.dense(new).astype(np.float32), plan.ridge)
        taken.extend(int(each) for each in new)
        if progress is not None:
            progress(len(taken))
    return np.array(taken, dtype=np.intp)


def pursue_priced(
    site: Site,
    oracle: Oracle,
    n_classes: int,
    plan: Pursuit,
    *,
    generator: np.random.Generator,
    progress: Callable[[int], None] | None = None,
) -> Layer:
    """Return the neurons that an oracle proposes for a site, block by block.

    The rows are the site's. ``progress`` is called with the neurons taken so far.

    Raises `InputError` if the oracle proposes none that fires in some rows and not in others.
    """
    rows = site.rows
    root = _root(rows.counts)
    fit = _Fit.of(root, rows.labels, n_classes)
    blocks: list[Layer] = []
    taken, twins = 0, _compared(rows.n_rows)
    while taken < plan.keep:
        asked = PricingProblem(
            dual=(root[:, None] * fit.residual).astype(np.float64),
            penalty=GroupL2(),
            rho=float(np.finfo(np.float32).tiny),  # the longest of all, whatever their length
            n_wanted=_PROPOSED * plan.block,
        )
        layer = oracle.propose(asked, site, generator).layer
        if layer is None:
            break
        features = site.features(layer).astype(np.float32)
        share = features.mean(axis=0)
        alive = np.flatnonzero((share > plan.rare) & (share < site.max_feature - plan.rare))
        wanted = min(plan.block, plan.keep - taken)
        fresh = alive[_distinct(features[twins, alive], plan.twins, wanted)]
        if not len(fresh):
            break
        fit.add(root[:, None] * features[:, fresh], plan.ridge)
        blocks.append(layer.restricted(fresh, np.arange(layer.n_inputs)))
        taken += len(fresh)
        if progress is not None:
            progress(taken)
    if not blocks:
        raise InputError("neurons must fire in some rows and be silent in others: none does")
    return merged(blocks)


_PROPOSED = 8
"""Neurons that are proposed for each that is taken."""


def _root(counts: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> Float32:
    """Square roots of the samples that rows stand for, of mean 1 before."""
    share = counts.astype(np.float64)
    return np.asarray(np.sqrt(share / share.mean()), dtype=np.float32)


def _compared(n_rows: int) -> slice:
    """Rows on which columns are compared."""
    return slice(None, None, max(1, -(-n_rows // _TWIN_ROWS)))


class _Fit:
    """Least squares of the targets on the columns so far, the always-firing one first.

    The Gram matrix grows by a block at a time, so that no product is taken twice.
    """

    def __init__(self, root: Float32, targets: Float32) -> None:
        self._targets, self._features = targets, root[:, None]
        self._gram = np.array([[float(root @ root)]])
        self._moments = np.asarray(root[None] @ targets, dtype=np.float64)
        self.residual = targets - root[:, None] * (self._moments / self._gram).astype(np.float32)

    @classmethod
    def of(cls, root: Float32, labels: npt.NDArray[np.int64], n_classes: int) -> _Fit:
        """Return the fit of classes by the always-firing column alone."""
        return cls(root, root[:, None] * np.eye(n_classes, dtype=np.float32)[labels])

    def add(self, block: Float32, ridge: float) -> None:
        """Take in a block of columns, (n, k), and leave what all of them do not explain."""
        cross = np.asarray(block.T @ self._features, dtype=np.float64)
        own = np.asarray(block.T @ block, dtype=np.float64)
        own[np.diag_indices(len(own))] += ridge
        self._gram = np.block([[self._gram, cross.T], [cross, own]])
        self._moments = np.concatenate([self._moments, block.T @ self._targets])
        self._features = np.concatenate([self._features, block], axis=1)
        weights = solve(self._gram, self._moments, assume_a="pos").astype(np.float32)
        self.residual = self._targets - self._features @ weights


def _blocks(columns: BitColumns) -> list[slice]:
    return [slice(k, k + _COLUMNS) for k in range(0, columns.n_columns, _COLUMNS)]


def _moments(columns: BitColumns, root: Float32) -> tuple[Float32, Float32]:
    """Mean of each column over the samples, and the length of what is left without it."""
    mean, spread = [], []
    weight = root * root
    for block in _blocks(columns):
        dense = columns.dense(block).astype(np.float32)
        first = weight @ dense / len(root)
        second = weight @ (dense * dense)
        mean.append(first)
        spread.append(np.sqrt(np.maximum(second - len(root) * first * first, 0)))
    return np.concatenate(mean), np.concatenate(spread)


def _pull(
    columns: BitColumns, root: Float32, mean: Float32, residual: Float32
) -> npt.NDArray[np.float64]:
    """Length of each centred column's product with the residual, (P,)."""
    weighed = root[:, None] * residual
    total = weighed.sum(axis=0)
    found = []
    for block in _blocks(columns):
        products = columns.dense(block).astype(np.float32).T @ weighed
        found.append(np.linalg.norm(products - np.outer(mean[block], total), axis=1))
    return np.concatenate(found).astype(np.float64)


def _distinct(columns: Float32, twins: float, wanted: int) -> npt.NDArray[np.intp]:
    """The first ``wanted`` columns of which no two are twins."""
    centred = columns - columns.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=0), 1e-6)
    alike = np.abs(centred.T @ centred)
    kept: list[int] = []
    for k in range(columns.shape[1]):
        if len(kept) == wanted:
            break
        if not kept or float(alike[k, kept].max()) < twins:
            kept.append(k)
    return np.array(kept, dtype=np.intp)
