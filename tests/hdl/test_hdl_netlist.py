"""Netlists of folded networks: block memories, loads, encoders and early exits, as synthesized."""

from __future__ import annotations

import dataclasses
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hdl_bench import random_layer, random_network
from netlist_bench import Run, faults, with_inverted_table

from convexon.data.encoder import Encoder, EncoderKind
from convexon.plan.family import Family
from convexon.plan.fold import plans_at
from convexon.plan.mapping import Folded, Mapping, Spatial, Weights
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Leak, ReadoutMode
from convexon_boards.tools.netlist_model import simulation_model
from convexon_boards.tools.synthesis import Netlist, synthesize, synthesize_verilog
from convexon_hdl.core.decision import EarlyDecision
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit, to_verilog
from convexon_hdl.folded.engine import FoldedEngine
from tiers import exhaustive, leading

pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")

RATE = Encoder(kind=EncoderKind.RATE, bits=4, seed=9)


def network() -> FixedPointNetwork:
    """Two branches of 48 inputs, one of them recurrent."""
    rng = np.random.default_rng(53)
    deep = (random_layer(rng, 48, 6, leak=Leak(3, 3)), random_layer(rng, 6, 3))
    wide = (random_layer(rng, 48, 4, recurrent=True),)
    return random_network(rng, (deep, wide), mode=ReadoutMode.COUNT, n_steps=5)


NETWORK = network()
BLOCK = Folded(lanes=6)
MAPPINGS = {
    "fixed": Mapping(
        layers=((BLOCK, Spatial()), (Folded(lanes=2, banks=2, updates=2),)),
        readout=Folded(lanes=3),
    ),
    "loaded": Mapping(
        layers=(
            (Folded(lanes=6, banks=2, weights=Weights.LOADED), Spatial()),
            (Folded(lanes=4, weights=Weights.LOADED),),
        )
    ),
    "encoder and early exit": Mapping(
        layers=((BLOCK, Folded(lanes=3)), (Folded(lanes=4),)),
        readout=Folded(lanes=3),
        encoder=RATE,
        decision=Decision(rule=Rule.THRESHOLD, threshold=9),
    ),
}
EARLY = "encoder and early exit"
FAMILIES = leading((Family.ICE40, Family.ECP5))


@cache
def bundle(name: str) -> RtlBundle:
    return emit(NETWORK, MAPPINGS[name])


@cache
def netlist(name: str, family: Family) -> Netlist:
    return synthesize(bundle(name), family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", leading(["loaded", "fixed", EARLY]))
def test_netlist_computes_what_the_golden_model_does(
    name: str, family: Family, tmp_path: Path
) -> None:
    own, run = netlist(name, family), Run.of(NETWORK, MAPPINGS[name], samples=12)
    assert len(set(run.expected.labels.ravel().tolist())) == 3
    if MAPPINGS[name].decision.is_early:
        assert run.expected.steps is not None
        assert len(set(run.expected.steps.tolist())) > 1
    model = simulation_model(own)
    for stalls in (False, True):
        assert not faults(bundle(name), model, run, tmp_path, stalls=stalls)
    assert own.cells.block_ram + own.cells.lutram > 0
    assert own.cells.block_ram or name != "fixed"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", leading((0.3, 0.6)))
def test_inverted_tables_are_caught(place: float, family: Family, tmp_path: Path) -> None:
    run = Run.of(NETWORK, MAPPINGS["loaded"], samples=12)
    mutant = with_inverted_table(netlist("loaded", family), place=place)
    assert faults(bundle("loaded"), simulation_model(mutant), run, tmp_path)


INITIAL = {
    Family.ICE40: r"(\.INIT_\w\(256'h)([0-9a-fx]+)\)",
    Family.ECP5: r"(\.INITVAL_\w+\(320'h)([0-9a-fx]+)\)",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_memory_with_other_words_is_caught(family: Family, tmp_path: Path) -> None:
    own = netlist("fixed", family)

    def changed(match: re.Match[str]) -> str:
        return (
            match[1] + "".join("5" if c == "x" else f"{int(c, 16) ^ 15:x}" for c in match[2]) + ")"
        )

    text = re.sub(INITIAL[family], changed, own.verilog)
    assert text != own.verilog
    model = simulation_model(dataclasses.replace(own, verilog=text))
    run = Run.of(NETWORK, MAPPINGS["fixed"], samples=12)
    assert faults(bundle("fixed"), model, run, tmp_path)


@exhaustive  # its checks are those of the RTL, which are tried on every kind of fault
def test_an_image_that_is_wrong_in_one_weight_is_caught(tmp_path: Path) -> None:
    own = netlist("loaded", Family.ICE40)
    run = Run.of(NETWORK, MAPPINGS["loaded"], samples=12)
    broken = dataclasses.replace(run, image=[*run.image[:7], run.image[7] ^ 1, *run.image[8:]])
    found = faults(bundle("loaded"), simulation_model(own), broken, tmp_path)
    assert found == ["0 results instead of 12"], "the image is refused: its CRC-32 is wrong"


def test_no_name_ends_in_brackets() -> None:
    # In abc9's files, scores[1] is bit 1 of scores; with a net of that name it fails an assertion.
    texts = [bundle(name).verilog for name in MAPPINGS]
    decision = Decision(rule=Rule.CERTAIN)
    alone = to_verilog(EarlyDecision(NETWORK, decision), "alone")
    (plan,) = plans_at(NETWORK, {0: BLOCK}, 0)
    engine = to_verilog(FoldedEngine(plan), "alone")
    for text in (*texts, alone, engine):
        assert not re.findall(r"\\\S*\[\d+\]\S* ", text)
    for text in (alone, engine):
        assert synthesize_verilog(text, "alone", Family.ECP5).cells.lut4 > 50
