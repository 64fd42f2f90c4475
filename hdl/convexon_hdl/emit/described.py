"""The form of ports.json, against which a file of that name is checked.

`convexon_hdl.ports` says what it means. Names in it reach Verilog, simulators and synthesis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from convexon.errors import InputError
from convexon.snn.decision import Decision
from convexon.store.codec import from_json
from convexon.store.untrusted import Count, Form, Identifier, Within, require_identifier

Bits = Annotated[int, Within(1, 64)]
Number = Annotated[int, Within(1, 1 << 24)]
Path = tuple[Identifier, ...]


@dataclass(frozen=True, kw_only=True)
class _Field:
    name: Identifier
    offset: Count
    width: Bits
    count: Number
    signed: bool


@dataclass(frozen=True, kw_only=True)
class _Stream:
    payload: Identifier
    valid: Identifier
    ready: Identifier
    width: Number
    fields: tuple[_Field, ...]

    def __post_init__(self) -> None:
        for field in self.fields:
            if field.offset + field.width * field.count > self.width:
                raise InputError(f"{field.name} must lie within the {self.width} bits")


@dataclass(frozen=True, kw_only=True)
class _Signal:
    path: Path
    width: Bits = 1
    count: Number = 1
    bit: Count = 0


@dataclass(frozen=True, kw_only=True)
class _Probe:
    kind: Annotated[str, Form("registers|updates", "registers or updates")]
    branch: Count
    layer: Count
    valid: Path
    ready: Path | None = None
    spikes: _Signal
    membranes: _Signal
    first: _Signal | None = None
    neurons: Number = 1
    offset: Count = 0
    groups: Number = 1
    base: _Signal | None = None
    lanes: Number = 1
    spread: Number = 1


@dataclass(frozen=True, kw_only=True)
class _Weights:
    loaded: Identifier
    refused: Identifier
    fingerprint: Count
    words: Number


@dataclass(frozen=True, kw_only=True)
class _Ports:
    schema: Annotated[str, Form("convexon[.]ports", "convexon.ports")]
    schema_version: Annotated[int, Within(2, 2)]
    top: Identifier
    clock: Identifier
    reset: Identifier
    streams: Mapping[str, _Stream]
    weights: _Weights | None = None
    transfers_per_inference: Number
    decision: Decision
    probes: tuple[_Probe, ...]
    components: Any
    host: Annotated[str, Form("streams|axi(32|64|128)", "streams, or axi32 and the like")]

    def __post_init__(self) -> None:
        needed, known = {"i", "o"}, {"i", "o", "load"}
        if not needed <= set(self.streams) <= known:
            raise InputError("streams must be i and o, and load where weights are loaded")
        if ("load" in self.streams) != (self.weights is not None):
            raise InputError("weights must be given where there is a stream load, and only there")


def require_described(ports: object, top: str) -> None:
    """Raise `InputError` unless ``ports`` is content of ports.json for the module ``top``."""
    described: _Ports = from_json(_Ports, ports, "ports.json")
    if described.top != top:
        raise InputError(f"top of ports.json must be {top}, that of the manifest")


def require_names(ports: Mapping[str, Any]) -> None:
    """Raise `InputError` unless all of ports.json that is written into Verilog are identifiers."""
    for role in ("clock", "reset", "streams", "weights", "probes"):
        for name in _texts(ports.get(role)):
            require_identifier(name, f"{role} of ports.json")


def _texts(value: object) -> Iterator[str]:
    """All texts within."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
