"""Surrogate-gradient training on the integer grid, in torch (the extra ``convexon[torch]``).

The forward pass is the neuron of `convexon.snn.neuron`, bit for bit; only the gradient is a
surrogate. Trained networks are therefore integer networks as they are: baselines, witnesses for the
convex program, fine-tuned solutions of it, and pricing by ascent. Import raises `MissingToolError`
if torch is not installed.
"""

from convexon.errors import MissingToolError

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise MissingToolError("torch is not installed: pip install 'convexon[torch]'") from None
