"""VHDL: a package with component declarations, an example, and a shim with legal names.

Verilog's names of streams have two underscores in a row, which VHDL forbids. The shim is a Verilog
module with the same ports under legal names; the component stands for it. The text is VHDL-93.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convexon_hdl.emit.wrappers.port import Port

PACKAGE = "accelerator_pkg"
SHIM = "accelerator_vhdl"
"""Module and component that stand for the accelerator in VHDL."""

Components = Mapping[str, Sequence[Port]]


def shim(top: str, ports: Sequence[Port]) -> str:
    """Verilog module `SHIM` around module ``top``."""
    declared = ",\n".join(f"  {_verilog(port)} {port.legal}" for port in ports)
    connected = ",\n".join(f"    .{port.name}({port.legal})" for port in ports)
    return (
        f"// {top} with names of ports that are legal in VHDL.\n\n"
        f"module {SHIM} (\n{declared}\n);\n  {top} core (\n{connected}\n  );\nendmodule\n"
    )


def package(components: Components, constants: Mapping[str, int]) -> str:
    """Package `PACKAGE`: the constants, and a declaration of every component."""
    lines = [*_CONTEXT, f"package {PACKAGE} is"]
    lines += [f"  constant {name} : natural := {value};" for name, value in constants.items()]
    for name, ports in components.items():
        lines += ["", f"  component {name}", *_ports(ports, "    "), "  end component;"]
    return "\n".join([*lines, f"end {PACKAGE};", ""])


def example(components: Components) -> str:
    """One entity for each component, that instantiates it with every port connected."""
    lines: list[str] = []
    for name, ports in components.items():
        entity = f"{name}_example"
        maps = [f"      {port.legal} => {port.legal}" for port in ports]
        lines += [
            *_CONTEXT,
            f"use work.{PACKAGE}.all;",
            "",
            f"entity {entity} is",
            *_ports(ports, "  "),
            f"end {entity};",
            "",
            f"architecture structure of {entity} is",
            "begin",
            f"  core : {name}",
            "    port map (",
            ",\n".join(maps),
            "    );",
            "end structure;",
            "",
        ]
    return "\n".join(lines)


_CONTEXT = ("library ieee;", "use ieee.std_logic_1164.all;")


def _ports(ports: Sequence[Port], indent: str) -> list[str]:
    """Port clause."""
    declared = [
        f"{indent}  {port.legal} : {'in' if port.is_input else 'out'} {_type(port)}"
        for port in ports
    ]
    return [f"{indent}port (", ";\n".join(declared), f"{indent});"]


def _type(port: Port) -> str:
    return "std_logic" if port.width == 1 else f"std_logic_vector({port.width - 1} downto 0)"


def _verilog(port: Port) -> str:
    """Direction and range in Verilog."""
    direction = "input" if port.is_input else "output"
    return direction if port.width == 1 else f"{direction} [{port.width - 1}:0]"
