"""MNIST from its original idx files, as a sequence of chunks of pixels (arXiv:2605.08022).

The files are given by the user: Convexon downloads nothing. Names are those of the original
distribution, packed (.gz) or not.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import SpikeDataset
from convexon.errors import ArtefactError, InputError

UInt8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

PARTS = {"train": "train", "test": "t10k"}
"""Name of a part in the names of its files."""

N_CLASSES = 10


def read_idx(path: Path, *, n_dimensions: int) -> UInt8Array:
    """Read an idx file of unsigned bytes.

    Raises
    ------
    ArtefactError
        If it is missing, no idx file of bytes in ``n_dimensions`` dimensions, or not of the length
        that it states.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing: put the idx files of MNIST there") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ArtefactError(f"{path} cannot be read: {error}; copy it anew") from error
    magic = bytes([0, 0, 8, n_dimensions])
    if data[:4] != magic:
        raise ArtefactError(f"{path} must be an idx file of bytes in {n_dimensions} dimensions")
    end = 4 + 4 * n_dimensions
    shape = tuple(int(x) for x in np.frombuffer(data[4:end], dtype=">u4"))
    if len(shape) != n_dimensions or len(data) - end != int(np.prod(shape, dtype=np.int64)):
        raise ArtefactError(f"{path} must be as long as it states, {shape}: copy it anew")
    return np.frombuffer(data, dtype=np.uint8, offset=end).reshape(shape)


def load_digits(folder: Path, part: str) -> tuple[UInt8Array, IntArray]:
    """Return images (samples, 784) of 0..255 and labels (samples,) of ``train`` or ``test``.

    Files are looked for in ``folder`` and in its folder ``mnist``.

    Raises
    ------
    InputError
        If there is no such part, or images and labels differ in number.
    ArtefactError
        If a file is missing or damaged.
    """
    if part not in PARTS:
        raise InputError(f"part must be train or test, not {part!r}")
    images = read_idx(_found(folder, f"{PARTS[part]}-images-idx3-ubyte"), n_dimensions=3)
    labels = read_idx(_found(folder, f"{PARTS[part]}-labels-idx1-ubyte"), n_dimensions=1)
    if len(images) != len(labels):
        raise InputError(
            f"{folder} must hold a label for each image, not {len(labels)} for {len(images)}"
        )
    return images.reshape(len(images), -1), labels.astype(np.int64)


def _found(folder: Path, name: str) -> Path:
    """Return the file of this name, packed or not; the packed one's where there is none."""
    places = [
        place / name_ for place in (folder, folder / "mnist") for name_ in (f"{name}.gz", name)
    ]
    return next((place for place in places if place.exists()), places[0])


def sequential(
    images: UInt8Array,
    labels: IntArray,
    *,
    n_steps: int,
    bits: int = 1,
    name: str = "sequential MNIST",
) -> SpikeDataset:
    """Cut each image into ``n_steps`` chunks of ceil(pixels / n_steps) pixels, one a step.

    Parameters
    ----------
    images : uint8 array, shape (samples, pixels)
    labels : int64 array, shape (samples,)
    n_steps : int
        T.
    bits : int
        Bits of a pixel: 1 spikes where a pixel is at least 128; k keeps the k leading bits.
    name : str

    Raises
    ------
    InputError
        If there are no such steps or bits.
    """
    if not 1 <= n_steps <= images.shape[1]:
        raise InputError(f"n_steps must be 1 to {images.shape[1]}, not {n_steps!r}")
    if not 1 <= bits <= 8:
        raise InputError(f"bits must be 1 to 8, not {bits!r}")
    chunk = -(-images.shape[1] // n_steps)
    padded = np.zeros((len(images), n_steps * chunk), dtype=np.uint8)
    padded[:, : images.shape[1]] = images >> (8 - bits)
    return SpikeDataset(
        inputs=padded.reshape(len(images), n_steps, chunk),
        labels=labels,
        n_classes=N_CLASSES,
        input_bits=bits,
        name=f"{name}, {n_steps} steps of {chunk} pixels, {bits} bits",
    )


def balanced_subset(labels: IntArray, count: int, *, seed: int) -> npt.NDArray[np.intp]:
    """Return ``count`` samples drawn without replacement, every class in its share, ascending.

    Raises
    ------
    InputError
        If there are not so many.
    """
    if not N_CLASSES <= count <= len(labels):
        raise InputError(f"count must be {N_CLASSES} to {len(labels)}, not {count!r}")
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    # Shuffled within classes and sorted by how far along its class each sample is: any prefix has
    # the classes in their shares.
    rank = np.empty(len(labels))
    for c in np.unique(labels):
        members = order[labels[order] == c]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(rank, kind="stable")[:count])
