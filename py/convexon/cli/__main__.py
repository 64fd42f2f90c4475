"""``python -m convexon.cli``: the command line without its script."""

from convexon.__main__ import main

main()
