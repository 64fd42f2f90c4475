"""``convexon weights``: from a card to the image that its accelerator takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from convexon.cli import app
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.flow.run import Run
from convexon.plan.image import image_digest, weight_image
from convexon.plan.mapping import MAPPING
from convexon.snn.card import CARD
from convexon.store.artefact import save
from sim_bench import icarus, inputs_of, small_network, with_first_layer

pytestmark = pytest.mark.usefixtures("build_cache")

NETWORK = small_network()
FOLDED = '[default]\nkind = "folded"\nlanes = 3\nweights = "loaded"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Run:
    folder = Run(tmp_path / "run")
    test = SpikeDataset(
        inputs=inputs_of(NETWORK, 6),
        labels=np.arange(6) % 2,
        n_classes=2,
        input_bits=1,
        name="drawn",
    )
    folder.made("card", CARD, lambda: NETWORK)
    folder.made("test", DATASET, lambda: test)
    (tmp_path / "mapping.toml").write_text(FOLDED)
    return folder


def convexon(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_image_is_that_of_the_card_and_the_chain_loads_it(folder: Run, tmp_path: Path) -> None:
    icarus()
    run = folder.path
    convexon("map", run, "--file", tmp_path / "mapping.toml")
    convexon("emit", run)
    said = convexon("weights", run)
    mapping = folder.read("mapping", MAPPING).value
    image = weight_image(NETWORK, mapping)
    assert (run / "export" / "weights.bin").read_bytes() == image
    assert f"{len(image) // 4} words, {image_digest(image)}" in " ".join(said.split())
    convexon("verify", run, "--simulator", "icarus")
    folder.made("train", DATASET, lambda: folder.read("test", DATASET).value)
    assert "all equal" in convexon("verify", run, "--volume")

    other = with_first_layer(NETWORK, weights=-NETWORK.branches[0].layers[0].weights)
    save(CARD, other, tmp_path / "other.json")
    convexon("weights", run, "--card", tmp_path / "other.json", "--output", tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == weight_image(other, mapping)
    foreign = dataclasses.replace(NETWORK, readout_biases=NETWORK.readout_biases + 1)
    save(CARD, foreign, tmp_path / "foreign.json")
    error = convexon("weights", run, "--card", tmp_path / "foreign.json", code=2)
    assert error.startswith("convexon: network must be that of the accelerator")

    bundle = folder.bundle().value
    dataclasses.replace(bundle, verilog=bundle.verilog + "// mine\n").write(folder.rtl)
    assert "is not what " in convexon("weights", run, code=2)
    convexon("weights", run, "--edited")


def test_an_accelerator_that_loads_nothing_is_refused(folder: Run) -> None:
    convexon("emit", folder.path)
    error = convexon("weights", folder.path, code=2)
    assert "must have an accelerator with loaded weights" in error
