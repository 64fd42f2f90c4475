"""MNIST's files: what is read from them, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from convexon.errors import ArtefactError, InputError
from idx_files import write_idx
from scripts import example

data = example("mnist_data")
balanced_subset, load_digits = data.balanced_subset, data.load_digits
read_idx, sequential = data.read_idx, data.sequential


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", [True, False])
def test_idx_files_are_read_packed_or_not(tmp_path: Path, packed: bool, below: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28))
    labels = np.arange(20) % 10
    folder = tmp_path / "mnist" if below else tmp_path
    folder.mkdir(exist_ok=True)
    end = ".gz" if packed else ""
    write_idx(folder / f"train-images-idx3-ubyte{end}", images, packed=packed)
    write_idx(folder / f"train-labels-idx1-ubyte{end}", labels, packed=packed)
    found, names = load_digits(tmp_path, "train")
    assert np.array_equal(found, images.reshape(20, 784))
    assert np.array_equal(names, labels)


def test_damaged_idx_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(ArtefactError, match="is missing: put the idx files of MNIST there"):
        read_idx(path, n_dimensions=1)
    path.write_bytes(b"\0\0\x08\x03")
    with pytest.raises(ArtefactError, match="must be an idx file of bytes in 1 dimensions"):
        read_idx(path, n_dimensions=1)
    path.write_bytes(b"\0\0\x08\x01\0\0\0\x05abc")
    with pytest.raises(ArtefactError, match=r"must be as long as it states, \(5,\)"):
        read_idx(path, n_dimensions=1)
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01a")[:-4])
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_idx(packed, n_dimensions=1)
    with pytest.raises(InputError, match=r"^part must be train or test, not 'valid'$"):
        load_digits(tmp_path, "valid")


@pytest.mark.parametrize(("n_steps", "chunk"), [(1, 784), (4, 196), (14, 56), (9, 88)])
def test_chunks_hold_the_image_in_order(n_steps: int, chunk: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 784)).astype(np.uint8)
    data = sequential(images, np.arange(12) % 10, n_steps=n_steps)
    assert data.inputs.shape == (12, n_steps, chunk)
    flat = data.inputs.reshape(12, -1)
    assert np.array_equal(flat[:, :784], images >= 128)
    assert not flat[:, 784:].any()
    graded = sequential(images, np.arange(12) % 10, n_steps=n_steps, bits=3)
    assert np.array_equal(graded.inputs.reshape(12, -1)[:, :784], images // 32)


def test_balanced_subset_holds_every_class_in_its_share() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 5000)
    chosen = balanced_subset(labels, 1000, seed=1)
    assert len(np.unique(chosen)) == 1000
    share = np.bincount(labels[chosen]) / 1000 - np.bincount(labels) / 5000
    assert np.abs(share).max() < 0.002
    with pytest.raises(InputError, match=r"^count must be 10 to 5000, not 5001$"):
        balanced_subset(labels, 5001, seed=1)


def test_real_digits_load_where_the_data_folder_is_given(mnist: Path) -> None:
    images, labels = load_digits(mnist, "test")
    assert images.shape == (10000, 784)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert len(load_digits(mnist, "train")[1]) == 60000
