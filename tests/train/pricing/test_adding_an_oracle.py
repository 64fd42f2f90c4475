"""Oracles by name; and one of somebody else's: one class, and column generation runs with it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np
import pytest

from convexon.certify.check import check
from convexon.certify.network.columns import Columns
from convexon.convex.model.losses import Squared
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.models.simulate import accuracy
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.train.claims import certified
from convexon.train.fit import Plan, fit
from convexon.train.generation import GenerationBudget
from convexon.train.pricing.ascent import SurrogateAscent
from convexon.train.pricing.cells import CellPricing
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.milp import MixedIntegerProgram
from convexon.train.pricing.oracle import ORACLES, Proposal, proposed
from convexon.train.pricing.oracles import RandomDraws
from convexon.train.pricing.site import PricingProblem, Site, site_on
from convexon.train.pricing.windows import WindowPricing
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.witness import WitnessFamily

UNITS = WitnessFamily(fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True)


@dataclass(frozen=True)
class Pairs:
    """Every pair of inputs with weights +1 and -1, threshold 1: one of both without the other."""

    @property
    def name(self) -> str:
        return "pairs"

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        pairs = list(itertools.permutations(range(site.n_inputs), 2))
        weights = np.zeros((site.n_inputs, len(pairs)), dtype=np.int64)
        for k, (a, b) in enumerate(pairs):
            weights[[a, b], k] = 1, -1
        layer = site.family.layer(weights, np.ones(len(pairs), dtype=np.int64))
        return proposed(problem, site, layer, n_seen=len(pairs))


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ORACLES, "_known", dict(ORACLES._known))
    ORACLES.add("pairs", Pairs)
    return "pairs"


def test_it_is_found_by_name_and_its_columns_are_certified_and_quantized(pairs: str) -> None:
    bits = np.array(list(itertools.product((0, 1), repeat=3)), dtype=np.uint8)
    data = SpikeDataset(
        inputs=bits[:, None],
        labels=(bits[:, 0] ^ bits[:, 2]).astype(np.int64),
        n_classes=2,
        input_bits=1,
        name="xor",
    )
    plan = Plan(
        mode=ReadoutMode.LAST,
        sites=lambda data, rows: [site_on(data, rows, UNITS)],
        oracles=[ORACLES[pairs]()],
        loss=Squared(),
        penalty=L1(),
        rhos=(0.01,),
        budget=GenerationBudget(max_rounds=10),
    )
    fitted = fit(plan, data, data, seed=0)
    assert accuracy(fitted.card, data.inputs, data.labels) == 1.0
    assert set(fitted.generated.rounds[-1].oracles) == {"pairs, input"}
    certificate, dictionary = certified(fitted, tolerance=1e-5, readout_bits=8)
    findings = list(check(certificate, Columns.packed(np.asarray(dictionary.columns))))
    # What a search has seen is no whole, so no bound follows from it: all else is checked.
    assert [found.claim for found in findings if not found.checked] == ["search0"]


def test_every_built_in_oracle_has_a_name_and_needs_nothing_else() -> None:
    kinds = {
        "local": LocalSearch,
        "random": RandomDraws,
        "ascent": SurrogateAscent,
        "milp": MixedIntegerProgram,
        "enumeration": Enumeration,
        "windows": WindowPricing,
        "cells": CellPricing,
    }
    assert list(ORACLES) == list(kinds)
    for name, kind in kinds.items():
        assert isinstance(ORACLES[name](), kind)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ORACLES["loacl"], "oracle must be one of local, random, ascent, milp, enum"),
        (
            lambda: ORACLES.add("half", type("Half", (), {"name": "half"})),
            "oracle Half must have propose",
        ),
    ],
)
def test_what_is_no_oracle_is_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        call()
