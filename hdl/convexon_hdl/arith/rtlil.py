"""RTLIL, the text that Yosys reads, with adder graphs written as such at once.

Amaranth makes a score of objects of each adder and follows each of their nets, which would be most
of the time that a large layer takes. In a component that is converted here, the sums are instances
of modules whose text comes from a `SumsWriter`; elsewhere, as in Amaranth's simulator, they are
made of Amaranth's own objects (`convexon_hdl.arith.lowering`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable

from convexon.snn.fixed import Interval
from convexon_hdl.arith.arithmetic import needed_address, shape_of

_PLACE = re.compile(r"^module \\(?P<module>\S+)|^  cell \\(?P<kind>sums\d+) \\(?P<cell>\S+)", re.M)
"""A module, or an instance of sums within."""


class RtlilPlatform:
    """Platform, in Amaranth's sense, that keeps the modules of sums which instances refer to."""

    def __init__(self) -> None:
        self._modules: list[SumsWriter] = []

    def added(self, module: SumsWriter) -> str:
        """Keep a module; return the name of its kind."""
        self._modules.append(module)
        return f"sums{len(self._modules) - 1}"

    def completed(self, text: str) -> str:
        """Amaranth's text with the modules, each named by its place in the hierarchy."""
        paths: dict[str, str] = {}
        module = ""
        for match in _PLACE.finditer(text):
            module = match["module"] or module
            if match["kind"]:
                paths[match["kind"]] = f"{module}.{match['cell']}"
        named = _PLACE.sub(
            lambda m: f"  cell \\{paths[m['kind']]} \\{m['cell']}" if m["kind"] else m[0], text
        )
        modules = (
            self._modules[int(kind.removeprefix("sums"))].module(path)
            for kind, path in paths.items()
        )
        return "".join([named, *modules])


def convert(component: Elaboratable, name: str, **options: Any) -> str:
    """RTLIL of ``component`` as module ``name``; ``options`` are for Amaranth's own ``convert``."""
    platform = RtlilPlatform()
    text = rtlil.convert(component, name=name, platform=platform, emit_src=False, **options)
    return platform.completed(text)


@dataclass(frozen=True)
class Net:
    """A value in the text, and the integers that it can take."""

    text: str
    interval: Interval

    @property
    def width(self) -> int:
        """Bits of the narrowest shape of the interval."""
        return shape_of(self.interval).width

    @property
    def signed(self) -> bool:
        """Whether the narrowest shape is signed."""
        return self.interval.low < 0

    def shifted(self, places: int) -> Net:
        """Net times 2**places."""
        if not places:
            return self
        return Net(f"{{ {self.text} {_zeros(places)} }}", self.interval.scaled(1 << places))


class SumsWriter:
    """The text of one module of sums: ports ``bits``, ``advance`` and ``clk``, and an output each.

    It makes what `convexon_hdl.arith.lowering` asks for, as cells of Yosys' library.
    """

    def __init__(self, n_bits: int, n_registers: int) -> None:
        self._lines: list[str] = []
        self._n_ports = 0
        self._n_cells = 0
        self._wire("bits", n_bits, port="input")
        if n_registers:
            self._wire("advance", n_registers, port="input")
            self._wire("clk", 1, port="input")

    def module(self, name: str) -> str:
        """The whole module."""
        body = "\n".join(self._lines)
        return f"module \\{name}\n{body}\nend\n"

    def bit(self, index: int) -> Net:
        """Input bit ``index``."""
        return Net(f"\\bits [{index}]", Interval(0, 1))

    def constant(self, number: int) -> Net:
        """Net that is always ``number``."""
        interval = Interval(number, number)
        width = shape_of(interval).width
        return Net(f"{width}'{number & (1 << width) - 1:0{width}b}", interval)

    def table(self, address: Sequence[Net], entries: Sequence[int], *, name: str) -> Net:
        """``entries[address]``, one function of the address for each bit of the result."""
        interval = Interval.hull(entries)
        bits = []
        for place in range(shape_of(interval).width):
            kept, ones = needed_address([(entry >> place) & 1 for entry in entries])
            bits.append(self._function([address[k].text for k in kept], ones))
        return self._named(name, interval, f"{{ {' '.join(reversed(bits))} }}")

    def sum(self, first: Net, second: Net, sign: int, interval: Interval, *, name: str) -> Net:
        """``first + sign * second``."""
        either = first.signed or second.signed
        width = shape_of(interval).width
        parameters: dict[str, int] = {}
        ports: dict[str, str] = {}
        for port, operand in (("A", first), ("B", second)):
            grows = either and not operand.signed
            parameters |= {f"{port}_SIGNED": int(either), f"{port}_WIDTH": operand.width + grows}
            ports[port] = f"{{ 1'0 {operand.text} }}" if grows else operand.text
        whole = max(width, parameters["A_WIDTH"], parameters["B_WIDTH"])
        if whole > width:  # nothing is cut off by an assignment
            self._wire(f"{name}_whole", whole)
            made = self._named(name, interval, f"\\{name}_whole [{width - 1}:0]")
            ports["Y"] = f"\\{name}_whole"
        else:
            made = self._named(name, interval)
            ports["Y"] = made.text
        self._cell("$add" if sign > 0 else "$sub", {**parameters, "Y_WIDTH": whole}, ports)
        return made

    def register(self, value: Net, clock: int, *, name: str) -> Net:
        """``value`` in a register that takes it on bit ``clock`` of ``advance``."""
        width = value.width
        self._lines.append(f"attribute \\init {_zeros(width)}")
        held = self._named(name, value.interval)
        taken = self._named(f"{name}_next", value.interval)
        choice = {"A": held.text, "B": value.text, "S": f"\\advance [{clock}]", "Y": taken.text}
        self._cell("$mux", {"WIDTH": width}, choice)
        flip_flop = {"CLK": "\\clk", "D": taken.text, "Q": held.text}
        self._cell("$dff", {"WIDTH": width, "CLK_POLARITY": 1}, flip_flop)
        return held

    def output(self, value: Net, *, name: str) -> None:
        """An output that has ``value``."""
        self._wire(name, value.width, port="output", signed=value.signed)
        self._lines.append(f"connect \\{name} {value.text}")

    def _function(self, address: Sequence[str], ones: Sequence[int]) -> str:
        """``ones[address]``: a constant, a bit as it is or inverted, or a look at all ones."""
        if not address:
            return f"1'{ones[0]}"
        if list(ones) == [0, 1]:
            return address[0]
        name = f"function{self._n_cells}"
        width = 1 if len(address) == 1 else len(ones)
        self._wire(name, width)
        parameters = {"A_SIGNED": 0, "A_WIDTH": width, "Y_WIDTH": width}
        if width == 1:
            self._cell("$not", parameters, {"A": address[0], "Y": f"\\{name}"})
        else:
            shift = f"{{ {' '.join(reversed(address))} }}"
            moved = f"{width}'{''.join(map(str, reversed(ones)))}"
            parameters |= {"B_SIGNED": 0, "B_WIDTH": len(address)}
            self._cell("$shr", parameters, {"A": moved, "B": shift, "Y": f"\\{name}"})
        return f"\\{name} [0]"

    def _named(self, name: str, interval: Interval, text: str | None = None) -> Net:
        """A wire for ``interval``, that is ``text`` if it is given."""
        self._wire(name, shape_of(interval).width, signed=interval.low < 0)
        if text is not None:
            self._lines.append(f"connect \\{name} {text}")
        return Net(f"\\{name}", interval)

    def _wire(self, name: str, width: int, *, port: str = "", signed: bool = False) -> None:
        words = ["wire", f"width {width}"]
        if port:
            words.append(f"{port} {self._n_ports}")
            self._n_ports += 1
        self._lines.append(" ".join([*words, *(["signed"] if signed else []), f"\\{name}"]))

    def _cell(self, kind: str, parameters: dict[str, int], ports: dict[str, str]) -> None:
        self._lines.append(f"cell {kind} ${self._n_cells}")
        self._lines += [f"  parameter \\{name} {value}" for name, value in parameters.items()]
        self._lines += [f"  connect \\{name} {value}" for name, value in ports.items()]
        self._lines.append("end")
        self._n_cells += 1


def _zeros(width: int) -> str:
    return f"{width}'{'0' * width}"
