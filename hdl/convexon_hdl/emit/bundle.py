"""The RTL bundle: Verilog, its ports, wrappers, and a manifest, in one folder.

``accelerator.v`` is the design, ``ports.json`` says how to drive and watch it, and further files
wrap it for other languages and buses. ``manifest.json`` lists all files with their hashes, the
tools that made them and the digests of what they were made from. Benches and builds read these
files and nothing else of the generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convexon.errors import ArtefactError, InputError
from convexon.store.artefact import atomic_write, digest_of, pretty
from convexon.store.codec import Json
from convexon.store.untrusted import DIGEST, FILE_NAME, IDENTIFIER, parse_json, read_text
from convexon_hdl.emit.described import require_described, require_names
from convexon_hdl.emit.scan import require_inert

SCHEMA = "convexon.rtl"
SCHEMA_VERSION = 2
VERILOG_NAME = "accelerator.v"
PORTS_NAME = "ports.json"
MANIFEST_NAME = "manifest.json"
_OWN_NAMES = frozenset({VERILOG_NAME, PORTS_NAME, MANIFEST_NAME})


@dataclass(frozen=True, eq=False, kw_only=True)
class RtlBundle:
    """An emitted accelerator.

    Raises `ArtefactError` if the name of a file is none, or is one of the bundle's own, and
    `InputError` if the name of the top, of a port or of a probed signal is no identifier.
    """

    top: str
    """Name of the top module."""
    verilog: str
    """The whole design."""
    ports: Json
    """Content of ports.json, schema ``convexon.ports``."""
    tools: Mapping[str, str]
    """Versions of the tools that emitted it, by name."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Digests of the artefacts that it was made from, by role."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Texts of further files, by name."""

    def __post_init__(self) -> None:
        IDENTIFIER.require(self.top, "top of a bundle")
        require_names(self.ports)
        for name in self.others:
            if not FILE_NAME.fits(name) or name in _OWN_NAMES:
                raise ArtefactError(f"file of a bundle must have a plain name, not {name!r}")

    @property
    def files(self) -> dict[str, str]:
        """Text of every file but the manifest, by name."""
        return {
            VERILOG_NAME: self.verilog,
            PORTS_NAME: pretty(self.ports),
            **dict(sorted(self.others.items())),
        }

    @property
    def digest(self) -> str:
        """Digest of the bundle; the simulators' build cache is keyed by it."""
        return digest_of(self._head())

    def _head(self) -> Json:
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "top": self.top,
            "tools": dict(self.tools),
            "parents": dict(self.parents),
            "files": {name: _sha256(text) for name, text in self.files.items()},
        }

    def write(self, folder: Path) -> None:
        """Write into ``folder``, the manifest last; `ArtefactError` if it cannot be written.

        Files that an earlier bundle there listed and this one has not are removed.
        """
        stale = _listed(folder) - set(self.files)
        for name, text in self.files.items():
            atomic_write(folder / name, text.encode())
        atomic_write(
            folder / MANIFEST_NAME, pretty({"digest": self.digest, **self._head()}).encode()
        )
        for name in stale:
            (folder / name).unlink(missing_ok=True)

    @classmethod
    def read(cls, folder: Path) -> RtlBundle:
        """Read the bundle in ``folder`` and check every file against the manifest.

        Raises `ArtefactError` if a file is missing, damaged, changed, of an unknown schema, or no
        description of a circuit and its ports.
        """
        manifest = _read_json(folder / MANIFEST_NAME)
        schema = (manifest.get("schema"), manifest.get("schema_version"))
        if schema != (SCHEMA, SCHEMA_VERSION):
            raise ArtefactError(
                f"{folder / MANIFEST_NAME} must have {SCHEMA} version {SCHEMA_VERSION}, "
                f"not {schema[0]!r} version {schema[1]!r}: emit it again"
            )
        verilog = _read_text(folder / VERILOG_NAME)
        try:
            stated = (manifest["digest"], dict(manifest["files"]))
            names = sorted(set(stated[1]) - _OWN_NAMES)
            if not all(FILE_NAME.fits(name) for name in names):
                raise ValueError("a file outside the folder")
            if not all(DIGEST.fits(digest) for digest in manifest["parents"].values()):
                raise ValueError("a parent without a digest")
            bundle = cls(
                top=manifest["top"],
                verilog=verilog,
                ports=_read_json(folder / PORTS_NAME),
                tools=manifest["tools"],
                parents=manifest["parents"],
                others={name: _read_text(folder / name) for name in names},
            )
            files, digest = bundle.files, bundle.digest
        except KeyError as error:
            raise ArtefactError(f"{folder / MANIFEST_NAME} lacks {error}: emit it again") from error
        except InputError as error:
            raise ArtefactError(f"{folder} holds a garbled bundle: {error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise ArtefactError(f"{folder} holds a garbled bundle: emit it again") from error
        for name, text in files.items():
            if stated[1].get(name) != _sha256(text):
                raise ArtefactError(
                    f"{folder / name} does not match manifest.json: it was changed; emit it again"
                )
        if digest != stated[0]:
            raise ArtefactError(
                f"{folder / MANIFEST_NAME} does not match its digest: emit it again"
            )
        try:
            require_described(bundle.ports, bundle.top)
            for name, text in files.items():
                if name.endswith(".v"):
                    require_inert(text, name)
        except InputError as error:
            raise ArtefactError(f"{folder} holds a foreign bundle: {error}") from None
        return bundle


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(folder: Path) -> set[str]:
    """Return the further files that the manifest in ``folder`` lists; none if it is unsound."""
    try:
        files = parse_json(read_text(folder / MANIFEST_NAME))["files"]
        return {name for name in files if FILE_NAME.fits(name)} - _OWN_NAMES
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _read_text(path: Path) -> str:
    """Read a text; raises `ArtefactError` naming the file."""
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} cannot be read: emit it again") from error


def _read_json(path: Path) -> Json:
    """Read a JSON object; raises `ArtefactError` naming the file."""
    try:
        value = parse_json(read_text(path))
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing: run convexon emit first") from None
    except InputError as error:
        raise ArtefactError(f"{path} is damaged: {error}: emit it again") from None
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} is truncated or damaged: emit it again") from error
    if not isinstance(value, dict):
        raise ArtefactError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value
