"""The RTL bundle: Verilog, its ports, and a manifest, in one folder.

``accelerator.v`` is the design, ``ports.json`` says how to drive and watch it, ``manifest.json``
lists the files with their hashes, the tools that made them and the digests of what they were made
from. Benches and builds read these files and nothing else of the generator.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convexon.artefact import Json, atomic_write, digest_of, pretty
from convexon.errors import ArtefactError

SCHEMA = "convexon.rtl"
SCHEMA_VERSION = 1
VERILOG_NAME = "accelerator.v"
PORTS_NAME = "ports.json"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, eq=False, kw_only=True)
class RtlBundle:
    """An emitted accelerator.

    Members
    -------
    top : str
        Name of the top module.
    verilog : str
        The whole design.
    ports : dict
        Content of ports.json, schema ``convexon.ports``.
    tools : mapping
        Names and versions of the tools that emitted it.
    parents : mapping
        Digests of the artefacts that it was made from, by role.
    digest : str
        Over all of the above.
    """

    top: str
    verilog: str
    ports: Json
    tools: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)

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
            "files": {name: _sha256(data) for name, data in self._files().items()},
        }

    def _files(self) -> dict[str, bytes]:
        return {VERILOG_NAME: self.verilog.encode(), PORTS_NAME: pretty(self.ports).encode()}

    def write(self, folder: Path) -> None:
        """Write into ``folder``, the manifest last; `ArtefactError` if it cannot be written."""
        for name, data in self._files().items():
            atomic_write(folder / name, data)
        atomic_write(
            folder / MANIFEST_NAME, pretty({"digest": self.digest, **self._head()}).encode()
        )

    @classmethod
    def read(cls, folder: Path) -> RtlBundle:
        """Read the bundle in ``folder`` and check every file against the manifest.

        Raises
        ------
        ArtefactError
            If a file is missing, damaged, changed, or of an unknown schema.
        """
        manifest = _read_json(folder / MANIFEST_NAME)
        schema = (manifest.get("schema"), manifest.get("schema_version"))
        if schema != (SCHEMA, SCHEMA_VERSION):
            raise ArtefactError(
                f"{folder / MANIFEST_NAME} must have {SCHEMA} version {SCHEMA_VERSION}, "
                f"not {schema[0]!r} version {schema[1]!r}: emit it again"
            )
        try:
            verilog = (folder / VERILOG_NAME).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArtefactError(f"{folder / VERILOG_NAME} cannot be read: emit it again") from error
        try:
            bundle = cls(
                top=manifest["top"],
                verilog=verilog,
                ports=_read_json(folder / PORTS_NAME),
                tools=manifest["tools"],
                parents=manifest["parents"],
            )
            stated = (manifest["digest"], dict(manifest["files"]))
            files, digest = bundle._files(), bundle.digest
        except KeyError as error:
            raise ArtefactError(f"{folder / MANIFEST_NAME} lacks {error}: emit it again") from error
        except (TypeError, ValueError) as error:
            raise ArtefactError(f"{folder} holds a garbled bundle: emit it again") from error
        for name, data in files.items():
            if stated[1].get(name) != _sha256(data):
                raise ArtefactError(
                    f"{folder / name} does not match manifest.json: it was changed; emit it again"
                )
        if digest != stated[0]:
            raise ArtefactError(
                f"{folder / MANIFEST_NAME} does not match its digest: emit it again"
            )
        return bundle


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_json(path: Path) -> Json:
    """Read a JSON object; raises `ArtefactError` naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing: run convexon emit first") from None
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} is truncated or damaged: emit it again") from error
    if not isinstance(value, dict):
        raise ArtefactError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value
