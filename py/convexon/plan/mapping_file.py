"""A mapping as a small TOML file, for those who choose by hand.

::

    decision_registers = 1

    [default]                 # every layer that has no table of its own
    kind = "spatial"
    registers = 2

    [readout]
    kind = "spatial"

    [[layer]]
    layer = 0                 # and, where one branch alone is meant: branch = 1
    kind = "folded"
    lanes = 64
    banks = 2
    updates = 8

    [encoder]                 # where the chip makes the steps of levels
    kind = "rate"
    bits = 4
    seed = 1

    [decision]                # where inferences may end early
    rule = "certain"

Later tables win over earlier ones. What is left out is spatial without registers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convexon.data.encoder import Encoder
from convexon.errors import InputError, require_integer
from convexon.plan.mapping import PLAIN, LayerMapping, Mapping
from convexon.snn.decision import Decision
from convexon.snn.network import FixedPointNetwork
from convexon.store.codec import from_json
from convexon.store.untrusted import parse_toml, read_toml

_TABLES = ("decision_registers", "default", "readout", "layer", "encoder", "decision")


def read_mapping(path: Path, network: FixedPointNetwork) -> Mapping:
    """Read the TOML file at ``path`` for ``network``.

    Raises `InputError` if it cannot be read, is not TOML, or a table does not fit the network; it
    names the table.
    """
    content = read_toml(path, "a mapping")
    try:
        return _mapping(content, network)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse_mapping(text: str, network: FixedPointNetwork) -> Mapping:
    """Parse TOML; see `read_mapping`."""
    try:
        content = parse_toml(text)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"a mapping must be TOML: {error}") from None
    return _mapping(content, network)


def _mapping(content: dict[str, Any], network: FixedPointNetwork) -> Mapping:
    for name in content:
        if name not in _TABLES:
            raise InputError(f"a mapping must have the keys {', '.join(_TABLES)}, not {name!r}")
    default = _choice(content.get("default"), "default")
    layers = [[default for _ in branch.layers] for branch in network.branches]
    tables = content.get("layer", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError("layer must be an array of tables: write [[layer]]")
    for k, table in enumerate(tables):
        where = f"[[layer]] number {k + 1}"
        members = dict(table)
        branches = _branches(members, network, where)
        depth = members.pop("layer", None)
        _require_index("layer", depth, max(network.branches[b].depth for b in branches), where)
        choice = _choice(members, where)
        for b in branches:
            if depth < network.branches[b].depth:
                layers[b][depth] = choice
    registers = require_integer("decision_registers", content.get("decision_registers", 0))
    return Mapping(
        layers=tuple(tuple(choices) for choices in layers),
        readout=_choice(content.get("readout"), "readout"),
        decision_registers=registers,
        decision=from_json(Decision, content.get("decision", {}), "decision"),
        encoder=from_json(Encoder, content["encoder"], "encoder") if "encoder" in content else None,
    )


def _choice(table: Any, where: str) -> LayerMapping:
    """Choice of a table; spatial where there is none."""
    if table is None:
        return PLAIN
    choice: LayerMapping = from_json(LayerMapping, table, where)  # type: ignore[arg-type]
    return choice


def _branches(members: dict[str, Any], network: FixedPointNetwork, where: str) -> list[int]:
    """Branches that a table speaks of: the one it names, or all."""
    branch = members.pop("branch", None)
    if branch is None:
        return list(range(len(network.branches)))
    _require_index("branch", branch, len(network.branches), where)
    return [branch]


def _require_index(name: str, value: Any, count: int, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise InputError(f"{name} of {where} must be 0 to {count - 1}, not {value!r}")
