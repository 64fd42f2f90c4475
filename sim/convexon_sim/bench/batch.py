"""Several accelerators in one design: each with its own modules, ports and clock.

A single accelerator stays as it is emitted, and is the top module. Where there are more, the
modules of each get a prefix, and a small module around each holds its ports as variables that the
bench drives::

    module convexon_batch;  scope0 network0 ();  scope1 network1 ();  ...  endmodule
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convexon.store.artefact import digest_of
from convexon_hdl.emit.bundle import RtlBundle

TOP = "convexon_batch"
"""Name of the module around several accelerators."""

_NAME = r"(?:\\\S+ |[A-Za-z_]\w*\b)"
"""A Verilog identifier; one that is escaped ends with its space."""

_DECLARATION = re.compile(rf"^(\s*module\s+)({_NAME})", re.MULTILINE)
_INSTANCE = re.compile(rf"^(\s+)({_NAME})(?=\s*(?:#\s*\(|{_NAME}\s*\())", re.MULTILINE)


@dataclass(frozen=True)
class Instance:
    """Where one accelerator stands in a design.

    Members
    -------
    scope, design : as in `convexon_sim.bench.job.Job`
    """

    scope: tuple[str, ...] = ()
    design: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """A design of one or more accelerators.

    Members
    -------
    top : its top module
    digest : over the text and the top
    instances : by the digest of the bundle
    """

    top: str
    verilog: str
    digest: str
    instances: dict[str, Instance]


def combine(bundles: Sequence[RtlBundle]) -> Batch:
    """Return one design that holds each of ``bundles`` once."""
    distinct = {bundle.digest: bundle for bundle in bundles}
    if len(distinct) == 1:
        ((digest, bundle),) = distinct.items()
        return Batch(
            top=bundle.top, verilog=bundle.verilog, digest=digest, instances={digest: Instance()}
        )
    parts, inside, instances = [], [], {}
    for k, (digest, bundle) in enumerate(distinct.items()):
        parts += [renamed(bundle.verilog, f"n{k}."), _scope(bundle, k)]
        inside.append(f"  scope{k} network{k} ();\n")
        instances[digest] = Instance((f"network{k}",), (f"network{k}", "core"))
    text = "\n".join([*parts, f"module {TOP};\n{''.join(inside)}endmodule\n"])
    return Batch(top=TOP, verilog=text, digest=digest_of([TOP, text]), instances=instances)


def renamed(verilog: str, prefix: str) -> str:
    """Return the design with ``prefix`` before the name of every module that it declares."""
    names = {_plain(match[2]) for match in _DECLARATION.finditer(verilog)}

    def rename(match: re.Match[str]) -> str:
        name = _plain(match[2])
        return f"{match[1]}{_escaped(prefix + name)}" if name in names else match[0]

    return _INSTANCE.sub(rename, _DECLARATION.sub(rename, verilog))


def _plain(identifier: str) -> str:
    return identifier.removeprefix("\\").rstrip()


def _escaped(name: str) -> str:
    return f"\\{name} "


def _scope(bundle: RtlBundle, k: int) -> str:
    """Return the module around accelerator ``k``."""
    ports = list(_ports(bundle))
    lines = [f"  {kind} {size}{name};\n" for kind, size, name in ports]
    connections = ", ".join(f".{name}({name})" for _, _, name in ports)
    top = _escaped(f"n{k}.{bundle.top}")
    return f"module scope{k};\n{''.join(lines)}  {top}core ({connections});\nendmodule\n"


def _ports(bundle: RtlBundle) -> Iterator[tuple[str, str, str]]:
    """Yield kind, range and name of the signal at each port of an accelerator."""
    ports = bundle.ports
    for name in ("clock", "reset"):
        yield "reg", "", ports[name]
    for name, stream in ports["streams"].items():
        driven = name != "o"
        forward, backward = ("reg", "wire") if driven else ("wire", "reg")
        yield forward, f"[{stream['width'] - 1}:0] ", stream["payload"]
        yield forward, "", stream["valid"]
        yield backward, "", stream["ready"]
    for name in ("loaded", "refused") if "weights" in ports else ():
        yield "wire", "", ports["weights"][name]
