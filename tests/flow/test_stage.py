"""The stage mechanism: what a result follows from is recorded, and decides what is made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexon.data.samples import Samples
from convexon.flow import run as run_module
from convexon.flow.run import Keeper, Made, Run
from convexon.flow.stage import stage, stages
from convexon.progress import QUIET, Progress
from convexon.settings import Settings, setting
from convexon.store.codec import Codec


class Style(Enum):
    PLAIN = "plain"
    FANCY = "fancy"


@dataclass(frozen=True, kw_only=True)
class Choices(Settings):
    size: int = setting(1, "Of it.")
    style: Style = setting(Style.PLAIN, "Of it.")
    trim: int = setting(1, "Of what is fancy.")
    other: int = setting(1, "Nobody reads it.")

    @property
    def doubled(self) -> int:
        """Reads ``size``."""
        return 2 * self.size

    def times(self, factor: int) -> int:
        """Reads ``size``."""
        return factor * self.size


@dataclass(frozen=True)
class Word:
    text: str


WORD: Codec[Word] = Codec(Word, "convexon.word", 1)
CALLS: list[str] = []


@stage("first", WORD)
def first(choices: Choices, *, progress: Progress = QUIET) -> Word:
    """Reads the trim only where it is fancy."""
    CALLS.append("first")
    trim = choices.trim if choices.style is Style.FANCY else 0
    return Word(f"{choices.doubled} {choices.style.value} {trim}")


@stage("second", WORD)
def second(choices: Choices, first: Made[Word], factor: int, *, executor: Any = None) -> Word:
    CALLS.append("second")
    return Word(f"{first.value.text}, {choices.times(factor)}")


@stages(("left", "right"), WORD)
def both(samples: Samples) -> tuple[Word, ...]:
    CALLS.append("both")
    return Word("l"), Word("r")


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def recipe(run: Run, name: str) -> Any:
    return json.loads(run.file(name).read_text())["recipe"]


def test_the_recipe_is_what_was_read(run: Run) -> None:
    made = first(run, Choices(size=3))
    assert made.value == Word("6 plain 0")
    assert not made.reused
    assert recipe(run, "first") == {"choices": {"size": 3, "style": "plain"}}
    assert first(run, Choices(size=3)).reused
    fancy = first(run, Choices(size=3, style=Style.FANCY))
    assert fancy.value == Word("6 fancy 1")
    assert recipe(run, "first") == {"choices": {"size": 3, "style": "fancy", "trim": 1}}


@pytest.mark.parametrize(
    ("before", "now", "reused"),
    [
        ({}, {"other": 2}, True),
        ({}, {"trim": 2}, True),
        ({}, {"size": 2}, False),
        ({}, {"style": "fancy"}, False),
        ({"style": "fancy"}, {"style": "fancy", "trim": 2}, False),
        ({"style": "fancy"}, {"style": "fancy", "other": 2}, True),
        ({"style": "fancy", "trim": 2}, {"trim": 2}, False),
    ],
    ids=str,
)
def test_only_a_changed_setting_that_was_read_makes_anew(
    run: Run, before: dict[str, Any], now: dict[str, Any], reused: bool
) -> None:
    first(run, Choices(**before))
    again = first(run, Choices(**now))
    assert again.reused == reused
    assert ["first"] * (1 if reused else 2) == CALLS
    assert again.value == first(Keeper(), Choices(**now)).value, "equal or made anew, it is right"


def test_parents_are_followed_by_their_content(run: Run) -> None:
    made = second(run, Choices(), first(run, Choices()), 3)
    assert made.record.parents == {"first": run.read("first", WORD).record.digest}
    assert recipe(run, "second") == {"choices": {"size": 1}, "factor": 3}
    assert second(run, Choices(other=2), first(run, Choices(other=2)), 3).reused
    assert not second(run, Choices(), first(run, Choices(style=Style.FANCY)), 3).reused
    assert CALLS == ["first", "second", "first", "second"]


def test_a_plain_argument_is_part_of_the_recipe_and_a_silent_one_is_not(run: Run) -> None:
    parent = first(run, Choices())
    second(run, Choices(), parent, 3, executor=object())
    assert second(run, Choices(), parent, factor=3, executor=object()).reused
    assert not second(run, Choices(), parent, 4).reused

    class Loud:
        def begin(self, what: str) -> None: ...
        def advance(self, detail: str) -> None: ...

    assert first(run, Choices(), progress=Loud()).reused


def test_several_results_are_made_together(run: Run) -> None:
    samples = Samples.of(np.zeros((2, 1)), [0, 1])
    left, right = both(run, samples)
    assert (left.value, right.value) == (Word("l"), Word("r"))
    assert [recipe(run, name) for name in ("left", "right")] == [{"samples": samples.digest}] * 2
    assert all(made.reused for made in both(run, samples))
    run.file("right").unlink()
    assert not any(made.reused for made in both(run, samples))
    assert CALLS == ["both", "both"]
    both(run, Samples.of(np.ones((2, 1)), [0, 1]))
    assert CALLS == ["both", "both", "both"]


def test_another_source_of_convexon_makes_anew_with_the_same_digest(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = first(run, Choices())
    assert before.record.source == run_module.source_digest()
    monkeypatch.setattr(run_module, "source_digest", lambda: "sha256:changed")
    after = first(run, Choices())
    assert not after.reused
    assert (after.record.digest, after.record.source) == (before.record.digest, "sha256:changed")
    assert first(run, Choices()).reused


def test_the_digest_of_the_source_is_of_every_file_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import convexon_boards

    package = tmp_path / "convexon_boards"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(convexon_boards, "__file__", str(package / "__init__.py"))

    def digest() -> str:
        run_module.source_digest.cache_clear()
        return run_module.source_digest()

    try:
        seen = [digest()]
        for name, text in (
            ("__init__.py", "x = 1"),
            ("new.py", ""),
            ("models.json", "{}"),
            ("board.toml", ""),
            ("inner.cpp", ""),
            ("top.v", ""),
        ):
            (package / name).write_text(text)
            seen.append(digest())
        assert len(set(seen)) == len(seen)
        (package / "new.pyc").write_text("x")
        assert digest() == seen[-1]
    finally:
        run_module.source_digest.cache_clear()


def damaged(text: str) -> str:
    return text[:-20]


def foreign(text: str) -> str:
    return text.replace("convexon.word", "convexon.world")


def of_another_version(text: str) -> str:
    return text.replace('"schema_version": 1', '"schema_version": 2')


def unsettled(text: str) -> str:
    """As if settings of this name had been no settings then."""
    return text.replace('"choices": {"size": 1, "style": "plain"}', '"choices": 3')


@pytest.mark.parametrize("change", [damaged, foreign, of_another_version, unsettled])
def test_what_is_not_sound_is_made_anew(run: Run, change: Callable[[str], str]) -> None:
    before = first(run, Choices())
    path = run.file("first")
    text = path.read_text()
    assert change(text) != text or change is unsettled
    path.write_text(change(text))
    again = first(run, Choices())
    assert again.record == before.record
    assert path.read_text() == text


def test_a_setting_that_is_gone_makes_anew(run: Run) -> None:
    run.keep("first", WORD, Word("old"), parents={}, recipe={"choices": {"colour": 1}})
    assert first(run, Choices()).value == Word("2 plain 0")
    run.keep("first", WORD, Word("old"), parents={}, recipe={"settings": {"size": 1}})
    assert first(run, Choices()).value == Word("2 plain 0")


def test_memory_keeps_nothing_and_makes_the_same(run: Run) -> None:
    memory = Keeper()
    made = second(memory, Choices(), first(memory, Choices()), 3)
    assert made.value == second(run, Choices(), first(run, Choices()), 3).value
    assert not first(memory, Choices()).reused


def test_what_cannot_be_compared_cannot_be_an_argument(run: Run) -> None:
    with pytest.raises(TypeError, match=r"^a stage cannot tell whether <object .*: pass it as an"):
        second(run, Choices(), first(run, Choices()), object())  # type: ignore[arg-type]


def test_a_stage_keeps_the_name_and_the_words_of_its_function() -> None:
    assert first.__name__ == "first"
    assert first.__doc__ == "Reads the trim only where it is fancy."
