"""Where the spikes of two traces part for the first time, and what led there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.snn.models.trace import SpikeTrace, differences, require_one_shape


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first neuron and step at which spikes differ, with the steps of the sample until then.

    Samples, steps, branches, layers and neurons count from 0.

    Members
    -------
    expected_spikes, actual_spikes : spikes of the neuron in steps 0 to ``step`` of the sample
    expected_membranes, actual_membranes : its membranes after the reset of these steps
    """

    sample: int
    step: int
    branch: int
    layer: int
    neuron: int
    expected_spikes: tuple[int, ...]
    actual_spikes: tuple[int, ...]
    expected_membranes: tuple[int, ...]
    actual_membranes: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"spike at sample {self.sample}, step {self.step}, branch {self.branch}, "
            f"layer {self.layer}, neuron {self.neuron}: expected {self.expected_spikes[-1]}, "
            f"got {self.actual_spikes[-1]}"
        )

    @property
    def history(self) -> Iterator[str]:
        """One line a step: membranes and spikes on both sides, and a mark where they differ."""
        columns = zip(
            self.expected_membranes,
            self.expected_spikes,
            self.actual_membranes,
            self.actual_spikes,
            strict=True,
        )
        for step, (v, s, actual_v, actual_s) in enumerate(columns):
            mark = "" if (v, s) == (actual_v, actual_s) else "  differs"
            yield (
                f"step {step}: expected membrane {v} spike {s}, "
                f"got membrane {actual_v} spike {actual_s}{mark}"
            )


def first_divergence(expected: SpikeTrace, actual: SpikeTrace) -> Divergence | None:
    """Return the spike that differs first in time, nearest to the input; None if none differs.

    Raises
    ------
    InputError
        If the traces are not of the same shape.
    """
    require_one_shape(expected, actual)
    found = []
    pairs = zip(expected.flat_layers(), actual.flat_layers(), strict=True)
    for (branch, layer, want), (_, _, have) in pairs:
        places = np.argwhere(differences(want.spikes, have.spikes, actual.steps))
        if len(places):
            sample, step, neuron = (int(i) for i in places[0])  # in row-major order
            found.append((sample, step, layer, branch, neuron))
    if not found:
        return None
    sample, step, layer, branch, neuron = min(found)
    want, have = expected.layers[branch][layer], actual.layers[branch][layer]

    def until(values: npt.NDArray[np.integer]) -> tuple[int, ...]:
        return tuple(values[sample, : step + 1, neuron].tolist())

    return Divergence(
        sample=sample,
        step=step,
        branch=branch,
        layer=layer,
        neuron=neuron,
        expected_spikes=until(want.spikes),
        actual_spikes=until(have.spikes),
        expected_membranes=until(want.membranes),
        actual_membranes=until(have.membranes),
    )
