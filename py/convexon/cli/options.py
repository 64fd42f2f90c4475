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
