"""The record of a run: what the monitors saw, whichever of them did, before anyone judges it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from convexon.store.codec import Codec
from convexon.store.untrusted import Count, Payload


def begin_of(sample: int, n_steps: int, begins: list[int] | None, n_seen: int) -> int:
    """Return the steps that a layer took before ``sample``.

    Parameters
    ----------
    sample, n_steps : the sample, and the steps of a whole inference
    begins : where inferences may end early: the steps, from 0, that begin one
    n_seen : steps that the layer took in all
    """
    if begins is None:
        return sample * n_steps
    return begins[sample] if sample < len(begins) else n_seen


@dataclass(kw_only=True)
class LayerRecord:
    """What one layer did.

    Members
    -------
    spikes : uint8 array, shape (steps, neurons)
    membranes : int64 array, shape (steps, neurons)
    begins : as in `begin_of`
    """

    branch: Count
    layer: Count
    spikes: npt.NDArray[np.uint8]
    membranes: npt.NDArray[np.int64]
    begins: list[int] | None = None

    @property
    def name(self) -> str:
        """What messages call the layer."""
        return f"branch {self.branch} layer {self.layer}"

    def steps_before(self, sample: int, n_steps: int) -> int:
        """Return the steps before ``sample``."""
        return begin_of(sample, n_steps, self.begins, len(self.spikes))


@dataclass(kw_only=True)
class Record:
    """What one run showed.

    Members
    -------
    layers : in the order of the probes in ports.json
    taken_at, given_at : clocks that took a transfer, and that handed over a result
    results : payloads of the results
    clocks : clocks simulated
    failure : what kept the run from its end, if anything did
    """

    layers: list[LayerRecord] = field(default_factory=list)
    taken_at: list[int] = field(default_factory=list)
    given_at: list[int] = field(default_factory=list)
    results: list[Payload] = field(default_factory=list)
    clocks: int = 0
    failure: str | None = None


SEEN: Codec[tuple[Record, ...]] = Codec(tuple[Record, ...], "convexon.records", 1)
"""File form of the records of all jobs."""
