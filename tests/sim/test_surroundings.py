"""Simulators in folders of any name, under variables of any kind, and on a disk that is full."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from convexon.errors import ToolError
from convexon_hdl.emit import yosys
from convexon_sim import build
from convexon_sim.bench import runner
from convexon_sim.simulator import SimulatorKind, find
from scripts import HOSTILE
from sim_bench import icarus, small_network, verify

WILD = "a b#c:d$e'f\"g\\h\ni"
"""A name that make, the shell, C++ and search paths each read in a way of their own."""


@pytest.fixture
def wild(tmp_path: Path, build_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache and temporary files in wild folders; Verilator's runtime is there already."""
    for variable, name in (("CONVEXON_CACHE", "cache"), ("TMPDIR", "tmp"), ("HOME", "home")):
        folder = tmp_path / WILD / name
        folder.mkdir(parents=True)
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for compiled in build_cache.glob("*/verilated*.o"):
        shutil.copytree(
            compiled.parent, tmp_path / WILD / "cache" / compiled.parent.name, dirs_exist_ok=True
        )
    return tmp_path / WILD


@pytest.mark.parametrize("kind", list(SimulatorKind), ids=lambda kind: kind.value)
def test_a_design_is_simulated_the_same_in_wild_surroundings(
    kind: SimulatorKind, wild: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = icarus() if kind is SimulatorKind.ICARUS else find(kind)
    key = build.toolchain(simulator)
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    verdict = verify(simulator, small_network())
    assert verdict.passed
    assert verdict.inferences == 12
    assert build.toolchain(simulator) == key
    assert [path.name for path in (wild / "tmp").iterdir()] == []
    assert not list((wild / "cache").glob("convexon-scratch-*"))


def test_yosys_runs_in_wild_surroundings(wild: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    script = ["read_verilog a.v", "synth -top a", "abc -g AND", "write_verilog b.v"]
    source = "module a(input [3:0] x, output y); assign y = x > 5; endmodule\n"
    made = yosys.run(script, inputs={"a.v": source}, outputs=["b.v"])
    assert "module a" in made.files["b.v"]
    assert [path.name for path in (wild / "tmp").iterdir()] == []


def test_a_bench_that_fails_is_told_in_its_own_words_with_the_log(
    tmp_path: Path, build_cache: Path
) -> None:
    program = tmp_path / "vvp"
    program.write_text(
        "#!/bin/sh\necho 'Traceback (most recent call last):'\n"
        "echo '    raise RuntimeError('\necho 'RuntimeError: no handle'\n"
    )
    program.chmod(0o755)
    icarus()
    compiler = tmp_path / "iverilog"
    compiler.write_text("#!/bin/sh\necho >simulation\n")
    compiler.chmod(0o755)
    broken = runner.Simulator(SimulatorKind.ICARUS, tmp_path, "12.0")
    with pytest.raises(
        ToolError, match=r"^icarus failed: RuntimeError: no handle \(log: .*/logs/icarus-.*\.log\)$"
    ):
        verify(broken, small_network())
