"""The independent checker: every claim of a certificate, from the files and exact arithmetic.

It takes nothing from the solver. `check` shows that the figures follow from the dictionary's
columns: what `convexon.certify.exact` computes anew, sharing no code with `convexon.convex`, are
exact rationals, or decimals rounded against the claim. That columns, targets and weights are those
of the card and of its samples is shown by `convexon.certify.links`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from convexon.certify.certificate import (
    ANY_NETWORK,
    CERTIFICATE,
    Certificate,
    PricedSet,
    Rounded,
    gap_above,
)
from convexon.certify.exact.dyadic import Dyadic, FloatArray
from convexon.certify.exact.losses import EXACT_LOSSES
from convexon.certify.exact.margins import require_margins
from convexon.certify.exact.objective import objective
from convexon.certify.exact.penalties import EXACT_PENALTIES
from convexon.certify.finding import Finding
from convexon.certify.folder import DICTIONARY, Folder, NotHere
from convexon.certify.links import LINKS, Evidence, linked
from convexon.certify.network.columns import Columns
from convexon.errors import ArtefactError, ClaimError, InputError


@dataclass(frozen=True, eq=False)
class Verdict:
    """A certificate of which no claim failed, and what became of each.

    Members
    -------
    certificate : Certificate
    findings : tuple of Finding
    """

    certificate: Certificate
    findings: tuple[Finding, ...]

    def holds(self, claim: str) -> bool:
        """Whether the claim was checked."""
        return any(found.checked and found.claim == claim for found in self.findings)

    @property
    def conclusion(self) -> str | None:
        """That the weights are globally optimal, where all was checked and a bound closes."""
        claimed = self.certificate
        complete = {*claimed.claims, *LINKS} <= {found.claim for found in self.findings}
        if not complete or not all(found.checked for found in self.findings):
            return None
        over = claimed.optimal_over
        if over is None:
            return None
        return (
            f"the weights are globally optimal over {over}, to the tolerance {claimed.tolerance:g}"
        )

    @property
    def claim(self) -> str:
        """What was checked of the weights, over which sets, and to what tolerance, in one line."""
        claimed = self.certificate
        n_dictionary = claimed.statement.n_dictionary + claimed.statement.intercept
        bounds = [
            ("gap", f"its own {len(claimed.W)} columns", claimed.lower),
            *(
                (part.name, f"the dictionary's {n_dictionary}", part.lower_bound)
                for part in claimed.priced
                if part.is_dictionary
            ),
        ]
        if claimed.windows is not None:
            bounds.append(("windows", claimed.windows.about, claimed.windows.lower_bound))
        if claimed.universal is not None:
            bounds.append(("universal", ANY_NETWORK, claimed.universal.lower_bound))
        within = [
            f"{gap_above(claimed.primal, bound):.1e} of the least over {over}"
            for name, over, bound in bounds
            if bound is not None and self.holds(name)
        ]
        if not within:
            return "claimed: nothing that can be checked here"
        return (
            f"claimed, to a tolerance of {claimed.tolerance:g}: an objective of "
            f"{claimed.primal:.8f}, within {', '.join(within)}"
        )

    @property
    def summary(self) -> str:
        """How much was checked, in one line."""
        checked = sum(found.checked for found in self.findings)
        told = f"certify: {checked} of {len(self.findings)} claims checked, none fails"
        return told if self.conclusion is None else f"{told}; {self.conclusion}"


def check_file(path: Path) -> Verdict:
    """Check the certificate at ``path`` against all that lies beside it.

    Parameters
    ----------
    path : Path
        A certificate's file, or the run folder that holds it as certificate.json. Its dictionary
        must be there; what else is not leaves links unchecked.

    Returns
    -------
    Verdict
        The certificate, and what became of each claim: checked, or why it cannot be checked here.

    Raises
    ------
    ClaimError
        If a claim does not hold.
    ArtefactError
        If a file is missing, damaged or changed, or is not the one that the certificate names.
    """
    is_file = path.suffix == ".json" and not path.is_dir()
    folder = Folder(path if is_file else path / "certificate.json")
    certificate, record = folder.first(CERTIFICATE)
    try:
        dictionary, _ = folder.read("dictionary", DICTIONARY)
    except NotHere as missing:
        raise ArtefactError(f"{folder.path} cannot be checked: {missing}; solve again") from None
    evidence = Evidence(certificate, record, dictionary, folder)
    return Verdict(certificate, (*check(certificate, dictionary.columns), *linked(evidence)))


def check(certificate: Certificate, columns: Columns) -> Iterator[Finding]:
    """Check every claim that the dictionary's ``columns`` can decide, one after the other.

    Raises
    ------
    ClaimError
        At the first claim that does not hold.
    ArtefactError
        If the columns cannot be those of the certificate.
    """
    reason = certificate.statement.unchecked
    if reason is not None:
        return (Finding.open(claim, reason) for claim in certificate.claims)
    return _Check(certificate, columns).findings()


@dataclass(frozen=True, eq=False)
class _Point:
    """A dual vector and its value."""

    exact: Dyadic
    value: Fraction


class _Check:
    """A certificate, the columns, and what several claims need."""

    def __init__(self, certificate: Certificate, columns: Columns) -> None:
        s = certificate.statement
        shape = (columns.n_rows, columns.n_columns)
        if shape != (s.n_rows, s.n_dictionary):
            raise ArtefactError(
                f"the dictionary must have {s.n_rows} rows and {s.n_dictionary} columns, as its "
                f"certificate says, not {shape[0]} and {shape[1]}"
            )
        self._claimed = certificate
        self._statement = s
        self._loss, self._penalty = EXACT_LOSSES[s.loss](), EXACT_PENALTIES[s.penalty]()
        self._all = columns
        self._own = columns.chosen(s.columns, intercept=s.intercept)
        self._own_weights = Dyadic.of(s.weights)[s.with_intercept(s.columns)]
        self._rho = Dyadic.of(np.array([s.rho]))
        self._points: dict[bytes, _Point] = {}

    def findings(self) -> Iterator[Finding]:
        """Check one claim after the other."""
        claimed = self._claimed
        Z = self._own.times(Dyadic.of(claimed.W))
        W = Dyadic.of(claimed.W)
        primal = objective(self._statement, Z, W, up=True)
        _require_above("primal", claimed.primal, primal)
        yield Finding.held("primal", f"the weights' objective is at most {claimed.primal!r}")
        point = self._feasible("dual", claimed.dual, self._own, self._own_weights)
        _require_below("dual", claimed.lower, point.value)
        yield Finding.held(
            "dual", f"no weights of the {len(claimed.W)} columns go below {claimed.lower!r}"
        )
        _require_above("gap", claimed.gap, Fraction(claimed.primal) - Fraction(claimed.lower))
        yield Finding.held("gap", f"at most {claimed.gap!r}")
        for part in claimed.priced:
            yield from self._priced(part)
        if claimed.universal is not None:
            yield self._universal(claimed.universal.lower_bound, claimed.universal.dual)
        if claimed.rounded is not None:
            yield from self._rounding(claimed.rounded, Z, W, primal)

    def _point(self, claim: str, dual: FloatArray) -> _Point:
        """A dual vector in the conjugate's domain, with its value."""
        s, key = self._statement, dual.tobytes()
        if key not in self._points:
            exact = Dyadic.of(dual)
            try:
                value = self._loss.dual_value(exact, s.targets, s.counts)
            except InputError as error:
                raise ClaimError(f"claim {claim} does not hold: {error}") from error
            self._points[key] = _Point(exact, value)
        return self._points[key]

    def _feasible(self, claim: str, dual: FloatArray, columns: Columns, weights: Dyadic) -> _Point:
        """A dual vector that meets the constraint of every one of the columns."""
        point = self._point(claim, dual)
        G = columns.transposed_times(point.exact)
        violated = self._penalty.exceeds(G, self._rho * weights)
        if violated.any():
            raise ClaimError(
                f"claim {claim} does not hold: the dual vector violates the constraint of column "
                f"{int(np.flatnonzero(violated)[0])} of {columns.n_columns}"
            )
        return point

    def _priced(self, part: PricedSet) -> Iterator[Finding]:
        """Claims of a priced set."""
        s, name = self._statement, part.name
        value = None if part.dual is None else self._point(name, part.dual).value
        if value is not None and part.lower_bound is not None:
            _require_below(name, part.lower_bound, value)
        if not part.is_dictionary:
            yield Finding.open(name, "the dictionary does not hold its columns")
            return
        columns = self._all.chosen(np.arange(s.n_dictionary), intercept=s.intercept)
        if columns.n_columns != part.n_columns:
            raise ClaimError(
                f"claim {name} does not hold: it has {columns.n_columns} columns, "
                f"not {part.n_columns}"
            )
        weights = Dyadic.of(s.weights)
        limits = (self._rho + Dyadic.of(np.array([part.violation]))) * weights
        G = columns.transposed_times(Dyadic.of(self._claimed.dual))
        if self._penalty.exceeds(G, limits).any():
            raise ClaimError(
                f"claim {name} does not hold: a column violates the dual constraint by more than "
                f"{part.violation!r}"
            )
        told = (
            f"over all {columns.n_columns} columns no constraint is exceeded by more than "
            f"{part.violation!r}"
        )
        if part.dual is not None:
            self._feasible(name, part.dual, columns, weights)
            told += f", and no network goes below {part.lower_bound!r}"
        yield Finding.held(name, told)
        if part.every_network_of_form:
            yield Finding.open(
                f"{name} (complete)", "whether these are all columns of a form is not in the files"
            )

    def _universal(self, lower_bound: float, dual: FloatArray) -> Finding:
        """The bound over any network: columns with any entries in 0..max_feature, by input."""
        s, claim = self._statement, "universal"
        if self._all.largest > s.max_feature:
            raise ArtefactError(
                f"the dictionary must have entries up to max_feature, {s.max_feature}"
            )
        if not self._all.rows_agree(s.groups):
            raise ClaimError(
                "claim universal does not hold: rows that are said to have the same input differ "
                "in a column"
            )
        point = self._point(claim, dual)
        _require_below(claim, lower_bound, point.value)
        # The column that is worst for an output fires where the sum over an input is positive, or
        # where it is negative.
        order = np.argsort(s.groups, kind="stable")
        starts = np.flatnonzero(np.diff(s.groups[order], prepend=-1))
        sums = np.add.reduceat(point.exact.units[order], starts, axis=0)
        worst = np.maximum(np.maximum(sums, 0).sum(axis=0), np.maximum(-sums, 0).sum(axis=0))
        G = Dyadic(s.max_feature * worst[None, :], point.exact.exponent)
        if self._penalty.exceeds(G, self._rho * Dyadic.of(np.array([s.min_weight]))).any():
            raise ClaimError(
                "claim universal does not hold: a column that fires where it is worst violates "
                "its dual vector"
            )
        return Finding.held(claim, f"no network whatever goes below {lower_bound!r}")

    def _rounding(
        self, rounded: Rounded, Z: Dyadic, W: Dyadic, primal: Fraction
    ) -> Iterator[Finding]:
        """What rounding the readout did, and could have done."""
        Q = Dyadic(rounded.readout.astype(object), -rounded.frac)
        scores, error = self._own.times(Q), self._own.times(abs(Q - W))
        _require_above("score_error", rounded.score_error, error.largest())
        yield Finding.held("score_error", f"no score moves by more than {rounded.score_error!r}")
        after = objective(self._statement, scores, Q, up=True)
        _require_above("rounded primal", rounded.primal, after)
        yield Finding.held(
            "rounded primal", f"the integer readout's objective is at most {rounded.primal!r}"
        )
        change = max(
            after - objective(self._statement, Z, W, up=False),
            primal - objective(self._statement, scores, Q, up=False),
        )
        _require_above("objective_change", rounded.objective_change, change)
        yield Finding.held(
            "objective_change",
            f"rounding moves the objective by no more than {rounded.objective_change!r}",
        )
        yield Finding.held("margins", require_margins("margins", rounded.train, scores, error))


def _require_above(claim: str, stated: float, exact: Fraction) -> None:
    """Raise `ClaimError` unless an upper figure is no less than the exact one."""
    if Fraction(stated) < exact:
        raise ClaimError(f"claim {claim} does not hold: it is {float(exact)!r}, above {stated!r}")


def _require_below(claim: str, stated: float, exact: Fraction) -> None:
    """Raise `ClaimError` unless a lower figure is no more than the exact one."""
    if Fraction(stated) > exact:
        raise ClaimError(f"claim {claim} does not hold: it is {float(exact)!r}, below {stated!r}")
