"""Record programs of `torch.export`, as `record_traces.py` records spikes.

    python benchmarks/record_programs.py

Each is one .pt2 in tests/interop/traces, packed anew so that it is small, of one of the modules
there over a few steps; beside it lie random spikes, and what the tool's own module makes of them.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import torch
from record_traces import INPUTS, MODULES, Stack
from trace_graphs import TRACES

STEPS = 4
PROGRAMS = ("snntorch-leaky", "snntorch-leaky-zero", "norse-lif", "spikingjelly-lif")


if __name__ == "__main__":
    for name in PROGRAMS:
        torch.manual_seed(sum(name.encode()))
        make, gain = MODULES[name]
        model = Stack(make, gain).eval()
        x = (torch.rand(8, STEPS, INPUTS) < 0.6).float()
        with torch.no_grad():
            spikes = model(x)
            program = torch.export.export(model, (x[:2],))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        with (
            zipfile.ZipFile(buffer) as whole,
            zipfile.ZipFile(TRACES / f"program-{name}.pt2", "w", zipfile.ZIP_DEFLATED) as small,
        ):
            for entry in whole.namelist():
                small.writestr(entry, whole.read(entry))
        np.savez_compressed(
            TRACES / f"program-{name}.npz",
            inputs=x.numpy().astype(np.uint8),
            spikes=spikes.numpy().astype(np.uint8),
        )
        print(f"{name}: {float((spikes > 0).float().mean()):.3f} spikes a neuron and step")
