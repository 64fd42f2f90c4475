"""Operations of an inference, counted from the spikes that it has, and their energy in 45 nm.

Papers on spiking networks state these counts, as they do not depend on who built what: there is no
mapping in them. They are what an implementation does at least if it works on events: a synapse
without a spike costs nothing, a membrane is updated at every step.

Energies are the figures of M. Horowitz, "Computing's energy problem (and what we can do about it)",
ISSCC 2014, figure 1.1.9, for 45 nm at 0.9 V: integer additions of 8 and 32 bits, and reads of 64
bits from memories of 8 KiB, 32 KiB and 1 MiB, and from DRAM. Networks are compared by them; no FPGA
has this energy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.snn.convolution import IntegerConvolution
from convexon.snn.fixed import width_of
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode

IntArray = npt.NDArray[np.int64]

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
class Operations:
    """Mean counts of an inference."""

    # Additions of one weight that is not 0: for each spike, and each bit of an intensity that is 1,
    # one for each of its synapses, recurrent ones and those of the readout included.
    synaptic: float = 0.0
    synaptic_bits: float = 0.0  # the same, each times the bits of the sum that it is added to
    updates: float = 0.0  # updates of a membrane: neurons times steps
    update_bits: float = 0.0  # the same, each times the bits of the sum before the reset
    weight_bits: float = 0.0  # bits of weights that are read: those of every synaptic operation
    membrane_bits: float = 0.0  # of membranes, read and written: two for each bit of an update

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            **{name: value + getattr(other, name) for name, value in vars(self).items()}
        )


def operations_of(
    network: FixedPointNetwork, inputs: npt.NDArray[np.uint8], trace: SpikeTrace
) -> Operations:
    """Count the operations of a trace of ``inputs`` (samples, steps, inputs), all T steps.

    Raises `InputError` if the inputs are not the network's.
    """
    network.check_inputs(inputs)
    n_samples = len(inputs)
    total = _readout(network, trace, n_samples)
    for b, branch in enumerate(network.branches):
        arriving = _bits(inputs)
        for depth, layer in enumerate(branch.layers):
            spikes = trace.layers[b][depth].spikes
            ranges = network.ranges[b][depth]
            sums = np.array([width_of(interval) for interval in ranges.current])
            width = layer.weight_format.width
            total += _synaptic(arriving / n_samples, layer.synapses, sums, width)
            if layer.recurrent is not None:
                # The first step of an inference has no step before it.
                before = spikes[:, :-1].sum(axis=(0, 1))
                total += _synaptic(
                    before / n_samples, (layer.recurrent != 0).astype(np.int64), sums, width
                )
            updated = sum(map(width_of, (*ranges.integrated, *ranges.synaptic)))
            stored = sum(map(width_of, (*ranges.membrane, *ranges.synaptic)))
            total += Operations(
                updates=float(layer.n_neurons * network.n_steps),
                update_bits=float(updated * network.n_steps),
                membrane_bits=2.0 * stored * network.n_steps,
            )
            arriving = spikes.sum(axis=(0, 1)).astype(np.float64)
    return total


def _readout(network: FixedPointNetwork, trace: SpikeTrace, n_samples: int) -> Operations:
    """Synaptic operations of the readout: of the features that it weighs, as its mode says."""
    if network.reads_membranes:
        return Operations()
    last = [layers[-1] for layers in trace.layers]
    spikes = np.concatenate([layer.spikes for layer in last], axis=2)
    if network.readout_mode is ReadoutMode.LAST:
        features = spikes[:, -1].sum(axis=0)
    elif network.readout_mode is ReadoutMode.SIGN:
        membranes = np.concatenate([layer.membranes for layer in last], axis=2)
        features = (membranes[:, -1] >= 0).sum(axis=0)
    else:
        features = spikes.sum(axis=(0, 1))
    widths = np.array([width_of(interval) for interval in network.score_ranges])
    bits = network.readout_format.width
    synapses = (network.readout_weights != 0).astype(np.int64)
    return _synaptic(features / n_samples, synapses, widths, bits)


def _bits(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Bits that are 1 of each input, over all samples and steps."""
    ones = np.unpackbits(np.ascontiguousarray(inputs)[..., None], axis=-1).sum(axis=-1)
    return np.asarray(ones.sum(axis=(0, 1)), dtype=np.float64)


def _synaptic(
    arriving: npt.NDArray[np.float64],
    synapses: IntArray | IntegerConvolution,
    sums: IntArray,
    width: int,
) -> Operations:
    """Additions along synapses, shape (sources, targets), of what arrives at each source."""
    per_target = arriving @ synapses
    count = float(per_target.sum())
    return Operations(
        synaptic=count,
        synaptic_bits=float(per_target @ sums),
        weight_bits=count * width,
    )


@dataclass(frozen=True, kw_only=True)
class EnergyRange:
    """An energy that is known to lie between two values, in joules."""

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
            synapses = layer.stored.size
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
