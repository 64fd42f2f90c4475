"""The file of a program of torch.export: its graph as JSON, its tensors as bytes.

`torch.export.load` would unpickle what a stranger wrote; here nothing is. Only operators that are
listed here are ever run.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convexon.errors import InputError, MissingToolError
from convexon.store.untrusted import LIMIT_VARIABLE, limit_bytes, open_regular, parse_json

WEIGHTS = frozenset({"linear", "addmm", "mm", "matmul", "conv1d", "conv2d", "convolution"})
COMPARES = frozenset({"gt", "ge", "lt", "le", "heaviside"})
_OTHERS = re.compile(
    "add|sub|rsub|mul|div|neg|reciprocal|sigmoid|exp|clamp|where|to|clone|detach|alias|contiguous|"
    "zeros|ones|full|new_zeros|new_ones|zeros_like|ones_like|full_like|t|transpose|permute|view|reshape|_unsafe_view|flatten|"
    "unflatten|squeeze|unsqueeze|select|slice|expand|cat|stack|sum|mean|dropout|batch_norm|"
    "avg_pool1d|avg_pool2d|pad|constant_pad_nd|lift_fresh_copy|logical_not|bitwise_not"
)
IGNORED = "_assert_tensor_metadata"
_FLOATS = {6: "<f2", 7: "<f4", 8: "<f8"}
_DTYPES = {**_FLOATS, 1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 12: "?"}
"""Types of tensors by their number in the archive."""


@dataclass(frozen=True)
class Ref:
    """A tensor by its name."""

    name: str


@dataclass(frozen=True)
class Node:
    """One operator: what it reads and gives, and the calls of modules that it belongs to."""

    operator: str
    overload: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    gives: tuple[str, ...]
    stack: tuple[tuple[str, str], ...]  # of each module around it the call and the path
    reads: frozenset[str]


def read_archive(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the program as JSON, and its tensors by name, within the limits on sizes."""
    with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
        entries = {each.filename: each for each in archive.infolist()}
        if sum(each.file_size for each in entries.values()) > limit_bytes():
            raise InputError(
                f"it unpacks to more than {limit_bytes():,} bytes: raise {LIMIT_VARIABLE}"
            )
        name = next((each for each in entries if each.endswith("models/model.json")), None)
        if name is None:
            raise InputError("it must hold models/model.json, as torch.export.save writes it")
        head = name.removesuffix("models/model.json")
        tensors: dict[str, Any] = {}
        for kind in ("weights", "constants"):
            config = f"{head}data/{kind}/model_{kind}_config.json"
            if config in entries:
                for each, meta in _json(archive.read(config))["config"].items():
                    data = archive.read(f"{head}data/{kind}/{meta['path_name']}")
                    tensors[each] = _tensor(each, meta, data)
        return _json(archive.read(name)), tensors


def _json(data: bytes) -> Any:
    """Parse JSON, less what is of several lines."""
    return parse_json(data.decode(), without=("stack_trace", "guards_code"))


def _tensor(name: str, meta: Mapping[str, Any], data: bytes) -> Any:
    """A tensor of its bytes."""
    if meta["use_pickle"]:
        raise InputError(f"{name} is kept as a pickle, which is not read: save plain tensors")
    shape = tuple(int(length["as_int"]) for length in meta["tensor_meta"]["sizes"])
    strides = tuple(int(length["as_int"]) for length in meta["tensor_meta"]["strides"])
    kind = _DTYPES.get(meta["tensor_meta"]["dtype"])
    if kind is None:
        raise InputError(f"{name} must be of numbers that are no complex ones")
    array = np.zeros(0, dtype=kind) if 0 in shape else np.frombuffer(data, dtype=kind)
    whole = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if array.size != math.prod(shape) or any(
        stride != step
        for stride, step, length in zip(strides, whole, shape, strict=True)
        if length > 1
    ):
        raise InputError(f"{name} must be kept whole: make it contiguous before the export")
    floats = meta["tensor_meta"]["dtype"] in _FLOATS
    wide = array.astype(np.float64) if floats else array.copy()
    return torch_package().from_numpy(wide.reshape(shape))


def node_of(content: Mapping[str, Any]) -> Node:
    """One operator of the graph."""
    target = str(content["target"])
    head, _, name = target.partition("torch.ops.aten.")
    operator, _, overload = name.partition(".")
    known = operator in (*WEIGHTS, *COMPARES, IGNORED) or _OTHERS.fullmatch(operator)
    if head or not known:
        raise InputError(f"{target} is no operator that is known here")
    arguments, keywords = [], {}
    for each in content["inputs"]:
        ((kind, value),) = each["arg"].items()
        if kind in ("as_device", "as_layout", "as_memory_format"):
            continue
        if each["kind"] == 1:
            arguments.append(_argument(kind, value))
        elif each["name"] != "pin_memory":
            keywords[str(each["name"])] = _argument(kind, value)
    if operator == "to":  # devices are one here
        kinds = [each for each in arguments if not isinstance(each, Ref | bool)]
        operator, overload = ("to", "dtype") if kinds else ("alias", "default")
        arguments, keywords = [arguments[0], *kinds[:1]], {}
    gives = tuple(str(each["as_tensor"]["name"]) for each in content["outputs"])
    calls = [each.split(",") for each in content["metadata"].get("nn_module_stack", "").split(";")]
    stack = tuple((each[0], each[1]) for each in calls if len(each) >= 3 and each[1])
    flat = [*arguments, *keywords.values()]
    held = [each for value in flat for each in (value if isinstance(value, list) else [value])]
    reads = frozenset(each.name for each in held if isinstance(each, Ref))
    return Node(operator, overload, tuple(arguments), keywords, gives, stack, reads)


def _argument(kind: str, value: Any) -> Any:
    """An argument of an operator."""
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return Ref(str(value["name"]))
    if kind == "as_tensors":
        return [Ref(str(each["name"])) for each in value]
    if kind == "as_scalar_type":
        torch = torch_package()
        return {12: torch.bool, 5: torch.int64}.get(value, torch.float64)
    if kind == "as_ints" and math.prod(map(abs, value)) * 8 > limit_bytes():
        raise InputError(f"a tensor of {value} is too large: raise {LIMIT_VARIABLE}")
    if kind in ("as_int", "as_float", "as_bool", "as_ints", "as_floats", "as_string"):
        return value
    raise InputError(f"{kind} is no argument that is known here")


def torch_package() -> Any:
    """Return the package torch; raises `MissingToolError` where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise MissingToolError("torch is not installed: pip install 'convexon[torch]'") from error
    return torch
