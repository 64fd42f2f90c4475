"""What a file is, by its first bytes: to read it, or to say what to do with it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from convexon.errors import ArtefactError
from convexon.store.untrusted import open_regular

NPZ, NPY, PARQUET, TEXT = "npz", "npy", "parquet", "csv"
"""Kinds that are read, by name."""

SAVE = "load it where it came from, and save an npz with numpy.savez"
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF", "an HDF5 file", SAVE),
    (b"MATLAB", "a MATLAB file", "load it with scipy.io.loadmat, and save an npz"),
    (b"\x89PNG", "a PNG image", "stack images to an array (n, h, w), and save an npz"),
    (b"\xff\xd8\xff", "a JPEG image", "stack images to an array (n, h, w), and save an npz"),
    (b"GIF8", "a GIF image", "stack images to an array (n, h, w), and save an npz"),
    (b"\x1f\x8b", "packed with gzip", "unpack it with gunzip"),
    (b"BZh", "packed with bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ", "packed with xz", "unpack it with unxz"),
    (b"(\xb5/\xfd", "packed with zstd", "unpack it with unzstd"),
    (b"ARROW1", "an Arrow or Feather file", "save it as Parquet"),
    (b"Obj\x01", "an Avro file", "save it as Parquet"),
    (b"SQLite", "an SQLite database", "export a table as csv"),
    (b"%PDF", "a PDF", "give the data behind it"),
    (b"#!AER-DAT", "an AEDAT recording", "save its events (t, x, y, polarity) as an npz"),
    (b"RIFF", "a RIFF recording (WAV, AVI)", "save its samples as an npz"),
    (b"\x7fELF", "a program", "give the data"),
    (b"%!PS", "PostScript", "give the data behind it"),
)
_IDX_TYPES = (0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E)


def kind_of(path: Path, told: str) -> str:
    """Return the kind of a file that is read.

    Parameters
    ----------
    told : what to give instead, for messages

    Raises
    ------
    ArtefactError
        If the file is missing, empty, or of another kind; it says which, and what to do.
    """
    if path.is_dir():
        raise ArtefactError(f"{path} is a folder: {told}")
    if not path.exists():
        raise ArtefactError(f"{path} is missing: {told}")
    if not path.is_file():
        raise ArtefactError(f"{path} is no regular file: {told}")
    try:
        with open_regular(path) as stream:
            head = stream.read(4096)
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror or error}") from error
    if not head:
        raise ArtefactError(f"{path} is empty: {told}")
    if head.startswith(b"\x93NUMPY"):
        return NPY
    if head.startswith(b"PAR1"):
        return PARQUET
    if zipfile.is_zipfile(path):
        return _kind_of_zip(path, told)
    for beginning, what, advice in _BEGINNINGS:
        if head.startswith(beginning):
            raise ArtefactError(f"{path} is {what}: {advice}")
    if head[:2] == b"\x00\x00" and len(head) > 3 and head[2] in _IDX_TYPES and head[3] in range(5):
        raise ArtefactError(f"{path} is an IDX file, as MNIST has them: examples/mnist.py reads it")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ArtefactError(f"{path} is a pickle, which can run any program: {SAVE}")
    if head.startswith(b"PK") or path.suffix in (".npz", ".npy"):
        raise ArtefactError(f"{path} is damaged and no {path.suffix.strip('.') or 'npz'}: {told}")
    return _kind_of_text(path, head, told)


def _kind_of_zip(path: Path, told: str) -> str:
    """An archive: of arrays, or of what else there is."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArtefactError(f"{path} is damaged and no npz: {told}") from error
    if any(name.endswith("data.pkl") for name in names):
        raise ArtefactError(f"{path} is a file of torch.save, a pickle within: {SAVE}")
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise ArtefactError(f"{path} is an office document: export a table as csv")
    if names and not any(name.endswith(".npy") for name in names):
        raise ArtefactError(f"{path} is a zip archive of other files: unpack it; {told}")
    return NPZ


def _kind_of_text(path: Path, head: bytes, told: str) -> str:
    """A table of text, unless it says that it is something else."""
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if b"\x00" in head or text.count("\ufffd") > 8:
        raise ArtefactError(f"{path} is {_named(path)} of a kind that is not known here: {told}")
    lower = text[:16].lower()
    if lower.startswith(("{", "[")):
        raise ArtefactError(f"{path} is JSON: {told}")
    if lower.startswith("<"):
        raise ArtefactError(f"{path} is HTML or XML, perhaps an error page of a server: {told}")
    if lower.startswith(("@relation", "%", "@problemname", "#")):
        raise ArtefactError(f"{path} is an ARFF or .ts file, or has comments: save it as csv")
    return TEXT


def _named(path: Path) -> str:
    return f"a {path.suffix} file" if path.suffix else "a file"
