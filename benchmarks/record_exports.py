"""Record how other tools run what Convexon exports, for tests/interop/test_nir_export.py.

    python benchmarks/record_exports.py FOLDER          # with Convexon and nir: writes the graphs
    python benchmarks/record_exports.py FOLDER --tools  # with the tools: adds their spikes

The second call needs the environment of record_traces.py, which has the tools and not Convexon. It
writes tests/interop/traces/export-*.npz: parameters of each node, inputs, and the tool's spikes. A
tool that its environment cannot run is told, and left out.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
TRACES = HERE.parent / "tests" / "interop" / "traces"


def write_graphs(folder: Path) -> None:
    """Export the test's networks, each for its tool."""
    sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests" / "interop")]
    import test_nir_export as cases

    from convexon.interop.nir_export import to_nir

    for name, profile in cases.RECORDED.items():
        graph = to_nir(cases.card_for(name), profile=profile)
        values = {
            f"{key}.{field}": value
            for key, node in graph.nodes.items()
            for field, value in vars(node).items()
            if isinstance(value, np.ndarray)
        }
        np.savez(folder / f"export-{name}.npz", inputs=cases.inputs(), **values)


def add_spikes(folder: Path) -> None:
    """Run each graph by its tool's importer."""
    import record_traces as tools
    import torch

    runs = {
        "norse": tools.norse_spikes,
        "norse-lateral": tools.norse_spikes,
        "spikingjelly": tools.jelly_spikes,
        "sinabs": tools.sinabs_spikes,
        "snntorch-nir": tools.snntorch_spikes,
    }
    for name, run in runs.items():
        file = f"export-{name}.npz"
        with np.load(folder / file) as given:
            arrays = dict(given)
        x = torch.from_numpy(arrays["inputs"].astype(np.float32))
        try:
            with torch.no_grad():
                spikes = np.asarray(run(graph_of(arrays), x)).astype(np.uint8)
        except Exception as error:  # one that its environment cannot run is told, and left out
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        print(f"{name}: {float(spikes.mean()):.3f} spikes a neuron and step")
        np.savez_compressed(TRACES / file, **arrays, spikes=spikes)


def graph_of(arrays: dict[str, Any]) -> Any:
    """The graph of two layers that was exported, by whatever nir is there."""
    import nir

    def node(name: str) -> Any:
        own = {
            key.removeprefix(f"{name}."): value.astype(np.float32)
            for key, value in arrays.items()
            if key.startswith(f"{name}.")
        }
        if "weight" in own:
            return nir.Affine(**own) if "bias" in own else nir.Linear(**own)
        kind = nir.LIF if "tau" in own else nir.IF
        if "v_reset" not in kind.__dataclass_fields__:  # before nir 1.0.5 all of them reset to 0
            del own["v_reset"]
        return kind(**own)

    names = ["input", "fc0", "n0", "fc1", "n1", "output"]
    ends = {
        "input": nir.Input({"input": np.array([arrays["inputs"].shape[2]])}),
        "output": nir.Output({"output": np.array([arrays["n1.v_threshold"].size])}),
    }
    edges = list(pairwise(names))
    if "rec0.weight" in arrays:
        names.insert(3, "rec0")
        edges[2:2] = [("n0", "rec0"), ("rec0", "n0")]
    nodes = {name: ends[name] if name in ends else node(name) for name in names}
    return nir.NIRGraph(nodes=nodes, edges=edges)


def main() -> None:
    """Write the graphs, or the tools' spikes of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tools", action="store_true", help="run the tools")
    options = parser.parse_args()
    if options.tools:
        add_spikes(options.folder)
    else:
        write_graphs(options.folder)


if __name__ == "__main__":
    main()
