"""Where the parts of an accelerator are in its emitted text.

A network and its mapping are elaborated once more, for names alone: which component is where in the
hierarchy, and what its ports are called there. A proof then speaks of the nets of these names *in
the text*. Were a name wrong, the proof would fail: nothing is taken over from here but where to
look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Signal, Value
from amaranth.lib import wiring

from convexon_hdl.formal.netlist.netlist import Bits, Netlist, require

Path = tuple[str, ...]
C = TypeVar("C", bound=wiring.Component)


class Names:
    """Names of the signals of ``component``, emitted as ``top``.

    Parameters
    ----------
    component : wiring.Component
    top : str
    netlist : Netlist
        The text in which nets are looked up.
    """

    def __init__(self, component: wiring.Component, *, top: str, netlist: Netlist) -> None:
        self._netlist = netlist
        fragment = Fragment.get(component, None)
        self._parts = dict(_components(fragment, ()))
        ports = {
            "__".join(map(str, path)): (Value.cast(value), None)
            for path, _, value in component.signature.flatten(component)
        }
        _, self._names = rtlil.convert_fragment(fragment, ports, top, emit_src=False)

    def path(self, part: wiring.Component) -> str:
        """Hierarchical name of a component."""
        return next(".".join(path) for path, other in self._parts.items() if other is part)

    def of_type(self, kind: type[C], under: wiring.Component | None = None) -> list[C]:
        """Components of a class, in their order; only those inside ``under``, if given."""
        prefix: Path = ()
        if under is not None:
            prefix = next(path for path, other in self._parts.items() if other is under)
        return [
            part
            for path, part in self._parts.items()
            if isinstance(part, kind) and path[: len(prefix)] == prefix
        ]

    def child(self, part: wiring.Component, name: str) -> Any:
        """Submodule ``name`` of a component."""
        prefix = next(path for path, other in self._parts.items() if other is part)
        return self._parts[(*prefix, name)]

    def find(self, part: wiring.Component, name: str) -> Any | None:
        """Submodule ``name`` of a component, or None where it has none of that name."""
        prefix = next(path for path, other in self._parts.items() if other is part)
        return self._parts.get((*prefix, name))

    def bits(self, value: object) -> Bits:
        """Nets of a signal in the text."""
        signal = Value.cast(value)
        if not len(signal):
            return ()
        require(isinstance(signal, Signal), f"{value!r} must be a signal to have a name")
        return self._netlist.named(".".join(self._names[signal][1:]))

    def local(self, part: wiring.Component, name: str) -> Bits:
        """Nets of a signal inside a component, by its name there."""
        path = self.path(part)
        return self._netlist.named(f"{path}.{name}" if path else name)


def _components(fragment: Fragment, path: Path) -> Iterator[tuple[Path, wiring.Component]]:
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            yield path, origin
    for number, (inner, name, _) in enumerate(fragment.subfragments):
        yield from _components(inner, (*path, name or f"U${number}"))
