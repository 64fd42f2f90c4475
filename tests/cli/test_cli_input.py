"""The command line and what a user hands in: settings, samples, and where a run is written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_bench import SMALL, invoke, nothing_half_written, refused

from convexon.data.loading import TOLD
from toy import toy_arrays

# Settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "--steps must be an integer of 1 to 65536, not 0"),
        (["--steps", str(10**12)], "--steps must be an integer of 1 to 65536, not 1000000000000"),
        (["--bits", "0"], "--bits must be an integer of 1 to 8, not 0"),
        (
            ["--coding", "threshold", "--bits", "2"],
            "--bits must be 1 to 1 for threshold coding, not 2",
        ),
        (["--coding", "intensity", "--bits", "9"], "--bits must be an integer of 1 to 8, not 9"),
        (["--fan-in", "0"], "--fan-in must be an integer of at least 1, not 0"),
        (["--alphabet", "int1"], "weight_bits must be 2 to 16, not 1"),
        (["--cost", "gold"], "--cost must be one of luts, events, memory, not 'gold'"),
        (["--readout-bits", "1"], "--readout-bits must be an integer of 2 to 24, not 1"),
        (["--rho", "0"], r"--rho must be a number above 0 that is finite, not 0\.0"),
        (["--rho", "-1"], r"--rho must be a number above 0 that is finite, not -1\.0"),
        (["--rho", "nan"], "--rho must be a number above 0 that is finite, not nan"),
        (["--selection-rho", "0"], r"--selection-rho must be a number above 0 .*, not 0\.0"),
        (["--tolerance", "0"], r"--tolerance must be a number above 0 that is finite, not 0\.0"),
        (["--tolerance", "nan"], "--tolerance must be a number above 0 that is finite, not nan"),
        (["--witnesses", "0"], "--witnesses must be an integer of 1 to 16777216, not 0"),
        (["--max-neurons", "0"], "--max-neurons must be an integer of 1 to 65536, not 0"),
        (["--depth", "65"], "--depth must be an integer of 1 to 64, not 65"),
        (["--seed", "-1"], "--seed must be an integer of at least 0, not -1"),
        (
            ["--coding", "morse"],
            "--coding must be one of threshold, latency, intensity, .*, not 'morse'",
        ),
        (["--readout", "loud"], "--readout must be one of last, sign, count, .*, not 'loud'"),
        (
            ["--readout", "step"],
            "--readout must be last, sign or count, which give one decision a sample .*, not step",
        ),
        (["--depth", "2", "--hidden", "2"], "--fan-in must be at most the 2 hidden .*, not 3"),
    ],
    ids=" ".join,
)
def test_a_setting_that_does_not_fit_is_refused_before_anything_is_written(
    data: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    refused(invoke("solve", tmp_path / "run", "--data", data, *SMALL, *options), message)
    assert not (tmp_path / "run").exists()


def test_memory_that_runs_out_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("convexon.flow.network.solve.build_dictionary", exhausted)
    message = "memory ran out: lower --steps, --witnesses or --jitter, or give fewer samples"
    refused(invoke("solve", tmp_path / "run", "--data", data, *SMALL), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rho", "1000", "--rho", "1001"], "W must have an active column: .*lower rho"),
        (["--selection-rho", "99"], "--selection-rho must leave a column active, which 99 does .*"),
        (["--steps", "256"], "n_steps must be at most 255 for spike counts, not 256"),
        (["--coding", "series"], r"shape must be \(steps, inputs\) for series, not \(8,\)"),
        (["--coding", "direct"], r"shape must be \(steps, inputs\) for direct, not \(8,\)"),
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
SHAPE = r"labels must have shape \(108,\), not"
ONE = "must hold one of features, series, spikes, events"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (with_value(np.nan), r"samples\[3, 2\] must be finite, not nan"),
        (with_value(np.inf), r"samples\[3, 2\] must be finite, not inf"),
        (with_value(-np.inf), r"samples\[3, 2\] must be finite, not -inf"),
        (with_labels(lambda y: y + 0.5), "labels must be classes, not real numbers: regression .*"),
        (with_labels(lambda y: y[:-1]), rf"{SHAPE} \(107,\)"),
        (with_labels(lambda y: y[:, None]), rf"{SHAPE} int64 of \(108, 1\)"),
        (with_labels(lambda y: y[:0]), rf"{SHAPE} \(0,\)"),
        (with_arrays(features=FEATURES[:, :0], labels=LABELS), "samples must have shape .*"),
        (with_arrays(features=FEATURES[:, 0], labels=LABELS), "samples must have shape .*"),
        (with_arrays(features=FEATURES * 1j, labels=LABELS), "samples must be numbers, .*"),
        (
            with_arrays(features=np.float64(3), labels=LABELS),
            r"samples must have shape .*, not \(\)",
        ),
        (with_arrays(series=FEATURES, labels=LABELS), r"series must have shape .*, not \(108, .*"),
        (
            with_labels(lambda y: y.astype(np.uint64) + np.uint64(2**63)),
            "labels must be integers of 64 bits, .*",
        ),
        (
            with_labels(lambda y: np.array(["a\a", "b", "c"])[y]),
            r"labels\[\d+\] must be one line .*",
        ),
        (with_arrays(labels=LABELS), f".*samples.npz {ONE}: {TOLD}"),
        (
            with_arrays(features=FEATURES, spikes=FEATURES, labels=LABELS),
            f".*samples.npz {ONE}: {TOLD}",
        ),
        (
            with_arrays(features=FEATURES.astype(object), labels=LABELS),
            ".*samples.npz is not a readable npz file: Object arrays cannot be loaded, .*",
        ),
        (truncated, f".*samples.npz is damaged and no npz: {TOLD}"),
        (one_bit_flipped, ".*samples.npz is not a readable npz file: .*"),
        (lambda path: path.write_bytes(b""), f".*samples.npz is empty: {TOLD}"),
        (lambda path: path.write_text("a,b\n1,2\n"), f".*samples.npz is damaged and no .*{TOLD}"),
        (lambda path: path.mkdir(), f".*samples.npz is a folder: {TOLD}"),
        (lambda path: None, f".*samples.npz is missing: {TOLD}"),
    ],
)
def test_samples_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "samples.npz")
    arguments = ("solve", tmp_path / "run", "--data", tmp_path / "samples.npz", *SMALL)
    refused(invoke(*arguments), message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (with_arrays(features=FEATURES), "labels must be given: samples has none"),
        (
            with_labels(lambda y: np.where(np.arange(len(y)) == 0, 3, y)),
            "class 3 must have 2 or more samples to be split, not 1",
        ),
        (with_labels(np.zeros_like), "labels must be of two classes or more, not of 0 alone"),
    ],
)
def test_samples_that_cannot_be_learnt_are_refused(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "samples.npz")
    result = invoke("solve", tmp_path / "run", "--data", tmp_path / "samples.npz", *SMALL)
    refused(result, message)
    nothing_half_written(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "classes"),
    [
        (lambda y: y.astype(float), [0, 1, 2]),
        (lambda y: np.array(["red", "green", "blue"])[y], ["blue", "green", "red"]),
        (lambda y: y - 1, [-1, 0, 1]),
        (lambda y: y + 2**40, [2**40, 2**40 + 1, 2**40 + 2]),
        (lambda y: y > 0, [False, True]),
    ],
)
def test_labels_of_any_kind_name_the_classes_of_the_card(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], classes: list[object]
) -> None:
    with_labels(change)(tmp_path / "samples.npz")
    result = invoke("solve", tmp_path / "run", "--data", tmp_path / "samples.npz", *SMALL)
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["content"]["interface"]["classes"] == classes


def test_a_class_too_small_for_validation_is_fitted(tmp_path: Path) -> None:
    rows = np.concatenate([np.flatnonzero(LABELS == 0)[:9], np.flatnonzero(LABELS == 1)[:2]])
    np.savez(tmp_path / "few.npz", features=FEATURES[rows], labels=LABELS[rows])
    result = invoke("solve", tmp_path / "run", "--data", tmp_path / "few.npz", *SMALL)
    assert result.exit_code == 0, result.output


def test_a_run_of_other_samples_is_kept_unless_told_to_replace_it(
    data: Path, tmp_path: Path
) -> None:
    arguments = ("solve", tmp_path / "run", *SMALL, "--data")
    assert invoke(*arguments, data).exit_code == 0
    np.savez(tmp_path / "other.npz", features=FEATURES[1:], labels=LABELS[1:])
    before = (tmp_path / "run" / "card.json").read_bytes()
    message = r".*/run holds other samples \(toy, train\): choose another folder, or give --replace"
    refused(invoke(*arguments, tmp_path / "other.npz"), message)
    assert (tmp_path / "run" / "card.json").read_bytes() == before
    assert invoke(*arguments, tmp_path / "other.npz", "--replace").exit_code == 0
    assert (tmp_path / "run" / "card.json").read_bytes() != before


# Run folders


@pytest.mark.parametrize("place", ["file", "file/below"])
@pytest.mark.parametrize("command", ["solve", "emit", "verify", "report"])
def test_a_run_folder_that_is_a_file_is_refused(
    data: Path, tmp_path: Path, command: str, place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    options = ("--data", data, *SMALL) if command == "solve" else ()
    result = invoke(command, tmp_path / place, *options)
    refused(result, rf"\S*/{place} cannot be written: (Not a dir|File ex).*; choose another folder")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_run_folder_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def mkstemp(**_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("convexon.store.artefact.tempfile.mkstemp", mkstemp)
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
