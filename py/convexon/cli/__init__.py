"""The command line: one module a command, found by name and imported when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperGroup

from convexon import __version__
from convexon.errors import EXIT_USAGE, ConvexonError, MismatchError

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        name: f"convexon.cli.{name}"
        for name in (
            *("demo", "solve", "study", "certify"),
            *("map", "emit", "weights", "prove", "verify", "build", "energy", "flash", "run"),
            *("explore", "report", "doctor"),
        )
    }
)
"""Module of each command; each has a function of the command's name."""

EXIT_MISMATCH = 1
"""Exit code when hardware and golden model disagree, or a claim of a certificate fails."""

EXIT_INTERRUPTED = 130
"""Exit code after an interrupt, as shells have it."""


class CommandGroup(TyperGroup):
    """Finds commands in `COMMANDS`, and turns errors that a user can mend into one line."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands, in the order of the chain."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.Typer(add_completion=False)
        function = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        command.command(name=cmd_name)(function)
        return typer.main.get_command(command)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error becomes one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail("interrupted: the same command goes on where it was", EXIT_INTERRUPTED)
        except MismatchError as error:
            _fail(str(error), EXIT_MISMATCH)
        except ConvexonError as error:
            _fail(str(error), EXIT_USAGE)
        except BrokenPipeError:  # the reader of a pipe has had enough
            sys.stderr.close()
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except MemoryError:
            _fail("memory ran out: take fewer steps, witnesses or samples", EXIT_USAGE)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            _fail(
                f"{place}{error.strerror or error}: free space or choose another place", EXIT_USAGE
            )


def _fail(message: str, code: int) -> None:
    """Print one line and leave."""
    print(f"convexon: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)


def _version(asked: bool) -> None:
    if asked:
        print(f"convexon {__version__}")  # noqa: T201
        raise typer.Exit


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Take a spiking network from a convex program to an FPGA, with proof at every step.",
)


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_version, is_eager=True
    ),
) -> None:
    del version


def main() -> None:
    """Run the command line."""
    app()
