"""Obligations of a convolution's accumulator: where its pixels and weights are, and what is read.

- *memory*: the bank holds the kernel, block of lanes after block; pixels begin as zeros, and are
  written as the loader says;
- *walk*: the addresses are those of nested loops, in order, and the loader writes each pixel to its
  place (induction);
- *synapses*: those loops meet every pixel and weight of every window once, as the network has them;
- *connections*: pixels are read where the walk says, weights beside them, and a weight is added
  where its pixel is 1.

Sums, lanes and the rest of the engine are as in `convexon_hdl.formal.parts.folded`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Module, Mux, Signal, Value

from convexon.plan.windows import Walk, WindowPlan
from convexon.snn.convolution import IntegerConvolution
from convexon_hdl.folded.walk import AddressWalk
from convexon_hdl.folded.windows import PixelLoader, WindowAccumulator
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.linear import Reading, bit_words, single_bits
from convexon_hdl.formal.netlist.netlist import Bit, Bits, RefutedError, require
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.banks import Content, content, memory_of
from convexon_hdl.formal.specs.blocks import Specification, filled, free, offer


def place_of(shared: IntegerConvolution, lanes: int, neuron: int) -> int:
    """Place at which a neuron is updated: block after block, window after window, lane by lane."""
    output, window = divmod(neuron, shared.spread)
    block, lane = divmod(output, lanes)
    return (block * shared.spread + window) * lanes + lane


def kernel_rows(shared: IntegerConvolution, lanes: int) -> Content:
    """Weights of a kernel by address and lane."""
    n_outputs, *size = shared.kernel.shape
    rows = int(np.prod(size))
    return {
        (output // lanes * rows + row, output % lanes): int(weight)
        for output in range(n_outputs)
        for row, weight in enumerate(shared.kernel[output].ravel())
    }


def window_obligations(emitted: Emitted, accumulator: WindowAccumulator) -> Iterator[Obligation]:
    """All obligations of an accumulator but its bank's and its sums'."""
    path, plan = emitted.path(accumulator), accumulator.plan
    loader: PixelLoader = emitted.child(accumulator, "loader")
    reading: AddressWalk = emitted.child(accumulator, "reading")
    yield by_reading("connections", path, _check_pixels, emitted, accumulator, loader, reading)
    yield by_reading("synapses", path, _check_synapses, emitted, plan)
    yield by_induction(
        "walk", emitted.path(reading), emitted.cut(reading), WalkSpecification, walk=plan.reading
    )
    inner: AddressWalk = emitted.child(loader, "walk")
    watched = {f"count{k}": emitted.bits(inner.count(k)) for k in range(len(plan.loading.loops))}
    watched |= {f"address{k}": emitted.bits(getattr(inner, f"address{k}")) for k in range(2)}
    yield by_induction(
        "walk",
        emitted.path(loader),
        emitted.cut(loader, watched=watched),
        LoaderSpecification,
        walk=plan.loading,
        bits=plan.input_bits,
    )


def _follow(m: Module, walk: Walk, advance: Value, component: object) -> list[Value]:
    """Go through the loops beside a component, which must agree; returns the addresses."""
    addresses = list(walk.begins)
    wraps: Value = advance
    for place in reversed(range(len(walk.loops))):
        loop = walk.loops[place]
        own = Signal(range(loop.count + 1), name=f"own{place}")
        last = own == loop.count - 1
        with m.If(wraps):
            m.d.sync += own.eq(Mux(last, 0, own + 1))
        wraps = wraps & last
        m.d.comb += Assert(own < loop.count)
        m.d.comb += Assert(getattr(component, f"count{place}") == own)
        addresses = [a + own * step for a, step in zip(addresses, loop.steps, strict=True)]
    for k, address in enumerate(addresses):
        m.d.comb += Assert(getattr(component, f"address{k}") == address)
    return addresses


@dataclass(eq=False, kw_only=True)
class WalkSpecification(Specification):
    """Addresses and counters are those of plain nested loops, which advance when they are told."""

    walk: Walk

    def state(self, m: Module) -> None:
        """Build the loops."""
        free(m, self.component.advance)
        _follow(m, self.walk, self.component.advance, self.component)


@dataclass(eq=False, kw_only=True)
class LoaderSpecification(Specification):
    """Each pixel is written to its place, in the clock after it was taken, and no other.

    Offers are kept, and may come at any time; so may the permission to take them.
    """

    walk: Walk
    bits: int

    def state(self, m: Module) -> None:
        """Build the loops, and what must be written."""
        loader = self.component
        free(m, loader.open)
        offer(m, loader.i.valid, loader.i.ready)
        m.d.comb += Value.cast(loader.i.payload).eq(AnySeq(len(Value.cast(loader.i.payload))))
        taken = Signal()
        m.d.comb += taken.eq(loader.open & loader.i.valid)
        source, address = _follow(m, self.walk, taken, loader)
        last = [
            getattr(loader, f"count{place}") == loop.count - 1
            for place, loop in enumerate(self.walk.loops)
        ]
        ends: Value = loader.open
        for each in last:
            ends = ends & each
        m.d.comb += Assert(loader.i.ready == ends)
        due, to = Signal(), Signal(range(max(2, self.walk.ends[1] + 1)))
        pixel = Signal(self.bits)
        inputs = Value.cast(loader.i.payload)[: (self.walk.ends[0] + 1) * self.bits]
        with m.Switch(source):
            for place in range(self.walk.ends[0] + 1):
                with m.Case(place):
                    m.d.sync += pixel.eq(inputs[place * self.bits : (place + 1) * self.bits])
        m.d.sync += [due.eq(taken), to.eq(address)]
        with m.If(filled(m, 1)):
            m.d.comb += Assert(loader.enable == due)
            with m.If(due):
                m.d.comb += Assert((loader.address == to) & (loader.data == pixel))


def _check_pixels(
    emitted: Emitted, accumulator: WindowAccumulator, loader: PixelLoader, reading: AddressWalk
) -> None:
    """The memory of pixels, and what becomes of what is read of it."""
    plan, path = accumulator.plan, emitted.path(accumulator)
    memory = memory_of(emitted, accumulator, "pixels")
    size = int(np.prod(plan.shared.windows.padded))
    require(memory.number("SIZE") == size, f"{path} must have {size} pixels")
    require(not any(content(memory)), f"pixels of {path} must begin as zeros")
    enable = emitted.bits(loader.enable)[0]
    given = Reading(emitted.netlist, single_bits({"enable": enable}))
    for bit in dict.fromkeys(memory.ports["WR_EN"]):
        what = f"{path} must write a pixel when the loader says so"
        require(given.is_function(bit, int, "enable"), what)
    for port, own in (("WR_ADDR", loader.address), ("WR_DATA", loader.data)):
        written = emitted.chosen(memory.ports[port], enable)
        emitted.require_same(written, emitted.bits(own)[: len(written)], f"{path} {port}")
    emitted.require_same(loader.i.payload, accumulator.i.payload, f"{path} step")
    fields = emitted.fields(accumulator.i)
    takes = (emitted.bits(accumulator.i.valid)[0], emitted.bits(accumulator.i.ready)[0])
    held = emitted.taken_on(emitted.local(accumulator, "held"), takes)
    emitted.require_same(held, (*fields["first"], *fields["last"]), f"{path} tags")
    if size > 1:
        emitted.require_same(memory.ports["RD_ADDR"], reading.address0, f"{path} pixel")
    bank = emitted.child(accumulator, "bank0")
    emitted.require_same(bank.address, reading.address1, f"{path} weight")
    read = emitted.local(accumulator, "read_any")
    emitted.require_same(emitted.behind(read), reading.advance, f"{path} reads")
    _check_added(emitted, accumulator, reading, _registers_of(emitted, memory.ports["RD_DATA"]))


def _registers_of(emitted: Emitted, bits: Bits) -> Bits:
    """Registers that take each of some nets in every clock."""
    taken = {
        before: after
        for cell in emitted.netlist.cells
        if cell.kind == "$dff"
        for before, after in zip(cell.ports["D"], cell.ports["Q"], strict=True)
    }
    described = emitted.netlist.described
    for bit in bits:
        require(bit in taken, f"{described(bit)} must be taken by a register")
    return tuple(taken[bit] for bit in bits)


def _check_added(
    emitted: Emitted, accumulator: WindowAccumulator, reading: AddressWalk, pixel: Bits
) -> None:
    """A weight is added where its pixel has a 1 in the plane at hand, the highest first."""
    plan, path = accumulator.plan, emitted.path(accumulator)
    (added,) = emitted.behind(emitted.local(accumulator, "data_any"))
    words = bit_words("pixel", pixel)
    words |= single_bits({"any": emitted.local(accumulator, "read_any")[0]})
    plane = emitted.local(accumulator, "plane")
    if plan.input_bits > 1:
        counter = reading.count(len(plan.outer))
        emitted.require_same(emitted.behind(plane), counter, f"{path} plane")
    for place in range(plan.input_bits):
        assumed: dict[Bit, int] = {
            bit: place >> k & 1 for k, bit in enumerate(plane) if isinstance(bit, int)
        }
        found = Reading(emitted.netlist, words, assumed=assumed)
        own = f"pixel[{plan.input_bits - 1 - place}]"
        right = found.is_function(added, lambda any_, pixel: any_ & pixel, "any", own)
        require(right, f"{path} must add where {own} is 1 in plane {place}")


def _check_synapses(emitted: Emitted, plan: WindowPlan) -> None:
    """The loops meet each pixel and weight of each window once, as the network states them."""
    shared = emitted.network.branches[plan.branches[0]].layers[plan.depth].weights
    where = f"layer {plan.depth} of branch {plan.branches[0]}"
    if not isinstance(shared, IntegerConvolution):
        raise RefutedError(f"{where} must be a convolution")
    sources: dict[int, int] = {}
    for source, address in plan.loading.addresses().tolist():
        require(address not in sources, f"{where} must write each pixel to a place of its own")
        sources[address] = source
    reads = plan.reading.addresses().reshape(plan.folds, plan.input_bits, -1, 2)
    for fold, planes in enumerate(reads.tolist()):
        expected = _window(shared, plan.choice.lanes, fold)
        for plane in planes:
            met = Counter((sources[pixel], weight) for pixel, weight in plane if pixel in sources)
            require(met == expected, f"{where} must read window {fold} as the network has it")


def _window(shared: IntegerConvolution, lanes: int, fold: int) -> Counter[tuple[int, int]]:
    """Pixel of the input, and address of the weight, of every synapse of a window."""
    windows = shared.windows
    _, high, wide = windows.shape
    n_outputs, n_channels, n_rows, n_columns = shared.kernel.shape
    block, place = divmod(fold, shared.spread)
    row, column = divmod(place, shared.shape[2])
    first = block * lanes // (n_outputs // windows.groups) * n_channels
    found: Counter[tuple[int, int]] = Counter()
    for i, m, n in np.ndindex(n_channels, n_rows, n_columns):
        weight = ((block * n_channels + i) * n_rows + m) * n_columns + n
        y = row * windows.stride[0] + m * windows.dilation[0] - windows.padding[0][0]
        x = column * windows.stride[1] + n * windows.dilation[1] - windows.padding[1][0]
        if 0 <= y < windows.pooled[0] and 0 <= x < windows.pooled[1]:
            for down, right in np.ndindex(*windows.pool):
                line = (first + i) * high + y * windows.pool[0] + down
                found[line * wide + x * windows.pool[1] + right, weight] += 1
    return found
