"""Energy of counted operations in a named technology: ranges, and where each constant is from.

The figures of M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014,
figure 1.1.9, for 45 nm at 0.9 V: integer additions of 8 and 32 bits, and reads of 64 bits from
memories of 8 KiB, 32 KiB and 1 MiB, and from DRAM. Networks are compared by them; no FPGA has this
energy.
"""

from __future__ import annotations

from dataclasses import dataclass

from convexon.plan.energy.operations import Operations
from convexon.snn.network import FixedPointNetwork

SOURCE = "Horowitz, ISSCC 2014, 45 nm, 0.9 V"

ADD_8 = 0.03e-12
ADD_32 = 0.1e-12
"""Joules of an integer addition of 8 and of 32 bits."""

READ_64 = {8 * 1024: 10e-12, 32 * 1024: 20e-12, 1024 * 1024: 100e-12}
"""Joules of a read of 64 bits, by the bytes of the memory."""

DRAM_64 = 2.6e-9
"""Joules of a read of 64 bits from DRAM, at most: what a larger memory may come to."""

SMALLER = 0.5
"""Share of the smallest memory's energy that a memory below its size takes at least: assumed."""


@dataclass(frozen=True, kw_only=True)
class EnergyRange:
    """An energy that is known to lie between two values.

    Members
    -------
    low, high : float
        Joules.
    """

    low: float
    high: float

    def __add__(self, other: EnergyRange) -> EnergyRange:
        return EnergyRange(low=self.low + other.low, high=self.high + other.high)

    def scaled(self, factor: float) -> EnergyRange:
        """The energy of ``factor`` of what this is the energy of."""
        return EnergyRange(low=self.low * factor, high=self.high * factor)


def add_bit() -> EnergyRange:
    """One bit of an addition: between the shares of the two widths that are stated."""
    shares = (ADD_8 / 8, ADD_32 / 32)
    return EnergyRange(low=min(shares), high=max(shares))


def read_bit(memory_bits: int) -> EnergyRange:
    """One bit read from a memory: between those of the sizes that are stated around its own."""
    bytes_ = memory_bits / 8
    sizes = sorted(READ_64)
    below = max((size for size in sizes if size <= bytes_), default=None)
    above = min((size for size in sizes if size >= bytes_), default=None)
    low = READ_64[sizes[0]] * SMALLER if below is None else READ_64[below]
    high = DRAM_64 if above is None else READ_64[above]
    return EnergyRange(low=low / 64, high=high / 64)


def memory_bits(network: FixedPointNetwork) -> int:
    """Bits of all weights and membranes, as a memory that keeps every synapse would hold them."""
    bits = network.readout_weights.size * network.readout_format.width
    for b, branch in enumerate(network.branches):
        for depth, layer in enumerate(branch.layers):
            synapses = layer.weights.size
            if layer.recurrent is not None:
                synapses += layer.recurrent.size
            bits += synapses * layer.weight_format.width
            bits += layer.n_neurons * network.ranges[b][depth].membrane_width
    return int(bits)


def neutral_energy(network: FixedPointNetwork, operations: Operations) -> EnergyRange:
    """Energy of an inference's operations: additions, updates and memory, in 45 nm.

    An update takes three additions of its width: the leak, the current, and the comparison.
    """
    additions = add_bit().scaled(operations.synaptic_bits + 3 * operations.update_bits)
    moved = operations.weight_bits + operations.membrane_bits
    return additions + read_bit(memory_bits(network)).scaled(moved)
