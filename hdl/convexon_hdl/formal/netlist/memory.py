"""Memories of the emitted text, and registers that pass what was read from them."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.lib import wiring

from convexon.snn.fixed import Interval
from convexon_hdl.folded.lane import LIFLane
from convexon_hdl.folded.updater import Updater
from convexon_hdl.folded.weights import WeightBank
from convexon_hdl.formal.netlist.linear import BITS, Reading, Table
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Cell, RefutedError, require
from convexon_hdl.formal.netlist.wiring import require_same
from convexon_hdl.formal.obligation import Emitted

Words = dict[tuple[int, int], int]
"""Signed numbers by address and place; all others are 0."""


def memory_of(emitted: Emitted, component: wiring.Component, name: str) -> Cell:
    """The memory ``name`` of a component."""
    path = f"{emitted.names.path(component)}.{name}"
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


def require_content(memory: Cell, words: Words, width: int, *, depth: int, where: str) -> None:
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


def after(emitted: Emitted, bits: Bits) -> Bits:
    """What registers take in any clock without a reset, whether that is new or what they hold."""
    taken: list[Bit] = []
    for bit in bits:
        register = emitted.netlist.register(bit)
        if register is None:
            raise RefutedError(f"{emitted.netlist.described(bit)} must be a register")
        taken.append(register.after)
    return tuple(taken)


def behind(emitted: Emitted, bits: Bits, clocks: int) -> Bits:
    """What registers that always take their input hold some clocks later."""
    for _ in range(clocks):
        taken: list[Bit] = []
        for bit in bits:
            register = emitted.netlist.register(bit)
            if register is None:
                where = emitted.netlist.described(bit)
                raise RefutedError(f"{where} must be a register")
            require(register.enable == "1", f"{emitted.netlist.described(bit)} must not stall")
            taken.append(register.d)
        bits = tuple(taken)
    return bits


def chosen(emitted: Emitted, bits: Bits, condition: Bit) -> Bits:
    """What multiplexers give where ``condition`` is high; other nets are as they are."""
    given: list[Bit] = []
    for bit in bits:
        while bit in emitted.netlist.drivers:
            cell, _, index = emitted.netlist.drivers[bit]
            if cell.kind != "$mux" or cell.ports["S"] != (condition,):
                break
            bit = cell.ports["B"][index]
        given.append(bit)
    return tuple(given)


def taken_on(emitted: Emitted, bits: Bits, conditions: Bits) -> Bits:
    """What registers take in a clock in which all ``conditions`` are high; else they hold."""
    words = {f"c{k}": ((bit,), BITS) for k, bit in enumerate(conditions)}
    names = tuple((f"c{k}", 0) for k in range(len(conditions)))
    every = Table(names, (*(0,) * ((1 << len(names)) - 1), 1))
    taken = []
    for bit in bits:
        register = emitted.netlist.register(bit)
        where = emitted.netlist.described(bit)
        if register is None:
            raise RefutedError(f"{where} must be a register")
        enable = Reading(emitted.netlist, words).function((register.enable,))
        require(enable == every, f"{where} must take its input when that is due, and hold it else")
        taken.append(register.d)
    return tuple(taken)


def check_bank(emitted: Emitted, bank: WeightBank, weights: Sequence[Sequence[int]]) -> None:
    """A bank holds its sources' rows, fold after fold, and gives the row of its address.

    One whose weights are loaded begins with zeros, and takes the rows that are written to it.
    """
    plan, banks = bank.plan, bank.plan.choice.banks
    memory = memory_of(emitted, bank, "memory")
    words: Words = {}
    if not plan.is_loaded:
        for source in range(bank.bank, len(weights), banks):
            for neuron, weight in enumerate(weights[source]):
                fold, lane = divmod(neuron, plan.choice.lanes)
                words[fold * plan.stride + source // banks, lane] = weight
    path = emitted.names.path(bank)
    require_content(memory, words, plan.weight_width, depth=plan.depth_of_bank, where=path)
    given = behind(emitted, emitted.names.bits(bank.data), 1)
    if plan.depth_of_bank > 1:  # a single word is read whatever the address is
        named = emitted.names.bits(bank.address)
        require_same(emitted, memory.ports["RD_ADDR"], named, f"{path} address")
    if plan.is_loaded:
        _check_writes(emitted, bank, memory, given)
        return
    require(memory.number("WR_PORTS") == 0, f"{path} must not be written")
    data = behind(emitted, given, 1)
    require_same(emitted, data, memory.ports["RD_DATA"], f"{path} data")


def _check_writes(emitted: Emitted, bank: WeightBank, memory: Cell, given: Bits) -> None:
    """The bank takes its own rows alone, and ``given`` what is read in all other clocks."""
    names, path, write = emitted.names, emitted.names.path(bank), bank.write
    number = names.bits(write.bank)
    words: dict[str, tuple[Bits, Interval]] = {
        f"bank[{k}]": ((bit,), BITS) for k, bit in enumerate(number)
    }
    words["enable"] = (names.bits(write.enable), BITS)
    own = bank.bank | 1 << len(number)
    written = Table(
        tuple((name, 0) for name in words), tuple(int(k == own) for k in range(2 << len(number)))
    )
    reading = Reading(emitted.netlist, words)
    for bit in dict.fromkeys(memory.ports["WR_EN"]):
        require(reading.function((bit,)) == written, f"{path} must be written with its rows alone")
    condition = names.local(bank, "write__en")[0]
    for port, name in (("WR_ADDR", "address"), ("WR_DATA", "data")):
        taken = chosen(emitted, memory.ports[port], condition)
        if name == "address" and memory.number("SIZE") == 1:
            continue
        require_same(emitted, taken, names.bits(getattr(write, name)), f"{path} {name} written")
    for held, stored, after_it in zip(
        given, memory.ports["RD_DATA"], after(emitted, given), strict=True
    ):
        words |= {"held": ((held,), BITS), "stored": ((stored,), BITS)}
        function = Reading(emitted.netlist, words).function((after_it,))
        for index in range(1 << len(words)):
            values = {(name, 0): index >> k & 1 for k, name in enumerate(words)}
            kept = values["held" if written.at(values) else "stored", 0]
            what = f"{emitted.netlist.described(held)} must be read whenever no row is written"
            require(function.at(values) == kept, what)


def check_constants(emitted: Emitted, updater: Updater) -> None:
    """Thresholds and biases: constants where all are equal, else words of a memory in order."""
    names, plan, path = emitted.names, updater.plan, emitted.names.path(updater)
    updates, n_groups = plan.choice.updates, plan.folds * plan.groups
    for port in ("threshold", "bias"):
        values = [int(v) for v in getattr(plan.layer, f"{port}s" if port != "bias" else "biases")]
        lanes: list[LIFLane] = names.of_type(LIFLane, updater)
        if len(set(values)) == 1:
            continue  # the lane's own constant, of which `LaneSpecification` speaks
        memory = memory_of(emitted, updater, "thresholds" if port == "threshold" else "biases")
        width = memory.number("WIDTH") // updates
        padded = values + [values[-1]] * (n_groups * updates - len(values))
        words = {divmod(j, updates): value for j, value in enumerate(padded)}
        require_content(memory, words, width, depth=n_groups, where=f"{path} {port}")
        for k, lane in enumerate(lanes):
            read = behind(emitted, names.bits(getattr(lane, port)), 1)
            stored = memory.ports["RD_DATA"][k * width : k * width + len(read)]
            require_same(emitted, read, stored, f"{path} lane {k} {port}")
