"""Stage ``explore``: what it computes, what it shares and reuses, and what fails."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explore_bench import (
    N_DICTIONARIES,
    N_NETWORKS,
    N_POINTS,
    calls_in,
    fewest_luts,
    name_of,
    results,
    serial,
    toy_sweep,
)

from convexon.data.dataset import DATASET
from convexon.data.loading import load_samples
from convexon.errors import ArtefactError, InputError, ToolError
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.plan.fold import engines_at
from convexon.plan.mapping import MAPPING, Folded, Spatial, Style
from convexon.plan.operations import neutral_energy, operations_of
from convexon.plan.schedule import Schedule
from convexon.snn.card import CARD
from convexon.snn.models import golden, simulate
from convexon.store.artefact import load
from convexon.sweeps import work
from convexon.sweeps.executor import ProcessExecutor
from convexon.sweeps.point import EXPLORATION, POINT, Point
from convexon.sweeps.stage import ExploreResult, explore_stage
from convexon.sweeps.sweep import PointSettings
from convexon.sweeps.work import Ended, Job, draw, is_point, measure, save_once
from tiers import leading
from toy import toy_arrays

Explored = tuple[Path, ExploreResult]


@pytest.fixture
def root(explored: Explored, tmp_path: Path) -> Path:
    """A copy of the explored folder, that a test may change; links become files of their own."""
    return Path(shutil.copytree(explored[0], tmp_path / "root"))


def settings_of(data: Path) -> list[PointSettings]:
    return toy_sweep(data.resolve()).points


def job_of(root: Path, data: Path) -> Job:
    return Job(root=root, source=str(data), data=load_samples(str(data)).digest)


@dataclass
class Interrupted:
    """One call after the other, until ``left`` calls were made."""

    left: int

    def each(
        self, work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        for k, result in ProcessExecutor(1).each(work, tasks):
            yield k, result
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


# What it computes


def test_a_point_states_what_its_artefacts_say(explored: Explored, data: Path) -> None:
    root, result = explored
    for settings, point in zip(settings_of(data), result.exploration.points, strict=True):
        folder = job_of(root, data).point(settings)
        card, test = folder.read("card", CARD), folder.read("test", DATASET)
        mapping = folder.read("mapping", MAPPING)
        trace = golden.run(card.value, test.value.inputs)
        right = trace.labels[:, 0] == test.value.labels
        cycles = Schedule.of(card.value, mapping.value).cycles(test.value.inputs, trace).latency
        assert point["accuracy.test"] == right.mean()
        assert point["latency.cycles.mean"] == cycles.mean()
        assert point["latency.cycles.max"] == cycles.max()
        energy = neutral_energy(card.value, operations_of(card.value, test.value.inputs, trace))
        assert (point["energy.neutral.low"], point["energy.neutral.high"]) == (
            energy.low,
            energy.high,
        )
        assert point["network.neurons"] == card.value.n_neurons <= settings.solve.max_neurons
        _, record = load(POINT, folder.file("point"))
        assert record.parents == {
            "card": card.record.digest,
            "test": test.record.digest,
            "mapping": mapping.record.digest,
        }


def test_a_point_is_mapped_as_it_says(explored: Explored, data: Path) -> None:
    root, _ = explored
    for settings in settings_of(data):
        folder = job_of(root, data).point(settings)
        network = folder.read("card", CARD).value
        mapping = folder.read("mapping", MAPPING).value
        choices = [choice for layers in mapping.layers for choice in layers]
        kind = Spatial if settings.place.mapping is Style.SPATIAL else Folded
        assert {type(choice) for choice in [*choices, mapping.readout]} == {kind}
        for engine in engines_at(network, 0) if settings.place.lanes is not None else ():
            n = sum(network.branches[b].layers[0].n_neurons for b in engine)
            for b in engine:
                assert mapping.layers[b][0].lanes == min(settings.place.lanes, n)


def test_a_network_is_the_one_that_stage_solve_makes(
    explored: Explored, data: Path, tmp_path: Path
) -> None:
    settings = settings_of(data)[0]
    alone = solve(Run(tmp_path), load_samples(str(data)), settings.solve)
    shared = job_of(explored[0], data).point(settings).read("card", CARD)
    assert shared.record.digest == alone.card.record.digest


def test_the_files_hold_the_points_and_the_front(explored: Explored) -> None:
    root, result = explored
    found, record = load(EXPLORATION, root / "explore.json")
    assert found.names == result.exploration.names
    assert found.front == result.exploration.front != []
    for name, point in zip(found.names, found.points, strict=True):
        own, head = load(POINT, root / "points" / name / "point.json")
        assert record.parents[name] == head.digest
        assert own.figures == point.figures
        assert own.settings == point.settings


def test_the_table_is_the_front(explored: Explored) -> None:
    _, result = explored
    head, *rows = result.table
    assert re.sub(" +", " ", head.strip()) == (
        "max_neurons mapping lanes accuracy cycles LUTs block RAMs nJ folder"
    )
    assert len(rows) == len(result.exploration.front)
    folders = {f"points/{result.exploration.names[k]}" for k in result.exploration.front}
    assert {row.split()[-1] for row in rows} == folders
    assert re.fullmatch(
        r"explore: 6 .*\(6 computed, 0 reused\), 0 do not fit, \d on the front, .*/explore.json",
        result.summary,
    )


def test_a_point_is_a_run_folder(root: Path, data: Path) -> None:
    folder = job_of(root, data).point(settings_of(data)[-1])
    emit_stage(folder)
    assert folder.bundle().record.parents["card"] == folder.read("card", CARD).record.digest


# What it shares and reuses


def test_nothing_is_computed_twice(explored: Explored) -> None:
    calls = calls_in(explored[0] / "calls")
    assert all(call.endswith(" wrote") for call in calls)
    assert len(set(calls)) == len(calls) == N_DICTIONARIES + N_NETWORKS + N_POINTS
    kinds = [call.partition(" ")[0] for call in calls]
    assert [kinds.count(kind) for kind in ("draw", "solve", "measure")] == [
        N_DICTIONARIES,
        N_NETWORKS,
        N_POINTS,
    ]


def test_points_take_no_space_for_what_they_share(explored: Explored) -> None:
    root, _ = explored
    for name in ("dictionary.json", "branches.json", "train.json"):
        files = list(root.glob(f"*/*/{name}"))
        assert len(files) == N_DICTIONARIES + N_NETWORKS + N_POINTS
        assert len({path.stat().st_ino for path in files}) == N_DICTIONARIES
    assert len({path.stat().st_ino for path in root.glob("*/*/card.json")}) == N_NETWORKS


def test_a_second_sweep_computes_nothing_and_writes_the_same(root: Path, data: Path) -> None:
    before = results(root)
    again = serial(root / "again")
    result = explore_stage(root, toy_sweep(data), executor=again)
    assert again.calls == []
    assert (result.computed, result.repeated) == (0, 0)
    assert results(root) == before


def test_a_larger_sweep_computes_what_is_new(root: Path, data: Path) -> None:
    before = results(root)
    again = serial(root / "again")
    result = explore_stage(root, toy_sweep(data, max_neurons=[4, 6, 8]), executor=again)
    assert result.computed == 3
    assert sorted(call.split()[0] for call in again.calls) == ["draw", *["measure"] * 3, "solve"]
    after = results(root)
    assert {name: after[name] for name in before if name != "explore.json"} == {
        name: before[name] for name in before if name != "explore.json"
    }


@pytest.mark.parametrize("left", leading([3, 1, 5]))
def test_an_interrupted_sweep_goes_on(
    explored: Explored, data: Path, tmp_path: Path, left: int
) -> None:
    root = tmp_path / "root"
    with pytest.raises(KeyboardInterrupt):
        explore_stage(root, toy_sweep(data), executor=Interrupted(left))
    assert not (root / "explore.json").exists()
    job = job_of(root, data)
    there = {name_of_point(job, p) for p in settings_of(data) if is_point(job, p)}
    assert len(there) == max(0, left - N_DICTIONARIES - N_NETWORKS)
    again = serial(root / "again")
    result = explore_stage(root, toy_sweep(data), executor=again)
    assert result.computed == N_POINTS - len(there)
    assert not there & {call.removesuffix(" wrote") for call in again.calls}
    assert results(root) == results(explored[0])


def name_of_point(job: Job, settings: PointSettings) -> str:
    return name_of(measure, (job, settings))


@pytest.mark.parametrize("damage", ["", "{}", "cut"])
def test_a_damaged_point_is_made_again(root: Path, data: Path, damage: str) -> None:
    before = results(root)
    path = next(root.glob("points/*/point.json"))
    path.write_text(path.read_text()[:100] if damage == "cut" else damage)
    assert explore_stage(root, toy_sweep(data), executor=serial(root / "again")).computed == 1
    assert results(root) == before


def test_damaged_artefacts_are_made_again_where_a_point_needs_them(root: Path, data: Path) -> None:
    before = results(root)
    for path in root.glob("*/*/*.json"):
        path.write_text(path.read_text()[:-20])
    assert explore_stage(root, toy_sweep(data), executor=serial(root / "again")).computed == 6
    assert results(root) == before


def test_other_samples_are_other_points(root: Path, data: Path, tmp_path: Path) -> None:
    features, labels = toy_arrays()
    changed = tmp_path / "changed.npz"
    np.savez(changed, features=features[:-1], labels=labels[:-1])
    sweep = toy_sweep(changed, max_neurons=4, mapping="spatial", lanes=None)
    assert explore_stage(root, sweep, executor=ProcessExecutor(1)).computed == 1


def test_samples_that_change_in_mid_sweep_are_told(data: Path, tmp_path: Path) -> None:
    changing = Path(shutil.copy(data, tmp_path / "changing.npz"))
    features, labels = toy_arrays()

    class Changing:
        def each(self, work: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
            yield from ProcessExecutor(1).each(work, tasks)
            np.savez(changing, features=features[:-1], labels=labels[:-1])

    with pytest.raises(ArtefactError, match=r"changing\.npz has other samples than when the sweep"):
        explore_stage(tmp_path / "root", toy_sweep(changing), executor=Changing())
    assert not (tmp_path / "root" / "explore.json").exists()


# What fails


def test_a_point_that_does_not_fit_says_why_and_the_others_go_on(
    explored: Explored, data: Path, tmp_path: Path
) -> None:
    luts = fewest_luts(explored[1])
    sweep = toy_sweep(data, budget={"block_rams": 0, "luts": luts})
    result = explore_stage(tmp_path, sweep, executor=ProcessExecutor(1))
    points = result.exploration.points
    reasons = [point.reason for point in points]
    assert any(reasons)
    assert not all(reasons)
    for reason in filter(None, reasons):
        assert re.match("budget must hold the smallest mapping, which takes about ", reason)
        assert f"not {luts} LUTs and 0 block RAMs" in reason
    assert not {k for k in result.exploration.front if reasons[k]}
    assert sum(int(line.split()[0]) for line in result.failures) == sum(map(bool, reasons))
    fits = [point for point in points if not point.reason]
    assert {point["estimate.block_rams"] for point in fits} == {0}
    assert max(point["estimate.luts"] for point in fits) <= luts
    assert explore_stage(tmp_path, sweep, executor=ProcessExecutor(1)).computed == 0


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ({"latency_cycles": 6}, "latency must be at most 6 cycles, and is .*"),
        ({"clock": 60}, "clock must be at most .* MHz for this network on ice40, not 60 MHz: .*"),
    ],
)
def test_latency_and_clock_are_kept(
    data: Path, tmp_path: Path, budget: dict[str, int], reason: str
) -> None:
    sweep = toy_sweep(data, max_neurons=4, family=["ecp5", "ice40"], budget=budget)
    result = explore_stage(tmp_path, sweep, executor=ProcessExecutor(1))
    reasons = [point.reason for point in result.exploration.points if point.reason]
    assert 0 < len(reasons) < len(sweep.points)
    assert [text for text in reasons if not re.fullmatch(reason, text)] == []


def test_a_network_that_cannot_be_made_fails_its_points_alone(data: Path, tmp_path: Path) -> None:
    sweep = toy_sweep(
        data, steps=[4, 256], selection_rho=[0.003, 99], max_neurons=4, mapping="any", lanes=None
    )
    result = explore_stage(tmp_path, sweep, executor=ProcessExecutor(1))
    reasons = {
        tuple(point.settings[name] for name in ("steps", "selection_rho")): point.reason
        for point in result.exploration.points
    }
    too_long = "n_steps must be at most 255 for spike counts, not 256"
    assert reasons == {
        (4, 0.003): "",
        (4, 99): "selection_rho must leave a column active, which 99 does not: lower it",
        (256, 0.003): too_long,
        (256, 99): too_long,
    }
    assert not list(tmp_path.glob("networks/*/.*"))


def test_a_sweep_of_which_nothing_fits_says_so(data: Path, tmp_path: Path) -> None:
    sweep = toy_sweep(data, budget={"luts": 20})
    with pytest.raises(InputError, match=r"^no point fits, see .*explore\.json: \d of the points"):
        explore_stage(tmp_path, sweep, executor=ProcessExecutor(1))
    found, _ = load(EXPLORATION, tmp_path / "explore.json")
    assert all(point.reason for point in found.points)


def test_a_coding_that_suits_no_samples_is_refused_before_anything_is_written(
    data: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"^bits must be 1 to 1 for threshold coding, not 2$"):
        explore_stage(
            tmp_path / "root", toy_sweep(Path("digits"), bits=2), executor=ProcessExecutor(1)
        )
    with pytest.raises(ArtefactError, match="is missing: give an npz with features, series, "):
        explore_stage(tmp_path / "root", toy_sweep(tmp_path / "none"), executor=ProcessExecutor(1))
    assert not (tmp_path / "root").exists()


# Writing once


def save(path: Path, reason: str) -> bool:
    point = Point(settings={"family": "ecp5"}, reason=reason)
    return save_once(POINT, point, path, parents={}, recipe={"k": 1})


def test_of_two_that_write_the_same_one_does(tmp_path: Path) -> None:
    path = tmp_path / "points" / "point.json"
    assert save(path, "too large")
    first = path.stat().st_ino
    assert not save(path, "too large")
    assert path.stat().st_ino == first
    assert [entry.name for entry in path.parent.iterdir()] == ["point.json"]


def test_two_that_write_different_results_are_told(tmp_path: Path) -> None:
    path = tmp_path / "point.json"
    save(path, "too large")
    before = path.read_bytes()
    with pytest.raises(ArtefactError, match=r"point\.json was computed twice, with different"):
        save(path, "too slow")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ({"x": [1.0, "y"]}, {"x": [1.0 + 1e-12, "y"]}, True),
        ({"x": [1.0, "y"]}, {"x": [1.0 + 1e-6, "y"]}, False),
        ({"x": [1.0, "y"]}, {"x": [1.0, "z"]}, False),
        ([1, 2.0], [1, 2.0, 3.0], False),
        ([1], [1.0], False),
        ([True], [1], False),
        ({"x": None}, {"y": None}, False),
    ],
)
def test_contents_are_alike_to_the_last_digits_of_real_numbers(a, b, same) -> None:
    assert work.alike(a, b) is same


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "point.json"
    path.write_text("{")
    assert save(path, "too large")
    assert load(POINT, path)[0].reason == "too large"


def test_a_folder_that_cannot_be_written_is_an_error_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "points").write_text("no folder")
    with pytest.raises(ArtefactError, match=r"point\.json cannot be written: "):
        save(tmp_path / "points" / "point.json", "too large")


def test_a_point_that_was_written_meanwhile_is_compared(
    root: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = results(root)
    job, settings = job_of(root, data), settings_of(data)[0]
    assert measure(job, settings) is Ended.FOUND
    monkeypatch.setattr("convexon.sweeps.work.is_point", lambda *_: False)
    assert measure(job, settings) is Ended.REPEATED
    assert results(root) == before
    # Another kind of processor leaves other last digits; what was there first stays.
    accurate = simulate.accuracy
    monkeypatch.setattr(simulate, "accuracy", lambda *given: accurate(*given) * (1 - 1e-12))
    assert measure(job, settings) is Ended.REPEATED
    assert results(root) == before
    monkeypatch.setattr(simulate, "accuracy", lambda *_: 0.5)
    with pytest.raises(ArtefactError, match=r"point\.json was computed twice, with different"):
        measure(job, settings)
    assert results(root) == before


def test_a_worker_of_another_version_is_refused(data: Path, tmp_path: Path) -> None:
    job = Job(root=tmp_path, source=str(data), data=load_samples(str(data)).digest, version="0.0.1")
    with pytest.raises(ToolError, match=r"^convexon must be the same on every worker as where "):
        draw(job, settings_of(data)[0].solve)
    assert not list(tmp_path.iterdir())


def test_points_that_are_not_on_this_machine_are_told(data: Path, tmp_path: Path) -> None:
    class Elsewhere:
        def each(self, work: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
            return ((k, "") for k in range(len(tasks)))

    with pytest.raises(ArtefactError, match=r"is not here, .* a folder that all machines share$"):
        explore_stage(tmp_path, toy_sweep(data), executor=Elsewhere())


def test_a_file_system_without_links_has_copies(
    explored: Explored, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("convexon.sweeps.work.os.link", refused)
    explore_stage(tmp_path, toy_sweep(data), executor=ProcessExecutor(1))
    assert results(tmp_path) == results(explored[0])
    assert not list(tmp_path.rglob(".*"))
    path = tmp_path / "other.json"
    assert [save(path, "too large"), save(path, "too large")] == [True, False]
