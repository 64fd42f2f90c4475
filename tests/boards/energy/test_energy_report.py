"""What a report says of builds and energies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convexon.flow.run import Run
from convexon.plan.cost.resources import CellReport
from convexon.plan.family import Family
from convexon.plan.operations import EnergyRange
from convexon.plan.pipeline import Cycles
from convexon.report.built import build_figures, builds_in, energies_in, energy_figures
from convexon.report.page import _energy_table
from convexon.store.artefact import digest_of, save
from convexon_boards.built import BUILD, Build, CriticalPath, Route, RouteReport
from convexon_boards.energy.estimate import ENERGY, EnergyEstimate

ESTIMATE = EnergyEstimate(
    part="iCE40UP5K",
    clock_mhz=12.0,
    samples=8,
    clocks=24.0,
    toggles=5.0,
    resources={
        "logic": EnergyRange(low=1e-9, high=3e-9),
        "block RAM": EnergyRange(low=0.0, high=1e-9),
    },
)


def build(board: str) -> Build:
    path = CriticalPath(start="a", end="b", logic_ns=1.0, routing_ns=1.0, cells=1)
    routes = RouteReport(
        part="iCE40UP5K-SG48",
        target_mhz=12.0,
        available={},
        routes=(Route(seed=1, fmax_mhz=20.0, used={}, critical_path=path),),
        tools={},
    )
    numbers = dict.fromkeys(("lut4", "carry", "wide_mux", "ff", "lutram", "mult18", "block_ram"), 1)
    return Build(
        board=board,
        clock_mhz=12.0,
        line="spi",
        cells=CellReport(family=Family.ICE40, raw={}, tool="yosys", **numbers),
        routes=routes,
        seed=1,
        bitstream=np.zeros(3, dtype=np.uint8),
        suffix="bin",
    )


def test_cycles_become_time_by_the_clock_of_the_build() -> None:
    cycles = Cycles(taken=np.array([0, 6, 18]), given=np.array([24, 36, 42]))
    figures = {f.name: f.value for f in build_figures({"icebreaker": build("icebreaker")}, cycles)}
    assert figures == {
        "build.icebreaker.fmax_mhz": 20.0,
        "build.icebreaker.latency_us": pytest.approx(26 / 12),
        "build.icebreaker.throughput": pytest.approx(12e6 / 9),
    }
    alone = Cycles(taken=np.array([0]), given=np.array([24]))
    names = [f.name for f in build_figures({"icebreaker": build("icebreaker")}, alone)]
    assert "build.icebreaker.throughput" not in names, "one sample has no interval"


def test_energies_and_builds_of_another_bundle_are_left_out(tmp_path: Path) -> None:
    folder = Run(tmp_path)
    this, other = digest_of("this"), digest_of("other")
    for name, rtl in (("iCE40UP5K", this), ("LFE5U-25F", other)):
        own = EnergyEstimate(**{**vars(ESTIMATE), "part": name})
        save(ENERGY, own, folder.file(f"energy-{name.lower()}"), parents={"rtl": rtl})
    for name, rtl in (("icebreaker", other), ("upduino-v3", this)):
        save(BUILD, build(name), folder.file(f"build-{name}"), parents={"rtl": rtl})
    assert list(energies_in(folder, this)) == ["iCE40UP5K"]
    assert list(builds_in(folder, this)) == ["upduino-v3"]


def test_the_table_has_a_row_for_the_whole_and_each_resource() -> None:
    figures = {f.name: f for f in energy_figures({"iCE40UP5K": ESTIMATE})}
    (table,) = _energy_table(figures)
    assert table.rows == [
        ("ice40up5k", "1e-09", "4e-09"),
        ("ice40up5k.logic", "1e-09", "3e-09"),
        ("ice40up5k.block_ram", "0", "1e-09"),
    ]
    assert _energy_table({}) == []
