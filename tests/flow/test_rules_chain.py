"""``convexon map`` with an encoder and a rule, and what ``emit`` and ``verify`` make of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from convexon.cli import app
from convexon.data.dataset import DATASET
from convexon.data.encoder import Encoder, EncoderKind, encode_levels
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import ArtefactError
from convexon.flow.hardware.stimulus import stimulus_of
from convexon.flow.run import Run
from convexon.plan.mapping import MAPPING, Mapping
from convexon.snn.card import CARD
from convexon.snn.coding import quantized
from convexon.snn.decision import Decision, Rule
from convexon.snn.models.trace import TRACE
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load, save
from sim_bench import icarus, small_network
from strategies import interface_of

pytestmark = pytest.mark.usefixtures("build_cache")

N_STEPS = 6
NETWORK = dataclasses.replace(
    small_network(), n_steps=N_STEPS, interface=interface_of(small_network())
)


def samples() -> Samples:
    """Features that are levels of no number of bits."""
    rng = np.random.default_rng(1)
    return Samples.of(rng.integers(0, 17, (12, 3)) / 16, np.arange(12) % 2, name="drawn")


@pytest.fixture
def folder(tmp_path: Path) -> Run:
    folder = Run(tmp_path)
    assert NETWORK.interface is not None
    encoded = samples().encoded(NETWORK.interface, n_steps=N_STEPS, bits=1)
    card: FixedPointNetwork = NETWORK
    folder.made("card", CARD, lambda: card)
    folder.made("test", DATASET, lambda: encoded)
    folder.made("samples-test", SAMPLES, samples)
    return folder


def convexon(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_samples_are_kept_as_they_are(folder: Run) -> None:
    kept, _ = load(SAMPLES, folder.file("samples-test"))
    assert kept.values.tolist() == samples().values.tolist()
    assert kept.labels.tolist() == samples().labels.tolist()
    assert (kept.classes, kept.name) == ((0, 1), "drawn")


def test_stimulus_is_levels_and_what_the_encoder_makes_of_them(folder: Run) -> None:
    encoder = Encoder(kind=EncoderKind.BIT_PLANE, bits=3)
    mapping = dataclasses.replace(Mapping.spatial(NETWORK), encoder=encoder)
    stimulus = stimulus_of(folder, mapping)
    levels = quantized(samples().values, bits=3)
    assert stimulus.transfers.shape == (12, 1, 3)
    assert stimulus.transfers[:, 0].tolist() == levels.tolist()
    steps = encode_levels(encoder, levels, n_steps=N_STEPS)
    assert stimulus.inputs.tolist() == steps.tolist()
    assert sorted(stimulus.origins) == ["samples-test", "test"]
    plain = stimulus_of(folder, Mapping.spatial(NETWORK))
    assert plain.transfers is plain.inputs
    assert plain.inputs.tolist() == folder.read("test", DATASET).value.inputs.tolist()
    folder.file("samples-test").unlink()
    with pytest.raises(ArtefactError, match=r"samples-test\.json is missing: run `.*` first$"):
        stimulus_of(folder, mapping)


def test_map_emit_and_verify_with_an_encoder_and_a_rule(folder: Run) -> None:
    icarus()
    options = ["--encoder", "rate", "--encoder-bits", "4", "--encoder-seed", "5"]
    rule = ["--decision", "threshold", "--threshold", "9"]
    printed = convexon("map", folder.path, *options, *rule)
    assert "% with this encoder and rule, " in printed
    assert f"of {N_STEPS} steps read, " in printed
    assert "cycles saved" in printed
    mapping, _ = load(MAPPING, folder.file("mapping"))
    assert mapping.encoder == Encoder(kind=EncoderKind.RATE, bits=4, seed=5)
    assert mapping.decision == Decision(rule=Rule.THRESHOLD, threshold=9)
    convexon("emit", folder.path)
    printed = convexon("verify", folder.path, "--simulator", "icarus", "--idle", "0.2")
    assert printed.endswith("clocks, all equal\n")
    golden, _ = load(TRACE, folder.file("golden"))
    assert golden.steps is not None
    assert golden.steps.min() < N_STEPS
    actual, _ = load(TRACE, folder.file("trace-icarus"))
    assert actual.steps is not None
    assert (actual.steps >= golden.steps).all()
    for name, codec, part in (
        ("train", DATASET, folder.read("test", DATASET).value),
        ("samples-train", SAMPLES, samples()),
    ):
        folder.made(name, codec, lambda part=part: part)
    assert "all equal" in convexon("verify", folder.path, "--volume")


def test_trace_is_made_anew_when_the_encoder_changes(folder: Run) -> None:
    icarus()
    scores = []
    for kind in ("threshold", "bit-plane"):
        convexon("map", folder.path, "--encoder", kind)
        convexon("emit", folder.path)
        printed = convexon("verify", folder.path, "--simulator", "icarus")
        assert printed.endswith("clocks, all equal\n")
        scores.append(load(TRACE, folder.file("golden"))[0].scores.tolist())
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--encoder", "wavelet"],
            "--encoder must be one of threshold, latency, bit-plane, rate, ",
        ),
        (["--encoder-seed", "1"], "--encoder must be named for its bits, seed and resolution: "),
        (
            ["--encoder", "rate"],
            "--encoder-seed must be given for rate coding, and for nothing else, ",
        ),
        (
            ["--encoder", "hold", "--encoder-bits", "2"],
            "--encoder of kind hold must feed a network ",
        ),
        (["--decision", "first"], "--decision must be one of end, certain, threshold, not 'first'"),
        (
            ["--threshold", "3"],
            "--threshold must be given for the rule threshold, and for no other",
        ),
        (["--decision", "threshold", "--threshold", "999"], "--threshold must be at most "),
    ],
)
def test_bad_choices_are_refused(folder: Run, options: list[str], message: str) -> None:
    assert convexon("map", folder.path, *options, code=2).startswith(f"convexon: {message}")
    assert not folder.has("mapping")


def test_levels_that_are_held_are_as_wide_as_the_network_reads_them(folder: Run) -> None:
    convexon("map", folder.path, "--encoder", "hold")
    mapping, _ = load(MAPPING, folder.file("mapping"))
    assert mapping.encoder == Encoder(kind=EncoderKind.HOLD, bits=1)


def test_a_rule_for_a_network_that_does_not_count_is_refused(folder: Run) -> None:
    last = dataclasses.replace(NETWORK, readout_mode=ReadoutMode.LAST)
    save(CARD, last, folder.file("card"))
    printed = convexon("map", folder.path, "--decision", "certain", code=2)
    assert printed.startswith("convexon: rule certain must have a network that counts spikes")
