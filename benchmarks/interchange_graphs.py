"""Record what Norse makes of graphs that the NIR paper published.

    CONVEXON_DATA=FOLDER python benchmarks/interchange_graphs.py [NAME ...]

It runs where Norse is installed, reads the graphs in nir of that folder, and writes
build/interchange/NAME.npz: samples, and what Norse's own reading of the graph makes of the first of
them, in float64. Samples of Braille come with no package: *braille* reads random spikes, and
nothing is said of its accuracy. *cnn-sinabs* was trained on N-MNIST, and reads events of other
digits that move in the same way.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nir
import norse.torch
import numpy as np
import torch
from interchange_data import saccades

FOLDER = Path(__file__).parent.parent / "build" / "interchange"
GRAPHS = {"braille": "braille_noDelay_bias_zero.nir", "cnn-sinabs": "cnn_sinabs.nir"}
TEST, OTHERS = 200, 50
"""Samples whose spikes are recorded, and others."""

STEPS, INPUTS, SHARE = 128, 12, 0.3
"""Of random spikes."""


def samples_of(name: str) -> dict[str, np.ndarray]:
    """Samples, and their labels where they have any."""
    if name == "braille":
        shape = (TEST + OTHERS, STEPS, INPUTS)
        return {"inputs": (np.random.default_rng(0).random(shape) < SHARE).astype(np.uint8)}
    events, labels = saccades(TEST + OTHERS)
    return {"inputs": events, "labels": labels}


def main(name: str) -> None:
    """Record one graph."""
    graph = nir.read(Path(os.environ["CONVEXON_DATA"]) / "nir" / GRAPHS[name])
    for node in graph.nodes.values():
        if isinstance(node, nir.Flatten):
            node.start_dim += 1  # NIR counts no axis of samples, which Norse flattens
    arrays = samples_of(name)
    x = torch.from_numpy(arrays["inputs"][:TEST]).double()
    model, state = norse.torch.from_nir(graph, dt=1e-4).double(), None
    out = []
    with torch.no_grad():
        for t in range(x.shape[1]):
            spikes, state = model(x[:, t]) if state is None else model(x[:, t], state)
            out.append(spikes)
    found = torch.stack(out, 1).numpy().astype(np.uint8)
    print(f"{name}: {found.mean():.3f} spikes a neuron and step")
    FOLDER.mkdir(parents=True, exist_ok=True)
    inputs = arrays["inputs"].reshape(*arrays["inputs"].shape[:2], -1)
    np.savez_compressed(FOLDER / f"{name}.npz", **{**arrays, "inputs": inputs}, spikes=found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in sys.argv[1:] or GRAPHS:
        main(each)
