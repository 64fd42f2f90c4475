"""Surrogate-gradient training on the integer grid, in torch (the extra ``convexon[torch]``).

The forward pass is the neuron of `convexon.neuron`, bit for bit; only the gradient is a surrogate.
Trained networks are therefore networks of `convexon.network` as they are: baselines, witnesses for
the convex program, fine-tuned solutions of it, and pricing by ascent.

Raises
------
MissingToolError
    On import, if torch is not installed.
"""

from convexon.errors import MissingToolError

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise MissingToolError("torch is not installed: pip install 'convexon[torch]'") from None

from convexon.surrogate.ascent import Ascent, AscentPlan, ascend
from convexon.surrogate.grid import WeightGrid
from convexon.surrogate.hybrid import fine_tune, surrogate_baseline, surrogate_witnesses
from convexon.surrogate.layer import SpikingLayer, Surrogate, SurrogateShape
from convexon.surrogate.model import (
    LayerPlan,
    SpikingBranch,
    SpikingNetwork,
    drawn_network,
    network_from,
)
from convexon.surrogate.train import Decay, Epoch, Training, TrainingPlan, accuracy, train, tuned

__all__ = [
    "Ascent",
    "AscentPlan",
    "Decay",
    "Epoch",
    "LayerPlan",
    "SpikingBranch",
    "SpikingLayer",
    "SpikingNetwork",
    "Surrogate",
    "SurrogateShape",
    "Training",
    "TrainingPlan",
    "WeightGrid",
    "accuracy",
    "ascend",
    "drawn_network",
    "fine_tune",
    "network_from",
    "surrogate_baseline",
    "surrogate_witnesses",
    "train",
    "tuned",
]
