"""Registries: by name, by entry point, and what they say of a name that is none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import PENALTIES
from convexon.errors import InputError
from convexon.interop.importers import IMPORTERS
from convexon.registry import Registry, plugins
from convexon.snn.coding import CODINGS
from convexon.train.pricing.oracles import ORACLES


def only_numbers(thing: Any) -> None:
    if not isinstance(thing, int):
        raise InputError(f"a number must be an int, not {thing!r}")


@pytest.fixture
def numbers() -> Registry[int]:
    registry: Registry[int] = Registry("number", "convexon.test_numbers", only_numbers)
    registry.add("one", 1)
    registry.add("two", 2)
    return registry


@pytest.fixture
def announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another package on the path, with entry points."""
    return package(tmp_path, monkeypatch)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch | None) -> Path:
    (folder / "others_numbers.py").write_text("three = 3\ntext = 'x'\n")
    info = folder / "others_numbers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others-numbers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[convexon.test_numbers]\n"
        "three = others_numbers:three\n"
        "text = others_numbers:text\n"
        "lost = others_numbers:gone\n"
    )
    if monkeypatch is not None:
        monkeypatch.syspath_prepend(str(folder))
    return folder


def test_things_are_found_by_their_names(numbers: Registry[int]) -> None:
    assert (numbers["one"], numbers["two"]) == (1, 2)
    assert list(numbers) == ["one", "two"]
    assert numbers.names == ("one", "two")
    assert "one" in numbers
    assert "three" not in numbers
    assert 1 not in numbers


def test_a_decorator_adds_what_it_stands_above() -> None:
    classes: Registry[type] = Registry("class", "convexon.test_classes")

    @classes("mine")
    class Mine:
        pass

    assert classes["mine"] is Mine


def test_adding_again_is_harmless_and_another_thing_is_refused(numbers: Registry[int]) -> None:
    assert numbers.add("one", 1) == 1
    with pytest.raises(InputError, match=r"^number 'one' is there already: choose another name$"):
        numbers.add("one", 7)
    assert numbers["one"] == 1


def test_what_lacks_something_is_refused_and_not_kept(numbers: Registry[int]) -> None:
    with pytest.raises(InputError, match=r"^a number must be an int, not 'x'$"):
        numbers.add("x", "x")  # type: ignore[arg-type]
    assert "x" not in numbers


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tow", "number must be one of one, two, not 'tow' (did you mean 'two'?)"),
        ("oen", "number must be one of one, two, not 'oen' (did you mean 'one'?)"),
        ("zzz", "number must be one of one, two, not 'zzz'"),
        ("os:system", "number must be one of one, two, not 'os:system'"),
        (3, "number must be one of one, two, not 3"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(
    numbers: Registry[int], name: Any, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        _ = numbers[name]


def test_entry_points_are_announced_and_loaded_when_they_are_asked_for(
    announced: Path, numbers: Registry[int]
) -> None:
    del announced
    assert numbers.names == ("one", "two", "three", "text", "lost")
    assert "three" in numbers
    assert "others_numbers" not in sys.modules, "a name is no reason to load it"
    assert numbers["three"] == 3
    with pytest.raises(InputError, match=r"^a number must be an int, not 'x'$"):
        _ = numbers["text"]
    sys.modules.pop("others_numbers", None)


@pytest.mark.parametrize(
    ("registry", "built_in", "group"),
    [
        (LOSSES, {"squared", "logistic", "hinge", "softmax"}, "convexon.losses"),
        (PENALTIES, {"l1", "group_l2", "group_linf"}, "convexon.penalties"),
        (ORACLES, {"local"}, "convexon.oracles"),
        (CODINGS, {"threshold", "latency", "intensity", "series", "direct"}, "convexon.encoders"),
        (IMPORTERS, {"card"}, "convexon.importers"),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_what_is_built_in_and_where_others_add(
    registry: Registry[Any], built_in: set[str], group: str
) -> None:
    assert built_in <= set(registry)
    assert registry.group == group
    assert all(registry[name] is not None for name in built_in)


CODING = """
import numpy as np
from convexon.snn.coding import Coding

class Dark(Coding):
    def encode(self, values, *, n_steps, bits):
        thresholds = np.arange(1, n_steps + 1) / (n_steps + 1)
        return (values[:, None, :] < thresholds[:, None]).astype(np.uint8)

dark = Dark()
"""


def test_another_package_adds_a_coding_to_the_command_line(tmp_path: Path) -> None:
    """An installed package with an entry point is all that it takes."""
    (tmp_path / "dark.py").write_text(CODING)
    info = tmp_path / "dark-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dark\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[convexon.encoders]\ndark = dark:dark\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def told(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "convexon.cli", *arguments],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    assert "crossing-4, dark. --steps" in told("solve", "--help")
    small = ("--witnesses", "20", "--max-neurons", "8", "--steps", "2", "--rho", "0.01")
    assert "solve: " in told("solve", str(tmp_path / "run"), "--coding", "dark", *small)


def test_what_others_announce_is_known_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "others-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[convexon.losses]\nhuber = mine:Huber\n[console_scripts]\nmine = mine:main\n"
    )
    before = plugins()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(plugins()) - set(before) == {
        ("convexon.losses", "huber", "mine:Huber", "others", "1.2")
    }
