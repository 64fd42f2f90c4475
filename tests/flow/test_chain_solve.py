"""Stage ``solve``: its certificate, what it reuses, and what it makes again."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexon.certify.check import check_file
from convexon.convex.bounds.gap import certify
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import L1
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers import solver
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import DATASET
from convexon.data.loading import from_file
from convexon.data.samples import Samples
from convexon.errors import InputError, SolverError
from convexon.flow.network import solve as flow
from convexon.flow.network.solve import Solved, held_out
from convexon.flow.run import Run
from convexon.progress import QUIET
from convexon.snn.models import golden
from convexon.snn.models.simulate import run
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load
from convexon.train import selection
from convexon.train.columns.dictionary import DICTIONARY, patterns
from convexon.train.columns.rows import distinct_rows
from convexon.train.cost import CostKind
from convexon.train.selection import validation_split
from convexon.train.settings import ProgramSolver, SolveSettings
from convexon.train.solved import BRANCHES, NETWORK, SOLVED
from convexon.train.witnesses import stage
from toy import N_INPUTS, toy_arrays, toy_file, toy_samples, toy_settings

ARTEFACTS = (
    *("samples-train", "samples-test", "train", "test"),
    *("branches", "dictionary", "solution", "network", "readout", "card", "certificate"),
)
ENDS = ("readout", "card", "certificate")

SOLVING = (selection, solver)
"""Modules that call the solver."""


@pytest.fixture(scope="module")
def settings() -> SolveSettings:
    return toy_settings()


@pytest.fixture(scope="module")
def solved(settings: SolveSettings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Solved]:
    folder = Run(tmp_path_factory.mktemp("solved"))
    return folder, flow.solve(folder, toy_samples(), settings)


@pytest.fixture
def folder(solved: tuple[Run, Solved], tmp_path: Path) -> Run:
    """A copy of the solved folder, that a test may change."""
    return Run(Path(shutil.copytree(solved[0].path, tmp_path / "run")))


def contents(folder: Run) -> dict[str, bytes]:
    """Every file but the wall times, by name."""
    files = (path for path in folder.path.iterdir() if path.name != "timing.json")
    return {path.name: path.read_bytes() for path in files}


def written(folder: Run) -> dict[str, int]:
    """When each artefact was written."""
    return {name: folder.file(name).stat().st_mtime_ns for name in ARTEFACTS}


def certified(
    folder: Run, loss: str, *, drawn: bool
) -> tuple[ConvexProgram, np.ndarray, np.ndarray]:
    """Program, weights and dual point, from the files and the loss alone."""
    train, _ = load(DATASET, folder.file("train"))
    dictionary, _ = load(DICTIONARY, folder.file("dictionary"))
    solution, _ = load(SOLVED, folder.file("solution"))
    chosen = dictionary if drawn else dictionary.restricted(solution.columns)
    stated = LOSSES[loss]()
    program = ConvexProgram(
        features=chosen.with_intercept(),
        targets=stated.targets(train.labels, stated.outputs_for(train.n_classes)),
        loss=stated,
        penalty=L1(),
        rho=solution.gap.rho,
        n_classes=solution.W.shape[1],
    )
    weights = np.zeros((program.n_columns, program.n_outputs))
    rows = solution.columns if drawn else np.arange(len(solution.columns))
    weights[np.append(rows, -1)] = solution.W
    return program, weights, solution.dual


def test_the_certificate_is_recomputed_from_the_files(
    solved: tuple[Run, Solved], settings: SolveSettings
) -> None:
    folder, result = solved
    program, weights, dual = certified(folder, settings.loss, drawn=False)
    again, _ = certify(program, weights, dual=dual)
    stated = result.solution.value.gap
    assert again.gap <= settings.tolerance
    assert again.relative_gap <= settings.tolerance
    assert abs(again.primal - stated.primal) < 1e-12
    assert abs(again.dual - stated.dual) < 1e-12
    assert (again.n_columns, again.n_active) == (stated.n_columns, stated.n_active)


def test_the_bounds_over_drawn_columns_and_over_any_network_hold(
    solved: tuple[Run, Solved], settings: SolveSettings
) -> None:
    folder, result = solved
    program, weights, dual = certified(folder, settings.loss, drawn=True)
    stated = result.certificate.value
    (drawn,) = stated.priced
    universal = stated.universal.lower_bound
    again, _ = certify(program, weights, dual=dual)
    optimum = solve(program, tolerance=1e-9).certificate.primal
    assert drawn.name == "dictionary"
    assert abs(again.dual - drawn.lower_bound) < 1e-9
    assert drawn.lower_bound <= again.dual, "rounded down"
    assert drawn.n_columns == result.drawn.dictionary.value.n_columns + 1
    assert drawn.lower_bound <= optimum <= stated.primal
    assert optimum < stated.primal - 1e-6, "the selection gives something away here"
    assert 0.0 < universal <= stated.lower
    assert universal <= optimum


def test_the_reconstructed_network_scores_training_rows_as_the_program_does(
    solved: tuple[Run, Solved], settings: SolveSettings
) -> None:
    folder, result = solved
    network, _ = load(NETWORK, folder.file("network"))
    program, weights, _ = certified(folder, settings.loss, drawn=False)
    active = np.flatnonzero(weights[:-1].any(axis=1))
    features = patterns(network.branches, result.drawn.train.value, network.readout_mode)
    # The same integers under the same floats: equal, whatever the order of sums.
    np.testing.assert_array_equal(features, program.features.dense(active))
    np.testing.assert_array_equal(network.readout_weights, weights[active])
    np.testing.assert_array_equal(network.readout_biases, weights[-1])
    scores = features @ network.readout_weights + network.readout_biases
    np.testing.assert_allclose(scores, program.predict(weights), rtol=0.0, atol=1e-12)


def test_rounding_moves_no_score_and_no_certified_decision_by_more_than_its_bound(
    solved: tuple[Run, Solved], settings: SolveSettings
) -> None:
    folder, result = solved
    program, weights, _ = certified(folder, settings.loss, drawn=False)
    card, bound = result.card.value, result.certificate.value.rounded
    trace = run(card, result.drawn.train.value.inputs)
    real = program.predict(weights)
    rounded = np.ldexp(trace.scores[:, 0].astype(np.float64), -card.readout_format.frac)
    assert 0.0 < np.abs(rounded - real).max() <= bound.score_error + 1e-12
    flipped = int((trace.labels[:, 0] != real.argmax(axis=1)).sum())
    assert flipped <= bound.train.n_decisions - bound.train.n_certified


def test_a_second_run_computes_nothing(
    folder: Run, settings: SolveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a current artefact was computed again")

    for name in (
        "solve_program",
        "build_dictionary",
        "witnesses_for",
        "reconstruct",
        "with_readout",
    ):
        monkeypatch.setattr(f"convexon.flow.network.solve.{name}", refuse)
    before, times, timing = contents(folder), written(folder), folder.timing()
    result = flow.solve(folder, toy_samples(), settings)
    drawn = result.drawn
    made = (drawn.train, drawn.test, drawn.branches, drawn.dictionary, result.solution)
    ends = (result.network, result.card, result.certificate)
    assert all(artefact.reused for artefact in (*made, *ends))
    assert contents(folder) == before
    assert written(folder) == times
    assert folder.timing() == timing


def test_a_new_folder_gets_the_same_bytes(
    solved: tuple[Run, Solved], settings: SolveSettings, tmp_path: Path
) -> None:
    again = Run(tmp_path / "again")
    assert not flow.solve(again, toy_samples(), settings).card.reused
    assert contents(again) == contents(solved[0])


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"readout_bits": 6}, set(ENDS)),
        ({"rho": (0.01,)}, {"solution", "network", *ENDS}),
        ({"alphabet": "int3"}, {"branches", "dictionary", "solution", "network", *ENDS}),
        ({"steps": 4}, set(ARTEFACTS) - {"samples-train", "samples-test"}),
        ({"seed": 1}, set(ARTEFACTS)),
    ],
    ids=[
        "readout_bits",
        "rho",
        "alphabet",
        "steps",
        "seed",
    ],  # a set has no order to name a test by
)
def test_a_changed_setting_remakes_only_what_depends_on_it(
    folder: Run, settings: SolveSettings, change: dict[str, object], remade: set[str]
) -> None:
    times = written(folder)
    flow.solve(folder, toy_samples(), toy_settings(**change))
    assert {name for name, time in written(folder).items() if time != times[name]} == remade


def test_changed_labels_remake_the_samples_though_the_features_are_split_as_before(
    tmp_path: Path,
) -> None:
    features, labels = toy_arrays()
    rows = np.concatenate([np.flatnonzero(labels == c)[:4] for c in range(2)])
    folder = Run(tmp_path / "run")

    def split(classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        train, _ = held_out(folder, toy_settings(seed=seed), Samples.of(features[rows], classes))
        return train.value.values, train.value.labels

    classes = np.repeat([0, 1], 4)
    for seed in range(20):
        before, after = split(classes, seed), split(1 - classes, seed)
        np.testing.assert_array_equal(after[1], np.sort(after[1])[::-1])
        if np.array_equal(before[0], after[0]):
            return
    pytest.fail("no seed splits both alike")


@pytest.mark.parametrize("interrupted_call", [0, 3], ids=["selecting", "certifying"])
def test_an_interrupted_run_goes_on_where_it_was(
    solved: tuple[Run, Solved],
    settings: SolveSettings,
    tmp_path: Path,
    interrupted_call: int,
) -> None:
    folder = Run(tmp_path / "run")
    calls = 0

    def interrupted(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > interrupted_call:
            raise KeyboardInterrupt
        return solve(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        for module in SOLVING:
            patch.setattr(module, "solve", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flow.solve(folder, toy_samples(), settings)
    assert [name for name in ARTEFACTS if folder.has(name)] == [*ARTEFACTS[:6]]
    result = flow.solve(folder, toy_samples(), settings)
    assert result.drawn.train.reused
    assert result.drawn.dictionary.reused
    assert not result.solution.reused
    assert contents(folder) == contents(solved[0])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, Path.unlink])
@pytest.mark.parametrize("pattern", ["dictionary.json", "dictionary.*.npz", "card.json"])
def test_a_damaged_artefact_is_made_again(
    folder: Run, settings: SolveSettings, damage: object, pattern: str
) -> None:
    before = contents(folder)
    (victim,) = folder.path.glob(pattern)
    damage(victim)  # type: ignore[operator]
    flow.solve(folder, toy_samples(), settings)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("coding", "bits", "mode"),
    [
        ("latency", 1, ReadoutMode.LAST),
        ("intensity", 3, ReadoutMode.SIGN),
        ("intensity", 1, ReadoutMode.COUNT),
    ],
)
def test_every_coding_and_readout_ends_in_a_certified_network(
    settings: SolveSettings, tmp_path: Path, coding: str, bits: int, mode: ReadoutMode
) -> None:
    changed = toy_settings(coding=coding, bits=bits, readout=mode, max_neurons=9)
    result = flow.solve(Run(tmp_path), toy_samples(), changed)
    card = result.card.value
    assert result.solution.value.gap.gap <= changed.tolerance
    assert (card.readout_mode, card.input_bits, card.n_steps) == (mode, bits, changed.steps)
    assert 0 < card.n_neurons <= 9
    assert result.drawn.dictionary.value.max_feature == card.max_feature
    inputs = result.drawn.test.value.inputs[:6]
    np.testing.assert_array_equal(run(card, inputs).scores, golden.run(card, inputs).scores)
    assert result.accuracy(result.drawn.test.value) > 0.6, "three classes, so chance is about 0.33"


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "softmax"])
def test_every_loss_ends_in_a_certified_network(tmp_path: Path, loss: str) -> None:
    features, labels = toy_arrays()
    kept = labels < (2 if loss == "logistic" else 3)
    samples = Samples.of(features[kept], labels[kept])
    settings, folder = toy_settings(loss=loss), Run(tmp_path / "run")
    result = flow.solve(folder, samples, settings)
    program, weights, dual = certified(folder, loss, drawn=False)
    again, _ = certify(program, weights, dual=dual)
    assert again.gap <= settings.tolerance
    assert result.certificate.value.universal.lower_bound <= again.dual
    assert result.card.value.n_classes == (1 if loss == "logistic" else 3)
    assert result.accuracy(result.drawn.test.value) > 0.9


def test_logistic_loss_on_three_classes_is_refused(settings: SolveSettings, tmp_path: Path) -> None:
    message = "loss logistic must have 2 classes, not 3: take softmax"
    with pytest.raises(InputError, match=f"^{message}$"):
        flow.solve(Run(tmp_path), toy_samples(), toy_settings(loss="logistic"))


def test_a_smaller_allowance_gives_that_many_neurons_at_most(
    folder: Run, settings: SolveSettings
) -> None:
    result = flow.solve(folder, toy_samples(), toy_settings(max_neurons=4))
    assert len(result.solution.value.columns) == 4
    assert 0 < result.card.value.n_neurons <= 4


def test_validation_rows_are_never_in_the_fit(
    solved: tuple[Run, Solved],
    settings: SolveSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs: list[ConvexProgram] = []

    def recorded(program: ConvexProgram, **options: object) -> object:
        programs.append(program)
        return solve(program, **options)

    for module in SOLVING:
        monkeypatch.setattr(module, "solve", recorded)
    result = flow.solve(Run(tmp_path), toy_samples(), settings)
    train, everything = result.drawn.train.value, result.drawn.dictionary.value.with_intercept()
    fit, held = validation_split(train.labels, None, seed=settings.seed)
    assert not set(fit) & set(held)
    assert sorted([*fit, *held]) == list(range(train.n_samples))
    assert set(train.labels[held]) == set(range(train.n_classes))

    before, last_two = programs[:-2], programs[-2:]
    assert len(before) == 1 + len(settings.rho)
    np.testing.assert_array_equal(before[0].features.dense(), everything.dense()[fit])
    columns = {column.tobytes() for column in everything.dense()[fit].T.copy()}
    for program in before:
        np.testing.assert_array_equal(program.encoded.values.argmax(axis=1), train.labels[fit])
        assert {column.tobytes() for column in program.features.dense().T.copy()} <= columns
    assert {program.rho for program in before[1:]} == set(settings.rho)
    for program in last_two:
        np.testing.assert_array_equal(program.encoded.values.argmax(axis=1), train.labels)
    accuracies = result.solution.value.validation
    assert set(accuracies) == {f"{rho:g}" for rho in settings.rho}
    best = max(accuracies.values())
    chosen = max(rho for rho in settings.rho if accuracies[f"{rho:g}"] == best)
    assert result.solution.value.gap.rho == chosen


def test_groups_are_apart_in_the_test_and_in_the_validation(
    settings: SolveSettings, tmp_path: Path
) -> None:
    samples = toy_samples()
    subjects = np.arange(samples.n_samples) // 3 % 9
    result = flow.solve(Run(tmp_path), replace(samples, groups=subjects), settings)
    train, test = result.drawn.train.value, result.drawn.test.value
    assert not np.intersect1d(train.groups, test.groups).size
    rows = distinct_rows(train, settings.readout)
    assert (rows.subjects == train.groups[rows.samples]).all()
    fit, held = validation_split(rows.labels, rows.subjects, seed=settings.seed)
    assert len(held)
    assert not np.intersect1d(rows.subjects[fit], rows.subjects[held]).size


@pytest.mark.parametrize("rho", [1e-300, 1e-20, 1e-13])
def test_a_rho_that_rounding_would_hide_is_refused(tmp_path: Path, rho: float) -> None:
    message = (
        r"^rho must be at least \S+ here, 1e-12 of the strength at which every weight is zero, "
    )
    with pytest.raises(InputError, match=f"{message}not {rho!r}: "):
        flow.solve(Run(tmp_path), toy_samples(), toy_settings(rho=(rho,)))
    assert not Run(tmp_path).has("card")


def test_a_small_rho_that_can_be_solved_is(tmp_path: Path) -> None:
    made = flow.solve(Run(tmp_path), toy_samples(), toy_settings(rho=(1e-11,)))
    assert made.certificate.value.gap <= 1e-6


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("readout", "sign", ReadoutMode.SIGN),
        ("cost", "memory", CostKind.MEMORY),
        ("solver", "convexon", ProgramSolver.CONVEXON),
        ("rho", 0.01, (0.01,)),
        ("steps", np.int64(5), 5),
    ],
)
def test_a_setting_in_another_form_is_the_same_setting(
    tmp_path: Path, name: str, text: object, value: object
) -> None:
    """What is written down as the same is the same program, to the byte."""
    given = [toy_settings(**{name: form}) for form in (text, value)]
    assert given[0] == given[1]
    made = [flow.solve(Run(tmp_path), toy_samples(), each) for each in given]
    assert made[1].certificate.reused
    assert made[0].certificate.record.digest == made[1].certificate.record.digest


@pytest.mark.parametrize("name", ["loss", "coding", "readout", "cost", "solver", "oracle"])
@pytest.mark.parametrize("value", ["squard", "", 3, True, ["squared"]])
def test_a_setting_of_another_kind_is_refused_by_its_name(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name} must be one of "):
        toy_settings(**{name: value})


def test_a_gap_out_of_reach_is_an_error_and_leaves_no_card(
    settings: SolveSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexon.convex.solvers.solver.MAX_ITERATIONS", 1)
    folder = Run(tmp_path)
    with pytest.raises(SolverError):
        flow.solve(folder, toy_samples(), settings)
    assert not folder.has("card")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be an integer of 1 to 65536, not 0"),
        ({"rho": ()}, "rho must hold a value, not none"),
        ({"rho": (0.1, float("nan"))}, "rho must be a number above 0 that is finite, not nan"),
        ({"selection_rho": -1.0}, "selection_rho must be a number above 0 that is finite, not -1"),
        ({"tolerance": float("inf")}, "tolerance must be a number above 0 that is finite, not inf"),
        ({"readout_bits": 25}, "readout_bits must be an integer of 2 to 24, not 25"),
        ({"fan_in": 0}, "fan_in must be an integer of at least 1, not 0"),
        ({"alphabet": "int17"}, "weight_bits must be 2 to 16, not 17"),
        ({"depth": 0}, "depth must be an integer of 1 to 64, not 0"),
        (
            {"depth": 2, "hidden": 4, "fan_in": 5},
            "fan_in must be at most the 4 hidden neurons below, not 5",
        ),
        ({"pricing_rounds": -1}, "pricing_rounds must be an integer of at least 0, not -1"),
        (
            {"oracle": "enumeration"},
            "pricing_rounds must be 1 or more where the oracle is enumeration: it would not be as",
        ),
        (
            {"refine_sweeps": 1, "readout": "sign"},
            "refine_sweeps must be 0 for a readout of signs, not 1",
        ),
        ({"jitter": -1}, "jitter must be an integer of 0 to 1000, not -1"),
        ({"seed": -1}, "seed must be an integer of at least 0, not -1"),
        ({"seed": 10**20}, "seed must be an integer of 64 bits, not 100000000000000000000"),
    ],
    ids=str,
)
def test_a_setting_out_of_its_range_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        toy_settings(**change)


def test_where_a_file_lies_does_not_count_only_what_it_holds(
    solved: tuple[Run, Solved], tmp_path: Path
) -> None:
    again = flow.solve(Run(tmp_path / "run"), from_file(toy_file(tmp_path)), toy_settings())
    assert again.card.record.digest == solved[1].card.record.digest


def test_damaged_times_are_no_reason_to_fail(tmp_path: Path) -> None:
    folder = Run(tmp_path)
    for text in ('{"demo": "abc"}', '{"demo": NaN}', "[]", "{", '{"demo": null}'):
        folder.file("timing").write_text(text)
        assert folder.timing() == {}
    folder.time("solve", 1.0)
    folder.time("emit", 2.0)
    assert folder.timing() == {"solve": 1.0, "emit": 2.0}
    folder.time("solve", 3.0, first=True)
    assert folder.timing() == {"solve": 3.0}


@pytest.mark.parametrize("kind", CostKind)
def test_costs_are_penalty_weights_and_certified(
    settings: SolveSettings, tmp_path: Path, kind: CostKind
) -> None:
    folder = Run(tmp_path)
    result = flow.solve(folder, toy_samples(), replace(settings, cost=kind))
    weights = result.solution.value.weights
    assert weights.min() >= 0.01
    # Ternary neurons of one fan-in all take the same memory, but not the same logic or events.
    assert (weights.std() > 0.0) == (kind is not CostKind.MEMORY)
    statement = check_file(tmp_path).certificate.statement
    assert np.array_equal(statement.weights[:-1], weights)
    assert statement.min_weight <= weights.min()
    used = result.solution.value.columns
    norms = np.abs(result.solution.value.W).sum(axis=1)
    penalty = float(norms[:-1] @ weights[used] + norms[-1])
    program_value = result.solution.value.gap.primal
    assert program_value >= result.solution.value.gap.rho * penalty


def test_deep_branches_and_priced_witnesses_are_certified_too(
    settings: SolveSettings, tmp_path: Path
) -> None:
    folder = Run(tmp_path)
    deep = replace(settings, depth=3, hidden=12, fan_in=2, pricing_rounds=2)
    result = flow.solve(folder, toy_samples(), deep)
    branches, _ = load(BRANCHES, folder.file("branches"))
    assert {branch.depth for branch in branches} == {3}
    assert len(branches) > len(
        deep.families(N_INPUTS)
    )  # what pricing adds stands on the drawn trunks
    trunks = {branch.layers[0].weights.tobytes() for branch in branches}
    assert len(trunks) == len(deep.families(N_INPUTS))
    check_file(tmp_path)
    test = result.drawn.test.value
    slow, fast = golden.run(result.card.value, test.inputs), run(result.card.value, test.inputs)
    assert np.array_equal(slow.scores, fast.scores)


@pytest.mark.parametrize(
    "own", [{}, {"readout": "last"}, {"depth": 2, "hidden": 12, "pricing_rounds": 1}], ids=str
)
def test_refined_witnesses_join_the_drawn_ones_and_are_certified(
    settings: SolveSettings, tmp_path: Path, own: dict[str, object]
) -> None:
    drawn = replace(settings, **own)
    refined = replace(drawn, refine_sweeps=2)
    before = flow.solve(Run(tmp_path / "drawn"), toy_samples(), drawn)
    after = flow.solve(Run(tmp_path / "refined"), toy_samples(), refined)
    n_families = len(drawn.families(N_INPUTS))
    old, new = (found.drawn.branches.value for found in (before, after))
    assert len(old) < len(new) <= len(old) + n_families
    for mine, other in zip(new, old[:n_families], strict=False):
        assert np.array_equal(mine.layers[-1].matrix, other.layers[-1].matrix)
    dictionary, solution = after.drawn.dictionary.value, after.solution.value
    used = dictionary.witnesses[solution.columns, 0]
    assert (used >= n_families).any()  # refined neurons were preferred to drawn ones
    check_file(tmp_path / "refined")
    test = after.drawn.test.value
    slow, fast = golden.run(after.card.value, test.inputs), run(after.card.value, test.inputs)
    assert np.array_equal(slow.scores, fast.scores)


def test_refinement_does_not_look_at_what_rho_is_chosen_on(
    settings: SolveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other labels there change no neuron; other labels elsewhere do."""
    refined = replace(settings, refine_sweeps=1)
    samples = toy_samples()
    interface = flow.interface_of(refined, samples)
    train = samples.encoded(interface, n_steps=refined.steps, bits=1)
    rows = distinct_rows(train, refined.readout)
    apart = fit, held = selection.rows_apart(refined, rows)
    monkeypatch.setattr(stage, "rows_apart", lambda *_: apart)

    def neurons(labels: np.ndarray) -> list[bytes]:
        given = replace(rows, labels=labels)
        made = stage.witnesses_for(refined, train, (), given, QUIET)
        return [branch.layers[-1].matrix.tobytes() for branch in made]

    known = neurons(rows.labels)
    for part, same in ((held, True), (fit, False)):
        labels = rows.labels.copy()
        labels[part] = labels[part][::-1]
        assert not np.array_equal(labels, rows.labels)
        assert (neurons(labels) == known) is same


def test_jittered_copies_join_the_training_samples_alone(tmp_path: Path) -> None:
    """The test stays as it is, no origin is on both sides of validation, all is certified."""
    features, labels = toy_arrays()
    samples = Samples.of(features.reshape(len(labels), 2, -1), labels)
    plain, moved = toy_settings(), toy_settings(jitter=2)
    before = flow.solve(Run(tmp_path / "plain"), samples, plain)
    after = flow.solve(Run(tmp_path / "moved"), samples, moved)
    train, test = after.drawn.train.value, after.drawn.test
    assert np.array_equal(before.drawn.test.value.inputs, test.value.inputs)
    n = before.drawn.train.value.n_samples
    assert train.n_samples == 3 * n
    assert np.array_equal(train.labels, np.tile(before.drawn.train.value.labels, 3))
    rows = distinct_rows(train, moved.readout)
    fit, held = selection.rows_apart(moved, rows)
    assert not set(rows.subjects[fit]) & set(rows.subjects[held])
    checked = check_file(tmp_path / "moved").certificate.statement
    assert checked.counts.sum() == train.n_samples


@pytest.mark.parametrize(
    ("features", "labels", "settings"),
    [
        ([[0.0, 1.0], [1.0, 0.0], [0.2, 0.9], [0.9, 0.1]], [0, 1] * 2, {}),  # a row a class
        ([[0.0], [1.0]] * 20, [0, 1] * 20, {}),  # a binary feature that is the class
        ([[0.0], [1.0]] * 20, [0, 0, 1, 1, 1, 0, 0, 1] * 5, {}),  # and one that is not
        (np.random.default_rng(0).random((4, 8, 8)), [0, 1] * 2, {"jitter": 1}),
    ],
)
def test_samples_too_few_to_hold_any_back_are_fitted_all_the_same(
    tmp_path: Path, features: list[Any], labels: list[int], settings: dict[str, Any]
) -> None:
    chosen = toy_settings(max_neurons=4, **settings)
    result = flow.solve(Run(tmp_path), Samples.of(features, labels), chosen)
    fit, held = selection.rows_apart(
        result.settings, distinct_rows(result.drawn.train.value, chosen.readout)
    )
    assert len(fit) > 0
    assert len(held) > 0
    told = "inputs are too few to hold any back: rho was chosen on what it is fitted to"
    assert (told in result.notices) is np.array_equal(fit, held)
    check_file(tmp_path)


def test_a_mixed_integer_program_prices_witnesses(tmp_path: Path) -> None:
    few = toy_settings(witnesses=20, max_neurons=4, oracle="milp", pricing_rounds=1, steps=2)
    features, labels = toy_arrays()
    some = np.arange(len(labels)) % 3 == 0
    priced = flow.solve(Run(tmp_path), Samples.of(features[some, :3], labels[some]), few)
    assert len(priced.drawn.branches.value) > len(few.families(3))
    check_file(tmp_path)


def test_samples_that_repeat_are_merged(tmp_path: Path) -> None:
    features, labels = toy_arrays()
    twice = Samples.of(np.concatenate([features] * 2), np.concatenate([labels] * 2))
    result = flow.solve(Run(tmp_path / "run"), twice, toy_settings())
    dictionary = result.drawn.dictionary.value
    assert dictionary.bits.n_rows < result.drawn.train.value.n_samples
    statement = check_file(tmp_path / "run").certificate.statement
    assert statement.counts.sum() == result.drawn.train.value.n_samples
    assert statement.counts.max() > 1
