"""A run folder: held by one process, of one set of samples, and what it says of its files."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest

from convexon.data.encoder import Encoder, EncoderKind
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import ArtefactError, InputError
from convexon.flow.hardware.prove import KNOWN, _Cache
from convexon.flow.hardware.stimulus import stimulus_of
from convexon.flow.network.solve import draw, solve
from convexon.flow.run import Run, joined, source_digest
from convexon.plan.mapping import Mapping
from convexon.snn.card import CARD
from convexon.store.artefact import DRAFT
from convexon.train.solved import BRANCHES
from toy import toy_arrays, toy_file, toy_samples, toy_settings

HOLD = """
import sys
from pathlib import Path
from convexon.flow.run import Run
with Run(Path(sys.argv[1])).locked(new=True):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = Run(tmp_path_factory.mktemp("solved"))
    solve(folder, toy_samples(), toy_settings(max_neurons=6))
    return folder


@pytest.fixture
def folder(solved: Run, tmp_path: Path) -> Run:
    """A copy that a test may change."""
    return Run(Path(shutil.copytree(solved.path, tmp_path / "run")))


# The lock


def in_use(folder: Run) -> None:
    message = f"{folder.path} is in use by another convexon: wait for it, or choose another folder"
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"), folder.locked(new=True):
        pass


@contextmanager
def held_by_another(folder: Run) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder until it is told to end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other


def test_one_process_holds_a_folder(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run")
    with held_by_another(folder) as other:
        in_use(folder)
        with Run(tmp_path / "another").locked(new=True):
            pass
        other.communicate("\n")
    with folder.locked(new=True) as held:
        assert held is folder


def test_the_lock_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run")
    with held_by_another(folder) as other:
        other.kill()
    with folder.locked(new=True):
        pass


def test_the_lock_goes_with_an_error_and_is_no_artefact(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), folder.locked(new=True):
        raise KeyboardInterrupt
    with folder.locked(new=True):
        in_use(folder)
    assert [path.name for path in folder.path.iterdir()] == [".lock"]


def test_a_folder_in_which_nothing_was_made_is_taken_back(tmp_path: Path) -> None:
    folder = Run(tmp_path / "runs" / "a")
    with pytest.raises(KeyboardInterrupt), folder.locked(new=True):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with folder.locked(new=True):
        (folder.path / "made").touch()
    with pytest.raises(KeyboardInterrupt), folder.locked(new=True):
        raise KeyboardInterrupt
    assert (folder.path / "made").exists(), "a folder that stood stays"


def draft(folder: Path) -> Path:
    """What a process that was killed while it wrote has left."""
    file = folder / f".card.json.lost_one{DRAFT}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


def test_who_holds_a_folder_removes_the_drafts_of_who_was_killed(tmp_path: Path) -> None:
    own = ("", "rtl", "export", "build", "build/icestick")
    drafts = [draft(tmp_path / place) for place in own]
    others = [draft(tmp_path / place) for place in ("notes", "rtl/notes", "build/icestick/notes")]
    with Run(tmp_path).locked():
        assert not any(file.exists() for file in drafts)
        assert all(file.exists() for file in others)


@pytest.mark.parametrize("place", ["rtl", "export", "build", "build/icestick"])
def test_a_folder_within_that_leads_out_of_it_is_refused(tmp_path: Path, place: str) -> None:
    lost = draft(tmp_path / "mine")
    link = tmp_path / "run" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "mine")
    message = f"{link} must be a folder, not a link to another: remove the link"
    with (
        pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"),
        Run(tmp_path / "run").locked(),
    ):
        pytest.fail("the folder was held")
    with pytest.raises(ArtefactError, match=r"must be a folder, not a link"):
        joined(tmp_path / "run", [place]).__enter__()
    assert lost.exists()


def test_those_who_share_a_folder_leave_each_others_drafts(tmp_path: Path) -> None:
    old = draft(tmp_path / "points")
    with joined(tmp_path, ["points"]):
        assert not old.exists()
        new = draft(tmp_path / "points")
        with joined(tmp_path, ["points"]):
            assert new.exists()
        assert new.exists()
    with joined(tmp_path):
        assert new.exists()
    with joined(tmp_path, ["points"]):
        assert not new.exists()
    (tmp_path / "file").touch()
    with (
        pytest.raises(ArtefactError, match=r"/file cannot be written: "),
        joined(tmp_path / "file"),
    ):
        pass


def test_what_was_made_with_another_version_of_a_plug_in_is_not_current(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for version in ("1.0", "1.1", "1.0"):
        announced = [("convexon.losses", "huber", "mine:Huber", "mine", version)]
        monkeypatch.setattr("convexon.flow.run.plugins", lambda given=announced: given)
        found.append(source_digest.__wrapped__())
    assert found[0] == found[2] != found[1]


def test_a_folder_that_cannot_be_made_cannot_be_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/below"):
        with (
            pytest.raises(ArtefactError, match=r" cannot be written: .*; choose another folder$"),
            Run(tmp_path / place).locked(new=True),
        ):
            pass
    assert (tmp_path / "file").read_text() == "mine"


# Other samples


def test_a_run_of_other_samples_is_not_overwritten_unless_told_to(folder: Run) -> None:
    features, labels = toy_arrays()
    other = Samples.of(features[:-1], labels[:-1], name="other")
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    message = f"{folder.path} holds other samples (toy, train): choose another folder, or give "
    with pytest.raises(InputError, match=f"^{re.escape(message)}--replace$"):
        solve(folder, other, toy_settings())
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before
    solve(folder, other, toy_settings(max_neurons=6), replace=True)
    assert folder.read("samples-train", SAMPLES).value.name == "other, train"


@pytest.mark.parametrize("kind", ["names", "types", "shapes"])
def test_samples_that_differ_in_anything_are_others(folder: Run, kind: str) -> None:
    features, labels = toy_arrays()
    other = {
        "names": Samples.of(features, np.array(["a", "b", "c"])[labels]),
        "types": Samples.of(features.astype(np.float32), labels),
        "shapes": Samples.of(features.reshape(-1, 2, 4), labels),
    }[kind]
    with pytest.raises(InputError, match=" holds other samples "):
        solve(folder, other, toy_settings())


def test_the_same_samples_under_another_name_are_the_same(folder: Run) -> None:
    renamed = Samples.of(*toy_arrays(), name="renamed")
    assert solve(folder, renamed, toy_settings(max_neurons=6)).card.reused


def test_other_settings_are_no_other_samples(folder: Run) -> None:
    assert not solve(folder, toy_samples(), toy_settings(max_neurons=5)).card.reused


# What it says of its files


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    message = f"{path} is missing: run `convexon solve {tmp_path}` first"
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
        Run(tmp_path).read("card", CARD)


def test_a_damaged_file_names_the_command_that_makes_it_again(folder: Run) -> None:
    path = folder.file("card")
    path.write_text(path.read_text()[:-30])
    message = f"{path} is truncated or not JSON (line "
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}") as caught:
        folder.read("card", CARD)
    assert str(caught.value).endswith(f": run `convexon solve {folder.path}` again")


# Two at once, and what a failed solve leaves behind

SOLVE = """
import sys
from convexon.cli import app
app(["solve", *sys.argv[1:]])
"""


def test_two_solves_at_once_never_leave_a_mixture(tmp_path: Path) -> None:
    data = toy_file(tmp_path)
    small = ("--steps", "4", "--witnesses", "20", "--fan-in", "3", "--rho", "0.01")
    command = [sys.executable, "-c", SOLVE, tmp_path / "run", "--data", data, *small]
    both = [
        subprocess.Popen([*command, "--seed", str(seed)], stdout=PIPE, stderr=PIPE, text=True)
        for seed in (1, 2)
    ]
    told = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes
    for code, text in zip(codes, told, strict=True):
        if code:  # unless one had ended before the other began
            assert code == 2
            told_so = r"convexon: \S+ is in use by another convexon: wait for it, .*\n"
            assert re.fullmatch(told_so, text)
    folder = Run(tmp_path / "run")
    card = folder.read("card", CARD)
    seeds = {
        folder.read(name, codec).record.recipe["settings"]["seed"]
        for name, codec in (("samples-train", SAMPLES), ("branches", BRANCHES))
    }
    assert len(seeds) == 1
    assert card.record.parents["samples"] == folder.read("samples-train", SAMPLES).record.digest


@pytest.mark.parametrize("name", ["test", "train"])
@pytest.mark.parametrize("encoded", [False, True])
def test_samples_of_another_split_are_not_used(folder: Run, name: str, encoded: bool) -> None:
    """As a solve leaves them that failed after it had split the samples anew."""
    card = folder.read("card", CARD).value
    mapping = Mapping.spatial(card)
    if encoded:
        mapping = replace(mapping, encoder=Encoder(kind=EncoderKind.THRESHOLD, bits=8))
    assert stimulus_of(folder, mapping, name).labels is not None
    draw(folder, toy_samples(), toy_settings(max_neurons=6, seed=5))
    message = f"{folder.file(name)} is of another solve than {folder.file('card')}: run "
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}"):
        stimulus_of(folder, mapping, name)


def test_raw_samples_of_another_split_are_not_used(folder: Run) -> None:
    mapping = replace(
        Mapping.spatial(folder.read("card", CARD).value),
        encoder=Encoder(kind=EncoderKind.THRESHOLD, bits=8),
    )
    raw = folder.read("samples-test", SAMPLES)
    other = replace(raw.value, values=raw.value.values[::-1].copy())
    folder.keep("samples-test", SAMPLES, other, parents={}, recipe=raw.record.recipe)
    message = f"{folder.file('samples-test')} is of another solve than {folder.file('test')}: run "
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}"):
        stimulus_of(folder, mapping)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    folder: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("convexon.flow.run.tempfile.TemporaryFile", no_room)
    with (
        pytest.raises(ArtefactError, match=r" cannot be written: Read-only file system; choose "),
        folder.locked(),
    ):
        pytest.fail("the folder was held")


@pytest.mark.parametrize("place", [".lock", KNOWN])
def test_a_link_in_a_folder_is_not_followed_to_another_file(folder: Run, place: str) -> None:
    target = folder.path.parent / "mine"
    target.write_text("mine")
    (folder.path / place).unlink(missing_ok=True)
    (folder.path / place).symlink_to(target)
    writes = {
        ".lock": lambda: folder.locked().__enter__(),
        KNOWN: lambda: _Cache(folder.path / KNOWN, "versions").add("key"),
    }
    with pytest.raises((ArtefactError, OSError), match=r"Too many levels of symbolic links"):
        writes[place]()
    assert target.read_text() == "mine"
