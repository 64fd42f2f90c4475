"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[
    Path, typer.Argument(help="Run folder: artefacts are read from it and written to it.")
]
Data = Annotated[
    str,
    typer.Option(
        help="'digits', or an npz file with features (samples, inputs) and labels (samples,)."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the split and of the witnesses.", min=0)]
Board = Annotated[
    str, typer.Option(help="Board, such as icebreaker; an unknown name lists those that there are.")
]
Baud = Annotated[
    int, typer.Option(help="Bits a second of the serial line.", min=1, max=100_000_000)
]
Cluster = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler whose workers do the long parts.")
]
