"""LUTs and block RAMs that a design is estimated to take, before it is synthesized."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.errors import InputError
from convexon.plan.cost.cells import CellReport, Family
from convexon.store.codec import Codec


@dataclass(frozen=True, kw_only=True)
class ResourceEstimate:
    """What an accelerator is estimated to take, without a link.

    Members
    -------
    family : Family
    lut_sites : int
    block_rams : int
    median_error, usual_error, max_error : float
        Shares by which estimates of LUT sites differed from synthesis, on designs that the model
        was not fitted on: in the median, in nine of ten, and at most.

    Raises
    ------
    InputError
        If a member is negative.
    """

    family: Family
    lut_sites: int
    block_rams: int
    median_error: float
    usual_error: float
    max_error: float

    def __post_init__(self) -> None:
        for name in ("lut_sites", "block_rams", "median_error", "usual_error", "max_error"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be 0 or more, not {getattr(self, name)!r}")

    def error(self, cells: CellReport) -> float:
        """Share by which the LUT sites differ from those that synthesis counted.

        Raises
        ------
        InputError
            If the cells are of another family, or there are none.
        """
        if cells.family is not self.family or not cells.lut4_sites:
            raise InputError(
                f"cells must be LUT4s of {self.family.value}, not {cells.lut4_sites} of "
                f"{cells.family.value}"
            )
        return self.lut_sites / cells.lut4_sites - 1


RESOURCES: Codec[ResourceEstimate] = Codec(
    ResourceEstimate, "convexon.resources", 2, made_by="convexon map"
)
"""File form of a `ResourceEstimate`."""
