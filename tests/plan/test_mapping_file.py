"""Mappings by hand: a small TOML file, and what is refused in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convexon.errors import InputError
from convexon.plan.mapping import Folded, Mapping, Spatial, Sums
from convexon.plan.mapping_file import parse_mapping, read_mapping
from strategies import layer_of, network_of

ONE = layer_of([[1]], [1])
NETWORK = network_of((ONE, ONE), (ONE,), n_steps=2)


def test_empty_file_is_spatial() -> None:
    assert parse_mapping("", NETWORK) == Mapping.spatial(NETWORK)


def test_later_tables_win_over_earlier_ones_and_the_default() -> None:
    text = """
    decision_registers = 2
    [default]
    kind = "spatial"
    registers = 1
    sums = "shared"
    [readout]
    kind = "folded"
    lanes = 2
    [[layer]]
    layer = 0
    kind = "folded"
    lanes = 1
    banks = 2
    [[layer]]
    branch = 1
    layer = 0
    kind = "spatial"
    """
    default = Spatial(registers=1, sums=Sums.SHARED)
    assert parse_mapping(text, NETWORK) == Mapping(
        layers=((Folded(lanes=1, banks=2), default), (Spatial(),)),
        readout=Folded(lanes=2),
        decision_registers=2,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer", "a mapping must be TOML: "),
        ("[layers]", "a mapping must have the keys "),
        ("layer = 3", "layer must be an array of tables: write [[layer]]"),
        ("default = 3", "default must be an object, not 3"),
        ("[default]\nkind = [1]", "kind of default must be one of spatial, folded, not [1]"),
        ("[default]\nregisters = 1", "kind of default must be one of spatial, folded, not None"),
        (
            '[default]\nkind = "spatial"\nregisters = 9',
            "default: registers must be 0 to 8, not 9",
        ),
        (
            '[default]\nkind = "spatial"\nlanes = 9',
            "default must have members of registers, sums, not 'lanes'",
        ),
        (
            '[default]\nkind = "spatial"\nsums = "none"',
            "default.sums must be one of tables, tree, shared, auto, not 'none'",
        ),
        ('[default]\nkind = "folded"', "lanes of default must be given"),
        (
            '[default]\nkind = "folded"\nlanes = 2.5',
            "default.lanes must be an integer, not 2.5",
        ),
        ('[[layer]]\nkind = "spatial"', "layer of [[layer]] number 1 must be 0 to 1, not None"),
        ('[[layer]]\nlayer = 2\nkind = "spatial"', "layer of [[layer]] number 1 must be 0 to 1"),
        (
            '[[layer]]\nlayer = 0\nbranch = 2\nkind = "spatial"',
            "branch of [[layer]] number 1 must be 0 to 1, not 2",
        ),
        ('decision_registers = "x"', "decision_registers must be an integer, not 'x'"),
        ("decision_registers = 9", "decision_registers must be 0 to 8, not 9"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        parse_mapping(text, NETWORK)


def test_file_is_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} cannot be read: "):
        read_mapping(path, NETWORK)
    path.write_text("x = 1")
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: a mapping must have the keys"):
        read_mapping(path, NETWORK)
    path.write_text("decision_registers = 1")
    assert read_mapping(path, NETWORK).decision_registers == 1
