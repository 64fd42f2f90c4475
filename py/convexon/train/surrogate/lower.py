"""Fixed layers below the trained ones: simulated once, and put back under the result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.network import Branch, Layer, Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.dictionary import patterns


def lifted(
    dataset: SpikeDataset, lower: Branch | None, *, mode: ReadoutMode, memoryless: bool
) -> SpikeDataset:
    """Return ``dataset`` as layers above ``lower`` see it.

    Where these are ``memoryless`` and the readout looks at the last step, they see that step alone.

    Raises
    ------
    InputError
        If the inputs of ``lower`` are not those of the data set.
    """
    last_only = memoryless and mode in (ReadoutMode.LAST, ReadoutMode.SIGN)
    if lower is None:
        return replace(dataset, inputs=dataset.inputs[:, -1:]) if last_only else dataset
    if lower.n_inputs != dataset.n_inputs:
        raise InputError(
            f"lower must have the {dataset.n_inputs} inputs of the data set, not {lower.n_inputs}"
        )
    readout = ReadoutMode.LAST if last_only else ReadoutMode.STEP
    seen = patterns([lower], dataset, readout).reshape(dataset.n_samples, -1, lower.n_outputs)
    return replace(dataset, inputs=seen, input_bits=1)


def stacked(network: Network, lower: Branch | None, dataset: SpikeDataset) -> Network:
    """Return ``network``, trained on what `lifted` made of ``dataset``, on top of ``lower``."""
    below = () if lower is None else lower.layers
    return replace(
        network,
        branches=tuple(Branch((*below, *branch.layers)) for branch in network.branches),
        n_steps=dataset.n_steps,
        input_bits=dataset.input_bits,
    )


def split(network: Network, depth: int) -> tuple[Branch | None, Network]:
    """Split off the first ``depth`` layers, which all branches must share.

    Returns them, None for no layer, and the network of the layers above, whose ``n_steps`` is
    still that of the whole.

    Raises
    ------
    InputError
        If a branch has no layer above them, or the branches do not share them.
    """
    shallowest = min(branch.depth for branch in network.branches)
    if not 0 <= depth < shallowest:
        raise InputError(f"fixed_layers must be 0 to {shallowest - 1}, not {depth!r}")
    if not depth:
        return None, network
    lower = network.branches[0].layers[:depth]
    for branch in network.branches[1:]:
        if not all(map(_same, lower, branch.layers[:depth])):
            raise InputError(
                f"branches must share their first {depth} layers to have them fixed: keep those "
                "unpruned"
            )
    upper = tuple(Branch(branch.layers[depth:]) for branch in network.branches)
    return Branch(lower), replace(network, branches=upper, input_bits=1)


def _same(one: Layer, other: Layer) -> bool:
    """Whether two layers compute the same."""
    arrays = ("weights", "thresholds", "biases", "recurrent")
    rest = ("leak", "reset", "saturation")
    return all(np.array_equal(getattr(one, a), getattr(other, a)) for a in arrays) and all(
        getattr(one, r) == getattr(other, r) for r in rest
    )
