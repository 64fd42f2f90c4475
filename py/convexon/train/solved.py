"""What a solve leaves on disk: solution, certificates, and how its regularisation was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.convex.bounds.gap import GapCertificate
from convexon.convex.solvers.record import GapRecord
from convexon.quantize.readout import QuantizationBound
from convexon.store.artefact import Arrays, Codec, Json


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
    certificate : GapCertificate
        Over ``columns``.
    drawn : GapCertificate
        Of the same weights and dual point over every column of the drawn dictionary.
    universal_lower_bound : float
        No network of any depth, width or weights has a smaller objective
        (`convexon.convex.bounds.universal`).
    quantization : QuantizationBound
    history : float64 array, shape (records, 4)
        Iteration, primal, dual and gap over all columns as the solver went on. Wall times are not
        part of an artefact, whose bytes must not depend on the machine's mood; see
        `convexon.flow.run.RunFolder.timing`.
    validation : mapping of str to float
        Validation accuracy of each rho that was tried.
    """

    columns: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    W: npt.NDArray[np.float64]
    dual: npt.NDArray[np.float64]
    certificate: GapCertificate
    drawn: GapCertificate
    universal_lower_bound: float
    quantization: QuantizationBound
    history: npt.NDArray[np.float64]
    validation: Mapping[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """What a silicon card records of how it was obtained."""
        return {
            "primal": self.certificate.primal,
            "dual": self.certificate.dual,
            "gap": self.certificate.gap,
            "rho": self.certificate.rho,
            "universal_lower_bound": self.universal_lower_bound,
            "quantization_objective_change": self.quantization.objective_change,
            "quantization_score_error": self.quantization.score_error,
        }


def history_of(records: Sequence[GapRecord]) -> npt.NDArray[np.float64]:
    """Return the records as `SolvedProgram.history`."""
    rows = [(r.iteration, r.primal, r.dual, r.gap) for r in records]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _encode(solved: SolvedProgram) -> tuple[Json, Arrays]:
    content: Json = {
        "certificate": vars(solved.certificate),
        "drawn": vars(solved.drawn),
        "universal_lower_bound": solved.universal_lower_bound,
        "quantization": vars(solved.quantization),
        "validation": dict(solved.validation),
    }
    names = ("columns", "weights", "W", "dual", "history")
    return content, {name: getattr(solved, name) for name in names}


def _decode(content: Json, arrays: Arrays) -> SolvedProgram:
    return SolvedProgram(
        columns=arrays["columns"],
        weights=arrays["weights"],
        W=arrays["W"],
        dual=arrays["dual"],
        certificate=GapCertificate(**content["certificate"]),
        drawn=GapCertificate(**content["drawn"]),
        universal_lower_bound=content["universal_lower_bound"],
        quantization=QuantizationBound(**content["quantization"]),
        history=arrays["history"],
        validation=content["validation"],
    )


SOLVED = Codec("convexon.solution", 2, _encode, _decode)
"""File form of a `SolvedProgram`."""
