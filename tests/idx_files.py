"""Files in MNIST's idx format, of digits that are made up."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def write_idx(path: Path, array: np.ndarray, *, packed: bool = False) -> None:
    """Write an array of bytes as an idx file."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if packed else data)


def write_digits(folder: Path, *, n_train: int, n_test: int, seed: int) -> None:
    """Write both parts: noisy images of which the class's rows of pixels are bright."""
    generator = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for part, n in (("train", n_train), ("t10k", n_test)):
        labels = np.arange(n) % 10
        images = generator.integers(0, 140, (n, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 4] += 60
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
