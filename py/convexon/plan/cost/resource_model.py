"""LUT sites of an amount of logic: what each kind takes on each family, fitted on synthesis.

``resource_model.json`` beside this module holds the sites of one unit of each kind, and how far
estimates were from synthesis on designs that the fit has not seen. ``benchmarks/estimates.py
--fit`` makes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.plan.cost.amounts import (
    Amounts,
    Logic,
    bit_lengths,
    table_amounts,
    table_luts,
    update_amounts,
)
from convexon.plan.family import Family
from convexon.snn.fixed import Interval
from convexon.snn.network import Layer
from convexon.store.artefact import digest_of

FILE = "resource_model.json"


@dataclass(frozen=True, kw_only=True)
class ResourceModel:
    """LUT sites of a family."""

    sites: Mapping[Logic, float]  # of one unit of each kind
    # Shares by which estimates differ from synthesis, on designs that the fit has not seen:
    median_error: float
    usual_error: float  # in nine of ten
    max_error: float
    fitted: int  # designs
    unseen: int

    @property
    def digest(self) -> str:
        """Digest of all members, by which estimates of another model are told."""
        sites = {logic.value: sites for logic, sites in self.sites.items()}
        return digest_of({**vars(self), "sites": sites})

    def lut_sites(self, amounts: Amounts) -> float:
        """LUT sites of all ``amounts``."""
        return sum(self.sites[logic] * amount for logic, amount in amounts.items())


@cache
def resource_model(family: Family) -> ResourceModel:
    """Return the model of ``family``."""
    text = files("convexon.plan.cost").joinpath(FILE).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)[family.value]
    sites = content.pop("sites")
    return ResourceModel(sites={logic: sites[logic.value] for logic in Logic}, **content)


def lut_sites(amounts: Amounts, family: Family) -> float:
    """LUT sites that ``amounts`` are estimated to take on ``family``.

    On ECP5 and Gowin those of carry chains and LUT RAM are among them; on iCE40 those of carries
    that no LUT stands beside.
    """
    return resource_model(family).lut_sites(amounts)


def neuron_sites(
    layer: Layer, reach: Interval, n_steps: int, family: Family = Family.ECP5
) -> npt.NDArray[np.float64]:
    """LUT sites of each neuron of a spatial layer, (neurons,), were it built alone.

    The amounts are those of `convexon.plan.cost.amounts.update_amounts`, and of tables and adders
    for the sum (`table_amounts`), as a graph that neurons share cannot be told apart by neuron.
    Membranes are taken to reach what all steps that they integrate bring together, inputs from 0 to
    ``reach``. No graph is built, so that many neurons can be weighed.
    """
    weights = layer.addresses
    most = reach.high * (n_steps if layer.keeps_membrane else 1)
    low = most * np.minimum(weights, 0).sum(axis=0)
    high = most * np.maximum(weights, 0).sum(axis=0)
    kept = 1 + np.maximum(bit_lengths(high), bit_lengths(~low))
    if layer.tables is not None:
        amounts, low, high = {Logic.LOOKUP: table_luts(layer)}, 0 * low, 1 + 0 * high
    else:
        amounts = table_amounts(weights, reach.high.bit_length())
    amounts |= update_amounts(layer, low, high, kept)
    sites = resource_model(family).sites
    total = np.zeros(layer.n_neurons)
    for logic, amount in amounts.items():
        total += sites[logic] * amount
    return total
