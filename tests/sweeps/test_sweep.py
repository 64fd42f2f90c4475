"""What a sweep tries, and what it refuses."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from explore_bench import toy_sweep

from convexon.errors import InputError
from convexon.plan.family import Family
from convexon.plan.mapping import Style
from convexon.sweeps import sweep as sweep_module
from convexon.sweeps.sweep import AXES, Sweep, read_sweep, sweep_from
from convexon.train.settings import SolveSettings


def test_points_are_all_combinations_in_order() -> None:
    points = sweep_from(
        {"sweep": {"max_neurons": [8, 4], "steps": [2, 3], "family": ["ice40", "ecp5"]}}
    ).points
    found = [(p.solve.steps, p.solve.max_neurons, p.family.value) for p in points]
    assert found == [(t, n, f) for t in (2, 3) for n in (8, 4) for f in ("ice40", "ecp5")]


def test_what_is_left_out_has_its_default() -> None:
    (point,) = sweep_from({}).points
    assert point.solve == SolveSettings()
    assert (point.place.mapping, point.place.lanes) == (Style.ANY, None)
    assert (point.place.board, point.family) == (None, Family.ECP5)
    assert set(vars(point.limits).values()) == {None}


def test_lanes_are_of_folded_points_and_hidden_neurons_of_deep_ones(data: Path) -> None:
    choices = [(p.place.mapping, p.place.lanes) for p in toy_sweep(data, max_neurons=4).points]
    assert choices == [(Style.SPATIAL, None), (Style.FOLDED, 2), (Style.FOLDED, 4)]
    deep = toy_sweep(data, max_neurons=4, mapping="any", lanes=None, depth=[1, 2], hidden=[5, 6])
    assert [(p.solve.depth, p.solve.hidden) for p in deep.points] == [(1, 128), (2, 5), (2, 6)]


def test_bits_are_of_the_codings_that_have_levels(data: Path) -> None:
    choices = {"coding": ["threshold", "intensity"], "bits": [1, 2]}
    points = toy_sweep(data, max_neurons=4, mapping="any", lanes=None, **choices).points
    found = [(p.solve.coding, p.solve.bits) for p in points]
    assert found == [("threshold", 1), ("intensity", 1), ("intensity", 2)]


def test_equal_values_are_one_point_and_do_not_vary(data: Path) -> None:
    sweep = toy_sweep(data, max_neurons=[4, 4], mapping="any", lanes=None)
    assert len(sweep.points) == 1
    assert sweep.varied == []


def test_a_file_has_every_choice(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        'data = "some.npz"\nrho = [0.1, 1]\n[sweep]\ncoding = ["intensity", "latency"]\n'
        'bits = 1\nfamily = "ice40"\n[budget]\nluts = 5280\nblock_rams = 0\nclock = 12\n'
    )
    sweep = sweep_from(read_sweep(path))
    assert [p.solve.coding for p in sweep.points] == ["intensity", "latency"]
    point = sweep.points[0]
    assert (sweep.data, point.solve.rho) == ("some.npz", (0.1, 1.0))
    assert vars(point.limits) == {
        "luts": 5280, "block_rams": 0, "latency_cycles": None, "clock": 12
    }  # fmt: skip
    stated = point.to_json()
    assert stated["budget"] == {"luts": 5280, "block_rams": 0, "clock": 12}
    assert (stated["coding"], stated["family"], stated["rho"]) == ("intensity", "ice40", [0.1, 1])
    open_ones = {"lanes", "cost", "board", "sight", "guide", "fan_in", "alphabet"}
    assert set(stated) == {*AXES, "rho", "budget"} - open_ones


def test_a_board_is_an_axis_and_has_its_family(data: Path) -> None:
    sweep = toy_sweep(data, board=["icebreaker", "ulx3s-25f"])
    assert "board" in sweep.varied
    boards = {(p.place.board, p.family) for p in sweep.points}
    assert boards == {("icebreaker", Family.ICE40), ("ulx3s-25f", Family.ECP5)}
    stated = [p.to_json() for p in sweep.points]
    assert {(row["board"], row["family"]) for row in stated} == {
        ("icebreaker", "ice40"),
        ("ulx3s-25f", "ecp5"),
    }


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"sweeps": {}},
            "a sweep must have the keys data, network, rho, sweep, budget, not 'sweeps'",
        ),
        (
            {"network": "RUN", "sweep": {"steps": 4}},
            "steps must be left out beside a network, which is mapped as it is",
        ),
        (
            {"network": "RUN", "data": "x.npz"},
            "data must be left out beside a network, which is mapped as it is",
        ),
        ({"network": 1}, "network must be the name of a run folder, not 1"),
        ({"sweep": 3}, r"\[sweep\] must be a table, not 3"),
        ({"sweep": {"n_steps": 3}}, r"\[sweep\] must have the keys coding, .*, not 'n_steps'"),
        ({"sweep": {"neurons": 3}}, r"\[sweep\] must have the keys coding, .*, not 'neurons'"),
        ({"sweep": {"steps": []}}, "steps must have a value to try, not none"),
        ({"sweep": {"steps": [4, 0]}}, "steps must be an integer of 1 to 65536, not 0"),
        ({"sweep": {"steps": "4"}}, "steps must be an integer of 1 to 65536, not '4'"),
        ({"sweep": {"steps": 4.5}}, "steps must be an integer of 1 to 65536, not 4.5"),
        ({"sweep": {"steps": True}}, "steps must be an integer of 1 to 65536, not True"),
        ({"sweep": {"alphabet": 4}}, "alphabet must be text, not 4"),
        ({"sweep": {"alphabet": "int1"}}, "weight_bits must be 2 to 16, not 1"),
        ({"sweep": {"coding": "morse"}}, "coding must be one of threshold, .*, not 'morse'"),
        ({"sweep": {"readout": "step"}}, "readout must be last, sign or count, .*"),
        ({"sweep": {"readout_bits": [8, 1]}}, "readout_bits must be an integer of 2 to 24, not 1"),
        ({"sweep": {"family": "z80"}}, "family must be one of ecp5, ice40, gowin, not 'z80'"),
        ({"sweep": {"board": "z80"}}, "board must be one of .*, icebreaker, .*, not 'z80'"),
        ({"sweep": {"board": "arty-a7-35"}}, "board arty-a7-35 must be built with vivado: .*"),
        (
            {"sweep": {"board": "icebreaker", "family": "ecp5"}},
            "family must be left out where boards are given: each has its own",
        ),
        ({"sweep": {"mapping": "flat"}}, "mapping must be one of any, .*, not 'flat'"),
        ({"sweep": {"lanes": 4}}, "lanes must come with folded mappings: add the mapping folded"),
        (
            {"sweep": {"mapping": "folded", "lanes": 0}},
            "lanes must be an integer .*, not 0",
        ),
        ({"sweep": {"depth": 2, "fan_in": 9, "hidden": 8}}, "fan_in must be at most the 8 .*"),
        ({"rho": [0.0]}, "rho must be a number above 0 that is finite, not 0.0"),
        ({"rho": ["x"]}, "rho must be a number above 0 that is finite, not 'x'"),
        ({"data": 3}, "data must be 'digits' or a file's name, not 3"),
        ({"budget": {"lut": 3}}, r"\[budget\] must have the keys luts, .*, not 'lut'"),
        ({"budget": {"luts": 0}}, "luts must be an integer of at least 1, not 0"),
        ({"budget": {"block_rams": -1}}, "block_rams must be an integer of at least 0, not -1"),
        (
            {"budget": {"latency_cycles": 1.5}},
            "latency_cycles must be an integer .*, not 1.5",
        ),
        ({"budget": {"clock": 0}}, "clock must be a number above 0 that is finite, not 0"),
        (
            {"budget": {"clock": "fast"}},
            "clock must be a number above 0 that is finite, not 'fast'",
        ),
        (
            {"budget": {"clock": float("nan")}},
            "clock must be a number above 0 that is finite, not nan",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        sweep_from(tables)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def indented_block(text: str, first: str) -> str:
    """The indented block of ``text`` that begins with the line ``first``."""
    lines = text[text.index(f"    {first}") :].splitlines()
    return "\n".join(itertools.takewhile(lambda line: not line or line[0] == " ", lines))


@pytest.mark.parametrize("where", ["docs", "module"])
def test_the_sweep_that_is_shown_is_one(where: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "explore.md"
    text = page.read_text() if where == "docs" else str(sweep_module.__doc__)
    shown = sweep_from(tomllib.loads(indented_block(text, 'data = "digits"')))
    assert {"steps", "max_neurons", "mapping", "lanes"} <= set(shown.varied)
    assert None not in vars(shown.limits).values()
    assert len(shown.rho) == 2


def test_the_pages_name_every_choice() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "explore.md").read_text() + (docs / "settings.md").read_text()
    assert [name for name in AXES if f"`{name}`" not in page and f"{name} = " not in page] == []


def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    with pytest.raises(InputError, match=r"sweep\.toml cannot be read: .*: give a TOML file"):
        read_sweep(path)
    path.write_text("steps = [")
    with pytest.raises(InputError, match=r"sweep\.toml must be TOML: "):
        read_sweep(path)


def test_a_sweep_is_checked_however_it_is_made() -> None:
    with pytest.raises(InputError, match=r"^steps must be an integer of 1 to 65536, not 0$"):
        Sweep(axes={"steps": [0]})
