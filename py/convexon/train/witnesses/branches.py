"""File form of branches, and of a network with a real readout."""

from __future__ import annotations

from convexon.snn.network import Branch, Network
from convexon.store.codec import Codec

Branches = tuple[Branch, ...]

BRANCHES: Codec[Branches] = Codec(Branches, "convexon.branches", 2, made_by="convexon solve")
"""File form of a tuple of branches."""

NETWORK: Codec[Network] = Codec(Network, "convexon.network", 2, made_by="convexon solve")
"""File form of a `Network`."""
