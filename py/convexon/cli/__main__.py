"""``python -m convexon.cli``: the command line without its script."""

from convexon.cli import main

main()
