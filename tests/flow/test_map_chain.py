"""Stage ``map``: a budget or a file decides, and emit and verify follow."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from convexon.errors import ArtefactError, InputError
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.hardware.map import map_stage
from convexon.flow.hardware.verify import verify_stage
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.plan.cost.budget import Budget
from convexon.snn.card import CARD
from convexon_sim.simulator import SimulatorKind
from toy import toy_samples, toy_settings

pytestmark = pytest.mark.usefixtures("build_cache")


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Run(tmp_path_factory.mktemp("solved"))
    solve(folder, toy_samples(), toy_settings(max_neurons=6))
    return folder.path


@pytest.fixture
def folder(solved: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(solved, tmp_path / "run")))


def test_without_a_budget_everything_is_spatial(folder: Run) -> None:
    result = map_stage(folder)
    assert result.mapping.value.is_spatial
    assert result.summary.startswith("map: layer 0 spatial (0 registers), readout spatial")
    assert map_stage(folder).mapping.reused


def test_folded_network_is_emitted_and_verified(folder: Run, tmp_path: Path) -> None:
    spatial = map_stage(folder)
    path = tmp_path / "mapping.toml"
    path.write_text('[default]\nkind = "folded"\nlanes = 1\nbanks = 2\n')
    folded = map_stage(folder, file=path)
    assert not folded.mapping.value.is_spatial
    assert folded.cycles.latency.min() > spatial.cycles.latency.max()
    emit_stage(folder)
    verify_stage(folder, SimulatorKind.ICARUS).raise_if_different()


def test_file_is_taken_as_it_is(folder: Run, tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text('[default]\nkind = "spatial"\nregisters = 2\n')
    result = map_stage(folder, file=path)
    assert {c.registers for layers in result.mapping.value.layers for c in layers} == {2}


def test_clock_asks_for_registers(folder: Run) -> None:
    slow, fast = (map_stage(folder, budget=Budget(clock_hz=hz)) for hz in (1e6, 60e6))
    assert slow.cycles.latency.max() <= fast.cycles.latency.max()
    message = "clock must be at most "
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        map_stage(folder, budget=Budget(clock_hz=5e9))


def test_latency_beyond_the_budget_is_refused(folder: Run) -> None:
    with pytest.raises(InputError, match=r"^latency must be at most 2 cycles, and is "):
        map_stage(folder, budget=Budget(latency_cycles=2))
    for members, way_out in (
        ({}, "the network takes that long, whatever is spent"),
        ({"luts": 100_000}, "raise --luts or --block-rams"),
        ({"clock_hz": 6e7}, "lower --clock"),
    ):
        with pytest.raises(InputError, match=f": {way_out}"):
            map_stage(folder, budget=Budget(latency_cycles=2, **members))  # type: ignore[arg-type]


def test_mapping_of_another_card_is_refused(folder: Run) -> None:
    map_stage(folder)
    card = folder.read("card", CARD)
    folder.file("card").unlink()
    changed = CARD.encode(card.value)[0]
    assert changed
    other = Run(folder.path.parent / "other")
    shutil.copytree(folder.path, other.path)
    solve(other, toy_samples(), toy_settings(max_neurons=4))
    with pytest.raises(ArtefactError, match=r"another card than .*: run `convexon map .*` again"):
        emit_stage(other)
