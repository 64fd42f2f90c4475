"""Cards from other hands: the schema, the page that states them, and signing after full checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from cli_bench import invoke, refused
from hypothesis import given

import convexon as cx
from convexon.snn.card import CARD, SEMANTICS, schema
from convexon.snn.convolution import IntegerConvolution, Windows
from convexon.snn.fixed import QFormat
from convexon.snn.interface import Interface
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak
from convexon.store.artefact import load, save
from strategies import interface_of, networks_with_inputs

PAGE = (Path(__file__).parents[2] / "docs" / "card.md").read_text(encoding="utf-8")
VALIDATOR = jsonschema.Draft202012Validator(schema())
LAYER = ["content", "branches", 0, "layers", 0]


def example() -> cx.Network:
    return cx.Network.from_arrays(
        weights=[np.array([[1, -2], [3, 0]]), np.array([[4, 0], [5, -6]])],
        thresholds=[[2, -3], 6],
        leak=cx.Leak.nearest(0.9, bits=4),
        saturation=[None, 7],
        n_steps=4,
        classes=("cat", "dog"),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """File of a card as another program writes it: what must be there, and no more."""
    example().save(tmp_path / "full.json")
    head = json.loads((tmp_path / "full.json").read_text())
    del head["content"]["derived"]
    for layer in head["content"]["branches"][0]["layers"]:
        del layer["recurrent"]
    kept = {name: head[name] for name in ("schema", "schema_version", "content")}
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(kept))
    return path


def change(path: Path, keys: list[Any], value: Any) -> None:
    head = json.loads(path.read_text())
    target = head
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    path.write_text(json.dumps(head))


def properties(part: Any) -> Iterator[str]:
    """Names of all fields that a schema states."""
    if isinstance(part, dict):
        yield from part.get("properties", {})
        for inner in part.values():
            yield from properties(inner)


# The schema


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@given(networks_with_inputs())
def test_every_card_is_valid_under_the_schema(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[FixedPointNetwork, np.ndarray]
) -> None:
    network, _ = case
    path = tmp_path_factory.mktemp("card") / "card.json"
    save(
        CARD,
        network,
        path,
        recipe={"settings": {"steps": 4}},
        parents={"samples": "sha256:" + "0" * 64},
    )
    VALIDATOR.validate(json.loads(path.read_text()))


def test_card_of_raw_samples_is_valid_under_the_schema(tmp_path: Path) -> None:
    network = example().card
    interface = interface_of(network, classes=("cat", 2.5), high=np.array([1.0, 2.5]))
    save(CARD, FixedPointNetwork(**{**vars(network), "interface": interface}), tmp_path / "c.json")
    VALIDATOR.validate(json.loads((tmp_path / "c.json").read_text()))


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("content", FixedPointNetwork),
        ("branch", Branch),
        ("layer", Layer),
        ("convolution", IntegerConvolution),
        ("windows", Windows),
        ("leak", Leak),
        ("format", QFormat),
        ("interface", Interface),
    ],
)
def test_schema_has_every_field_of_a_card_and_no_other(name: str, cls: Any) -> None:
    own = {each.name for each in fields(cls) if each.init}
    stated = schema()["$defs"][name]
    assert set(stated["properties"]) - {"derived"} == own
    assert set(stated["required"]) == set(stated["properties"])
    assert not stated["additionalProperties"]


def test_page_states_every_field_of_the_schema() -> None:
    told = set(re.findall(r"^\| `[\w.\[\]]*?(\w+)` \|", PAGE, re.MULTILINE))
    assert set(properties(schema())) == told
    assert set(SEMANTICS) == set(schema()["$defs"]["semantics"]["properties"])


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["content", "surprise"], 1),
        (["schema_version"], 1),
        ([*LAYER, "reset"], "never"),
        ([*LAYER, "leak", "f"], 17),
        ([*LAYER, "weights", 0, 0], 0.5),
        (["content", "n_steps"], 0),
        (["digest"], "sha256:"),
    ],
)
def test_schema_refuses_what_is_no_card(path: Path, keys: list[Any], value: Any) -> None:
    assert invoke("card", "sign", path).exit_code == 0
    change(path, keys, value)
    assert list(VALIDATOR.iter_errors(json.loads(path.read_text())))


# Signing


def test_signed_card_is_what_convexon_writes_itself(path: Path) -> None:
    result = invoke("card", "sign", path)
    assert result.stdout == f"{path}: signed, 4 neurons, 8 synapses, 4 steps\n"
    network, record = load(CARD, path)
    assert CARD.encode(network) == CARD.encode(example().card)
    assert (record.parents, record.recipe) == ({}, {"signed": "theirs.json"})
    VALIDATOR.validate(json.loads(path.read_text()))
    before = path.read_bytes()
    assert "was signed already" in invoke("card", "sign", path).stdout
    assert path.read_bytes() == before


def test_edited_card_is_refused_until_it_is_signed(path: Path, tmp_path: Path) -> None:
    assert invoke("card", "sign", path).exit_code == 0
    change(path, [*LAYER, "weights", 0, 0], -3)
    run = tmp_path / "run"
    refused(
        invoke("import", path, run),
        f".* was changed or damaged; .*, or `convexon card sign {re.escape(str(path))}` if you .*",
    )
    output = tmp_path / "edited.json"
    assert invoke("card", "sign", path, "--output", output).exit_code == 0
    assert invoke("import", output, run).exit_code == 0
    assert cx.load(run / "card.json").card.branches[0].layers[0].weights[0, 0] == -3


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["author"], "me", r"must have no field 'author': docs/card\.md lists all"),
        (["schema"], "nir", "must state schema convexon.card of version 3, not 'nir' of 3"),
        (["schema_version"], 1, "must state schema convexon.card of version 3, not .* of 1"),
        (["arrays"], {"w": {}}, r"must keep its arrays in its content: arrays must be \{\}"),
        (["content"], [], "must have an object as its content"),
        (["content", "n_steps"], True, "holds bad content: n_steps must be an integer, not True"),
        (
            [*LAYER, "weights", 0, 0],
            9,
            r"holds bad content: branches\.0\.layers\.0: weights\[0, 0\] must lie in -4..3 .*",
        ),
        ([*LAYER, "theta"], [1], r"holds bad content: branches\.0\.layers\.0 must have members .*"),
        (
            ["content", "derived"],
            {"semantics": {**SEMANTICS, "fire": "s = 1 if u > theta[j] else 0"}},
            "holds bad content: derived.semantics.fire must be 's = 1 if u >= theta.*",
        ),
        (
            ["content", "derived"],
            {"semantics": {"delay": "one step"}},
            "holds bad content: derived.semantics.delay must be 'left out', which is what .*",
        ),
    ],
)
def test_what_does_not_hold_is_not_signed(
    path: Path, keys: list[Any], value: Any, message: str
) -> None:
    change(path, keys, value)
    before = path.read_bytes()
    refused(invoke("card", "sign", path), f"{re.escape(str(path))} {message}")
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == ["full.json", "theirs.json"]


def test_membranes_wider_than_the_models_are_not_signed(path: Path) -> None:
    for depth in (0, 1):
        layer = ["content", "branches", 0, "layers", depth]
        change(path, [*layer, "weight_format", "width"], 62)
        change(path, [*layer, "saturation"], None)
    change(path, [*LAYER, "weights", 0, 0], (1 << 61) - 1)
    refused(
        invoke("card", "sign", path),
        r".* branches\.0\.layers\.0 must have membranes of at most 62 bits, not 6\d in neuron .*",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"is truncated or not JSON \(line 1\)"),
        ("[1]", "must hold an object with schema, "),
        ("{}", "must have a field 'schema': docs"),
    ],
)
def test_file_that_is_no_card_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    refused(invoke("card", "sign", file), f"{re.escape(str(file))} {message}.*")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "none.json"
    refused(
        invoke("card", "sign", file),
        f"{re.escape(str(file))} is missing: mend it, or name another.*",
    )
