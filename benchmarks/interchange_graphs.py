"""Record what Norse makes of the Braille reader that the NIR paper published.

    CONVEXON_DATA=FOLDER python benchmarks/interchange_graphs.py

It runs where Norse is installed, reads nir/braille_noDelay_bias_zero.nir of that folder, and writes
build/interchange/braille.npz: random spikes, and what Norse's own reading of the graph makes of the
first of them, in float64. The samples that it was trained on come with no package, so that nothing
is said of its accuracy.
"""

from __future__ import annotations

import os
from pathlib import Path

import nir
import norse.torch
import numpy as np
import torch

FILE = Path(__file__).parent.parent / "build" / "interchange" / "braille.npz"
DT = 1e-4
TEST, OTHERS, STEPS, INPUTS, SHARE = 200, 50, 128, 12, 0.3
"""Samples whose spikes are recorded, and others; steps, inputs, and the share that spikes."""


def main() -> None:
    """Record the graph."""
    graph = nir.read(Path(os.environ["CONVEXON_DATA"]) / "nir" / "braille_noDelay_bias_zero.nir")
    rng = np.random.default_rng(0)
    inputs = (rng.random((TEST + OTHERS, STEPS, INPUTS)) < SHARE).astype(np.uint8)
    x = torch.from_numpy(inputs[:TEST]).double()
    model, state = norse.torch.from_nir(graph, dt=DT).double(), None
    out = []
    with torch.no_grad():
        for t in range(STEPS):
            spikes, state = model(x[:, t]) if state is None else model(x[:, t], state)
            out.append(spikes)
    found = torch.stack(out, 1).numpy().astype(np.uint8)
    print(f"braille: {found.mean():.3f} spikes a neuron and step")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(FILE, inputs=inputs, spikes=found)


if __name__ == "__main__":
    main()
