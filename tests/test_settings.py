"""Settings: conversion where it is exact, refusal in a line, and the options made of them."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from convexon.cli.options import command
from convexon.cli.options import settings as options_of
from convexon.errors import InputError
from convexon.settings import Setting, Settings, choice, setting, settings_of
from convexon.train.settings import SolveSettings


class Taste(Enum):
    SWEET = "sweet"
    SOUR = "sour"


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    count: int = setting(3, "How many.", least=1, most=9)
    weight: float = setting(0.5, "Of one.", above=0)
    loud: bool = setting(False, "Whether it is loud.")
    note: str = setting("none", "What to say.")
    taste: Taste = setting(Taste.SWEET, "How it tastes.")
    maybe: Taste | None = setting(None, "A second taste.")
    limit: int | None = setting(None, "Most of them.", least=0)
    tries: tuple[float, ...] = setting((0.1, 0.2), "Weights to try.", above=0)
    kind: str = setting("a", "A name of a registry.", names=lambda: ("a", "b"))
    plain: int = 7


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", np.int64(4), 4),
        ("count", np.uint8(4), 4),
        ("count", 4.0, 4),
        ("count", np.float32(4.0), 4),
        ("weight", 2, 2.0),
        ("weight", np.float64(0.25), 0.25),
        ("weight", np.int32(2), 2.0),
        ("loud", np.bool_(True), True),
        ("note", np.str_("x"), "x"),
        ("taste", "sour", Taste.SOUR),
        ("taste", Taste.SOUR, Taste.SOUR),
        ("maybe", None, None),
        ("maybe", "sour", Taste.SOUR),
        ("limit", None, None),
        ("limit", 0, 0),
        ("tries", [1, 0.5], (1.0, 0.5)),
        ("tries", np.array([1.0, 2.0]), (1.0, 2.0)),
        ("tries", 0.3, (0.3,)),
        ("tries", (np.float32(0.5),), (0.5,)),
        ("kind", "b", "b"),
    ],
    ids=str,
)
def test_values_are_converted_where_that_is_exact(name: str, value: Any, expected: Any) -> None:
    found = getattr(Recipe(**{name: value}), name)
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(expected, tuple):
        assert [type(item) for item in found] == [type(item) for item in expected]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 0, "count must be an integer of 1 to 9, not 0"),
        ("count", 10, "count must be an integer of 1 to 9, not 10"),
        ("count", 1.5, "count must be an integer of 1 to 9, not 1.5"),
        ("count", True, "count must be an integer of 1 to 9, not True"),
        ("count", "4", "count must be an integer of 1 to 9, not '4'"),
        ("count", None, "count must be an integer of 1 to 9, not None"),
        ("count", [4], "count must be an integer of 1 to 9, not [4]"),
        ("weight", 0, "weight must be a number above 0 that is finite, not 0"),
        ("weight", float("nan"), "weight must be a number above 0 that is finite, not nan"),
        ("weight", float("inf"), "weight must be a number above 0 that is finite, not inf"),
        ("weight", True, "weight must be a number above 0 that is finite, not True"),
        ("loud", 1, "loud must be true or false, not 1"),
        ("note", 1, "note must be text, not 1"),
        ("note", Taste.SOUR, "note must be text, not 'sour'"),
        ("taste", "bitter", "taste must be one of sweet, sour, not 'bitter'"),
        ("taste", None, "taste must be one of sweet, sour, not None"),
        ("taste", ["sour"], "taste must be one of sweet, sour, not ['sour']"),
        ("maybe", "bitter", "maybe must be one of sweet, sour, not 'bitter'"),
        ("limit", -1, "limit must be an integer of at least 0, not -1"),
        ("tries", (), "tries must hold a value, not none"),
        ("tries", (0.1, -1.0), "tries must be a number above 0 that is finite, not -1.0"),
        ("tries", 1 << 64, f"tries must be a number above 0 that is finite, not {1 << 64}"),
        ("tries", "0.1", "tries must be a number above 0 that is finite, not '0.1'"),
        ("kind", "c", "kind must be one of a, b, not 'c'"),
        ("kind", 3, "kind must be one of a, b, not 3"),
    ],
    ids=str,
)
def test_other_values_are_refused_in_a_line(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Recipe(**{name: value})
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(Recipe(), **{name: value})


def test_equal_settings_are_equal_however_they_were_given() -> None:
    assert Recipe(tries=[1, 2], count=np.int8(3)) == Recipe(tries=(1.0, 2.0))
    assert hash(Recipe(tries=[1, 2])) == hash(Recipe(tries=(1.0, 2.0)))


def test_what_is_known_of_a_setting() -> None:
    known = {each.name: each for each in settings_of(Recipe)}
    assert list(known) == [
        *("count", "weight", "loud", "note", "taste", "maybe", "limit", "tries", "kind"),
    ], "a plain field is no setting"
    assert (known["tries"].hint, known["tries"].several) == (float, True)
    assert (known["maybe"].hint, known["maybe"].optional) == (Taste, True)
    assert known["taste"].choices == ("sweet", "sour")
    assert known["kind"].choices == ("a", "b")
    assert (known["count"].flag, known["count"].default) == ("--count", 3)
    assert (
        Setting(name="two_words", hint=int, several=False, optional=False, default=1, help="x").flag
        == "--two-words"
    )


def test_a_choice_of_an_enumeration() -> None:
    assert choice(Taste, "sour", "taste") is Taste.SOUR
    with pytest.raises(InputError, match=r"^taste must be one of sweet, sour, not 'x'$"):
        choice(Taste, "x", "taste")


# Options


def run(*arguments: str) -> tuple[int, str, Any]:
    """What a command with these options is given."""
    given: list[Any] = []

    @command
    @options_of(Recipe, exclude=["note"])
    @click.option("--more", default=1)
    def cook(settings: Recipe, more: int) -> None:
        """Cook."""
        given.append((settings, more))

    result = CliRunner().invoke(cook, arguments)
    return result.exit_code, result.output + str(result.exception or ""), given


def test_an_option_for_each_setting_and_what_was_not_given_is_the_default() -> None:
    assert run() == (0, "", [(Recipe(), 1)])
    arguments = ("--count", "4", "--tries", "1", "--tries", "2", "--taste", "sour", "--more", "2")
    code, _, given = run(*arguments)
    expected = Recipe(count=4, tries=(1.0, 2.0), taste=Taste.SOUR)
    assert (code, given) == (0, [(expected, 2)])
    assert run("--note", "x")[0] != 0, "an excluded setting has no option"


def test_a_message_names_the_option_that_was_typed() -> None:
    _, told, _ = run("--count", "0")
    assert "--count must be an integer of 1 to 9, not 0" in told
    _, told, _ = run("--taste", "bitter")
    assert "--taste must be one of sweet, sour, not 'bitter'" in told


def test_the_help_has_defaults_and_choices() -> None:
    _, told, _ = run("--help")
    told = " ".join(told.split())
    for text in (
        "How many; 3 by default.",
        "How it tastes: sweet, sour; sweet by default.",
        "A second taste: sweet, sour.",
        "Weights to try; 0.1, 0.2 by default.",
        "A name of a registry: a, b; a by default.",
    ):
        assert text in told, told


# The settings of solve


def test_every_setting_of_solve_says_what_it_is() -> None:
    known = list(settings_of(SolveSettings))
    assert {each.name for each in known} == {f.name for f in dataclasses.fields(SolveSettings)}
    for each in known:
        assert re.fullmatch(r"[A-Z].*\.", each.help), each.name
        assert each.convert(each.default) == each.default


def test_fan_in_is_clipped_to_the_inputs() -> None:
    assert {family.fan_in for family in SolveSettings(fan_in=8).families(4)} == {4}
    assert {family.fan_in for family in SolveSettings(fan_in=8).families(9)} == {8}
