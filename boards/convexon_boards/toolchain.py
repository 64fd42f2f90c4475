"""What building takes of a family of parts, or of a vendor's tool: one object for each.

The objects are in `convexon_boards.families`; `synthesis`, `nextpnr` and the others of
`convexon_boards.tools` work by what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from convexon.plan.family import Family
from convexon_boards.board import Board, Part, Vendor
from convexon_boards.tools.wheels import Wheel


@dataclass(frozen=True)
class Port:
    """A port of a board's top module.

    Members
    -------
    name, site : str
    is_input : bool
    is_clock : bool
    pull_up : bool
        Whether the pin is held high where nothing drives it.
    """

    name: str
    site: str
    is_input: bool
    is_clock: bool = False
    pull_up: bool = False

    @property
    def pull(self) -> str:
        """Where an input goes that nothing drives."""
        return "UP" if self.pull_up else "NONE" if self.is_clock else "DOWN"


@dataclass(frozen=True)
class Clocking:
    """How a design's clock is made.

    Members
    -------
    mhz : float
        What the design gets.
    verilog : str
        Statements that drive ``clk`` and ``locked`` from ``clock``.
    """

    mhz: float
    verilog: str


Plls = Callable[[Board, float], Iterator[Clocking]]
"""Settings of a PLL that come near a clock in MHz; of some, all that the PLL has."""


def pairs(divisors: Iterable[int], factors: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield every divisor with every factor."""
    return ((divisor, factor) for divisor in divisors for factor in factors)


def is_near(mhz: float, wanted: float) -> bool:
    """Whether a PLL's clock is worth listing, so that the nearest to ``wanted`` can be named."""
    return abs(mhz - wanted) <= 0.2 * wanted


class Driver(Enum):
    """What drives a net."""

    LOGIC = "logic"
    CARRY = "carries"
    REGISTER = "registers"
    MEMORY = "block RAM"
    INPUT = "inputs"


@dataclass(frozen=True, kw_only=True)
class MemoryPort:
    """A port of a block memory: its enables, and the pins that bear its word."""

    enables: tuple[str, ...]
    word: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a family's netlists.

    Members
    -------
    names : str
        Pattern of its names.
    counts_as : str
        Member of `CellReport` that counts it.
    driver : Driver or None
        What its outputs are driven by; None where no energy of the cell is known.
    clocks, packed, chain, controls, free : tuple of str
        Pins of the clock tree; of the LUT that stands in the same cell; of a carry chain; shared by
        the flip-flops of a block; and the same as those of the LUT beside. All others are routed.
    ports : tuple of MemoryPort
    """

    names: str
    counts_as: str
    driver: Driver | None = None
    clocks: tuple[str, ...] = ()
    packed: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    ports: tuple[MemoryPort, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """Open tools for a family: Yosys, nextpnr, and what packs a bitstream.

    Members
    -------
    family : Family
    part_like : str
        Name of a part, as an example.
    part : callable
        The part of a name, or None if it is none of the family.
    synth : str
        Yosys' command for the family, with options.
    models_until : str
        Label of that command behind the step that reads the models of the cells.
    memory_libraries, memory_maps : tuple of str
        Files of Yosys for LUT RAM and block RAM.
    memory_steps : tuple of str
        Commands after these.
    cells : tuple of Cell
    models : tuple of str
        Yosys' commands that read models of the cells for a simulation.
    models_text : str
        Instead of them a file of models that any simulator can read, in Yosys' share.
    memory_models : str
        File beside the families with models of block memories, of which Yosys has none.
    router : Wheel
    sites : tuple of str
        nextpnr's names of the sites that a reader wants to know of, those that hold LUT4s first,
        block memories last.
    design_option : str
        Option for the file of the routed design.
    constraints_file : str
    constraints : callable
        Text of that file, for a board and the ports of its top module.
    constraints_options : tuple of str
        How nextpnr is told of the file.
    packer : Wheel
    pack_output : tuple of str
        What stands before the name of the bitstream among the packer's arguments.
    suffix : str
        Ending of the bitstream's name by which openFPGALoader knows it.
    plls : callable
    """

    family: Family
    part_like: str
    part: Callable[[str], Part | None]
    synth: str
    models_until: str
    memory_libraries: tuple[str, ...]
    memory_maps: tuple[str, ...]
    memory_steps: tuple[str, ...] = ()
    cells: tuple[Cell, ...]
    models: tuple[str, ...] = ()
    models_text: str = ""
    memory_models: str = ""
    router: Wheel
    sites: tuple[str, ...]
    design_option: str
    constraints_file: str
    constraints: Callable[[Board, Sequence[Port]], str]
    constraints_options: tuple[str, ...]
    packer: Wheel
    pack_output: tuple[str, ...] = ()
    suffix: str
    plls: Plls


@dataclass(frozen=True, kw_only=True)
class VendorTool:
    """A vendor's tool, for which a project is written.

    Members
    -------
    vendor : Vendor
    plls : callable
    project : callable
        Files of the project, for a board, its ports, the name of the top module, and the names of
        the Verilog files.
    command : str
        What builds the project, in its folder.
    """

    vendor: Vendor
    plls: Plls
    project: Callable[[Board, Sequence[Port], str, Sequence[str]], dict[str, str]]
    command: str
