"""The silicon card: readable, complete, and refused where it contradicts itself."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from convexon.errors import ArtefactError
from convexon.snn import golden
from convexon.snn.card import CARD, SEMANTICS
from convexon.snn.fixed import QFormat
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.store.artefact import digest_of, load, save
from strategies import equal, layer_of, network_of, networks_with_inputs


def example() -> FixedPointNetwork:
    first = layer_of([[1, -2], [3, 0]], [2, -3], leak=Leak(3, 4), reset=Reset.ZERO)
    second = layer_of([[4], [5]], [6], recurrent=[[-1]], saturation=QFormat(5))
    return network_of(
        (first, second),
        n_steps=4,
        input_bits=2,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=[[7, -8]],
        readout_biases=[1, 2],
        certificate={"gap": 1e-7},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """File of the example's card."""
    save(CARD, example(), tmp_path / "card.json")
    return tmp_path / "card.json"


def members(layer: Layer) -> dict[str, Any]:
    """Members of a layer, arrays as lists."""
    values = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def integers_of(network: FixedPointNetwork) -> dict[str, Any]:
    """All that a network states, in a form that compares."""
    names = ("n_steps", "input_bits", "readout_mode", "readout_format", "bias_format")
    return {
        **{name: getattr(network, name) for name in names},
        "branches": [[members(layer) for layer in branch.layers] for branch in network.branches],
        "readout": (network.readout_weights.tolist(), network.readout_biases.tolist()),
        "certificate": dict(network.certificate),
    }


def rewritten(path: Path, keys: list[Any], value: Any) -> None:
    """Change one value of the content, and give the file the digest that then fits."""
    head = json.loads(path.read_text())
    target = head["content"]
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    head.pop("digest")
    path.write_text(json.dumps({"digest": digest_of(head), **head}))


@given(networks_with_inputs())
def test_network_read_from_its_card_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[FixedPointNetwork, np.ndarray]
) -> None:
    network, inputs = case
    path = tmp_path_factory.mktemp("card") / "card.json"
    save(CARD, network, path)
    again, _ = load(CARD, path)
    assert integers_of(again) == integers_of(network)
    assert equal(golden.run(again, inputs), golden.run(network, inputs))
    before = path.read_bytes()
    save(CARD, again, path)
    assert path.read_bytes() == before


def test_card_is_one_readable_file(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == ["card.json"]
    card = json.loads(path.read_text())
    assert (card["schema"], card["schema_version"], card["arrays"]) == ("convexon.card", 1, {})
    content = card["content"]
    assert content["semantics"] == SEMANTICS
    assert content["certificate"] == {"gap": 1e-7}
    assert (content["n_steps"], content["n_inputs"], content["input_bits"]) == (4, 2, 2)
    first, second = content["branches"][0]["layers"]
    assert first["weights"] == [[1, -2], [3, 0]]
    assert (first["thresholds"], first["biases"]) == ([2, -3], [0, 0])
    assert (first["leak"], first["reset"]) == ({"d": 3, "f": 4}, "zero")
    assert first["weight_format"] == {"width": 8, "frac": 0, "signedness": "signed"}
    assert (second["recurrent"], second["saturation"]["width"]) == ([[-1]], 5)
    assert content["readout"]["mode"] == "count"
    # Scores: 1 + 7 * 4 at most, 2 - 8 * 4 at least.
    assert content["readout"]["score_width"] == 6
    assert second["membrane_width"] == 5
    lines = [line.strip() for line in path.read_text().splitlines()]
    assert '"thresholds": [2, -3],' in lines  # a row of integers is a line


def test_semantics_state_every_part_of_the_contract() -> None:
    assert set(SEMANTICS) == {
        "current",
        "integrate",
        "fire",
        "reset",
        "start",
        "score",
        "feature",
        "decision",
    }
    for choices, text in ((Reset, SEMANTICS["reset"]), (ReadoutMode, SEMANTICS["feature"])):
        assert [choice.value for choice in choices] == re.findall(r"(\w+):", text)


LAYER = ["branches", 0, "layers", 0]


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        ([*LAYER, "membrane_width"], 3, "branches must agree with the integers of the card"),
        (["readout", "score_width"], 60, "readout must agree with the integers of the card"),
        (["n_inputs"], 3, "n_inputs must agree with the integers of the card"),
        (["semantics", "fire"], "s = 1 if u > theta[j] else 0", "semantics must agree with the i"),
        (
            [*LAYER, "weights", 0, 0],
            128,
            "weights[0, 0] must lie in -128..127 (8 bits), not 128: widen the format or rescale",
        ),
        (
            [*LAYER, "thresholds", 1],
            -129,
            "thresholds[1] must lie in -128..127 (8 bits), not -129: widen the format or rescale",
        ),
        ([*LAYER, "thresholds", 1], 1 << 70, "thresholds must hold 64-bit integers only: round "),
        ([*LAYER, "weights", 0, 0], 0.5, "weights must hold 64-bit integers only: round to the"),
        ([*LAYER, "biases"], [0], "biases must have shape (2,), not (1,)"),
        ([*LAYER, "leak", "d"], 17, "leak d must be 0 to 2**f = 16, not 17"),
        (["n_steps"], 0, "n_steps must be at least 1, not 0"),
        (["input_bits"], 9, "input_bits must be 1 to 8, not 9"),
        (["readout", "weights", 0, 0], 200, "readout_weights[0, 0] must lie in -128..127 (8 bits)"),
        (["branches"], [], "branches must hold at least one branch, not none"),
    ],
)
def test_card_that_contradicts_itself_is_refused(
    path: Path, keys: list[Any], value: Any, message: str
) -> None:
    rewritten(path, keys, value)
    with pytest.raises(
        ArtefactError, match=f"^{re.escape(f'{path} holds bad content: {message}')}"
    ):
        load(CARD, path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ([*LAYER, "reset"], "never"),
        ([*LAYER, "weights"], [[1, 2], [3]]),
        ([*LAYER, "weights"], None),
        ([*LAYER, "leak"], [3, 4]),
        ([*LAYER, "weight_format", "signedness"], "both"),
        ([*LAYER, "weight_format", "width"], "8"),
        (["readout", "mode"], "all"),
        (["n_steps"], "4"),
        (["branches"], 5),
        (["certificate"], 5),
    ],
)
def test_card_with_a_garbled_field_is_refused(path: Path, keys: list[Any], value: Any) -> None:
    rewritten(path, keys, value)
    with pytest.raises(
        ArtefactError, match=f"^{re.escape(str(path))} (lacks or|holds bad content)"
    ):
        load(CARD, path)
