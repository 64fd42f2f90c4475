"""``convexon``, and ``python -m convexon``: signals are caught before anything else is loaded."""

import sys

from convexon.tools.signals import as_interrupts, at_the_end, ending


def main() -> None:
    """Run the command line; SIGTERM and SIGHUP end it as an interrupt does, at any moment."""
    as_interrupts()
    try:
        from convexon.cli import main as command_line

        command_line()
    except KeyboardInterrupt as error:  # the command line was not there yet
        told, code = ending(error)
        sys.stderr.write(f"convexon: {told}\n")
        sys.exit(code)
    finally:
        at_the_end()


if __name__ == "__main__":
    main()
