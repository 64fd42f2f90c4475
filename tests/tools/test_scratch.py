"""Temporary folders: gone with their context, and with the next process where ours was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

import pytest

from convexon.errors import ToolError
from convexon.store.artefact import atomic_write, remove_drafts
from convexon.tools import scratch
from convexon.tools.scratch import PREFIX, Scratch, sweep
from processes import pid_in


@pytest.fixture(autouse=True)
def as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_swept", set())


def test_a_folder_goes_with_its_context(tmp_path: Path) -> None:
    with Scratch(tmp_path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
        assert folder.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), Scratch(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_goes_with_its_owner(tmp_path: Path) -> None:
    made = Scratch(tmp_path)
    assert made.path.is_dir()
    del made
    assert list(tmp_path.iterdir()) == []


def holder(place: Path, then: str) -> subprocess.Popen[bytes]:
    """A process that holds a folder."""
    script = (
        "import os, time; from pathlib import Path; from convexon.tools.scratch import Scratch\n"
        f"place = Path({str(place)!r}); made = Scratch(place); (made.path / 'file').touch()\n"
        f"(place / 'part').write_text(str(os.getpid())); (place / 'part').rename(place / 'pid')\n"
        f"{then}"
    )
    running = subprocess.Popen([sys.executable, "-c", script])
    pid_in(place / "pid")
    return running


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(
    tmp_path: Path,
) -> None:
    killed = holder(tmp_path, "os.kill(os.getpid(), 9)")
    killed.wait()
    (tmp_path / "pid").unlink()
    (left,) = tmp_path.glob(f"{PREFIX}*")
    living = holder(tmp_path, "time.sleep(60)")
    assert not left.exists()
    (held,) = tmp_path.glob(f"{PREFIX}*")
    with Scratch(tmp_path):
        assert (held / "files" / "file").exists()
    living.kill()
    living.wait()
    scratch._swept.clear()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


def test_only_our_own_folders_are_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lock").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{PREFIX}full").mkdir()
    (tmp_path / f"{PREFIX}full" / "a user's own").touch()
    (tmp_path / f"{PREFIX}empty").mkdir()
    (tmp_path / f"{PREFIX}unlocked" / "files" / "deeper").mkdir(parents=True)
    (tmp_path / f"{PREFIX}unlocked" / "files" / "deeper" / "file").touch()
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / "convexon-demo").mkdir()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("elsewhere", "convexon-demo"),
        *(f"{PREFIX}link", f"{PREFIX}full", f"{PREFIX}file"),
    }
    assert (tmp_path / "elsewhere" / "lock").exists()


def test_makers_and_sweepers_do_not_hurt_each_other(tmp_path: Path) -> None:
    over = threading.Event()

    def sweeps() -> None:
        while not over.is_set():
            scratch._swept.clear()
            sweep(tmp_path)

    sweeping = [threading.Thread(target=sweeps) for _ in range(2)]
    for thread in sweeping:
        thread.start()
    try:
        for k in range(200):
            with Scratch(tmp_path) as folder:
                (folder / "file").write_text(str(k))
                assert (folder / "file").read_text() == str(k)
    finally:
        over.set()
        for thread in sweeping:
            thread.join()
    scratch._swept.clear()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match=r"^no temporary folder can be made in .*/file: Not a dir"):
        Scratch(tmp_path / "file")


def test_drafts_are_removed_by_their_whole_name_and_nothing_deeper(
    tmp_path: Path,
) -> None:
    for folder in (tmp_path, tmp_path / "elsewhere"):
        atomic_write(folder / "kept.json", b"{}")
        script = (
            "import os; from pathlib import Path; from convexon.store import artefact\n"
            "artefact.os.fsync = lambda number: os.kill(os.getpid(), 9)\n"
            f"artefact.atomic_write(Path({str(folder)!r}) / 'lost.json', b'half')"
        )
        done = subprocess.run([sys.executable, "-c", script], check=False)
        assert done.returncode == -9
    others = {".mine", ".letter.draft", ".a.letter.draft", ".my.notes.draft", "a.abcdefgh.draft"}
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".link.abcdefgh.draft").symlink_to(tmp_path / "elsewhere")
    (Path(tempfile.mkdtemp(".draft", ".point.", tmp_path)) / "point.json").touch()
    (tmp_path / f".card.json.{uuid.uuid4().hex}.draft").touch()
    assert len([name for name in os.listdir(tmp_path) if name.startswith(".lost.json.")]) == 1
    remove_drafts(tmp_path)
    assert set(os.listdir(tmp_path)) == {
        *others,
        *(".link.abcdefgh.draft", "kept.json", "elsewhere"),
    }
    assert len(os.listdir(tmp_path / "elsewhere")) == 2
