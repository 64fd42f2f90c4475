"""From a trained module of snnTorch to Verilog that does what the integers do, in six lines.

    python benchmarks/interchange_door.py

It runs where Convexon and snnTorch are installed, trains 64-48-10 on digits of scikit-learn, and
times the lines, whose figures join benchmarks/results/interchange.json as interchange.door.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import snntorch
import torch
from interchange_data import digits

from convexon.report.figure import Figure, FigureKind, read_figures, write_figures

RESULTS = Path(__file__).parent / "results" / "interchange.json"

LINES = """\
import convexon as cx
net = cx.from_torch(model, samples[:1])
quantized = cx.quantize(net, calibrate=samples, labels=labels, bits=4, steps=10, input_bits=4)
accelerator = cx.compile(quantized.network, target="icebreaker")
accelerator.write("rtl")
result = accelerator.verify(test)
"""


class Net(torch.nn.Module):
    """Two layers of Leaky, each spike of the last of which is a vote."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = torch.nn.Linear(64, 48), snntorch.Leaky(beta=0.9)
        self.fc2, self.lif2 = torch.nn.Linear(48, 10), snntorch.Leaky(beta=0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return votes over ten steps of the same image."""
        first, second, votes = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for _ in range(10):
            hidden, first = self.lif1(self.fc1(x), first)
            spikes, second = self.lif2(self.fc2(hidden), second)
            votes.append(spikes)
        return torch.stack(votes).sum(0)


def trained(values: np.ndarray, labels: np.ndarray) -> Net:
    """A network that knows digits."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(20):
        for chosen in torch.randperm(len(values)).split(64):
            optimizer.zero_grad()
            votes = model(torch.from_numpy(values)[chosen])
            torch.nn.functional.cross_entropy(votes, torch.from_numpy(labels)[chosen]).backward()
            optimizer.step()
    model.zero_grad()
    with torch.no_grad():
        model(torch.from_numpy(values[:1]))  # what it holds of the last step has no gradient
    return model


def main() -> None:
    """Time the lines, and write their figures."""
    split = digits()
    samples, labels = split.calibration()
    known = {
        "model": trained(split.train, split.train_labels),
        "samples": samples,
        "labels": labels,
        "test": split.test,
    }
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        wall, used = time.monotonic(), os.times()
        exec(LINES, known)
        seconds, now = time.monotonic() - wall, os.times()
        os.chdir("/")
    processor = sum(now[:4]) - sum(used[:4])
    result = known["result"]
    print(result.summary, f"{seconds:.1f} s, {processor:.1f} s of a processor")
    found = result.verification.value
    told = f"{found.simulator} {found.version}, 4 bits, icebreaker"
    figures = read_figures(RESULTS)
    for what, value, unit, source in (
        ("lines", len(LINES.splitlines()), "lines", "from a module to checked Verilog"),
        ("seconds", seconds, "seconds", "these lines, on a machine that others shared"),
        ("seconds.processor", processor, "seconds", "these lines and the tools that they start"),
        ("hardware_mismatches", found.mismatches, "inferences", told),
        ("hardware_inferences", found.inferences, "inferences", told),
    ):
        name = f"interchange.door.{what}"
        figures[name] = Figure(name, value, unit, FigureKind.MEASURED, source)
    write_figures([figures[key] for key in sorted(figures)], RESULTS)


if __name__ == "__main__":
    main()
