"""Operations of an inference, counted from the spikes that it has: no technology, no mapping.

Papers on spiking networks state these counts, as they do not depend on who built what. They are
what an implementation does at least if it works on events: a synapse without a spike costs nothing,
a membrane is updated at every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.snn.fixed import width_of
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.snn.trace import SpikeTrace

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Mean counts of an inference.

    Members
    -------
    synaptic : float
        Additions of one weight that is not 0: for each spike, and each bit of an intensity that is
        1, one for each of its synapses, recurrent ones and those of the readout included.
    synaptic_bits : float
        The same, each times the bits of the sum that it is added to.
    updates : float
        Updates of a membrane: neurons times steps.
    update_bits : float
        The same, each times the bits of the sum before the reset.
    weight_bits : float
        Bits of weights that are read: those of every synaptic operation.
    membrane_bits : float
        Bits of membranes that are read and written: two for each bit of every update.
    """

    synaptic: float
    synaptic_bits: float
    updates: float
    update_bits: float
    weight_bits: float
    membrane_bits: float

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            **{name: value + getattr(other, name) for name, value in vars(self).items()}
        )


NOTHING = Operations(
    synaptic=0.0,
    synaptic_bits=0.0,
    updates=0.0,
    update_bits=0.0,
    weight_bits=0.0,
    membrane_bits=0.0,
)


def operations_of(
    network: FixedPointNetwork, inputs: npt.NDArray[np.uint8], trace: SpikeTrace
) -> Operations:
    """Count the operations of the samples of a trace.

    Parameters
    ----------
    network : FixedPointNetwork
    inputs : uint8 array, shape (samples, steps, inputs)
    trace : SpikeTrace
        Of ``inputs``, all T steps.

    Raises
    ------
    InputError
        If the inputs are not the network's.
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
            total += _synaptic(arriving / n_samples, layer.weights, sums, width)
            if layer.recurrent is not None:
                # The first step of an inference has no step before it.
                before = spikes[:, :-1].sum(axis=(0, 1))
                total += _synaptic(before / n_samples, layer.recurrent, sums, width)
            updated = sum(width_of(interval) for interval in ranges.integrated)
            stored = sum(width_of(interval) for interval in ranges.membrane)
            total += Operations(
                synaptic=0.0,
                synaptic_bits=0.0,
                updates=float(layer.n_neurons * network.n_steps),
                update_bits=float(updated * network.n_steps),
                weight_bits=0.0,
                membrane_bits=2.0 * stored * network.n_steps,
            )
            arriving = spikes.sum(axis=(0, 1)).astype(np.float64)
    return total


def _readout(network: FixedPointNetwork, trace: SpikeTrace, n_samples: int) -> Operations:
    """Synaptic operations of the readout: of the features that it reads, as its mode says."""
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
    return _synaptic(features / n_samples, network.readout_weights, widths, bits)


def _bits(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Bits that are 1 of each input, over all samples and steps."""
    ones = np.unpackbits(np.ascontiguousarray(inputs)[..., None], axis=-1).sum(axis=-1)
    return np.asarray(ones.sum(axis=(0, 1)), dtype=np.float64)


def _synaptic(
    arriving: npt.NDArray[np.float64], weights: IntArray, sums: IntArray, width: int
) -> Operations:
    """Additions of the weights, shape (sources, targets), of what arrives at each source."""
    per_target = arriving @ (weights != 0)
    count = float(per_target.sum())
    return Operations(
        synaptic=count,
        synaptic_bits=float(per_target @ sums),
        updates=0.0,
        update_bits=0.0,
        weight_bits=count * width,
        membrane_bits=0.0,
    )
