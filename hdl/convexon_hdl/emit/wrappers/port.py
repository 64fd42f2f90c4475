"""Ports of a top module, as wrappers in any language need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.lib import wiring
from amaranth.lib.wiring import In


@dataclass(frozen=True, kw_only=True)
class Port:
    """One port of a top module, by its name in the Verilog."""

    name: str
    width: int
    is_input: bool

    @property
    def legal(self) -> str:
        """Its name where two underscores in a row are not allowed, as in VHDL."""
        return self.name.replace("__", "_")


def stream_ports(description: Mapping[str, Any]) -> tuple[Port, ...]:
    """Ports of the plain accelerator that ``description``, content of ports.json, describes."""
    ports = [Port(name=description[role], width=1, is_input=True) for role in ("clock", "reset")]
    for name, stream in description["streams"].items():
        inward = not name.startswith("o")
        ports += [
            Port(name=stream["payload"], width=stream["width"], is_input=inward),
            Port(name=stream["valid"], width=1, is_input=inward),
            Port(name=stream["ready"], width=1, is_input=not inward),
        ]
    flags = [description["weights"][name] for name in _FLAGS] if "weights" in description else []
    return (*ports, *(Port(name=name, width=1, is_input=False) for name in flags))


_FLAGS = ("loaded", "refused")
"""Ports beside the streams, where weights are loaded at run time."""


def member_ports(component: wiring.Component) -> tuple[Port, ...]:
    """Ports of a component whose members are plain signals."""
    return tuple(
        Port(name=name, width=len(getattr(component, name)), is_input=member.flow is In)
        for name, member in component.signature.members.items()
    )
