"""Archives of arrays, as numpy writes them, read with every byte in doubt.

All sizes that an archive declares must agree with each other, and lie within the limit
(`convexon.store.untrusted`), before anything is unpacked. Headers are matched, not evaluated.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.store.untrusted import LIMIT_VARIABLE, limit_bytes, open_regular, printable

MAX_DEFLATION = 1032
"""Most bytes that one byte of a deflated archive can stand for."""


def read_npz(path: Path, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """Read those of the arrays ``names`` that an npz file has, whatever its bytes.

    Raises
    ------
    OSError
        If the file is missing or cannot be read, as `open_regular`.
    ValueError
        If it is no npz file, is damaged or too large, or holds objects.
    """
    with _InChunks(open_regular(path).detach()) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                there = set(archive.namelist())
                entries = {
                    name: archive.getinfo(f"{name}.npy") for name in names if f"{name}.npy" in there
                }
                left = limit_bytes()
                for entry in entries.values():
                    left -= _declared(archive, entry)
                    if left < 0:
                        raise InputError(
                            f"its arrays take more than {limit_bytes():,} bytes: "
                            f"raise {LIMIT_VARIABLE}"
                        )
                return {name: _array(archive, entry) for name, entry in entries.items()}
        except _DAMAGES as error:
            raise ValueError(f"damaged archive: {printable(str(error))}") from error


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Read an array alone; raises as `read_npz`."""
    with open_regular(path) as stream:
        try:
            header = _header(stream, path.name)
            size = math.prod(header.shape) * header.dtype.itemsize
            if os.fstat(stream.fileno()).st_size != header.n_bytes + size:
                raise ValueError(f"{path.name} has another size than its shape")
            return _content(stream, header, size, path.name)
        except _DAMAGES as error:
            raise ValueError(f"damaged array: {printable(str(error))}") from error


_DAMAGES = (
    *(EOFError, RuntimeError, MemoryError, TypeError, LookupError, ArithmeticError, OSError),
    *(zipfile.BadZipFile, zlib.error, struct.error, AssertionError),
)
"""What zipfile and numpy make of bytes that are no archive and no array."""

_MAX_HEADER = 10_000
_CHUNK = 1 << 20
_KEYS = {
    "descr": r"""['"]descr['"]\s*:\s*['"]([<>|=]?(?:f[248]|[biucSUO][0-9]{0,9}))['"]""",
    "fortran_order": r"""['"]fortran_order['"]\s*:\s*(True|False)""",
    "shape": r"""['"]shape['"]\s*:\s*\(([0-9,\sL]*)\)""",
}
"""Members of an array's header, in whatever order and quotes a program writes them."""


class _InChunks(io.BufferedReader):
    """A file of which no more than `_CHUNK` is ever read at once.

    So much is an archive's list of files, which zipfile reads as a whole, whatever it says of its
    size: thousands of files, of which each takes ten times the memory.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most ``size`` bytes, or all that is left."""
        most = _CHUNK + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        if len(data) > _CHUNK:
            raise ValueError("its list of files is too long")
        return data


@dataclass(frozen=True)
class _Header:
    """What an array says of itself, and the bytes that it takes to say it."""

    dtype: np.dtype[Any]
    is_fortran: bool
    shape: tuple[int, ...]
    n_bytes: int


def _header(member: IO[bytes], name: str) -> _Header:
    """Read the header of an array; raises `ValueError` if it is none."""
    magic = member.read(8)
    length = {b"\x01\x00": 2, b"\x02\x00": 4}.get(magic[6:])
    if magic[:6] != b"\x93NUMPY" or length is None:
        raise ValueError(f"{name} is no array")
    size = int.from_bytes(member.read(length), "little")
    if size > _MAX_HEADER:
        raise ValueError(f"{name} has too long a header")
    text = rest = member.read(size).decode("latin-1")
    found: dict[str, str] = {}
    for key, pattern in _KEYS.items():
        match = re.search(pattern, text)
        if match is None:
            raise ValueError(f"{name} states no {key} that an array of numbers or texts can have")
        found[key], rest = match[1], rest.replace(match[0], "", 1)
    if set(rest) - set("{, }\n"):
        raise ValueError(f"{name} has a header of another form")
    dtype = np.dtype(found["descr"])
    if dtype.hasobject:
        raise ValueError(
            "Object arrays cannot be loaded, as they run what they hold: save numbers or texts, "
            "by .astype(float) or .astype(str)"
        )
    shape = tuple(int(n.strip().rstrip("L")) for n in found["shape"].split(",") if n.strip())
    if len(shape) > 32 or not dtype.itemsize:
        raise ValueError(f"{name} has no shape that an array can have")
    return _Header(dtype, found["fortran_order"] == "True", shape, len(magic) + length + size)


def _declared(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Bytes of an array as its header declares them, checked against those of the archive."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{entry.filename} is packed in another way than deflated")
    if entry.file_size > (entry.compress_size + 1) * MAX_DEFLATION:
        raise ValueError(f"{entry.filename} is too small for the size that it declares")
    with archive.open(entry) as member:
        header = _header(member, entry.filename)
    size = math.prod(header.shape) * header.dtype.itemsize
    if entry.file_size != header.n_bytes + size:
        raise ValueError(f"{entry.filename} has another size than its shape")
    return size


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """Unpack an array whose declared size was checked; its end is where its checksum is."""
    with archive.open(entry) as member:
        header = _header(member, entry.filename)
        return _content(member, header, entry.file_size - header.n_bytes, entry.filename)


def _content(member: IO[bytes], header: _Header, size: int, name: str) -> npt.NDArray[Any]:
    """Read ``size`` bytes of an array, which must be all there are."""
    raw = np.empty(size, dtype=np.uint8)
    for begin in range(0, size, _CHUNK):
        part = raw[begin : begin + _CHUNK]
        found = member.read(len(part))
        if len(found) != len(part):
            raise ValueError(f"{name} is cut off")
        part[:] = np.frombuffer(found, dtype=np.uint8)
    if member.read(1):
        raise ValueError(f"{name} is longer than its shape")
    if header.dtype.kind == "b" and raw.max(initial=0) > 1:
        raise ValueError(f"{name} has truth values that are neither")
    array: npt.NDArray[Any] = raw.view(header.dtype)
    return array.reshape(header.shape, order="F" if header.is_fortran else "C")
