"""Small NIR graphs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np


def graph_of(*nodes: Any, shape: tuple[int, ...] | None = None) -> nir.NIRGraph:
    """Nodes in a row between an input and an output; linear ones are fc, spiking ones n."""
    names, counts = [], {"fc": 0, "n": 0}
    for node in nodes:
        kind = "n" if type(node).__name__ in ("IF", "LIF", "CubaLIF", "Threshold") else "fc"
        counts[kind] += 1
        names.append(f"{kind}{counts[kind]}")
    first = nodes[0]
    width = shape or (np.shape(first.weight)[1],)
    all_names = ("input", *names, "output")
    return nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array(width)}),
            **dict(zip(names, nodes, strict=True)),
            "output": nir.Output({"output": nodes[-1].output_type["output"]}),
        },
        edges=list(pairwise(all_names)),
        type_check=False,  # nir takes the width of a dilated window for another
    )


def lif(
    n: int,
    *,
    tau: float = 1e-2,
    r: float = 10.0,
    v_leak: float = 0.0,
    v_threshold: float = 1.0,
    v_reset: float = 0.0,
) -> nir.LIF:
    """A LIF node with one value for all neurons."""
    full = {"tau": tau, "r": r, "v_leak": v_leak, "v_threshold": v_threshold, "v_reset": v_reset}
    return nir.LIF(**{name: np.full(n, value) for name, value in full.items()})
