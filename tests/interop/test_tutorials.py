"""docs/tutorials.md: the part of each tutorial that is Convexon's own runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from stand_ins import HIDDEN, MODULES, OUTPUTS

TRACES = Path(__file__).parent / "traces"
PAGE = (Path(__file__).parent.parent.parent / "docs" / "tutorials.md").read_text(encoding="utf-8")
NEURONS = {
    "snntorch": "snntorch-leaky",
    "norse": "norse-lif",
    "spikingjelly": "spikingjelly-if",
    "sinabs": "sinabs-iaf-single",
}


class Net(torch.nn.Module):
    """The network of a tutorial, of neurons that stand in for the tool's, with recorded weights."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.takes_steps = name.startswith("sinabs")
        self.fc1, self.n1 = torch.nn.Linear(10, HIDDEN), MODULES[name](HIDDEN)
        self.fc2, self.n2 = torch.nn.Linear(HIDDEN, OUTPUTS), MODULES[name](OUTPUTS)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        return self.n2(self.fc2(self.n1(self.fc1(x))[0]))[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.takes_steps:
            return self.step(x)
        return torch.stack([self.step(each) for each in x.unbind(1)], 1)


@pytest.mark.usefixtures("build_cache")
@pytest.mark.parametrize("tool", NEURONS)
def test_the_part_of_convexon_runs(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(rf"<!-- runs:{tool} -->\n```python\n(.*?)```\n", PAGE, re.DOTALL)
    assert found is not None
    with np.load(TRACES / f"module-{NEURONS[tool]}.npz") as file:
        arrays = dict(file)
    model = Net(NEURONS[tool])
    own = model.state_dict()
    model.load_state_dict({name: torch.tensor(arrays[name]) for name in own})
    samples, spikes = arrays["inputs"].astype(np.float32), arrays["spikes"]
    monkeypatch.chdir(tmp_path)
    known = {"model": model, "samples": samples, "labels": np.arange(len(samples)) % OUTPUTS}
    exec(found[1], known)
    assert spikes.any()
    assert known["net"].n_neurons == HIDDEN + OUTPUTS  # type: ignore[attr-defined]
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"snntorch": {"rtl"}, "sinabs": {"card.json"}}.get(tool, set())


def test_every_tutorial_is_run() -> None:
    assert re.findall(r"<!-- runs:(\w+) -->", PAGE) == list(NEURONS)
