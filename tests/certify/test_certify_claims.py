"""The independent checker: it accepts what holds, and refuses what is off by one unit.

Mutants are changed in memory or saved anew with a digest of their own, so that nothing but the
mathematics can catch them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convex_programs import LOSS_NAMES, PENALTY_NAMES
from convexon.certify.certificate import CERTIFICATE, Certificate
from convexon.certify.check import Verdict, check
from convexon.certify.exact.dyadic import Dyadic
from convexon.certify.exact.losses import DOWN, EXACT_LOSSES, UP
from convexon.certify.exact.penalties import EXACT_PENALTIES
from convexon.certify.finding import Finding
from convexon.certify.links import LINKS
from convexon.certify.network.columns import Columns
from convexon.certify.network.rows import require_rows, rows_of
from convexon.certify.statement import Statement
from convexon.convex.bounds.gap import certify
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import PENALTIES
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.errors import ArtefactError, ClaimError, InputError
from convexon.quantizer.readout import quantize_readout
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load, save
from convexon.train.claims import Scope, Weighed, certificate_of
from convexon.train.columns.bits import BitColumns

N, P, C = 20, 7, 3


def problem(
    kind: str, penalty: str, seed: int, *, high: int = 1
) -> tuple[ConvexProgram, np.ndarray, np.ndarray]:
    """A program over merged rows with conflicting labels, its columns, weights and groups."""
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(N - 6), rng.integers(0, N - 6, 6)])
    inputs = rng.integers(0, high + 1, (N - 6, P)).astype(np.uint8)
    if kind == "squared":
        targets = rng.normal(size=(N, C))
    elif kind == "softmax":
        targets = np.arange(N) % C
    else:
        targets = rng.choice([-1.0, 1.0], (N, 1 if kind == "logistic" else C))
    columns = inputs[groups]
    program = ConvexProgram(
        features=BitColumns.pack(columns, max_value=high).with_intercept(),
        targets=targets,
        loss=LOSSES[kind](),
        penalty=PENALTIES[penalty](),
        rho=float(rng.choice([0.003, 0.05])),
        weights=rng.uniform(0.5, 2.0, P + 1),
        counts=rng.integers(1, 4, N),
        groups=groups,
    )
    W = rng.normal(size=(5, program.n_outputs)) * 10.0 ** rng.integers(-6, 1, (5, 1))
    return program, columns, W


def certified(kind: str, penalty: str, seed: int, *, high: int = 1) -> tuple[Certificate, Columns]:
    program, columns, W = problem(kind, penalty, seed, high=high)
    own = np.array([0, 2, 3, 6])
    _, dual = certify(program.restricted(np.append(own, P)), W)
    certificate = certificate_of(
        program,
        Weighed(columns=own, W=W, dual=dual),
        Scope(max_feature=high),
        tolerance=1e-6,
        readout=quantize_readout(W[:-1], W[-1], bits=8),
    )
    return certificate, Columns.packed(columns)


KINDS = st.sampled_from(LOSS_NAMES), st.sampled_from(PENALTY_NAMES)


@settings(max_examples=40)
@given(kind=KINDS[0], penalty=KINDS[1], seed=st.integers(0, 10**6), high=st.sampled_from([1, 5]))
def test_what_the_convex_core_claims_holds(kind: str, penalty: str, seed: int, high: int) -> None:
    certificate, columns = certified(kind, penalty, seed, high=high)
    findings = list(check(certificate, columns))
    assert [found.claim for found in findings] == [
        "primal", "dual", "gap", "dictionary", "universal", "score_error",
        "rounded primal", "objective_change",         "margins",
    ]  # fmt: skip
    assert all(found.checked for found in findings)


@pytest.mark.parametrize("kind", LOSS_NAMES)
@pytest.mark.parametrize("penalty", PENALTY_NAMES)
def test_exact_values_agree_with_the_convex_core(kind: str, penalty: str) -> None:
    """Two statements of the same mathematics, one of them exact."""
    program, columns, _ = problem(kind, penalty, 3, high=5)
    full = np.random.default_rng(1).normal(size=(P + 1, program.n_outputs))
    Y, stored = (
        program.encoded,
        Columns(planes=Columns.packed(columns).planes, n_rows=N, intercept=True),
    )
    Z = stored.times(Dyadic.of(full))
    np.testing.assert_allclose(
        np.array(Z.fractions(), dtype=float).reshape(N, -1), program.predict(full), rtol=1e-13,
        atol=1e-13,
    )  # fmt: skip
    loss, norm = EXACT_LOSSES[kind](), EXACT_PENALTIES[penalty]()
    low, high = (loss.mean(Z, Y.values, Y.counts, r) for r in (DOWN, UP))
    assert low <= high < low + Fraction(1, 10**24)
    assert float(low) == pytest.approx(program.loss.value(program.predict(full), Y), rel=1e-13)
    weights = Dyadic.of(program.weights)
    norms = [(norm.norms(Dyadic.of(full), up=up) * weights).sum() for up in (False, True)]
    assert norms[0] <= norms[1] < norms[0] * (1 + Fraction(1, 2**80))
    assert float(norms[0]) == pytest.approx(program.penalty.value(full, program.weights), rel=1e-13)
    dual = program.loss.dual_in_domain(-program.loss.subgradient(program.predict(full), Y), Y)
    value = loss.dual_value(Dyadic.of(dual), Y.values, Y.counts)
    assert float(value) == pytest.approx(program.loss.dual_value(dual, Y), rel=1e-12, abs=1e-14)
    G = stored.transposed_times(Dyadic.of(dual))
    ratios = program.penalty.dual_ratios(program.correlate(dual), np.ones(P + 1))
    for factor in (1.0 - 1e-12, 1.0 + 1e-12):
        violated = norm.exceeds(G, Dyadic.of(ratios * factor))
        assert violated.tolist() == [factor < 1.0] * (P + 1)


def _next(value: float, towards: float) -> float:
    return math.nextafter(value, towards)


def refusal(certificate: Certificate, columns: Columns) -> str:
    """Why the certificate is refused; empty where it is not."""
    try:
        list(check(certificate, columns))
    except ClaimError as error:
        return str(error)
    return ""


def last(holds: Callable[[float], bool], good: float, bad: float) -> float:
    """The last float64 on the way from ``good`` to ``bad`` for which ``holds`` is true."""
    assert holds(good)
    assert not holds(bad)
    while _next(good, bad) != bad:
        middle = (good + bad) / 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good


@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_a_primal_one_unit_below_the_truth_is_refused(kind: str) -> None:
    certificate, columns = certified(kind, "l1", 5)
    bare = replace(certificate, universal=None, rounded=None, priced=(), gap=1e9)

    def why(primal: float) -> str:
        return refusal(replace(bare, primal=primal), columns)

    least = last(lambda primal: not why(primal), bare.primal, bare.primal * (1 - 1e-9))
    assert least <= bare.primal
    assert re.match("^claim primal does not hold: it is .*, above ", why(_next(least, 0.0)))


@pytest.mark.parametrize("penalty", PENALTY_NAMES)
def test_a_dual_vector_beyond_a_constraint_by_one_unit_is_refused(penalty: str) -> None:
    """Squared loss: its conjugate has no boundary, so only the constraint can object."""
    certificate, columns = certified("squared", penalty, 2)
    bare = replace(certificate, universal=None, rounded=None, priced=(), lower=-1e9, gap=1e10)

    def why(factor: float) -> str:
        return refusal(replace(bare, dual=certificate.dual * factor), columns)

    most = last(lambda factor: not why(factor), 0.5, 2.0)
    assert most > 1.0 - 1e-12
    beyond = (
        r"^claim dual does not hold: the dual vector violates the constraint of column \d of 5$"
    )
    assert re.match(beyond, why(_next(most, 2.0)))


def mutants(certificate: Certificate) -> dict[str, tuple[Certificate, str]]:
    """Certificates that each claim a little too much, with the claim that must fail."""
    s, part, rounded = certificate.statement, certificate.priced[0], certificate.rounded
    universal = certificate.universal
    step = 1e-9 * max(1.0, certificate.primal)
    louder = certificate.dual * (1.0 + 1e-9)
    W = certificate.W.copy()
    W[0, 0] += 1e3
    readout = rounded.readout.copy()
    readout[np.unravel_index(np.abs(readout).argmax(), readout.shape)] -= 1
    margin, rounding = rounded.train.margin.copy(), rounded.train.rounding.copy()
    margin[3] = _next(margin[3], math.inf) if margin[3] else 5e-324
    rounding[4] *= 1.0 - 1e-9
    train = rounded.train
    return {
        "primal": (replace(certificate, primal=certificate.primal - step), "primal"),
        "weights": (replace(certificate, W=W), "primal"),
        "dual value": (replace(certificate, lower=certificate.lower + step), "dual"),
        "dual vector": (replace(certificate, dual=louder), "dual"),
        "gap": (replace(certificate, gap=_next(certificate.gap, 0.0)), "gap"),
        "bound of a set": (_with_set(certificate, lower_bound=part.lower_bound + step), part.name),
        "dual of a set": (_with_set(certificate, dual=part.dual * (1 + 1e-9)), part.name),
        "violation": (_with_set(certificate, violation=part.violation * (1 - 1e-9)), part.name),
        "columns of a set": (_with_set(certificate, n_columns=part.n_columns + 1), part.name),
        "universal bound": (
            replace(
                certificate, universal=replace(universal, lower_bound=universal.lower_bound + step)
            ),
            "universal",
        ),
        "universal dual": (
            replace(certificate, universal=replace(universal, dual=universal.dual * (1 + 1e-9))),
            "universal",
        ),
        "universal weight": (
            replace(
                certificate, statement=replace(s, min_weight=s.min_weight * (1 - 1e-9))
            ),
            "universal",
        ),
        "groups": (
            replace(certificate, statement=replace(s, groups=np.zeros_like(s.groups))),
            "universal",
        ),
        "score error": (
            _with_rounding(certificate, score_error=rounded.score_error * (1 - 1e-9)),
            "score_error",
        ),
        "objective change": (_with_rounding(certificate, objective_change=0.0), "objective_change"),
        "rounded primal": (
            _with_rounding(certificate, primal=rounded.primal * (1 - 1e-9)), "rounded primal"
        ),
        "readout": (_with_rounding(certificate, readout=readout), "score_error"),
        "margin": (_with_rounding(certificate, train=replace(train, margin=margin)), "margins"),
        "rounding": (
            _with_rounding(certificate, train=replace(train, rounding=rounding)), "margins"
        ),
        "rho": (
            replace(certificate, statement=replace(s, rho=s.rho * (1 - 1e-9))), "dual"
        ),
        "column": (
            replace(certificate, statement=replace(s, columns=np.array([0, 2, 4, 6]))), "primal"
        ),
    }  # fmt: skip


def _with_set(certificate: Certificate, **changes: object) -> Certificate:
    return replace(certificate, priced=(replace(certificate.priced[0], **changes),))


def _with_rounding(certificate: Certificate, **changes: object) -> Certificate:
    return replace(certificate, rounded=replace(certificate.rounded, **changes))


NAMES = list(mutants(certified("hinge", "l1", 1)[0]))


@pytest.mark.parametrize("kind", ["hinge", "softmax"])
@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_with_a_sound_digest_is_refused(kind: str, name: str, tmp_path) -> None:
    certificate, columns = certified(kind, "l1", 1)
    mutant, claim = mutants(certificate)[name]
    save(CERTIFICATE, mutant, tmp_path / "certificate.json")
    read, _ = load(CERTIFICATE, tmp_path / "certificate.json")
    with pytest.raises(ClaimError, match=f"^claim {claim} does not hold"):
        list(check(read, columns))


def test_the_file_form_keeps_every_claim(tmp_path) -> None:
    certificate, columns = certified("softmax", "group_l2", 1)
    save(CERTIFICATE, certificate, tmp_path / "certificate.json")
    read, _ = load(CERTIFICATE, tmp_path / "certificate.json")
    assert read.sentences == certificate.sentences
    assert [f.line for f in check(read, columns)] == [f.line for f in check(certificate, columns)]


def test_a_set_that_is_not_in_the_dictionary_is_left_open() -> None:
    certificate, columns = certified("squared", "l1", 4)
    elsewhere = _with_set(
        certificate,
        name="search0",
        is_dictionary=False,
        every_network_of_form=True,
        about="some other columns",
    )
    (found,) = [f for f in check(elsewhere, columns) if f.claim == "search0"]
    assert found.line == (
        "not checkable here: search0, because the dictionary does not hold its columns"
    )
    # What can be checked of it is: the dual vector's value.
    louder = _with_set(elsewhere, lower_bound=elsewhere.priced[0].lower_bound + 1e-6)
    with pytest.raises(ClaimError, match=r"^claim search0 does not hold"):
        list(check(louder, columns))


def test_another_dictionary_is_foreign() -> None:
    certificate, columns = certified("hinge", "l1", 1)
    fewer = columns.chosen(np.arange(P - 1), intercept=False)
    with pytest.raises(ArtefactError, match=r"^the dictionary must have 20 rows and 7 columns"):
        list(check(certificate, fewer))


def test_a_bound_needs_every_column_to_have_been_seen() -> None:
    certificate, _ = certified("hinge", "l1", 1)
    for change in ({"exact": False}, {"dual": None}, {"violation": -1.0}):
        with pytest.raises(InputError, match=r"^dictionary must "):
            _with_set(certificate, **change)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_a_float_is_exactly_what_it_stands_for(values: list[float]) -> None:
    assert Dyadic.of(values).fractions() == [Fraction(v) for v in values]
    assert Dyadic.of(values).sum() == sum(map(Fraction, values))


@given(st.integers(0, 10**6), st.integers(1, 8))
def test_products_are_exact_over_the_whole_range_of_floats(seed: int, planes: int) -> None:
    rng = np.random.default_rng(seed)
    D = rng.integers(0, 1 << planes, (9, 4)).astype(np.uint8)
    W = rng.normal(size=(4, 2)) * 10.0 ** rng.integers(-320, 300, (4, 2))
    exact = [
        sum((int(d) * Fraction(w) for d, w in zip(row, column, strict=True)), Fraction(0))
        for row in D
        for column in W.T
    ]
    columns = Columns.packed(D)
    assert columns.times(Dyadic.of(W)).fractions() == exact
    across = Columns.packed(np.ascontiguousarray(D.T))
    assert across.transposed_times(Dyadic.of(W)).fractions() == exact


def certified_over(patterns: np.ndarray, *, complete: bool) -> Certificate:
    """Certificate of the solution over all of some patterns, squared loss, five rows."""
    program = ConvexProgram(
        features=BitColumns.pack(patterns).with_intercept(),
        targets=np.array([1.0, -2.0, 0.5, 0.3, -0.1]),
        loss=LOSSES["squared"](),
        penalty=PENALTIES["l1"](),
        rho=0.05,
    )
    solution = solve(program, tolerance=1e-9)
    return certificate_of(
        program,
        Weighed(columns=np.arange(patterns.shape[1]), W=solution.W, dual=solution.dual),
        Scope(
            max_feature=1,
            about="one threshold unit on five points",
            every_network_of_form=complete,
        ),
        tolerance=1e-6,
    )


def test_globally_optimal_is_said_only_where_a_bound_closes() -> None:
    everything = np.array(list(itertools.product([0, 1], repeat=5))).T.astype(np.uint8)
    some = everything[:, [3, 5, 9, 12, 20, 27]]
    whole, part = certified_over(everything, complete=False), certified_over(some, complete=False)
    assert whole.optimal_over == "any network of any depth, width and weights on these inputs"
    assert part.optimal_over is None
    assert part.closes(part.lower)  # its own gap is closed all the same
    named = certified_over(some, complete=True)
    assert named.optimal_over == "one threshold unit on five points"
    # A checker cannot know that the columns are all of a form, so it does not conclude it.
    links = tuple(Finding.held(name, "") for name in LINKS)
    for certificate, patterns, concluded in (
        (whole, everything, True), (part, some, False), (named, some, False),
    ):  # fmt: skip
        # Nor does a certificate say it of itself.
        assert "globally optimal" not in " ".join(certificate.sentences)
        findings = (*check(certificate, Columns.packed(patterns)), *links)
        assert all(found.checked for found in findings) is not (certificate is named)
        assert (Verdict(certificate, findings).conclusion is not None) is concluded


@pytest.mark.parametrize("missing", [*LINKS, "dual", "universal"])
def test_globally_optimal_is_not_said_while_anything_is_unchecked(missing: str) -> None:
    everything = np.array(list(itertools.product([0, 1], repeat=5))).T.astype(np.uint8)
    whole = certified_over(everything, complete=False)
    links = (Finding.held(name, "") for name in LINKS)
    findings = (*check(whole, Columns.packed(everything)), *links)
    assert "globally optimal" in Verdict(whole, findings).summary
    without = tuple(found for found in findings if found.claim != missing)
    for told in (without, (*without, Finding.open(missing, "it is not there"))):
        assert "globally optimal" not in Verdict(whole, told).summary


@pytest.mark.parametrize("tolerance", [2e-3, 1.0, 1e300])
def test_no_bound_closes_to_a_tolerance_that_says_nothing(tolerance: float) -> None:
    everything = np.array(list(itertools.product([0, 1], repeat=5))).T.astype(np.uint8)
    whole = replace(certified_over(everything, complete=False), tolerance=tolerance)
    assert whole.optimal_over is None
    assert not whole.closes(whole.primal)


def merged_statement(**changes: object) -> Statement:
    """Six samples of three inputs as four rows: inputs 0 (twice 1), 1 (0 and 1), 2 (twice 0)."""
    members: dict[str, object] = {
        "loss": "softmax",
        "penalty": "l1",
        "rho": 0.1,
        "targets": np.eye(2)[[1, 0, 1, 0]],
        "counts": np.array([2, 1, 1, 2]),
        "groups": np.array([0, 1, 1, 2]),
        "columns": np.array([0]),
        "intercept": True,
        "weights": np.ones(2),
        "min_weight": 1.0,
        "max_feature": 1,
    }
    return Statement(**{**members, **changes})


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"groups": np.array([5, 2, 2, 0])}, True),
        ({"groups": np.arange(4)}, False),
        ({"groups": np.array([0, 0, 1, 2])}, False),
        ({"counts": np.array([1, 2, 1, 2])}, False),
        ({"counts": np.array([2, 1, 1, 3])}, False),
        ({"targets": np.eye(2)[[0, 0, 1, 1]]}, False),
        ({"targets": np.eye(2)[[1, 0, 1, 0]] * 1e-6, "loss": "squared"}, False),
        ({"targets": np.eye(2)[[1, 0, 1, 0]], "loss": "squared"}, True),
        ({"targets": np.array([[1.0], [-1.0], [1.0], [-1.0]]), "loss": "squared"}, True),
        ({"targets": np.array([[1.0], [-1.0], [1.0], [-1.0]]) / 8, "loss": "squared"}, False),
        ({"targets": np.array([[1.0], [-1.0], [1.0], [-1.5]]), "loss": "squared"}, False),
    ],
)
def test_merged_rows_are_compared_with_the_samples(changes, holds) -> None:
    inputs = np.array([0, 1, 1, 2, 0, 2], dtype=np.uint8)[:, None, None]
    dataset = SpikeDataset(
        inputs=inputs, labels=np.array([1, 0, 1, 0, 1, 0]), n_classes=2, input_bits=2, name="six"
    )
    statement, rows = merged_statement(**changes), rows_of(dataset, ReadoutMode.LAST)
    if holds:
        require_rows(statement, rows, 2, "train.json")
        return
    with pytest.raises(ClaimError, match=r"^claim data does not hold: "):
        require_rows(statement, rows, 2, "train.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": ""}, "loss must be a name, not ''"),
        ({"penalty": 0}, "penalty must be a name, not 0"),
        ({"rho": 0.0}, "rho must be a positive finite number, not 0.0"),
        ({"rho": float("inf")}, "rho must be a positive finite number, not inf"),
        ({"max_feature": 0}, "max_feature must be 1 to 255, not 0"),
        ({"counts": np.array([2, 1, 0, 2])}, "counts must be positive and sum to no more than"),
        ({"counts": np.array([2, 1])}, "counts must be one integer a row (4), none of them neg"),
        ({"columns": np.array([1])}, "columns must be ascending columns of the dictionary"),
        ({"weights": np.array([1.0, 0.5])}, "weights must be no less than min_weight, 1.0"),
        ({"targets": np.ones((4, 2))}, "targets must be one-hot for softmax"),
        (
            {"targets": np.full((4, 2), np.nan)},
            "targets must be finite float64 of at most 1e+60, not nan",
        ),
        ({"loss": "hinge"}, "targets must be -1 or +1 for hinge"),
        ({"loss": "logistic"}, "targets must have one column for logistic"),
    ],
)
def test_a_statement_that_does_not_fit_itself_is_refused(changes, message) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        merged_statement(**changes)


@pytest.mark.parametrize("member", ["loss", "penalty"])
def test_what_has_no_exact_evaluation_is_not_checkable(member: str) -> None:
    certificate, columns = certified("squared", "l1", 1)
    foreign = replace(certificate, statement=replace(certificate.statement, **{member: "cubic"}))
    # What it claims may be false: nothing of it was looked at, and it says so.
    foreign = replace(foreign, primal=foreign.primal / 2.0, gap=0.0)
    findings = list(check(foreign, columns))
    known = list(check(certificate, columns))
    assert [found.claim for found in findings] == [found.claim for found in known]
    reason = f"no exact {member} 'cubic' is registered in convexon.certify.{member}"
    assert all(found.line.startswith("not checkable here: ") for found in findings)
    assert all(found.detail.startswith(reason[:-1]) for found in findings)
    assert Verdict(foreign, tuple(findings)).conclusion is None
