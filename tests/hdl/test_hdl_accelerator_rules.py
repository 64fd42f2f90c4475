# amaranth: UnusedElaboratable=no
"""Encoders and early decisions in mixed and folded accelerators, against golden model and schedule.

`test_hdl_decision` does the same for spatial ones, with mutants of the decision.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from amaranth.hdl import Module
from hdl_bench import random_layer, random_network
from rules_bench import Pipeline, agrees, keeps_time, simulate, stimulus

from convexon.data.encoder import LEVEL_KINDS, Encoder, EncoderKind
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.accelerator import Accelerator, most_under_way
from convexon_hdl.core.sequencer import Undecided
from convexon_hdl.emit.emitter import Host, emit
from convexon_hdl.ports import describe
from convexon_sim.lint import lint
from tiers import exhaustive, leading

CERTAIN = Decision(rule=Rule.CERTAIN)
THRESHOLD = Decision(rule=Rule.THRESHOLD, threshold=12)
RATE = Encoder(kind=EncoderKind.RATE, bits=4, seed=5)
BIT_PLANE = Encoder(kind=EncoderKind.BIT_PLANE, bits=4)
SOURCES = pytest.mark.parametrize("encoder", [RATE, None], ids=["encoder", "host"])


def _network(mode: ReadoutMode = ReadoutMode.COUNT, n_steps: int = 7) -> FixedPointNetwork:
    rng = np.random.default_rng(8)
    deep = (random_layer(rng, 6, 5), random_layer(rng, 5, 3))
    lateral = (random_layer(rng, 6, 4, recurrent=True),)
    network = random_network(rng, (deep, lateral), mode=mode, n_steps=n_steps)
    if mode is not ReadoutMode.COUNT:
        return network
    # Scores that grow at much the same pace: both rules decide here early, there late.
    return dataclasses.replace(
        network,
        readout_weights=np.random.default_rng(8).integers(0, 8, (7, 3)) // 2,
        readout_biases=np.zeros(3, dtype=np.int64),
    )


NETWORK = _network()
FOLDED = Folded(lanes=2)
WIDE = Folded(lanes=4, banks=2, updates=2)
FAST = Spatial(registers=1)
MAPPINGS = {
    "spatial": Mapping.spatial(NETWORK, FAST),
    "first folded": Mapping(layers=((FOLDED, FAST), (FOLDED,)), readout=FAST),
    "mixed": Mapping(layers=((WIDE, Spatial()), (FAST,)), decision_registers=1),
    "last folded": Mapping(layers=((Spatial(), FOLDED), (WIDE,)), decision_registers=2),
    "readout folded": Mapping(
        layers=((Spatial(), Spatial()), (FAST,)), readout=Folded(lanes=3, banks=2)
    ),
    "folded": Mapping(layers=((WIDE, FOLDED), (FOLDED,)), readout=Folded(lanes=3)),
}

FOLDED_READOUT = Mapping(layers=((FOLDED, FOLDED), (FAST,)), readout=Folded(lanes=3))


@SOURCES
@pytest.mark.parametrize(
    ("name", "decision"),
    [
        *((name, (CERTAIN, THRESHOLD)[k % 2]) for k, name in enumerate(MAPPINGS)),
        pytest.param("mixed", THRESHOLD, marks=exhaustive),
        pytest.param("folded", CERTAIN, marks=exhaustive),
    ],
    ids=lambda value: getattr(value, "rule", value),
)
def test_early_decisions_keep_time(name: str, decision: Decision, encoder: Encoder | None) -> None:
    pipeline = Pipeline(NETWORK, decision=decision, encoder=encoder, mapping=MAPPINGS[name])
    sent = stimulus(pipeline, 6)
    assert sent.expected.steps is not None
    assert len(set(sent.expected.steps.tolist())) > 1, "the rule must matter"
    seen = simulate(pipeline, sent.words, 6)
    assert agrees(seen, sent.expected)
    assert keeps_time(seen, sent)


@pytest.mark.parametrize("mode", ReadoutMode)
def test_encoder_keeps_time_before_folded_layers(mode: ReadoutMode) -> None:
    network = _network(mode)
    mapping = FOLDED_READOUT
    if network.reads_membranes:
        mapping = dataclasses.replace(mapping, readout=FAST)
    pipeline = Pipeline(network, decision=Decision(), encoder=BIT_PLANE, mapping=mapping)
    sent = stimulus(pipeline, 5)
    seen = simulate(pipeline, sent.words, sent.expected.labels.size)
    assert agrees(seen, sent.expected)
    assert keeps_time(seen, sent)
    per_sample = sent.expected.labels.shape[1]
    assert seen.last == ([0] * (per_sample - 1) + [1]) * 5


@SOURCES
@pytest.mark.parametrize("name", ["mixed", "folded"])
def test_nothing_is_lost_in_rough_traffic(name: str, encoder: Encoder | None) -> None:
    pipeline = Pipeline(NETWORK, decision=CERTAIN, encoder=encoder, mapping=MAPPINGS[name])
    sent = stimulus(pipeline, 5)
    for idle, stall, reset_at in ((0.3, 0.7, None), (0.2, 0.0, 90)):
        seen = simulate(pipeline, sent.words, 5, idle=idle, stall=stall, reset_at=reset_at)
        assert agrees(seen, sent.expected)


@pytest.mark.parametrize("name", ["spatial", "first folded", "folded"])
def test_capacity_is_never_reached(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is reached would hold inferences back, and the schedule knows of none."""

    class Endless(Undecided):
        """Never finds itself full."""

        def elaborate(self, platform: object) -> Module:
            m = super().elaborate(platform)
            m.d.comb += self.full.eq(0)
            return m

    def results(stall: float) -> object:
        network = dataclasses.replace(NETWORK, n_steps=1)
        pipeline = Pipeline(network, decision=CERTAIN, encoder=RATE, mapping=MAPPINGS[name])
        sent = stimulus(pipeline, 12)
        return simulate(pipeline, sent.words, 12, stall=stall)

    before = [results(stall) for stall in (0.0, 0.8)]
    monkeypatch.setattr("convexon_hdl.core.encoder.Undecided", Endless)
    assert [results(stall) for stall in (0.0, 0.8)] == before


def test_early_decisions_save_clocks_behind_an_encoder() -> None:
    ends = []
    for decision in (Decision(), CERTAIN, THRESHOLD):
        pipeline = Pipeline(
            NETWORK, decision=decision, encoder=RATE, mapping=MAPPINGS["first folded"]
        )
        sent = stimulus(pipeline, 8)
        ends.append(simulate(pipeline, sent.words, 8).given[-1])
    assert ends[2] < ends[1] < ends[0]


class _NeverCuts(Undecided):
    """Always finds more than one inference under way, so that none is cut short."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.single.eq(0)
        return m


@SOURCES
def test_steps_that_are_not_cut_off_are_noticed(
    encoder: Encoder | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a folded layer, even steps from the host take time when they are not dropped."""
    for module in ("encoder", "sequencer"):
        monkeypatch.setattr(f"convexon_hdl.core.{module}.Undecided", _NeverCuts)
    pipeline = Pipeline(
        NETWORK, decision=THRESHOLD, encoder=encoder, mapping=MAPPINGS["first folded"]
    )
    sent = stimulus(pipeline, 8)
    seen = simulate(pipeline, sent.words, 8)
    assert agrees(seen, sent.expected)
    assert not keeps_time(seen, sent)


@pytest.mark.parametrize("kind", leading(LEVEL_KINDS, 2), ids=lambda kind: kind.value)
def test_emitted_encoders_and_rules_pass_the_lint(kind: EncoderKind) -> None:
    network = dataclasses.replace(NETWORK, input_bits=3 if kind is EncoderKind.HOLD else 1)
    k = list(EncoderKind).index(kind)
    mapping = dataclasses.replace(
        list(MAPPINGS.values())[k + 1],
        encoder=Encoder(kind=kind, bits=3, seed=5 if kind is EncoderKind.RATE else None),
        decision=(CERTAIN, THRESHOLD)[k % 2],
    )
    assert lint(emit(network, mapping, host=Host.AXI)) == ()


@pytest.mark.parametrize("n_classes", [1, 2])
def test_rule_of_few_classes_passes_the_lint(n_classes: int) -> None:
    network = dataclasses.replace(
        NETWORK,
        readout_weights=NETWORK.readout_weights[:, :n_classes],
        readout_biases=NETWORK.readout_biases[:n_classes],
    )
    mapping = dataclasses.replace(MAPPINGS["spatial"], decision=CERTAIN)
    assert lint(emit(network, mapping, host=Host.AXI)) == ()


def test_ports_describe_levels_and_the_rule() -> None:
    mapping = dataclasses.replace(MAPPINGS["mixed"], decision=THRESHOLD, encoder=BIT_PLANE)
    ports = describe(Accelerator(NETWORK, mapping=mapping), top="accelerator")
    (field,) = ports["streams"]["i"]["fields"]
    assert field == {"name": "levels", "offset": 0, "width": 4, "count": 6, "signed": False}
    assert (ports["streams"]["i"]["width"], ports["transfers_per_inference"]) == (24, 1)
    assert ports["decision"] == {"rule": "threshold", "threshold": 12}
    assert [probe["first"] for probe in ports["probes"]] == [
        {"path": ["stage0", "engine0", "updater", "first_of_group"], "bit": 0},
        {"path": ["stage1", "o__payload"], "bit": 3 + 4},
        {"path": ["stage0", "spatial", "o__payload"], "bit": 4},
    ]
    late = describe(Accelerator(NETWORK, mapping=MAPPINGS["mixed"]), top="accelerator")
    assert late["transfers_per_inference"] == 7
    assert late["decision"] == {"rule": "end", "threshold": None}
    assert not any("first" in probe for probe in late["probes"])


def test_bound_of_what_is_under_way() -> None:
    early = {name: dataclasses.replace(m, decision=CERTAIN) for name, m in MAPPINGS.items()}
    # Stages, readout and decision: registers, two steps more in the buffer behind a stage with
    # registers, and three more at each depth with an engine.
    assert most_under_way(NETWORK, early["spatial"]) == (2 + 2) + (2 + 2) + 2 + 4
    assert most_under_way(NETWORK, early["first folded"]) == 4 + (2 + 2) + 2 + 2
    assert most_under_way(NETWORK, early["folded"]) == 4 + 4 + 4 + 2
    assert Accelerator(NETWORK, mapping=early["spatial"]).capacity == 15
    assert Accelerator(NETWORK, mapping=MAPPINGS["spatial"]).capacity is None
