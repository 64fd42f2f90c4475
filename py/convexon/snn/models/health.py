"""What is dead in a network: inputs that never spike, and layers without information."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from convexon.snn.models.simulate import run
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Feature

_NAMED = 8
"""Most places that one line names."""


def notices(network: FixedPointNetwork, inputs: npt.NDArray[np.uint8]) -> list[str]:
    """Say what a set of samples leaves unused, a line each; nothing where all is alive.

    Parameters
    ----------
    inputs : uint8 array, shape (samples, steps, inputs)
    """
    lines = []
    never = np.flatnonzero(~inputs.any(axis=(0, 1)))
    if len(never):
        lines.append(f"{len(never)} of {network.n_inputs} inputs never spike: {_listed(never)}")
    flat = inputs.reshape(-1, network.n_inputs)
    same = np.flatnonzero((flat == flat[:1]).all(axis=0) & flat[0].astype(bool))
    if len(same):
        lines.append(f"{len(same)} of {network.n_inputs} inputs never change: {_listed(same)}")
    if network.interface is not None and network.interface.constant_features:
        constant = network.interface.constant_features
        lines.append(f"{len(constant)} features were constant in training: {_listed(constant)}")
    for branch, depth, trace in run(network, inputs).flat_layers():
        if network.feature(branch, depth) is Feature.MEMBRANE:
            continue
        rate = trace.spikes.mean(axis=(0, 1))
        for told, share in (("is silent", 0.0), ("always fires", 1.0)):
            if (rate == share).all():
                lines.append(f"layer {depth} of branch {branch} {told}: it tells nothing apart")
    return lines


def _listed(places: Iterable[int]) -> str:
    """Numbers, cut where there are many."""
    all_places = [str(int(place)) for place in places]
    told = ", ".join(all_places[:_NAMED])
    return told if len(all_places) <= _NAMED else f"{told}, ..."
