"""The command line: one module a command, found by name and imported when it is used.

A command is a thin coat over the functions behind it: options are made from the settings classes,
and what they say of a value is said with the option's name.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import io
import os
import re
import sys
import traceback
from importlib.resources import files
from typing import Any, NoReturn

import click

from convexon.errors import EXIT_USAGE, ConvexonError, MismatchError
from convexon.store.untrusted import printable
from convexon.tools.reason import keep_log
from convexon.tools.signals import ending
from convexon.version import __version__

COMMANDS = {
    "demo": "demo",
    "solve": "network.solve",
    "predict": "network.predict",
    "import": "network.import_",
    "quantize": "network.quantize",
    "card": "network.card",
    "certify": "network.certify",
    "map": "hardware.map",
    "emit": "hardware.emit",
    "export": "network.export",
    "weights": "hardware.weights",
    "prove": "hardware.prove",
    "verify": "hardware.verify",
    "build": "board.build",
    "energy": "board.energy",
    "flash": "board.flash",
    "run": "board.run",
    "explore": "explore",
    "report": "report",
    "doctor": "doctor",
}
"""Every command, in the order of the chain, and its module, with a function of the same name."""

EXIT_MISMATCH = 1
"""Exit code when hardware and golden model disagree, or a claim of a certificate fails."""

EXIT_BROKEN_PIPE = 130
"""Exit code when nobody reads the output any more: an end that was asked for."""


class CommandGroup(click.Group):
    """Finds commands in `COMMANDS`, and turns errors that a user can mend into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name]
        found = importlib.import_module(f"convexon.cli.{module}")
        command: click.Command = getattr(found, module.rpartition(".")[2])
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the first sentence of what they say, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _first_sentence(module)) for name, module in COMMANDS.items()]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a misspelt one the message has the nearest."""
        if args and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = (
                f"did you mean {near[0]}?" if near else f"it must be one of {', '.join(COMMANDS)}"
            )
            raise click.UsageError(f"there is no command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click would print a line of its own for an interrupt."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command; an error becomes one line on stderr and an exit code."""
        kwargs["standalone_mode"] = False
        try:
            outcome = super().main(*args, **kwargs)
            sys.stdout.flush()  # what fails now must be told in a line as well
            sys.exit(outcome if isinstance(outcome, int) else 0)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(EXIT_USAGE)
        except click.UsageError as error:
            _fail(_told(error), EXIT_USAGE)
        except (KeyboardInterrupt, click.Abort) as error:
            stopped = error if isinstance(error, KeyboardInterrupt) else error.__cause__
            told, code = ending(stopped)
            _fail(f"{told}: the same command goes on where it was", code)
        except MismatchError as error:
            _fail(str(error), EXIT_MISMATCH)
        except ConvexonError as error:
            _fail(str(error), EXIT_USAGE)
        except BrokenPipeError:  # the reader of a pipe has had enough
            sys.stderr.close()
            sys.exit(EXIT_BROKEN_PIPE)
        except MemoryError:
            _fail(
                "memory ran out: lower --steps, --witnesses or --jitter, or give fewer samples",
                EXIT_USAGE,
            )
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            told = f"{place}{error.strerror or error}: free space or choose another place"
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (what it still holds is lost)
            _fail(told, EXIT_USAGE)
        except Exception as error:
            log = keep_log("convexon", traceback.format_exc())
            told = f"{type(error).__name__}: {error}"
            _fail(f"internal error, please report it with {log}: {told}", EXIT_USAGE)


def _first_sentence(module: str) -> str:
    """First line of a command's docstring, as it stands in its file."""
    *folders, name = module.split(".")
    source = files(__name__).joinpath(*folders, f"{name}.py").read_text(encoding="utf-8")
    functions = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef))
    docstring = next(ast.get_docstring(n) for n in functions if n.name == name)
    return str(docstring).partition("\n")[0]


class Command(click.Command):
    """A command whose messages name options as the user types them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; a message that begins with an option's name begins with the option."""
        try:
            return super().invoke(ctx)
        except ConvexonError as error:
            options = [p.opts[0] for p in self.params if isinstance(p, click.Option)]
            flags = {flag.strip("-").replace("-", "_"): flag for flag in options}
            first, space, rest = str(error).partition(" ")
            if first in flags and space:
                error.args = (f"{flags[first]} {rest}",)
            raise


def _told(error: click.UsageError) -> str:
    """A message of click's in our words: the option first, then what is wrong with it."""
    text = error.format_message().rstrip(".")
    match = re.fullmatch(r"Invalid value for '([^']+)'(?: / '[^']+')?: (.*)", text, re.DOTALL)
    if match is not None:
        text = f"{match[1].split(' / ')[0]}: {match[2]}"
    return text[:1].lower() + text[1:]


def _fail(message: str, code: int) -> NoReturn:
    """Print one line and leave."""
    click.echo(f"convexon: {printable(' '.join(message.split()))}", err=True)
    sys.exit(code)


@click.command(
    cls=CommandGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="convexon %(version)s")
def app() -> None:
    """Take a spiking network from a convex program to an FPGA, with proof at every step."""


def main() -> None:
    """Run the command line; what the terminal's encoding lacks is shown as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
