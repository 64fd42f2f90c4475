"""The certificate of a solved program: every figure claimed, and all that is needed to recheck it.

A certificate makes claims of four kinds, and they are different things. The *gap* speaks of the
columns that the weights are over. The bound of a *priced set* speaks of every network whose columns
are in that set, and that over *windows* of any number of neurons of the stated sets besides the
dictionary's. The *universal* bound speaks of any network whatever, of any depth, width and weights,
on the same inputs (arXiv:2303.03382). Each bound comes with the dual vector that proves it.

A claim may be weaker than the truth, never stronger: upper figures are rounded up and lower ones
down, and `convexon.certify.check` refuses what is off by a single unit in the last place.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from convexon.certify.exact.dyadic import FloatArray
from convexon.certify.network.cells import CellSet
from convexon.certify.network.windows import WindowSet
from convexon.certify.statement import IntArray, Statement, require_floats, require_text
from convexon.errors import InputError
from convexon.store.codec import Codec, Json

ANY_NETWORK = "any network of any depth, width and weights on these inputs"
"""What the universal bound is over, in words."""

LARGEST_TOLERANCE = 1e-3
"""No bound closes to a tolerance above this: to be near an optimum would mean nothing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PricedSet:
    """A set of columns that was searched for one that violates the dual constraint.

    Members
    -------
    name, about : str
        ``dictionary``, or ``search`` and a number; what the columns are, in words that follow
        "over".
    is_dictionary : bool
        Whether the set is the dictionary, all of it, with the always-firing column. A checker sees
        the columns of no other.
    n_columns : int
        Columns that were seen, the always-firing one among them.
    violation : float
        Largest dual violation found with the certificate's own dual vector: ``max_j
        ||D_j^T lambda|| / w_j - rho``, rounded up; zero if no column violates.
    exact : bool
        Whether every column of the set was seen. Without it no bound follows.
    every_network_of_form : bool
        Whether the set holds every column that any network of the form `about` can have.
    lower_bound : float or None
        No network with columns of the set has a smaller objective.
    dual : float64 array, shape (n, C), or None
        A dual vector that is feasible over the set and attains `lower_bound`.
    """

    name: str
    about: str
    is_dictionary: bool
    n_columns: int
    violation: float
    exact: bool
    every_network_of_form: bool = False
    lower_bound: float | None = None
    dual: FloatArray | None = None

    def __post_init__(self) -> None:
        pattern = "dictionary" if self.is_dictionary else r"search\d{1,4}"
        if not re.fullmatch(pattern, self.name, re.ASCII):
            raise InputError(f"name must be dictionary or search0, search1, not {self.name[:40]!a}")
        require_text("about", self.about)
        if self.n_columns < 1:
            raise InputError(f"{self.name} must have a column or more, not {self.n_columns!r}")
        if (self.lower_bound is None) != (self.dual is None):
            raise InputError(f"{self.name} must have both a lower bound and its dual, or neither")
        if not self.exact and (self.lower_bound is not None or self.every_network_of_form):
            raise InputError(f"{self.name} must be priced exactly for a bound to follow from it")
        if not 0.0 <= self.violation < math.inf:
            raise InputError(f"{self.name} must have a violation of 0 or more, not a negative one")


@dataclass(frozen=True, eq=False, kw_only=True)
class UniversalBound:
    """A lower bound on the objective of any network, with the dual vector (n, C) that proves it."""

    lower_bound: float
    dual: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowBound:
    """A lower bound over any number of neurons of few inputs, beside the dictionary's columns.

    Members
    -------
    sets : tuple of WindowSet and CellSet
        The neurons.
    lower_bound : float
        No network of columns of these neurons and of the dictionary has a smaller objective.
    dual : float64 array, shape (n, C)
        A dual vector that is feasible over all of them and attains `lower_bound`.
    """

    sets: tuple[WindowSet | CellSet, ...]
    lower_bound: float
    dual: FloatArray

    def __post_init__(self) -> None:
        if not 1 <= len(self.sets) <= 64:
            raise InputError(f"sets must be 1 to 64, not {len(self.sets)}")

    @property
    def about(self) -> str:
        """What the bound is over, in words that follow "over"."""
        return f"any number of {' and of '.join(part.about for part in self.sets)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleMargins:
    """Decision margins of the integer network, in real units.

    Members
    -------
    name : str
        Which samples.
    margin : float64 array, shape (n,)
        Score of the winner minus the best other score; for a single score, its magnitude.
        Rounded down.
    rounding : float64 array, shape (n,)
        Largest change of that difference which rounding the readout can have caused, rounded up:
        the bound ``sum_j d_ij |delta_jc|`` of the winner plus the largest of the others.
    counts : int64 array, shape (n,)
        Samples that each row stands for.
    """

    name: str
    margin: FloatArray
    rounding: FloatArray
    counts: IntArray

    def __post_init__(self) -> None:
        require_text("name", self.name, word=True)
        if self.counts.ndim != 1 or (self.counts < 1).any():
            raise InputError(f"counts of {self.name} must be positive, one a row")
        for name in ("margin", "rounding"):
            require_floats(f"{self.name} {name}", getattr(self, name), self.counts.shape)

    @property
    def n_decisions(self) -> int:
        """Samples."""
        return int(self.counts.sum())

    @property
    def n_certified(self) -> int:
        """Samples whose decision provably is that of the network before rounding."""
        return int(self.counts[self.margin > self.rounding].sum())


@dataclass(frozen=True, eq=False, kw_only=True)
class Rounded:
    """The integer readout, and what rounding to it can do.

    Members
    -------
    readout : int64 array, shape (k + 1, C)
        Integers q that stand for ``q / 2**frac``, in the order of the weights.
    frac : int
    score_error : float
        No score of any row moves by more.
    primal : float
        Upper bound on the objective of the rounded weights: what is certified of the integer
        network itself, whose readout they are.
    objective_change : float
        The objective of the rounded weights differs from that of the weights by no more.
    train : SampleMargins
        Of the program's own rows.
    others : tuple of SampleMargins
        Of samples that are not part of the program.
    """

    readout: IntArray
    frac: int
    primal: float
    score_error: float
    objective_change: float
    train: SampleMargins
    others: tuple[SampleMargins, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.frac <= 62:
            raise InputError(f"frac must be 0 to 62, not {self.frac!r}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """Everything that is claimed of a solution.

    Members
    -------
    statement : Statement
    W : float64 array, shape (k, C) or (k + 1, C)
        Weights of the statement's columns and, last, of the always-firing one.
    dual : float64 array, shape (n, C)
        Feasible over the statement's columns.
    primal, lower : float
        Upper bound on the objective of W; lower bound on that of any weights of these columns.
    gap : float
        No less than ``primal - lower``.
    tolerance : float
        A bound closes where it comes within ``tolerance * min(1, primal)`` of `primal`.
    priced : tuple of PricedSet
    universal : UniversalBound or None
    windows : WindowBound or None
    rounded : Rounded or None

    Raises
    ------
    InputError
        If shapes do not fit, or a figure is not finite.
    """

    statement: Statement
    W: FloatArray
    dual: FloatArray
    primal: float
    lower: float
    gap: float
    tolerance: float
    priced: tuple[PricedSet, ...] = ()
    universal: UniversalBound | None = None
    windows: WindowBound | None = None
    rounded: Rounded | None = None

    def __post_init__(self) -> None:
        s = self.statement
        rows = len(s.columns) + s.intercept
        require_floats("W", self.W, (rows, s.n_outputs))
        shape = (s.n_rows, s.n_outputs)
        require_floats("dual", self.dual, shape)
        for name in ("primal", "lower", "gap", "tolerance"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"{name} must be finite, not {getattr(self, name)!r}")
        if self.tolerance <= 0.0:
            raise InputError(f"tolerance must be positive, not {self.tolerance!r}")
        if len(set(self.claims)) != len(self.claims):
            raise InputError("priced sets must have names of their own")
        for part in self.priced:
            if part.dual is not None:
                require_floats(f"dual of {part.name}", part.dual, shape)
        if self.universal is not None:
            require_floats("dual of the universal bound", self.universal.dual, shape)
        if self.windows is not None:
            require_floats("dual of the bound over windows", self.windows.dual, shape)
        if self.rounded is not None:
            readout, train = self.rounded.readout, self.rounded.train
            if readout.shape != self.W.shape or readout.dtype != np.int64:
                raise InputError(f"readout must be integers of shape {self.W.shape}")
            if train.counts.shape != (s.n_rows,) or (train.counts != s.counts).any():
                raise InputError("margins must be of the program's own rows")

    @property
    def claims(self) -> tuple[str, ...]:
        """Names of what the columns decide; `links` has those of windows and margins."""
        rounding = ("score_error", "rounded primal", "objective_change", "margins")
        return (
            *("primal", "dual", "gap"),
            *(part.name for part in self.priced),
            *(("universal",) if self.universal is not None else ()),
            *(rounding if self.rounded is not None else ()),
        )

    def closes(self, lower_bound: float) -> bool:
        """Whether a lower bound comes within the tolerance of the primal value."""
        if self.tolerance > LARGEST_TOLERANCE:
            return False
        upper = Fraction(self.primal)
        allowed = Fraction(self.tolerance) * min(Fraction(1), upper)
        return upper - Fraction(lower_bound) <= allowed

    @property
    def optimal_over(self) -> str | None:
        """Over what a bound closes, so that nothing does better; None where none does.

        The universal bound closes, or that over windows, or that of a set that holds every column
        which any network of some form can have. The gap over a sample of columns never shows it.
        """
        if self.universal is not None and self.closes(self.universal.lower_bound):
            return ANY_NETWORK
        if self.windows is not None and self.closes(self.windows.lower_bound):
            return self.windows.about
        for part in self.priced:
            bound = part.lower_bound
            if part.every_network_of_form and bound is not None and self.closes(bound):
                return part.about
        return None

    @property
    def sentences(self) -> list[str]:
        """What the certificate says, for people; one sentence a claim."""
        n_columns = len(self.W)
        reached = "optimal to the tolerance" if self.closes(self.lower) else "within the gap"
        lines = [
            f"over its own {n_columns} columns the readout is {reached}: primal "
            f"{self.primal:.8f}, dual {self.lower:.8f}, gap {self.gap:.2e}"
        ]
        for part in self.priced:
            if part.lower_bound is not None:
                told = f"no network goes below {part.lower_bound:.6f}"
            elif part.exact:
                told = "no bound was derived"
            else:
                told = "not all columns were seen, so no bound follows"
            lines.append(
                f"over {part.about} ({part.n_columns} columns): largest dual violation "
                f"{part.violation:.2e}, {told}"
            )
        if self.windows is not None:
            lines.append(
                f"over {self.windows.about}: none goes below {self.windows.lower_bound:.8f}, which "
                f"the objective is within {gap_above(self.primal, self.windows.lower_bound):.2e} of"
            )
        if self.universal is not None:
            lines.append(
                "over any network of any depth, width and weights: none goes below "
                f"{self.universal.lower_bound:.6f}"
            )
        if self.rounded is not None:
            r = self.rounded
            lines.append(
                f"the integer network's objective is at most {r.primal:.8f}: rounding moved no "
                f"score by more than {r.score_error:.4f}"
            )
            lines += [
                f"{m.n_certified} of {m.n_decisions} decisions on {m.name} samples cannot flip"
                for m in (r.train, *r.others)
            ]
        if self.optimal_over is not None:
            lines.append(
                f"the bound over {self.optimal_over} closes, to the tolerance {self.tolerance:g}: "
                "`convexon certify` says whether all of this holds"
            )
        return lines


def gap_above(primal: float, lower: float) -> float:
    """Smallest float64 that is no less than the exact difference, and no less than zero."""
    difference = Fraction(primal) - Fraction(lower)
    gap = primal - lower
    return max(0.0, gap if Fraction(gap) >= difference else math.nextafter(gap, math.inf))


def _counts(certificate: Certificate) -> Json:
    """Decisions that cannot flip, by samples, for readers of the file."""
    r = certificate.rounded
    parts = () if r is None else (r.train, *r.others)
    return {"certified": {part.name: part.n_certified for part in parts}}


CERTIFICATE: Codec[Certificate] = Codec(
    Certificate, "convexon.certificate", 5, derived=_counts, made_by="convexon solve"
)
"""File form of a `Certificate`."""
