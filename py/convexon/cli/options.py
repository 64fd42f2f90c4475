"""Arguments and options that several commands share, and options made of settings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

from convexon.cli import Command
from convexon.errors import InputError
from convexon.settings import Setting, Settings, settings_of

F = TypeVar("F", bound=Callable[..., Any])


class Folder(click.Path):
    """A folder that is named: an empty name, as of a variable that is not set, would be here."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; raises `InputError` if the name is empty."""
        if value == "":
            raise InputError("RUN must name a folder, and is empty: give one, or . for this one")
        return super().convert(value, param, ctx)


RUN = click.argument("run", type=Folder(), default=Path("build/run"))
EDITED = click.option(
    "--edited", is_flag=True, help="Take RUN/rtl as it is, though the card emits other Verilog."
)
DATA = click.option(
    "--data",
    default="digits",
    show_default=True,
    help="'digits', or a file of samples and labels: npz, csv or Parquet (docs/data.md).",
)
BOARD = click.option("--board", required=True, help="Board: icebreaker, ulx3s-85f, or a TOML file.")
CLUSTER = click.option(
    "--cluster", help="Address of a Dask scheduler whose workers do the long parts."
)


def command(function: Callable[..., None]) -> Command:
    """Return the command of a function; its docstring is the help."""
    made = click.command(cls=Command)(function)
    made.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    return made


def settings(
    cls: type[Settings], parameter: str = "settings", *, exclude: Collection[str] = ()
) -> Callable[[F], F]:
    """Return a decorator that adds an option for each setting, and hands over their object."""
    rows = [each for each in settings_of(cls) if each.name not in exclude]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapped(**given: Any) -> Any:
            chosen = {each.name: given.pop(each.name) for each in rows}
            known = {name: value for name, value in chosen.items() if value not in (None, ())}
            return function(**given, **{parameter: cls(**known)})

        made: Any = wrapped
        for each in reversed(rows):
            made = option(each)(made)
        found: F = made
        return found

    return decorate


class SettingOption(click.Option):
    """The option of a setting; its help lists the names that there are when it is asked for."""

    def __init__(self, *flags: Any, setting: Setting, **stated: Any) -> None:
        super().__init__(*flags, **stated)
        self.setting = setting

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and what it means."""
        each = self.setting
        told = each.help.rstrip(".")
        if each.choices:
            told += f": {', '.join(each.choices)}"
        if self.multiple and not each.several:
            told += ". Several are tried one by one"
        elif each.default is not None and each.hint is not bool:
            default = each.default if each.several else (each.default,)
            told += f"; {', '.join(str(getattr(x, 'value', x)) for x in default)} by default"
        self.help = f"{told}."
        return super().get_help_record(ctx)


def option(each: Setting, *, several: bool | None = None) -> Callable[[F], F]:
    """Return the option of a setting; a default of None says that it was not given."""
    kind = each.hint if each.hint in (bool, int, float) else str
    return click.option(
        each.flag,
        each.name,
        cls=SettingOption,
        setting=each,
        help=each.help,
        type=kind,
        is_flag=kind is bool,
        multiple=each.several if several is None else several,
        default=None,
    )
