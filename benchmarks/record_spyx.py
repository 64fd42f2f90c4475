"""Record what Spyx 1.0.0 makes of graphs: `python benchmarks/record_spyx.py` where it is.

It has an environment of its own, as it computes in JAX; the other tools are recorded by
`record_traces.py`.
"""

from __future__ import annotations

import numpy as np
from spyx.nir import from_nir
from trace_graphs import Recipe, random_spikes, write_graph

RECIPES = {
    "spyx-lif": Recipe(kind="LIF", dt=1.0),
    "spyx-if": Recipe(kind="IF", dt=1.0),
    "spyx-cuba": Recipe(kind="CubaLIF", dt=1.0, gain=1.0),
}

if __name__ == "__main__":
    for name, recipe in RECIPES.items():
        graph, x = recipe.graph(), random_spikes(1)
        _, spikes = from_nir(graph, x.swapaxes(0, 1), dt=recipe.dt)
        write_graph(name, graph, recipe.dt, x, np.asarray(spikes).swapaxes(0, 1))
