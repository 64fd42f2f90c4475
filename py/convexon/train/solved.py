"""What ``solve`` leaves besides its dictionary and certificate, and its file forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.convex.bounds.gap import GapCertificate
from convexon.convex.solvers.record import GapRecord
from convexon.snn.network import Branch, Network
from convexon.store.codec import Codec


@dataclass(frozen=True, eq=False, kw_only=True)
class SolvedProgram:
    """A certified solution over a dictionary.

    Members
    -------
    columns : int64 array
        Columns of the drawn dictionary that the program is over, besides the always-firing one.
    weights : float64 array, shape (P,)
        Penalty weight of every drawn column.
    W : float64 array, shape (columns + 1, C)
    dual : float64 array, shape (rows, C)
        The dual-feasible point behind the certificate.
    gap : GapCertificate
        Over ``columns``: the solver's own account. What is claimed is in the certificate alone.
    history : float64 array, shape (records, 4)
        Iteration, primal, dual and gap over all columns as the solver went on. Wall times are not
        part of an artefact, whose bytes must not depend on the machine's mood; see
        `convexon.flow.run.Run.timing`.
    validation : mapping of str to float
        Validation accuracy of each rho that was tried.
    """

    columns: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    W: npt.NDArray[np.float64]
    dual: npt.NDArray[np.float64]
    gap: GapCertificate
    history: npt.NDArray[np.float64]
    validation: Mapping[str, float]


def history_of(records: Sequence[GapRecord]) -> npt.NDArray[np.float64]:
    """Return the records as `SolvedProgram.history`."""
    rows = [(r.iteration, r.primal, r.dual, r.gap) for r in records]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


Branches = tuple[Branch, ...]

BRANCHES: Codec[Branches] = Codec(Branches, "convexon.branches", 2, made_by="convexon solve")
"""File form of a tuple of branches."""

NETWORK: Codec[Network] = Codec(Network, "convexon.network", 2, made_by="convexon solve")
"""File form of a `Network`, whose readout is real."""

SOLVED: Codec[SolvedProgram] = Codec(
    SolvedProgram, "convexon.solution", 4, made_by="convexon solve"
)
"""File form of a `SolvedProgram`."""
