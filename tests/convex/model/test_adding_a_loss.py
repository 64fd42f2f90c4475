"""A loss and a penalty of somebody else's: one class each, and everything runs with them.

What stands here is all that another package would write; nothing else in Convexon names them. The
checker shares no code with the solver, so each has a second class for it, with exact arithmetic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import ArrayLike

from convex_programs import program_bound
from convexon.certify.certificate import Certificate
from convexon.certify.check import check
from convexon.certify.exact.dyadic import Dyadic
from convexon.certify.exact.losses import EXACT_LOSSES, Counts, ExactLoss, Rounding
from convexon.certify.exact.penalties import EXACT_PENALTIES, ExactPenalty
from convexon.certify.network.columns import Columns
from convexon.convex.model.loss import (
    LOSSES,
    UNIT,
    Curvature,
    FloatArray,
    Loss,
    SmoothLoss,
    Targets,
)
from convexon.convex.model.losses import Hinge, Logistic, Squared
from convexon.convex.model.penalty import L1, PENALTIES, BoolArray, Cone, Penalty
from convexon.convex.model.program import ConvexProgram
from convexon.convex.model.target import encode_real
from convexon.convex.solvers.solver import solve
from convexon.errors import ClaimError, InputError
from convexon.quantizer.readout import quantize_readout
from convexon.train.claims import Scope, Weighed, certificate_of
from convexon.train.columns.bits import BitColumns


class Huber(SmoothLoss):
    """``r^2 / 2`` where the residual r is at most 1, and ``|r| - 1/2`` beyond."""

    smoothness: ClassVar[float] = 1.0
    slope: ClassVar[float] = 1.0
    binary: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True

    def _encoded(self, targets: ArrayLike, *, n_rows: int, n_classes: int | None) -> FloatArray:
        return encode_real(targets, n_rows=n_rows, n_outputs=n_classes)

    def value(self, Z: FloatArray, Y: Targets) -> float:
        r = np.abs(Z - Y.values)
        return float((Y.shares * np.where(r <= 1.0, 0.5 * r * r, r - 0.5)).sum())

    def gradient(self, Z: FloatArray, Y: Targets) -> FloatArray:
        return Y.shares * np.clip(Z - Y.values, -1.0, 1.0)

    def curvature(self, Z: FloatArray, Y: Targets) -> Curvature:
        return Curvature(Y.shares * (np.abs(Z - Y.values) <= 1.0))

    def conjugate(self, U: FloatArray, Y: Targets) -> float:
        if np.abs(U).max(initial=0.0) > 1.0 + 1e-10:
            return np.inf
        return float((Y.shares * U * (0.5 * U + Y.values)).sum())

    def dual_in_domain(self, dual: FloatArray, Y: Targets) -> FloatArray:
        return np.clip(dual, -Y.limits, Y.limits)

    def upper_terms(self, Z: FloatArray, error: FloatArray, Y: Targets) -> FloatArray:
        r = np.abs(Z - Y.values)
        r = r + error + 4.0 * UNIT * (r + error)
        return np.where(r <= 1.0, 0.5 * r * r, r - 0.5) * (1.0 + 8.0 * UNIT)

    def lower_dual_terms(self, dual: FloatArray, Y: Targets) -> FloatArray:
        half, y = 0.5 * Y.per_sample(dual), Y.values
        return dual * (y - half) - 8.0 * UNIT * np.abs(dual) * (np.abs(y) + np.abs(half))


class ExactHuber(ExactLoss):
    off_class: ClassVar[float] = -1.0

    def require_targets(self, values: FloatArray) -> None:
        pass

    def mean(self, Z: Dyadic, Y: FloatArray, counts: Counts, rounding: Rounding) -> Fraction:
        rows = (abs(Z - Dyadic.of(Y))).fractions()
        weights = np.repeat(counts, Y.shape[1]).tolist()
        losses = [r * r / 2 if r <= 1 else r - Fraction(1, 2) for r in rows]
        return sum(w * e for w, e in zip(weights, losses, strict=True)) / int(counts.sum())

    def dual_value(self, dual: Dyadic, Y: FloatArray, counts: Counts) -> Fraction:
        total, value = int(counts.sum()), Fraction(0)
        counted = np.repeat(counts, Y.shape[1]).tolist()
        for entry, y, c in zip(dual.fractions(), Y.ravel().tolist(), counted, strict=True):
            if abs(entry) * total > c:
                raise InputError("the dual vector leaves the conjugate's domain")
            value += entry * Fraction(y) - entry * entry * total / (2 * int(c))
        return value


@dataclass(frozen=True)
class Dear(Penalty):
    """``sum_j w_j (|W_j1| + 2 |W_j2| + 3 |W_j3| + ...)``: later outputs cost more."""

    cone: ClassVar[Cone | None] = None
    smooth_on_support: ClassVar[bool] = True

    def _prices(self, W: FloatArray) -> FloatArray:
        return np.arange(1.0, W.shape[1] + 1.0)

    def row_norms(self, W: FloatArray) -> FloatArray:
        return np.abs(W) @ self._prices(W)

    def dual_row_norms(self, G: FloatArray) -> FloatArray:
        return (np.abs(G) / self._prices(G)).max(axis=1)

    def dual_norm_bound(self, n_outputs: int) -> float:
        return 1.0

    def prox(self, V: FloatArray, thresholds: FloatArray) -> FloatArray:
        bound = thresholds[:, None] * self._prices(V)
        return V - np.clip(V, -bound, bound)

    def support(self, W: FloatArray) -> BoolArray:
        return W != 0.0

    def gradient(self, W: FloatArray, weights: FloatArray) -> FloatArray:
        return weights[:, None] * self._prices(W) * np.sign(W)

    def curvature(self, W: FloatArray, weights: FloatArray) -> None:
        return None

    def retract(self, V: FloatArray, W: FloatArray) -> FloatArray:
        return np.where(V * W > 0.0, V, 0.0)


class ExactDear(ExactPenalty):
    def norms(self, W: Dyadic, *, up: bool) -> Dyadic:
        prices = np.arange(1, W.units.shape[1] + 1).astype(object)
        return Dyadic(np.abs(W.units) @ prices, W.exponent)

    def dual_norms(self, G: Dyadic) -> Dyadic:
        n = G.units.shape[1]
        shared = int(np.lcm.reduce(np.arange(1, n + 1)))
        parts = np.array([shared // k for k in range(1, n + 1)], dtype=object)
        return Dyadic((np.abs(G.units) * parts).max(axis=1), G.exponent)

    def exceeds(self, G: Dyadic, limits: Dyadic) -> np.ndarray:
        n = G.units.shape[1]
        shared = int(np.lcm.reduce(np.arange(1, n + 1)))
        return super().exceeds(G, Dyadic(limits.units * shared, limits.exponent))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an entry point of each group would do."""
    for registry in (LOSSES, PENALTIES, EXACT_LOSSES, EXACT_PENALTIES):
        monkeypatch.setattr(registry, "_known", dict(registry._known))
    LOSSES.add("huber", Huber)
    PENALTIES.add("dear", Dear)
    EXACT_LOSSES.add("huber", ExactHuber)
    EXACT_PENALTIES.add("dear", ExactDear)


def program_of(loss: str, penalty: str, seed: int = 0) -> ConvexProgram:
    rng = np.random.default_rng(seed)
    program = ConvexProgram(
        features=BitColumns.pack(rng.integers(0, 2, (40, 12))).with_intercept(),
        targets=2.0 * rng.normal(size=(40, 3)),
        loss=LOSSES[loss](),
        penalty=PENALTIES[penalty](),
        rho=1.0,
        weights=rng.uniform(0.5, 2.0, 13),
        counts=rng.integers(1, 5, 40),
    )
    return replace(program, rho=0.1 * program.rho_max())


COMBINATIONS = [("huber", "l1"), ("huber", "group_l2"), ("squared", "dear"), ("huber", "dear")]


def certified(program: ConvexProgram) -> tuple[Certificate, Columns]:
    solution = solve(program, tolerance=1e-8)
    assert solution.certificate.relative_gap <= 1e-8
    own = np.arange(program.n_columns - 1)
    certificate = certificate_of(
        program,
        Weighed(columns=own, W=solution.W, dual=solution.dual),
        Scope(max_feature=1),
        tolerance=1e-6,
        readout=quantize_readout(solution.W[:-1], solution.W[-1], bits=8),
    )
    return certificate, Columns.packed(np.asarray(program.features.dense()[:, :-1]))


@pytest.mark.parametrize(("loss", "penalty"), COMBINATIONS)
def test_it_is_solved_certified_quantized_and_checked(loss: str, penalty: str) -> None:
    program = program_of(loss, penalty)
    certificate, columns = certified(program)
    assert (certificate.statement.loss, certificate.statement.penalty) == (loss, penalty)
    assert certificate.universal is not None
    assert 0.0 < certificate.universal.lower_bound <= certificate.primal
    findings = list(check(certificate, columns))
    assert len(findings) == 9
    assert all(found.checked for found in findings)
    # And the checker does look: a claim that is a unit better than the truth is refused.
    better = replace(certificate, lower=float(np.nextafter(certificate.primal, np.inf)))
    with pytest.raises(ClaimError, match="claim dual does not hold"):
        list(check(better, columns))


@pytest.mark.parametrize("registry", [EXACT_LOSSES, EXACT_PENALTIES])
def test_without_an_exact_class_its_certificate_is_not_checkable(registry: object) -> None:
    certificate, columns = certified(program_of("huber", "dear"))
    registry._known.pop("huber" if registry is EXACT_LOSSES else "dear")
    findings = list(check(certificate, columns))
    assert len(findings) == 9
    assert not any(found.checked for found in findings)
    assert findings[0].line.startswith("not checkable here: primal, because no exact ")


def test_a_form_that_no_solver_takes_is_refused_in_a_line() -> None:
    rng = np.random.default_rng(0)
    program = ConvexProgram(
        features=rng.integers(0, 2, (9, 3)),
        targets=rng.choice([-1.0, 1.0], 9),
        loss=Hinge(),
        penalty=Dear(),
        rho=0.1,
    )
    message = (
        "loss hinge and penalty dear have no solver: ActiveSet needs a quadratic loss; "
        "SuccessiveQuadratics needs a smooth loss of one score; Descent needs a smooth loss; "
        "InteriorPoint needs a penalty with a cone"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        solve(program)


@pytest.mark.parametrize("twin", [Squared, Logistic])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_the_universal_bound_of_a_loss_that_states_no_closed_form(
    twin: type[Loss], share: float
) -> None:
    """From slopes alone it is that of the closed form, to rounding."""

    class Plain(twin):
        arrangement = Loss.arrangement

    rng = np.random.default_rng(3)
    groups = rng.integers(0, 9, 30)
    targets = rng.choice([-1.0, 1.0], 30) if twin is Logistic else rng.normal(size=(30, 2))
    program = ConvexProgram(
        features=rng.integers(0, 2, (9, 5))[groups],
        targets=targets,
        loss=twin(),
        penalty=L1(),
        rho=0.01 + 0.1 * share,
        groups=groups,
        counts=rng.integers(1, 4, 30),
    )
    expected = program_bound(program)
    found = program_bound(replace(program, loss=Plain()))
    assert found.value == pytest.approx(expected.value, rel=1e-10)
    np.testing.assert_allclose(found.dual, expected.dual, atol=1e-10)


def without(base: type[Loss], *names: str) -> type[Loss]:
    """A class that states all that ``base`` does but for these."""
    members = {k: v for k, v in vars(base).items() if k not in (*names, "__dict__", "__weakref__")}
    return type(base.__name__, base.__bases__, members)


@pytest.mark.parametrize(
    ("loss", "missing"),
    [
        (without(Huber, "slope"), "slope"),
        (without(Huber, "smoothness"), "smoothness"),
        (without(Huber, "conjugate", "upper_terms"), "conjugate, upper_terms"),
        (without(Huber, "binary", "multiclass"), "binary, multiclass"),
        (without(Squared, "change_terms"), "change_terms, as its slope is infinite"),
    ],
)
def test_a_loss_that_lacks_a_statement_is_refused_by_its_name(
    loss: type[Loss], missing: str
) -> None:
    message = f"loss {loss.__name__} must state {missing}: without them nothing could be certified"
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        LOSSES.add("mine", loss)
    assert "mine" not in LOSSES


@pytest.mark.parametrize("slope", [0.25, 1.0, 3.0, 50.0])
def test_what_rounding_does_to_a_loss_follows_from_the_slope_that_it_states(slope: float) -> None:
    class Steep(Huber):
        def value(self, Z: FloatArray, Y: Targets) -> float:
            return slope * Huber.value(self, Z, Y)

    Steep.slope = slope
    rng = np.random.default_rng(5)
    targets, loss = 2.0 * rng.normal(size=(9, 2)), Steep()
    Y = loss.encode(targets, n_rows=9, n_classes=2)
    Z, moved = 3.0 * rng.normal(size=(2, 9, 2))
    bound = loss.change_terms(Z, np.zeros_like(Z), np.abs(moved), Y)
    change = abs(loss.value(Z + moved, Y) - loss.value(Z, Y))
    assert change <= (Y.shares[:, 0] * bound).sum()
    assert change > 0.0


def test_other_forms_that_lack_a_statement_are_refused() -> None:
    with pytest.raises(InputError, match=r"^loss 'hinge' is there already: choose another name$"):
        LOSSES.add("hinge", Huber)
    with pytest.raises(InputError, match=r"^loss Bent must be smooth or hinged: no solver takes"):
        LOSSES.add("bent", type("Bent", (Hinge,), {"hinged": False}))
    half = type("Half", (Penalty,), {"cone": None})
    with pytest.raises(InputError, match=r"^penalty Half must state curvature, dual_norm_bound"):
        PENALTIES.add("half", half)
    with pytest.raises(InputError, match=r"^exact loss Bare must state dual_value, mean, require"):
        EXACT_LOSSES.add("bare", type("Bare", (ExactLoss,), {}))
    with pytest.raises(InputError, match=r"^exact penalty Bare must state dual_norms, norms$"):
        EXACT_PENALTIES.add("bare", type("Bare", (ExactPenalty,), {}))


def test_a_loss_without_a_name_cannot_be_certified() -> None:
    class Nameless(Huber):
        pass

    with pytest.raises(InputError, match=r"^loss Nameless must be registered: give it a name in"):
        _ = Nameless().name
