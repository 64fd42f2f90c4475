"""What ``solve`` leaves besides its dictionary and certificate, and its file forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.convex.bounds.gap import GapCertificate
from convexon.errors import InputError
from convexon.snn.network import Branch, Network
from convexon.store.codec import Codec
from convexon.store.untrusted import Share


@dataclass(frozen=True, eq=False, kw_only=True)
class SolvedProgram:
    """A certified solution over a dictionary.

    Raises
    ------
    InputError
        If the members do not fit each other.
    """

    # Columns of the drawn dictionary that the program is over, besides the always-firing one.
    columns: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]  # (P,), penalty weight of every drawn column
    W: npt.NDArray[np.float64]  # (columns + 1, C)
    dual: npt.NDArray[np.float64]  # (rows, C), the dual-feasible point behind the certificate
    # Over `columns`: the solver's own account. What is claimed is in the certificate alone.
    gap: GapCertificate
    # (records, 4), iteration, primal, dual and gap over all columns as the solver went on. Wall
    # times are not part of an artefact, whose bytes must not depend on the machine's mood; see
    # `convexon.flow.run.Run.timing`.
    history: npt.NDArray[np.float64]
    validation: Mapping[str, Share]  # validation accuracy of each rho that was tried

    def __post_init__(self) -> None:
        n_rows, n_outputs = len(self.columns) + 1, self.dual.shape[-1]
        if self.W.shape != (n_rows, n_outputs) or self.dual.ndim != 2 or self.weights.ndim != 1:
            raise InputError(f"W must have shape ({n_rows}, {n_outputs}), not {self.W.shape}")
        if self.columns.ndim != 1 or (np.diff(self.columns, prepend=-1) <= 0).any():
            raise InputError("columns must be ascending columns of the dictionary")
        if (self.weights <= 0.0).any() or (self.columns >= len(self.weights)).any():
            raise InputError("weights must be positive, one for each column of the dictionary")
        if self.history.ndim != 2 or self.history.shape[1] != 4:
            raise InputError(f"history must have 4 figures a record, not {self.history.shape}")


Branches = tuple[Branch, ...]

BRANCHES: Codec[Branches] = Codec(Branches, "convexon.branches", 2, made_by="convexon solve")
"""File form of a tuple of branches."""

NETWORK: Codec[Network] = Codec(Network, "convexon.network", 2, made_by="convexon solve")
"""File form of a `Network`, whose readout is real."""

SOLVED: Codec[SolvedProgram] = Codec(
    SolvedProgram, "convexon.solution", 4, made_by="convexon solve"
)
"""File form of a `SolvedProgram`."""
