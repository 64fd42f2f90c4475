"""Branches and networks of `SpikingLayer`, from integers and back to integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError, require_positive
from convexon.snn.fixed import Interval
from convexon.snn.network import Branch, Network
from convexon.snn.neuron import ReadoutMode
from convexon.train.surrogate.grid import WeightGrid
from convexon.train.surrogate.layer import Drive, SpikingLayer, spikes_of
from convexon.train.witnesses.witness import WitnessFamily, draw_branch

EVALUATION_ENTRIES = 1 << 22
"""Entries of inputs, columns or features that an exact evaluation holds at once."""


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """A layer to be trained: ``n_neurons`` that are drawn from a witness family, and stay in it.

    Of the family, leak, reset and alphabet hold throughout; fan-in and lateral connections are
    limits.
    """

    n_neurons: int
    family: WitnessFamily

    def __post_init__(self) -> None:
        require_positive(n_neurons=self.n_neurons)


class SpikingBranch(nn.Module):
    """A stack of `SpikingLayer` that starts from ``branch``, with one grid a layer.

    ``drive`` is what the first layer is fed.
    """

    def __init__(
        self,
        branch: Branch,
        *,
        grids: Sequence[WeightGrid],
        drive: Drive,
        keep_formats: bool,
    ) -> None:
        super().__init__()
        layers = []
        for layer, grid in zip(branch.layers, grids, strict=True):
            layers.append(SpikingLayer(layer, grid=grid, drive=drive, keep_formats=keep_formats))
            drive = Drive(inputs=Interval(0, 1), n_steps=drive.n_steps)
        self.layers = cast(Sequence[SpikingLayer], nn.ModuleList(layers))
        self.n_outputs = branch.n_outputs

    def forward(self, inputs: Tensor, mode: ReadoutMode) -> Tensor:
        """What the readout weighs, (samples, readouts, neurons), as the integer models have it.

        ``inputs`` have shape (samples, steps, n_inputs).
        """
        if mode in (ReadoutMode.LAST, ReadoutMode.SIGN) and all(
            layer.memoryless for layer in self.layers
        ):
            inputs = inputs[:, -1:]  # without memory the last step depends on no other
        spikes, membranes = self.traces(inputs)[-1]
        if mode is ReadoutMode.LAST:
            return spikes[:, -1:]
        if mode is ReadoutMode.SIGN:
            return spikes_of(membranes[:, -1:])
        if mode is ReadoutMode.COUNT:
            return spikes.sum(dim=1, keepdim=True)
        if mode is ReadoutMode.MEMBRANE:
            return membranes[:, -1:]
        if mode is ReadoutMode.PEAK:
            return membranes.amax(dim=1, keepdim=True)
        return spikes

    def traces(self, inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Spikes and membranes of every layer, each (samples, steps, neurons)."""
        traces = []
        signal = inputs
        for layer in self.layers:
            traces.append(layer(signal))
            signal = traces[-1][0]
        return traces

    def to_branch(self) -> Branch:
        """Return the integer branch that `forward` computes now."""
        return Branch(tuple(layer.to_layer() for layer in self.layers))


class SpikingNetwork(nn.Module):
    """Parallel branches under one linear readout in floats, on the CPU or wherever it is moved.

    Readout weights have shape (n_features, n_classes), biases (n_classes,).
    """

    def __init__(
        self,
        branches: Sequence[SpikingBranch],
        readout_weights: npt.NDArray[np.float64],
        readout_biases: npt.NDArray[np.float64],
        mode: ReadoutMode,
    ) -> None:
        super().__init__()
        self.branches = cast(Sequence[SpikingBranch], nn.ModuleList(branches))
        self.readout_weights = nn.Parameter(torch.tensor(readout_weights.T))
        self.readout_biases = nn.Parameter(torch.tensor(readout_biases))
        self.mode = mode
        layers = [layer for branch in branches for layer in branch.layers]
        wide = any(layer.exact_dtype is torch.float64 for layer in layers)
        self.to(torch.float64 if wide else torch.float32)

    @property
    def spiking_layers(self) -> list[SpikingLayer]:
        """The layers of all branches."""
        return [layer for branch in self.branches for layer in branch.layers]

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores (samples, readouts, classes) of ``inputs`` (samples, steps, n_inputs).

        There are at least two: a single one becomes (0, score). ``inputs`` may be integers.
        """
        floats = inputs.to(self.readout_weights.dtype)
        features = torch.cat([branch(floats, self.mode) for branch in self.branches], dim=2)
        scores = nn.functional.linear(features, self.readout_weights, self.readout_biases)
        if scores.shape[-1] == 1:
            return torch.cat([torch.zeros_like(scores), scores], dim=-1)
        return scores

    def to_network(self, *, n_steps: int, input_bits: int) -> Network:
        """Return the network that `forward` computes now."""
        return Network(
            branches=tuple(branch.to_branch() for branch in self.branches),
            n_steps=n_steps,
            input_bits=input_bits,
            readout_mode=self.mode,
            readout_weights=self.readout_weights.detach().cpu().numpy().astype(np.float64).T,
            readout_biases=self.readout_biases.detach().cpu().numpy().astype(np.float64),
        )


def drawn_network(
    stacks: Sequence[Sequence[LayerPlan]],
    dataset: SpikeDataset,
    *,
    mode: ReadoutMode,
    generator: np.random.Generator,
) -> SpikingNetwork:
    """Draw a network of one branch a stack, alive on ``dataset``, with a readout of zeros.

    Raises `InputError` if there is no stack, or an empty one, and as
    `convexon.train.witnesses.witness.draw_branch`.
    """
    if not stacks or not all(stacks):
        raise InputError("stacks must hold at least one branch, and each at least one layer")
    drive = Drive(inputs=dataset.input_range, n_steps=dataset.n_steps)
    branches = [
        SpikingBranch(
            draw_branch(
                [layer.family for layer in stack],
                dataset,
                widths=[layer.n_neurons for layer in stack],
                generator=generator,
            ),
            grids=[WeightGrid.of_family(layer.family) for layer in stack],
            drive=drive,
            keep_formats=False,
        )
        for stack in stacks
    ]
    n_features = sum(branch.n_outputs for branch in branches)
    return SpikingNetwork(
        branches, np.zeros((n_features, dataset.n_classes)), np.zeros(dataset.n_classes), mode
    )


def network_from(network: Network) -> SpikingNetwork:
    """Return the torch form of ``network``: the same integers, and the same readout.

    Each layer's weights stay in its format and its fan-in.
    """
    drive = Drive(inputs=network.input_range, n_steps=network.n_steps)
    branches = [
        SpikingBranch(
            branch,
            grids=[WeightGrid.holding(layer) for layer in branch.layers],
            drive=drive,
            keep_formats=True,
        )
        for branch in network.branches
    ]
    return SpikingNetwork(
        branches, network.readout_weights, network.readout_biases, network.readout_mode
    )
