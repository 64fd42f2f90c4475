"""What banks of weights and other memories of the emitted text hold, and how they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amaranth.hdl import Assert, Module
from amaranth.lib import wiring

from convexon.plan.fold import FoldPlan
from convexon_hdl.folded.lane import LIFLane
from convexon_hdl.folded.seeded import SeededBank
from convexon_hdl.folded.updater import Updater
from convexon_hdl.folded.weights import WeightBank
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.linear import Reading, Table, bit_words, single_bits
from convexon_hdl.formal.netlist.netlist import Bits, Cell, require
from convexon_hdl.formal.obligation import Obligation, by_induction
from convexon_hdl.formal.specs.blocks import Specification, delayed, filled, free

SEEDED_LATENCY = 2
"""Clocks from an address of a seeded bank to its row."""

Content = dict[tuple[int, int], int]
"""Signed numbers by address and place; all others are 0."""


def memory_of(emitted: Emitted, component: wiring.Component, name: str) -> Cell:
    """The memory ``name`` of a component."""
    path = f"{emitted.path(component)}.{name}"
    found = [
        cell
        for cell in emitted.netlist.cells
        if cell.kind == "$mem_v2"
        and (own := cell.parameters["MEMID"].lstrip("\\")).split("$")[0] == path
        and own
    ]
    require(len(found) == 1, f"there must be one memory {path}, not {len(found)}")
    return found[0]


def content(memory: Cell) -> list[int]:
    """Words that a memory is configured with."""
    width, size = memory.number("WIDTH"), memory.number("SIZE")
    text = memory.parameters["INIT"].rjust(width * size, "0")
    words = [text[len(text) - (k + 1) * width : len(text) - k * width] for k in range(size)]
    require("x" not in text, "every word of a memory must be configured")
    return [int(word, 2) for word in words]


def require_content(memory: Cell, words: Content, width: int, *, depth: int, where: str) -> None:
    """Raise `RefutedError` with the first number of a memory that is not the one expected."""
    require(memory.number("SIZE") == depth, f"{where} must have {depth} words")
    mask = (1 << width) - 1
    for address, word in enumerate(content(memory)):
        for place in range(memory.number("WIDTH") // width):
            own = (word >> (place * width)) & mask
            own -= (own >> (width - 1)) << width
            expected = words.get((address, place), 0)
            message = f"{where} address {address} place {place} must hold {expected}, not {own}"
            require(own == expected, message)


def rows_of(plan: FoldPlan, bank: int, weights: Sequence[Sequence[int]]) -> Content:
    """Weights by address and lane of one bank, of those by source and by neuron."""
    banks, lanes = plan.choice.banks, plan.choice.lanes
    return {
        (neuron // lanes * plan.stride + source // banks, neuron % lanes): weight
        for source in range(bank, len(weights), banks)
        for neuron, weight in enumerate(weights[source])
    }


def check_bank(emitted: Emitted, bank: WeightBank, words: Content) -> None:
    """A bank holds its rows of ``words``, and gives the row of its address.

    One whose weights are loaded begins with zeros, and takes the rows that are written to it.
    """
    plan, path = bank.plan, emitted.path(bank)
    memory = memory_of(emitted, bank, "memory")
    words = {} if plan.is_loaded else words
    require_content(memory, words, plan.weight_width, depth=plan.depth_of_bank, where=path)
    given = emitted.behind(emitted.bits(bank.data))
    if plan.depth_of_bank > 1:  # a single word is read whatever the address is
        emitted.require_same(memory.ports["RD_ADDR"], bank.address, f"{path} address")
    if plan.is_loaded:
        _check_writes(emitted, bank, memory, given)
        return
    require(memory.number("WR_PORTS") == 0, f"{path} must not be written")
    emitted.require_same(emitted.behind(given), memory.ports["RD_DATA"], f"{path} data")


def _check_writes(emitted: Emitted, bank: WeightBank, memory: Cell, given: Bits) -> None:
    """The bank takes its own rows alone, and ``given`` what is read in all other clocks."""
    path, write = emitted.path(bank), bank.write
    words = bit_words("bank", emitted.bits(write.bank))
    own = [bank.bank >> k & 1 for k in range(len(words))]
    words |= single_bits({"enable": emitted.bits(write.enable)[0]})
    written = Table.of(lambda *values: values == (*own, 1), *words)
    reading = Reading(emitted.netlist, words)
    for bit in dict.fromkeys(memory.ports["WR_EN"]):
        require(reading.function((bit,)) == written, f"{path} must be written with its rows alone")
    condition = emitted.local(bank, "write__en")[0]
    for port, name in (("WR_ADDR", "address"), ("WR_DATA", "data")):
        if name == "address" and memory.number("SIZE") == 1:
            continue
        taken = emitted.chosen(memory.ports[port], condition)
        emitted.require_same(taken, getattr(write, name), f"{path} {name} written")
    read = zip(given, memory.ports["RD_DATA"], emitted.after(given), strict=True)
    for held, stored, after_it in read:
        words |= single_bits({"held": held, "stored": stored})
        function = Reading(emitted.netlist, words).function((after_it,))
        for index in range(1 << len(words)):
            values = {(name, 0): index >> k & 1 for k, name in enumerate(words)}
            kept = values["held" if written.at(values) else "stored", 0]
            what = f"{emitted.netlist.described(held)} must be read whenever no row is written"
            require(function.at(values) == kept, what)


def check_constants(emitted: Emitted, updater: Updater) -> None:
    """What lanes are told of neurons: constants where all are equal, else words of a memory."""
    plan, path = updater.plan, emitted.path(updater)
    updates, n_groups = plan.choice.updates, plan.folds * plan.groups
    lanes = emitted.of_type(LIFLane, updater)
    ports = {"thresholds": "threshold", "biases": "bias", "leaks": "leak", "resets": "reset_to"}
    for name, values in plan.constants.items():
        port = ports[name]
        if len(set(values)) == 1:
            continue  # the lane's own constant, of which `LaneSpecification` speaks
        memory = memory_of(emitted, updater, name)
        width = memory.number("WIDTH") // updates
        padded = values + [values[-1]] * (n_groups * updates - len(values))
        words = {divmod(j, updates): value for j, value in enumerate(padded)}
        require_content(memory, words, width, depth=n_groups, where=f"{path} {port}")
        for k, lane in enumerate(lanes):
            read = emitted.behind(emitted.bits(getattr(lane, port)))
            stored = memory.ports["RD_DATA"][k * width : k * width + len(read)]
            emitted.require_same(read, stored, f"{path} lane {k} {port}")


@dataclass(eq=False, kw_only=True)
class SeededSpecification(Specification):
    """A bank gives, two clocks after an address, the row that a table holds for it.

    The address is free in every clock. Nothing is asserted of addresses that no source has.
    """

    rows: Mapping[int, int]
    """Address to row, as the bank's ``data`` is laid out."""

    def state(self, m: Module) -> None:
        """Build the table."""
        free(m, self.component.address)
        address = delayed(m, self.component.address, SEEDED_LATENCY)
        with m.If(filled(m, SEEDED_LATENCY)), m.Switch(address):
            for place, row in self.rows.items():
                with m.Case(place):
                    m.d.comb += Assert(self.component.data == row)


def words_of(bank: SeededBank, weights: Sequence[Sequence[int]]) -> dict[int, int]:
    """Word that a bank must give at each address, of the weights by source and by neuron."""
    plan = bank.plan
    mask = (1 << plan.weight_width) - 1
    words: dict[int, int] = {}
    for (address, lane), weight in rows_of(plan, bank.bank, weights).items():
        words[address] = words.get(address, 0) | (weight & mask) << (lane * plan.weight_width)
    if plan.choice.banks > 1:
        words[plan.depth_of_bank - 1] = 0
    return words


def seeded_obligation(
    emitted: Emitted, bank: SeededBank, weights: Sequence[Sequence[int]]
) -> Obligation:
    """A bank of an emitted network gives the network's weights."""
    return by_induction(
        "seeded weights",
        emitted.path(bank),
        emitted.cut(bank),
        SeededSpecification,
        rows=words_of(bank, weights),
    )
