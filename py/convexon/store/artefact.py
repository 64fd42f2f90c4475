"""The artefact store: how every result of a stage lies on disk.

An artefact is a frozen dataclass. Its file form is JSON, with large arrays in an npz file beside
it; a `convexon.store.codec.Codec` maps between the two. The JSON file states schema and version,
the digest of the content, the digests of the parents that it was made from, and the recipe (what
was read of the settings) that made it::

    {"schema": "convexon.card", "schema_version": 2, "digest": "sha256:...", "source": "sha256:...",
     "parents": {"network": "sha256:..."}, "recipe": {...}, "arrays": {...}, "content": {...}}

The same inputs give the same bytes. Files are written to a temporary name and renamed, the JSON
last, so a reader finds either the old artefact or the new one. Nothing is ever unpickled.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from convexon.errors import ArtefactError, ConvexonError, InputError
from convexon.store.archive import read_npz
from convexon.store.codec import Arrays, Codec, Json
from convexon.store.untrusted import (
    DIGEST,
    parse_json,
    printable,
    read_text,
    require_plain,
)

T = TypeVar("T")

HEAD = {
    *("schema", "schema_version", "digest", "source"),
    *("parents", "recipe", "arrays", "content"),
}
"""Fields of an artefact's file."""

DRAFT = ".draft"
"""How names end of files that are being written, which begin with a dot."""

_DRAFT_NAME = re.compile(rf"\..+\.([a-z0-9_]{{8}}|[0-9a-f]{{32}}){re.escape(DRAFT)}", re.ASCII)
"""The whole of such a name: before its end comes what `tempfile` draws, or a UUID."""

_UMASK = threading.Lock()
"""To ask for the umask is to set it, which two threads must not do at once."""


@dataclass(frozen=True)
class Record:
    """Head of an artefact's file: everything but the content.

    Members
    -------
    schema, version : str, int
    digest : str
        Over all of the file but ``source``: the same content has the same digest, whatever version
        of Convexon made it.
    parents : mapping of str to str
        Digests of what it was made from, by role.
    recipe : mapping
        The settings that were read while it was made, and what else it follows from.
    source : str
        Digest of the code that made it.
    """

    schema: str
    version: int
    digest: str
    parents: Mapping[str, str]
    recipe: Mapping[str, Any]
    source: str = ""


def save(
    codec: Codec[T],
    artefact: T,
    path: Path,
    *,
    parents: Mapping[str, str] | None = None,
    recipe: Mapping[str, Any] | None = None,
    source: str = "",
) -> Record:
    """Write ``artefact`` to ``path`` (a .json name), its arrays beside it, and return its head.

    Raises
    ------
    ArtefactError
        If the content holds NaN or an infinity, the folder cannot be written, or the disk is full.
        Nothing half written is left.
    """
    content, arrays = codec.encode(artefact)
    head: Json = {
        "schema": codec.schema,
        "schema_version": codec.version,
        "digest": "",
        "source": "",
        "parents": dict(sorted((parents or {}).items())),
        "recipe": dict(sorted((recipe or {}).items())),
        "arrays": {name: _describe(array) for name, array in sorted(arrays.items())},
        "content": content,
    }
    try:
        require_plain(head)  # nothing is written that would be refused when it is read
        digest = head["digest"] = digest_of(head)
        head["source"] = source
    except InputError as error:
        raise ArtefactError(f"{path} cannot be written: {error}") from None
    except ValueError as error:
        raise ArtefactError(f"{path} cannot hold NaN or infinite numbers: {error}") from error
    arrays_path = _arrays_path(path, digest)
    new_arrays = bool(arrays) and not arrays_path.exists()
    if arrays:
        atomic_write(arrays_path, _npz(arrays))
    try:
        atomic_write(path, pretty(head).encode())
    except ArtefactError:
        if new_arrays:
            arrays_path.unlink(missing_ok=True)
        raise
    for stale in path.parent.glob(f"{glob.escape(path.stem)}.{'[0-9a-f]' * 12}.npz"):
        if stale != arrays_path:
            stale.unlink(missing_ok=True)
    return Record(codec.schema, codec.version, digest, head["parents"], head["recipe"], source)


@dataclass(frozen=True)
class Opened(Generic[T]):
    """An artefact's file whose JSON was read and agrees with its digest.

    Members
    -------
    codec, path
    record : Record
    content, arrays : JSON
        What it holds, and what it says of its arrays.
    """

    codec: Codec[T]
    path: Path
    record: Record
    content: Any
    arrays: Mapping[str, Json]

    def value(self) -> T:
        """Read the arrays, check them, and return the artefact.

        Raises
        ------
        ArtefactError
            If the arrays are missing or damaged, or the content is no such artefact.
        """
        arrays = _load_arrays(
            _arrays_path(self.path, self.record.digest), self.arrays, _again(self.codec, self.path)
        )
        try:
            return self.codec.decode(self.content, arrays)
        except ConvexonError as error:
            raise ArtefactError(f"{self.path} holds bad content: {error}") from error
        except (
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
            MemoryError,
        ) as error:  # what classes make of odd numbers
            told = printable(str(error))
            raise ArtefactError(f"{self.path} garbles {self.codec.schema}: {told}") from error


def open_artefact(codec: Codec[T], path: Path) -> Opened[T]:
    """Read the JSON of the artefact at ``path``, and check it against its digest.

    Raises
    ------
    ArtefactError
        If the file is missing, truncated, changed, of another schema or of an unknown version.
    """
    again = _again(codec, path)
    head = read_head(path, again)
    if head["schema"] != codec.schema:
        raise ArtefactError(f"{path} must hold {codec.schema}, not {head['schema']!r}")
    if head["schema_version"] != codec.version:
        raise ArtefactError(
            f"{path} must have {codec.schema} version {codec.version}, not "
            f"{head['schema_version']!r}: {again} with this version of Convexon"
        )
    stated = head["digest"]
    try:
        actual = digest_of({**head, "digest": "", "source": ""})
    except ValueError:  # NaN, or text that is no Unicode: Convexon writes neither
        actual = None
    if actual is None or actual != stated:
        accept = f", or `{codec.accepted_by} {path}` if you changed it" if codec.accepted_by else ""
        raise ArtefactError(
            f"{path} does not match its digest: it was changed or damaged; {again}{accept}"
        )
    record = Record(
        codec.schema, codec.version, stated, head["parents"], head["recipe"], head["source"]
    )
    return Opened(codec, path, record, head["content"], head["arrays"])


def load(codec: Codec[T], path: Path) -> tuple[T, Record]:
    """Read the artefact at ``path``, arrays and all, and check it; raises as `Opened` does."""
    opened = open_artefact(codec, path)
    return opened.value(), opened.record


def _again(codec: Codec[Any], path: Path) -> str:
    """What makes the file anew."""
    return f"run `{codec.made_by} {path.parent}` again" if codec.made_by else "make it again"


def read_head(path: Path, again: str = "make it again") -> Json:
    """Read the whole JSON of an artefact file, checked for its form but not against its digest.

    Raises
    ------
    ArtefactError
        If the file is missing, unreadable, truncated or foreign.
    """
    head = read_json(path, again)
    if not isinstance(head, dict) or {"source", *head} != HEAD:
        raise ArtefactError(f"{path} is not an artefact of Convexon: its fields differ")
    head = {"source": "", **head}  # which files of earlier versions lack
    if not _is_head(head):
        raise ArtefactError(f"{path} is damaged: a field of its head has another form; {again}")
    return head


def _is_head(head: Json) -> bool:
    """Whether the fields around the content have the form that `save` gives them."""
    parents, arrays = head["parents"], head["arrays"]
    return (
        isinstance(head["recipe"], dict)
        and isinstance(head["source"], str)
        and isinstance(parents, dict)
        and all(DIGEST.fits(digest) for digest in parents.values())
        and isinstance(arrays, dict)
        and all(isinstance(described, dict) for described in arrays.values())
    )


def read_json(path: Path, again: str = "make it again") -> Any:
    """Read any JSON; raises `ArtefactError` if the file is missing, unreadable or truncated."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing: {again.replace('again', 'first')}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} cannot be read: {_reason(error)}") from error
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        raise ArtefactError(
            f"{path} is truncated or not JSON (line {error.lineno}): {again}"
        ) from error
    except InputError as error:
        raise ArtefactError(f"{path} is damaged: {error}; {again}") from error
    except ValueError as error:  # digits past Python's limits
        raise ArtefactError(f"{path} is damaged JSON: {again}") from error


def canonical(value: object) -> bytes:
    """Canonical JSON: sorted keys, no spaces, no NaN; what digests are taken over."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()


def digest_of(value: object) -> str:
    """Return ``sha256:`` and the hash of the canonical JSON of ``value``."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def pretty(value: object, indent: str = "") -> str:
    """JSON for people: one field a line, one row of numbers a line."""
    deeper = indent + "  "
    if isinstance(value, Mapping) and value:
        rows = [f"{deeper}{json.dumps(key)}: {pretty(value[key], deeper)}" for key in value]
        text = "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    elif isinstance(value, list | tuple) and any(isinstance(x, Mapping | list) for x in value):
        text = "[\n" + ",\n".join(deeper + pretty(x, deeper) for x in value) + f"\n{indent}]"
    else:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return text if indent else text + "\n"


def atomic_write(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees all of it or the file that was there before.

    Raises
    ------
    ArtefactError
        If the folder cannot be made or written, or the disk is full.
    """
    temporary: str | None = None
    try:
        if path.exists() and not path.is_file():  # such as a device, which would be replaced
            raise ArtefactError(f"{path} cannot be written: it is no file; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=DRAFT, prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        with _UMASK:
            umask = os.umask(0)
            os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise ArtefactError(
            f"{path} cannot be written: {_reason(error)}; choose another folder or free space"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove what a process that was killed had begun to write in ``folder``, and nothing deeper.

    Nobody else may be writing there.
    """
    for draft in folder.glob(f".*{DRAFT}"):
        if draft.is_symlink() or not _DRAFT_NAME.fullmatch(draft.name):
            continue
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        elif draft.is_file():
            with suppress(OSError):
                draft.unlink()


def _reason(error: Exception) -> str:
    """Operating system's word for an error, without the path that the message already names."""
    return str(getattr(error, "strerror", None) or error)


def _arrays_path(path: Path, digest: str) -> Path:
    """Arrays of the artefact with this digest: a new artefact never overwrites the old one's."""
    return path.with_name(f"{path.stem}.{digest.removeprefix('sha256:')[:12]}.npz")


def _describe(array: npt.NDArray[Any]) -> Json:
    """Type, shape and hash of an array: what the digest of an artefact covers of it."""
    if array.dtype.kind not in "biuf":
        raise ArtefactError(f"arrays must be numbers, not {array.dtype}")
    data = _plain(array)
    return {
        "dtype": data.dtype.str,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
    }


def array_digest(array: npt.NDArray[Any]) -> str:
    """Hash of an array's type, shape and bytes."""
    return digest_of(_describe(array))


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array in row-major, little-endian order: one array, one sequence of bytes."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _load_arrays(path: Path, described: Mapping[str, Json], again: str) -> Arrays:
    """Read the arrays that a head describes and check each against its hash."""
    if not described:
        return {}
    try:
        arrays = read_npz(path, described)
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing: {again}") from None
    except InputError as error:  # too much for the limit, which can be raised
        raise ArtefactError(f"{path} cannot be read: {error}") from None
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {_reason(error)}; {again}") from error
    except ValueError as error:
        raise ArtefactError(f"{path} is truncated or damaged: {again}") from error
    if set(arrays) != set(described):
        raise ArtefactError(f"{path} is truncated or damaged: {again}")
    for name, array in arrays.items():
        if _describe(array) != described[name]:
            raise ArtefactError(
                f"{path} does not match its digest in {name!r}: it was changed; {again}"
            )
    return arrays


def _npz(arrays: Arrays) -> bytes:
    """An npz file, the same bytes for the same arrays, packed fast rather than small."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, _plain(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, whatever the day
            archive.writestr(entry, member.getbuffer(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return buffer.getvalue()
