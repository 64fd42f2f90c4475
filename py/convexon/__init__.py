"""Convexon: spiking networks from a convex program to an FPGA, with proof at every step.

>>> import convexon as cx
>>> clf = cx.SpikingClassifier(steps=8).fit(X_train, y_train)
>>> accelerator = cx.compile(clf.network_, target="icebreaker")

What stands behind these names is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from convexon.version import __version__

_DOOR = {
    "SpikingClassifier": "convexon.api.estimator",
    "Network": "convexon.api.network",
    "Leak": "convexon.snn.neuron",
    "LeakRounding": "convexon.snn.neuron",
    "Convolution": "convexon.snn.convolution",
    "Windows": "convexon.snn.convolution",
    "load": "convexon.api.network",
    "Accelerator": "convexon.api.accelerator",
    "compile": "convexon.api.accelerator",
    "Run": "convexon.api.run",
    "explore": "convexon.api.explore",
    "from_nir": "convexon.api.trained",
    "from_torch": "convexon.api.trained",
    "quantize": "convexon.api.trained",
    "to_nir": "convexon.api.trained",
    "bit_widths": "convexon.api.trained",
    "SolveSettings": "convexon.train.settings",
    "Registry": "convexon.registry",
    "ConvexonError": "convexon.errors",
}

__all__ = [
    "Accelerator",
    "ConvexonError",
    "Convolution",
    "Leak",
    "LeakRounding",
    "Network",
    "Registry",
    "Run",
    "SolveSettings",
    "SpikingClassifier",
    "Windows",
    "__version__",
    "bit_widths",
    "compile",
    "explore",
    "from_nir",
    "from_torch",
    "load",
    "quantize",
    "to_nir",
]

if TYPE_CHECKING:
    from convexon.api.accelerator import Accelerator, compile
    from convexon.api.estimator import SpikingClassifier
    from convexon.api.explore import explore
    from convexon.api.network import Network, load
    from convexon.api.run import Run
    from convexon.api.trained import bit_widths, from_nir, from_torch, quantize, to_nir
    from convexon.errors import ConvexonError
    from convexon.registry import Registry
    from convexon.snn.convolution import Convolution, Windows
    from convexon.snn.neuron import Leak, LeakRounding
    from convexon.train.settings import SolveSettings


def __getattr__(name: str) -> object:
    """Import a name of the front door."""
    if name not in _DOOR:
        raise AttributeError(f"convexon has no {name!r}; it has {', '.join(sorted(_DOOR))}")
    found: object = getattr(importlib.import_module(_DOOR[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})
