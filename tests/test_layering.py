"""What is loaded when: the kernel inside a simulator's process, the door, and the command line."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import convexon
import convexon.certify
import convexon.data
import convexon.plan
import convexon.snn
import convexon.store
from convexon.cli import COMMANDS

KERNEL = (convexon.store, convexon.snn, convexon.data, convexon.certify, convexon.plan)

HEAVY = {"scipy", "sklearn", "torch", "cvxpy", "clarabel", "scs", "amaranth", "plotly", "pyosys"}


def modules_after(code: str, *arguments: str) -> set[str]:
    """Top-level names of the modules that are there when ``code`` has run, in a process of its own.

    Those of the standard library and Convexon's own are left out.
    """
    told = "import sys; names = {name.partition('.')[0] for name in sys.modules}\n"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import atexit, sys\n"
            f"before = {{name.partition('.')[0] for name in sys.modules}}\n"
            f"def tell():\n"
            f"    {told}    print('\\nmodules', *sorted(names - before))\n"
            f"atexit.register(tell)\n{code}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, names = done.stdout.rpartition("\nmodules")
    ours = {"convexon", "convexon_hdl", "convexon_sim", "convexon_boards"}
    return set(names.split()) - set(sys.stdlib_module_names) - ours


@pytest.mark.parametrize("package", KERNEL, ids=lambda package: package.__name__)
def test_the_kernel_imports_numpy_and_the_standard_library_alone(package: object) -> None:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")  # type: ignore[attr-defined]
    names = [module.name for module in found]
    assert len(names) > 1
    assert modules_after("\n".join(f"import {name}" for name in names)) <= {"numpy", "__main__"}


def test_bench_reaches_neither_the_generator_nor_a_solver() -> None:
    code = (
        "import sys, convexon_sim.bench.bench\n"
        "heavy = {'amaranth', 'convexon_hdl', 'cvxpy', 'pyosys', 'scipy', 'sklearn', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_door_imports_nothing_until_it_is_asked() -> None:
    assert modules_after("import convexon") == set()
    assert modules_after("import convexon; dir(convexon); convexon.__version__") == set()
    assert modules_after("import convexon; convexon.ConvexonError") == set()
    assert "numpy" in modules_after("import convexon; convexon.load")


def test_every_name_of_the_door_is_there() -> None:
    assert sorted(convexon.__all__) == convexon.__all__
    assert all(getattr(convexon, name) is not None for name in convexon.__all__)
    assert set(convexon.__all__) <= set(dir(convexon))
    with pytest.raises(AttributeError, match=r"^convexon has no 'compute'; it has "):
        _ = convexon.compute


COMMAND = "from convexon.cli import main; main()"


def test_the_help_imports_nothing_heavy() -> None:
    found = modules_after(COMMAND, "--help")
    assert "click" in found, "it was the command line that ran"
    assert not found & {*HEAVY, "numpy", "rich"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    """Options made of the settings of ``solve`` know its losses, which use scipy."""
    allowed = {"scipy"} if command in ("solve", "demo", "explore") else set()
    assert modules_after(COMMAND, command, "--help") & HEAVY <= allowed


def test_no_name_of_the_door_is_that_of_a_room() -> None:
    """A room that was imported would stand where the name should."""
    root = Path(str(convexon.__file__)).parent
    rooms = {path.stem for path in root.iterdir()}
    assert not rooms & (set(convexon.__all__) - {"__version__"})
