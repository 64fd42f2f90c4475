"""Networks that were trained elsewhere: from a NIR file or a PyTorch module to integers."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from convexon.api.network import Network
from convexon.certify.certificate import Certificate
from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.flow.network.readout import with_readout
from convexon.flow.network.solve import Solved
from convexon.flow.run import Keeper
from convexon.interop import nir, nir_export
from convexon.interop.pytorch import modules
from convexon.quantizer.hidden import LayerChange
from convexon.quantizer.settings import HiddenSettings, InputSettings
from convexon.quantizer.trained import (
    Choice,
    Comparison,
    Trained,
    quantize_trained,
    search_bits,
)
from convexon.report.quantization import front_drawing
from convexon.report.svg import alone
from convexon.settings import choice, settings_of
from convexon.snn.models.real import RealNetwork
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import READINGS
from convexon.store.artefact import atomic_write

if TYPE_CHECKING:
    import nir as nir_package
    import torch


def from_nir(
    graph: str | Path | nir_package.NIRGraph,
    *,
    profile: str = nir.DEFAULT_PROFILE,
    dt: float | None = None,
    integrators: str = READINGS[0],
) -> RealNetwork:
    """Read a NIR graph, or the file of one; `convexon.interop.nir.from_nir` states the rest."""
    if isinstance(graph, str | Path):
        return nir.read_nir(Path(graph), profile=profile, dt=dt, integrators=integrators)
    return nir.from_nir(graph, profile=profile, dt=dt, integrators=integrators)


def to_nir(
    network: Network | RealNetwork | FixedPointNetwork,
    path: str | Path,
    *,
    profile: str = nir.DEFAULT_PROFILE,
    dt: float | None = None,
    leak: str = "exact",
) -> Path:
    """Write a network as a NIR graph, as `convexon.interop.nir_export.to_nir` states it.

    Raises
    ------
    InputError
        If the profile cannot say what a layer does; it names both.
    ArtefactError
        If the file cannot be written.
    """
    inner = network.card if isinstance(network, Network) else network
    chosen = choice(nir_export.LeakExport, leak, "leak")
    return nir_export.write_nir(inner, Path(path), profile=profile, dt=dt, leak=chosen)


def from_torch(
    model: torch.nn.Module, sample: Any, *, integrators: str = READINGS[0]
) -> RealNetwork:
    """Read a PyTorch module; `convexon.interop.pytorch.modules` states what can be read."""
    return modules.from_torch(model, sample, integrators=integrators)


class BitWidths(tuple[Choice, ...]):
    """Bits of the layers that no others beat, most first; as text, a line each."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def plot(self, path: str | Path) -> Path:
        """Write the front as SVG, and return its path.

        Raises
        ------
        InputError
            If the front is empty.
        ArtefactError
            If the file cannot be written.
        """
        if not self:
            raise InputError("front must have a point to be drawn: search bits with most_lost")
        atomic_write(Path(path), alone(front_drawing(self)).encode())
        return Path(path)


class Quantization:
    """A trained network as integers, and what that changed.

    Members
    -------
    network : Network
        The integers, from which `cx.compile` goes on.
    real : RealNetwork
        What was trained.
    layers : tuple of LayerChange
        Disagreement of spikes by layer and step, before and after; clipped weights; silent neurons.
    notes : tuple of str
        What has no exact counterpart.
    calibration : Comparison
        Both networks on the calibration samples.
    front : BitWidths
        What a search of bits found, where ``most_lost`` asked for one.
    certificate : Certificate or None
        Of the readout, where ``readout="solve"`` had it solved for the quantized spikes.
    """

    def __init__(self, trained: Trained, solved: Solved | None = None) -> None:
        self._trained = trained
        self.network = Network(trained.card)
        self.real: RealNetwork = trained.real
        self.layers: tuple[LayerChange, ...] = trained.quantized.layers
        self.notes: tuple[str, ...] = trained.quantized.notes
        self.calibration: Comparison = trained.calibration
        self.front = BitWidths(trained.front)
        self.certificate: Certificate | None = None if solved is None else solved.certificate.value

    def compare(self, samples: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Comparison:
        """Return how real and integer network do on other raw samples.

        Raises
        ------
        InputError
            If the samples do not fit the network.
        """
        return self._trained.compare(Samples.of(samples, labels))

    def __str__(self) -> str:
        return "\n".join(self._trained.lines())


def quantize(
    network: RealNetwork,
    *,
    calibrate: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    **settings: Any,
) -> Quantization:
    """Round a trained network to integers of few bits, so that its spikes stay.

    Parameters
    ----------
    network : RealNetwork
        From `from_nir` or `from_torch`.
    calibrate : array, shape (samples, ...)
        Raw samples such as it was trained on: spikes or values, step by step, or values that come
        in at every step.
    labels : array, shape (samples,), optional
        They name the classes, and tell accuracies.
    settings
        Members of `convexon.quantizer.settings.HiddenSettings` (``bits=4``) and
        `InputSettings` there (``steps=10``). ``readout="solve"`` solves the readout anew for the
        quantized spikes; ``most_lost=0.01`` takes bits away within that loss of accuracy.

    Raises
    ------
    InputError
        If samples do not fit, or a layer has no counterpart in the neuron's contract.
    """
    hidden, inputs = _settings(settings)
    samples = Samples.of(calibrate, labels)
    trained = quantize_trained(network, samples, settings=hidden, inputs=inputs)
    return Quantization(*with_readout(Keeper(), trained, samples, hidden))


def bit_widths(
    network: RealNetwork,
    *,
    calibrate: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    most_lost: float = 0.01,
    **settings: Any,
) -> BitWidths:
    """Search the bits of each layer; as `quantize`, and `search_bits` states how."""
    hidden, inputs = _settings(settings)
    samples = Samples.of(calibrate, labels)
    found = search_bits(network, samples, most_lost=most_lost, settings=hidden, inputs=inputs)
    return BitWidths(found)


def _settings(given: dict[str, Any]) -> tuple[HiddenSettings, InputSettings]:
    hidden, inputs = (
        {each.name for each in settings_of(kind)} for kind in (HiddenSettings, InputSettings)
    )
    known = sorted(hidden | inputs)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            told = f"did you mean {near[0]}?" if near else f"choose of {', '.join(known)}"
            raise InputError(f"{name} is no setting: {told}")
    return (
        HiddenSettings(**{name: value for name, value in given.items() if name in hidden}),
        InputSettings(**{name: value for name, value in given.items() if name in inputs}),
    )
