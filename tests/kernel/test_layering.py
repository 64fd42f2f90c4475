"""The kernel is loaded inside a simulator's process: numpy and the standard library alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

KERNEL = (
    "artefact",
    "bundle",
    "card",
    "dataset",
    "decision",
    "encode",
    "encoder",
    "errors",
    "fixed",
    "golden",
    "mapping",
    "network",
    "neuron",
    "proof",
    "ranges",
    "simulate",
    "trace",
)

_FOREIGN = """
import sys
before = set(sys.modules)
import numpy
allowed = set(sys.modules)
import convexon.{name}
new = {{module.partition(".")[0] for module in set(sys.modules) - allowed}}
print(sorted(new - set(sys.stdlib_module_names) - {{"numpy", "convexon"}}))
"""


@pytest.mark.parametrize("name", KERNEL)
def test_kernel_module_imports_numpy_and_the_standard_library_alone(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FOREIGN.format(name=name)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_bench_reaches_neither_the_generator_nor_a_solver() -> None:
    code = (
        "import sys, convexon_sim.bench.bench\n"
        "heavy = {'amaranth', 'convexon_hdl', 'cvxpy', 'pyosys', 'scipy', 'sklearn', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
