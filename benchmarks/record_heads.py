"""Record leaky integrators as heads: `python benchmarks/record_heads.py` with snnTorch and Norse.

Each case is one .npz in tests/interop/traces: parameters of two layers, random spikes, the spikes
of the hidden layer, and the membranes of the head after each step, as the tool itself computed
them. snnTorch 1.0.0 and Norse 1.1.0 were recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch
import snntorch
import torch
from norse.torch.functional.lif_box import LIFBoxParameters
from trace_graphs import HIDDEN, INPUTS, OUTPUTS, SAMPLES, STEPS, write

Module = torch.nn.Module


def norse_hidden() -> Module:
    """Neurons below a head of Norse, which leak to 0.2, start there, and are reset to 0."""
    return norse.torch.LIFBoxCell(p=LIFBoxParameters(v_leak=torch.tensor(0.2)))


HEADS: dict[str, tuple[Callable[[], Module], Callable[[], Module], float]] = {
    "norse-li": (norse_hidden, norse.torch.LICell, 30),
    "norse-li-box": (norse.torch.LIFBoxCell, norse.torch.LIBoxCell, 30),
    "snntorch-leaky": (
        lambda: snntorch.Leaky(beta=0.9),
        lambda: snntorch.Leaky(beta=torch.linspace(0.5, 0.9, OUTPUTS), reset_mechanism="none"),
        3,
    ),
    "snntorch-synaptic": (
        lambda: snntorch.Leaky(beta=0.9),
        lambda: snntorch.Synaptic(alpha=0.7, beta=0.8, reset_mechanism="none"),
        3,
    ),
}
"""Hidden neurons, the head, and a gain of the weights at which the first spike."""


class Stack(Module):
    """A hidden layer and a head, each behind a linear layer."""

    def __init__(self, hidden: Module, head: Module, gain: float) -> None:
        super().__init__()
        self.fc1, self.n1 = torch.nn.Linear(INPUTS, HIDDEN), hidden
        self.fc2, self.n2 = torch.nn.Linear(HIDDEN, OUTPUTS), head
        with torch.no_grad():
            for each in (self.fc1, self.fc2):
                each.weight *= gain
                each.bias *= gain

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return spikes of the hidden layer and membranes of the head, (samples, steps, n)."""
        states: list[Any] = [None, None]
        found: list[list[torch.Tensor]] = [[], []]
        for t in range(x.shape[1]):
            signal = x[:, t]
            for k, (fc, each) in enumerate(((self.fc1, self.n1), (self.fc2, self.n2))):
                given = fc(signal)
                if type(each).__module__.startswith("norse"):
                    signal, states[k] = each(given, states[k])
                else:
                    signal, *left = each(given) if states[k] is None else each(given, *states[k])
                    states[k] = left
                    signal = left[-1] if k else signal  # of the head its membranes
                found[k].append(signal)
        return torch.stack(found[0], 1), torch.stack(found[1], 1)


if __name__ == "__main__":
    for name, (hidden, head, gain) in HEADS.items():
        torch.manual_seed(sum(name.encode()))
        model = Stack(hidden(), head(), gain).eval()
        x = (torch.rand(SAMPLES, STEPS, INPUTS) < 0.4).float()
        with torch.no_grad():
            spikes, membranes = model(x)
        values = {key: value.detach().numpy() for key, value in model.state_dict().items()}
        write(f"head-{name}", x, spikes, {**values, "membranes": membranes.numpy()})
