"""Energies: of what they are the sum, how they move with activity, and what they stand on."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from convexon.cli import app
from convexon.errors import InputError
from convexon.flow.board.energy import energy_stage
from convexon.flow.run import Run
from convexon.plan.family import Family
from convexon.plan.mapping import Mapping
from convexon.plan.switching import Switching
from convexon.report.figure import read_figures
from convexon.snn.models.simulate import run
from convexon.store.artefact import load, save
from convexon_boards.board import Part
from convexon_boards.catalogue import board_of
from convexon_boards.energy.device import DEVICES, MULTIPLIER_CELLS, Constant, Device, device_of
from convexon_boards.energy.estimate import ENERGY, RESOURCES, EnergyEstimate, energy_of, energy_on
from convexon_boards.energy.nets import Driver, Nets, nets_of, watch_of
from convexon_boards.families import part_of
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.emit.emitter import emit
from convexon_sim.programs.activity import count_free, count_switching
from small_run import small_network, small_run
from tiers import exhaustive, leading

ICE40UP5K = part_of("iCE40UP5K-SG48")
LFE5U_25F = part_of("LFE5U-25F-6")

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
RESULT = BENCHMARKS / "results" / "estimates.json"


def measured_circuits() -> ModuleType:
    """benchmarks/measured.py: circuits whose current is published."""
    spec = importlib.util.spec_from_file_location("measured", BENCHMARKS / "measured.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["measured"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


measured = measured_circuits()
pytestmark = pytest.mark.usefixtures("build_cache")

FREE_CLOCKS = 1 << 16


def nets(**changes: object) -> Nets:
    """A LUT, a link of a carry chain, a flip-flop, a memory's output and an input."""
    members = {
        "bits": (2, 3, 4, 5, 6),
        "drivers": tuple(Driver),
        "chains": np.array([False, True, False, False, False]),
        "pins": np.array([2, 0, 1, 3, 1]),
        "clocked": 1,
        "accesses": ((),),
        **changes,
    }
    return Nets(**members)  # type: ignore[arg-type]


def switching(toggles: list[int], highs: int = 0, clocks: int = 100) -> Switching:
    return Switching(clocks=clocks, samples=2, toggles=np.array(toggles), highs=np.array([highs]))


@pytest.mark.parametrize("cells", [100, MULTIPLIER_CELLS, 16 * MULTIPLIER_CELLS])
def test_routing_grows_with_a_design_beyond_the_measured_one(cells: int) -> None:
    device = DEVICES["iCE40UP5K"]
    many = nets(
        bits=tuple(range(2, 2 + cells)), drivers=(Driver.LOGIC,) * cells,
        chains=np.zeros(cells, dtype=np.bool_), pins=np.ones(cells, dtype=np.int64),
    )  # fmt: skip
    own = energy_of(many, switching([1] * cells), device, clock_mhz=10.0).resources["logic"]
    for end in ("low", "high"):
        at = {name: getattr(c, end) for name, c in device.constants.items()}
        longer = max(1.0, cells / MULTIPLIER_CELLS) ** at["spread"]
        toggle = at["glitch"] * (at["cell"] + at["pin"] * longer)
        scale = (at["supply"] / device.volts) ** 2 / 2
        assert getattr(own, end) == pytest.approx(cells * toggle * scale)
    assert device.constants["spread"].high > 0


def test_a_range_by_hand() -> None:
    device = DEVICES["iCE40UP5K"]
    found = energy_of(nets(), switching([10, 20, 30, 40, 50], highs=7), device, clock_mhz=10.0)
    for end in ("low", "high"):
        at = {name: getattr(c, end) for name, c in device.constants.items()}
        scale = (at["supply"] / device.volts) ** 2 / 2  # two samples
        expected = {
            "logic": at["glitch"] * 10 * (at["cell"] + 2 * at["pin"]) * scale,
            "carries": at["glitch"] * 20 * at["carry"] * scale,
            "registers": 30 * (at["cell"] + at["pin"]) * scale,
            "block RAM": (40 * 3 * at["pin"] + 7 * at["memory"]) * scale,
            "inputs": 50 * at["pin"] * scale,
            "clock": 100 * (at["clock"] + at["clock_pin"]) * scale,
            "static": at["static"] * at["supply"] * 50 / 10e6,
        }
        have = {name: getattr(energy, end) for name, energy in found.resources.items()}
        assert have == pytest.approx(expected)
        assert tuple(have) == RESOURCES
        assert getattr(found.total, end) == pytest.approx(sum(expected.values()))
    assert found.seconds == pytest.approx(5e-6)
    assert found.power.low == pytest.approx(found.total.low / 5e-6)


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_every_constant_has_a_source_and_a_range(device: object) -> None:
    names = {"supply", "static", "clock", "clock_pin", "cell", "carry", "pin", "memory"}
    constants = device.constants  # type: ignore[attr-defined]
    assert set(constants) == names | {"glitch", "spread"}
    for name, constant in constants.items():
        assert 0 <= constant.low < constant.high, name
        assert min(len(constant.source), len(constant.derivation)) >= 6, name
        assert constant.unit == {"supply": "V", "static": "A", "glitch": "1", "spread": "1"}.get(
            name, "J"
        )


@pytest.mark.parametrize(
    "wrong", [{"low": 2.0}, {"low": -1.0}, {"high": math.inf}, {"source": ""}, {"derivation": ""}]
)
def test_a_constant_without_range_or_source_is_refused(wrong: dict[str, float | str]) -> None:
    good = {"low": 0.5, "high": 1.0, "unit": "J", "source": "a book", "derivation": "page 3"}
    Constant(**good)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^constant must have "):
        Constant(**{**good, **wrong})  # type: ignore[arg-type]


def test_counts_of_other_nets_are_refused() -> None:
    with pytest.raises(InputError, match=r"^switching must be of the 5 nets and 1 memory ports"):
        energy_of(nets(), switching([1, 2]), DEVICES["iCE40UP5K"], clock_mhz=1.0)
    with pytest.raises(InputError, match=r"^toggles must be at most one a clock, 100 in all"):
        switching([101, 0, 0, 0, 0])


@cache
def of_part(part: Part, activity: float) -> EnergyEstimate:
    network = small_network()
    inputs = (np.random.default_rng(7).random((8, 4, 6)) < activity).astype(np.uint8)
    return energy_on(
        emit(network, Mapping.spatial(network)),
        part,
        inputs,
        run(network, inputs),
        clock_mhz=12.0,
        count=count_switching,
    )


@exhaustive
@pytest.mark.parametrize("part", leading([ICE40UP5K, LFE5U_25F]), ids=lambda part: part.name)
def test_silence_takes_less_than_activity(part: Part) -> None:
    silent, active = of_part(part, 0.0), of_part(part, 0.5)
    assert silent.toggles < active.toggles / 4
    for end in ("low", "high"):
        assert 0 < getattr(silent.total, end) < getattr(active.total, end)
        for name in ("clock", "static"):  # these do not know what is computed
            energies = [getattr(e.resources[name], end) for e in (silent, active)]
            assert energies[0] == pytest.approx(energies[1])
    assert silent.resources["inputs"].high < active.resources["inputs"].low
    assert all(energy.low <= energy.high for energy in active.resources.values())


def test_a_slower_clock_takes_the_same_but_for_what_is_static() -> None:
    counted = switching([10, 20, 30, 40, 50])
    fast, slow = (
        energy_of(nets(), counted, DEVICES["LFE5U-85F"], clock_mhz=mhz) for mhz in (50.0, 5.0)
    )
    for name in RESOURCES:
        factor = 10 if name == "static" else 1
        assert slow.resources[name].high == pytest.approx(factor * fast.resources[name].high)


@pytest.mark.parametrize("name", leading(measured.MEASURED))
def test_published_currents_are_within_their_estimates(name: str) -> None:
    circuit = measured.MEASURED[name]
    netlist = synthesize_verilog(circuit.verilog, measured.TOP, Family.ICE40)
    found = nets_of(netlist)
    counted = count_free(watch_of(netlist, found, measured.PORTS), FREE_CLOCKS)
    estimate = energy_of(found, counted, DEVICES["iCE40UP5K"], clock_mhz=circuit.clock_mhz)
    assert estimate.power.low < circuit.watts < estimate.power.high


def test_the_multipliers_toggles_are_those_that_the_constants_stand_on() -> None:
    netlist = synthesize_verilog(
        measured.MEASURED["multiplier"].verilog, measured.TOP, Family.ICE40
    )
    found = nets_of(netlist)
    counted = count_free(watch_of(netlist, found, measured.PORTS), FREE_CLOCKS)

    def per_clock(driver: Driver, *, pins: bool) -> float:
        own = np.array([d is driver for d in found.drivers])
        weights = found.pins[own] if pins else np.ones(own.sum())
        return float(counted.toggles[own] @ weights) / counted.clocks

    # Less those of the counter beside it: 2 of LUTs, 2 of flip-flops and 3 of their pins.
    assert per_clock(Driver.LOGIC, pins=False) - 2 == pytest.approx(58.1, rel=0.05)
    assert per_clock(Driver.LOGIC, pins=True) == pytest.approx(87.7, rel=0.05)
    assert per_clock(Driver.REGISTER, pins=False) - 2 == pytest.approx(6.4, rel=0.05)
    assert per_clock(Driver.REGISTER, pins=True) - 3 == pytest.approx(98.3, rel=0.05)


def names_of(figures: Iterable[str]) -> set[str]:
    """Circuits and networks with a published power."""
    parts = (name.split(".") for name in figures if name.startswith("estimate.energy."))
    return {name for _, _, name, *_ in parts}


def test_ratios_are_what_estimate_and_publication_give() -> None:
    figures = read_figures(RESULT)
    names = names_of(figures)
    assert {"syntzulu", "spiker-plus"} <= names
    for name in names:
        own = {key: figures[f"estimate.energy.{name}.{key}"] for key in ("low", "high")}
        low, high = own["low"].value, own["high"].value
        published = figures[f"estimate.energy.{name}.published"].value
        ratio = f"estimate.energy.{name}.ratio_to_published"
        assert low < high
        assert figures[f"{ratio}.low"].value == pytest.approx(low / published)
        assert figures[f"{ratio}.high"].value == pytest.approx(high / published)
        assert figures[ratio].value == pytest.approx(math.sqrt(low * high) / published)
        if name.startswith("up5k-") or name == "syntzulu":  # the same part
            assert low < published < high


@pytest.mark.parametrize("name", ["ice40-hx8k", "tang-nano-9k"])
def test_a_part_without_energies_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"^energy must be of one of iCE40UP5K, LFE5U-12F.*, not"):
        device_of(board_of(name).open_part)


def test_the_document_has_every_constant_as_it_is() -> None:
    text = (Path(__file__).parents[3] / "docs" / "energy.md").read_text(encoding="utf-8")
    for device in DEVICES.values():
        for name, c in device.constants.items():
            row = (name, f"{c.low:.3g}", f"{c.high:.3g}", c.unit, c.source, c.derivation)
            assert f"| {' | '.join(row)} |" in text


def ends(device: Device, name: str) -> tuple[float, float]:
    return device.constants[name].low, device.constants[name].high


def test_constants_are_what_their_derivations_give() -> None:
    up5k, volts, pico = DEVICES["iCE40UP5K"], measured.MEASURED_VOLTS, 1e-12
    assert up5k.volts == volts
    share = 16 / (16 + 60)  # of logic in the energy of logic and routing
    multiplier = (35.66 - 16 * 0.0135) * pico  # 351 uA at 12 MHz, less 16 clock pins
    cells, pins = {1: 64.5, 2: 122.6}, {1: 186.0, 2: 273.8}  # toggles, by the factor of glitches
    memory = 10 * pico * (volts / 0.9) ** 2
    by_hand = {
        "static": (85.6e-6 / 2, 92.1e-6 * 4),
        "cell": (share * multiplier / cells[2], share * multiplier / cells[1]),
        "carry": (0.0, share * multiplier / cells[1]),
        "pin": ((1 - share) * multiplier / pins[2], (1 - share) * multiplier / pins[1]),
        "memory": (16 / 64 / 2 * memory, memory),
    }
    for name, range_ in by_hand.items():
        assert ends(up5k, name) == pytest.approx(range_, rel=1e-12, abs=0.0), name
    for size, luts, milliamperes in ((12, 24288, 77.0), (25, 24288, 77.0), (85, 83640, 212.0)):
        ecp5, larger, scale = DEVICES[f"LFE5U-{size}F"], luts / 5280, (1.1 / volts) ** 2
        assert ecp5.volts == 1.1
        static = (milliamperes * 1e-3 / 4, milliamperes * 1e-3)
        assert ends(ecp5, "static") == pytest.approx(static, rel=1e-12, abs=0.0)
        memory = 10 * pico * (1.1 / 0.9) ** 2
        range_ = (18 / 64 / 2 * memory, memory)
        assert ends(ecp5, "memory") == pytest.approx(range_, rel=1e-12, abs=0.0)
        factors = dict.fromkeys(("cell", "carry", "clock_pin", "pin"), (scale, 2 * scale))
        factors["clock"] = (larger**0.5 * scale, larger * scale)
        for name, factor in factors.items():
            scaled = [end * by for end, by in zip(ends(up5k, name), factor, strict=True)]
            assert ends(ecp5, name) == pytest.approx(scaled, rel=1e-12, abs=0.0), name
        assert ends(ecp5, "glitch") == ends(up5k, "glitch")
        assert ends(ecp5, "spread") == ends(up5k, "spread")


def test_the_document_has_the_ratios_of_the_results() -> None:
    text = (Path(__file__).parents[3] / "docs" / "energy.md").read_text(encoding="utf-8")
    figures = read_figures(RESULT)
    for name in names_of(figures):
        low, high = (
            figures[f"estimate.energy.{name}.ratio_to_published.{end}"].value
            for end in ("low", "high")
        )
        assert f"| {low:.2f} to {high:.2f} |" in text


def test_boards_find_their_parts() -> None:
    assert device_of(board_of("icebreaker").open_part).part == "iCE40UP5K"
    assert device_of(board_of("ulx3s-85f").open_part).part == "LFE5U-85F"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("run"))


def test_the_stage_keeps_what_it_estimated(folder: Run, tmp_path: Path) -> None:
    settings = {"part": ICE40UP5K, "clock_mhz": 12.0, "samples": 3}
    result = energy_stage(folder, **settings)  # type: ignore[arg-type]
    estimate = result.estimate.value
    assert not result.estimate.reused
    assert energy_stage(folder, **settings).estimate.reused  # type: ignore[arg-type]
    assert estimate.samples == 3
    assert result.summary.startswith("energy: iCE40UP5K at 12 MHz, ")
    assert len(result.lines) == len(RESOURCES)
    save(ENERGY, estimate, tmp_path / "energy.json")
    again, _ = load(ENERGY, tmp_path / "energy.json")
    assert dataclasses.asdict(again) == dataclasses.asdict(estimate)
    assert tuple(again.resources) == RESOURCES, "in their order"


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["energy", *arguments])
    return result.exit_code, result.output


def test_the_command_states_a_range_for_every_resource(folder: Run) -> None:
    code, text = command(str(folder.path), "--part", "iCE40UP5K-SG48", "--freq", "12")
    assert code == 0
    assert all(name in text for name in RESOURCES)
    assert "J to " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "one of --board and --part must be given"),
        (("--board", "icebreaker", "--part", "iCE40UP5K-SG48"), "one of --board and --part"),
        (("--board", "icebreaker"), "--board icebreaker` first"),
        (("--board", "arty-a7-35"), "must be built with vivado"),
        (("--board", "tang-nano-9k", "--freq", "10"), "its energies are not published"),
        (("--part", "iCE40UP5K-SG48"), "--freq must be given"),
        (("--part", "iCE40UP5K-SG48", "--freq", "-1"), "freq must be a number of MHz above 0"),
        (("--part", "iCE40UP5K-SG48", "--freq", "0"), "freq must be a number of MHz above 0"),
        (("--part", "iCE40UP5K-SG48", "--freq", "inf"), "freq must be a number of MHz above 0"),
    ],
)
def test_what_cannot_be_estimated_is_one_line(
    folder: Run, arguments: tuple[str, ...], message: str
) -> None:
    code, text = command(str(folder.path), *arguments)
    assert code == 2
    assert message in " ".join(text.split())
    assert len(text.strip().splitlines()) == 1


def test_a_folder_without_a_bundle_is_one_line(tmp_path: Path) -> None:
    code, text = command(str(tmp_path), "--part", "iCE40UP5K-SG48", "--freq", "12")
    assert code == 2
    assert "missing" in text
    assert len(text.strip().splitlines()) == 1
