"""The command line and what a user hands in: settings, samples, and where a run is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_bench import SMALL, invoke, nothing_half_written, refused

from toy import toy_arrays

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
        (["--steps", "1000000000000"], "n_steps must be at most 65536, not 1000000000000"),
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

    monkeypatch.setattr("convexon.flow.stage", exhausted)
    message = "memory ran out: take fewer steps, witnesses or samples"
    refused(invoke("solve", tmp_path / "run", "--data", data, *SMALL), message)


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
