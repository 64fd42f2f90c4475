"""A network of integers, as its users hold it: raw samples in, class names out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.interop.arrays import network_of_arrays
from convexon.snn.card import CARD
from convexon.snn.interface import Interface
from convexon.snn.models.simulate import run
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import load as load_artefact
from convexon.store.artefact import save

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network whose card knows how raw samples come in and what its classes are called.

    Members
    -------
    card : the integers: what models, hardware and benches share
    """

    card: FixedPointNetwork

    @classmethod
    def from_arrays(cls, **arrays: Any) -> Network:
        """Return the network of integers that were trained elsewhere.

        Parameters and errors are those of `convexon.interop.arrays.network_of_arrays`: ``weights``,
        ``thresholds`` and ``n_steps``, and what is not the default.
        """
        return cls(network_of_arrays(**arrays))

    @property
    def interface(self) -> Interface:
        """How raw samples come in; raises `InputError` where the card does not say."""
        if self.card.interface is None:
            raise InputError(
                "the network takes encoded steps: its card does not say how raw samples are encoded"
            )
        return self.card.interface

    @property
    def classes(self) -> tuple[Any, ...]:
        """Names of the classes, in the order of the scores."""
        return self.interface.classes

    def scores(self, samples: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the scores of raw samples in real units, shape (samples, classes).

        A network with a single score decides between 0 and that score.

        Raises
        ------
        InputError
            If the samples do not fit the network's interface.
        """
        found = run(self.card, self.card.encode(samples)).scores[:, -1]
        if found.shape[1] == 1:
            found = np.concatenate([np.zeros_like(found), found], axis=1)
        return np.ldexp(found.astype(np.float64), -self.card.readout_format.frac)

    def predict(self, samples: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the class of each raw sample, by its name; raises as `scores`."""
        return self.interface.named(run(self.card, self.card.encode(samples)).labels[:, -1])

    def trace(self, samples: npt.ArrayLike) -> Trace:
        """Return everything that the network does on raw samples; raises as `scores`."""
        inputs = self.card.encode(samples)
        return Trace(inputs, run(self.card, inputs))

    def save(self, path: str | Path) -> None:
        """Write the silicon card; raises `ArtefactError` if the file cannot be written."""
        save(CARD, self.card, Path(path))

    def __repr__(self) -> str:
        card = self.card
        return (
            f"Network({card.n_inputs} inputs, {card.n_steps} steps, {card.n_neurons} neurons, "
            f"{card.n_synapses} synapses, {max(2, card.n_classes)} classes)"
        )


@dataclass(frozen=True, eq=False)
class Trace:
    """What a network did on samples.

    Members
    -------
    inputs : uint8 array, shape (samples, steps, inputs)
    trace : spikes and membranes of every layer, scores and labels
    """

    inputs: npt.NDArray[np.uint8]
    trace: SpikeTrace

    def plot(self, sample: int = 0) -> go.Figure:
        """Return the spike raster of one sample: inputs, then each layer, over the steps."""
        import plotly.graph_objects as go

        if not 0 <= sample < len(self.inputs):
            raise InputError(f"sample must be 0 to {len(self.inputs) - 1}, not {sample!r}")
        groups = [("inputs", self.inputs[sample] > 0)]
        for branch, depth, layer in self.trace.flat_layers():
            groups.append((f"branch {branch}, layer {depth}", layer.spikes[sample] > 0))
        figure = go.Figure()
        offset = 0
        for name, spikes in groups:
            step, neuron = np.nonzero(spikes)
            mode = {"mode": "markers", "marker": {"symbol": "line-ns-open", "size": 6}}
            figure.add_trace(go.Scatter(x=step, y=neuron + offset, name=name, **mode))
            offset += spikes.shape[1]
        figure.update_layout(xaxis_title="step", yaxis_title="input or neuron")
        return figure


def load(path: str | Path) -> Network:
    """Read a silicon card.

    Raises
    ------
    ArtefactError
        If the file is missing, damaged, or of another version of the card.
    """
    return Network(load_artefact(CARD, Path(path))[0])
