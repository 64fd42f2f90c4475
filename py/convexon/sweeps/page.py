"""The page of a sweep: its points as a drawing, and what each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

from convexon.flow.run import Run
from convexon.plan.mapping import LayerMapping, Mapping
from convexon.report.document import EXPLORE_SCRIPTS, document, web
from convexon.report.packed import MOST_BYTES, packed_traces
from convexon.report.page import value_text
from convexon.report.recording import Recording, recording_of
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.store.codec import Json, to_json
from convexon.sweeps.point import OBJECTIVES, Exploration, Point

LABELS = {
    "accuracy.test": "test accuracy",
    "accuracy.train": "training accuracy",
    "latency.cycles.mean": "latency, cycles, mean",
    "latency.cycles.max": "latency, cycles, largest",
    "estimate.luts": "LUTs",
    "estimate.block_rams": "block RAMs",
    "energy.neutral.low": "energy, J, low",
    "energy.neutral.high": "energy, J, high",
}
"""Names of figures on an axis; others keep their own."""

AXES = ("latency.cycles.mean", "accuracy.test")
"""Figures that the drawing begins with: across, and up."""

SHOWN_FILES = (".json", ".html", ".md", ".v", ".bit", ".bin", ".fs", ".rpt", ".log", ".txt")
"""Files that a point links to; arrays and caches are not for readers."""


def as_page(root: Path, exploration: Exploration, varied: Sequence[str]) -> str:
    """Return explore.html, which stands in ``root`` and links to what lies there.

    Of each point it carries the first test sample, with the hardware's trace where the point was
    verified, as far as `MOST_BYTES` have room; points of the front come first.

    Parameters
    ----------
    root : folder of the sweep
    varied : choices that have several values: they name a point

    Raises
    ------
    ArtefactError
        If the folder of a point lacks its card or samples, or one of them is damaged: points are
        made again before, so that it can only have happened since.
    """
    collected = _Collected()
    front = set(exploration.front)
    points: list[Json] = [{} for _ in exploration.points]
    for k in sorted(range(len(points)), key=lambda k: (k not in front, k)):
        point, name = exploration.points[k], exploration.names[k]
        folder = Run(root / "points" / name)
        points[k] = {
            **_described(point, name, varied),
            "front": k in front,
            "network": None,
            "traces": None,
            "reported": (folder.path / "report.html").exists(),
            "files": _files(root, folder.path),
        }
        if not point.reason:
            points[k] |= collected.add(recording_of(folder, n_samples=1))
    measures = _measures(exploration)
    names = [measure["name"] for measure in measures]
    count = f"{len(points)} points, {len(front)} on the front"
    objectives = ", ".join(LABELS.get(name, name) for name in OBJECTIVES)
    body = Template(web("explore.html")).substitute(
        viewer=web("viewer.html"), objectives=escape(objectives)
    )
    return document(
        title=f"Convexon: sweep of {count}",
        body=f"<h1>A sweep of {count}</h1>\n{body}",
        data={
            "sweep": {
                "points": points,
                "networks": collected.networks,
                "traces": collected.traces,
                "measures": measures,
                "axes": [names.index(name) if name in names else 0 for name in AXES],
            }
        },
        scripts=EXPLORE_SCRIPTS,
    )


def _measures(exploration: Exploration) -> list[Json]:
    """Figures that any point has, what the front weighs first, and which way is better."""
    units = {f.name: f.unit for point in exploration.points for f in point.figures}
    names = [name for name in OBJECTIVES if name in units]
    names += [name for name in units if name not in names]
    return [
        {
            "name": name,
            "label": LABELS.get(name, name if units[name] == "1" else f"{name}, {units[name]}"),
            "better": OBJECTIVES.get(name, 0),
            "format": ".2%" if name.startswith("accuracy.") else ".3~s",
        }
        for name in names
    ]


def _described(point: Point, name: str, varied: Sequence[str]) -> Json:
    """What is said of a point, without its network."""
    choices = {key: _text(value) for key, value in point.settings.items()}
    own = [f"{key} {choices[key]}" for key in varied if key in choices]
    return {
        "name": name,
        "title": ", ".join(own) or name,
        "folder": f"points/{name}",
        "family": choices.get("family", ""),
        "settings": choices,
        "reason": point.reason,
        "values": {figure.name: figure.value for figure in point.figures},
        "figures": [{**to_json(figure), "text": value_text(figure)} for figure in point.figures],
    }


def _text(value: object) -> str:
    """Return a choice as people read it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(own)}" for key, own in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_text(own) for own in value)
    return str(value)


def _files(root: Path, folder: Path) -> list[Json]:
    """Links to a point's files, relative to the page; its report comes first."""
    found = [
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix in SHOWN_FILES and path.is_file()
    ]
    kept = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    kept.sort(key=lambda path: (path.name != "report.html", len(path.parts), path.as_posix()))
    base = folder.relative_to(root)
    return [{"href": quote((base / path).as_posix()), "text": path.as_posix()} for path in kept]


class _Collected:
    """Networks and traces of a page, each once: points that differ in their mapping share them."""

    def __init__(self) -> None:
        self.networks: list[Json] = []
        self.traces: list[Json] = []
        self._network_at: dict[str, int] = {}
        self._traces_at: dict[str, int] = {}
        self._room = MOST_BYTES

    def add(self, recording: Recording) -> Json:
        """Return where a point's network and traces are; None where there was no room for these."""
        digest = recording.card_digest
        if digest not in self._network_at:
            self._network_at[digest] = len(self.networks)
            self.networks.append(_network(recording.network))
        return {
            "network": self._network_at[digest],
            "mapping": [_mapping_text(choice) for choice in _choices(recording.mapping)],
            "traces": self._trace(recording),
        }

    def _trace(self, recording: Recording) -> int | None:
        shared = not recording.hardware
        if shared and recording.card_digest in self._traces_at:
            return self._traces_at[recording.card_digest]
        packed = packed_traces(recording)
        size = sum(len(inference["data"]) for inference in packed["inferences"])
        if size > self._room:
            return None
        self._room -= size
        self.traces.append(packed)
        if shared:
            self._traces_at[recording.card_digest] = len(self.traces) - 1
        return len(self.traces) - 1


def _network(network: FixedPointNetwork) -> Json:
    """Layers as rows of a table, the readout last."""
    rows = [
        [branch, depth, *_layer_row(layer)]
        for branch, stack in enumerate(network.branches)
        for depth, layer in enumerate(stack.layers)
    ]
    weights = network.readout_weights
    bits = [network.readout_format.width, network.bias_format.width]
    readout = ["readout", "-", network.n_features, network.n_classes]
    readout += [int(np.count_nonzero(weights)), int(np.count_nonzero(weights, axis=0).max()), *bits]
    return {
        "note": f"{network.n_neurons} neurons and {network.n_synapses} synapses in "
        f"{len(network.branches)} branches; {network.n_inputs} inputs of {network.input_bits} "
        f"bits, {network.n_steps} steps, readout {network.readout_mode.value}.",
        "layers": [*rows, readout],
    }


def _layer_row(layer: Layer) -> list[int]:
    """Inputs, neurons, synapses, largest fan-in, bits of a weight and of a threshold."""
    fan_ins = layer.fan_ins
    if layer.recurrent is not None:
        fan_ins = fan_ins + np.count_nonzero(layer.recurrent, axis=0)
    bits = [layer.weight_format.width, layer.threshold_format.width]
    return [layer.n_inputs, layer.n_neurons, layer.n_synapses, int(fan_ins.max()), *bits]


def _choices(mapping: Mapping) -> list[LayerMapping]:
    """Return the choices of all layers, in the order of the network's, and of the readout."""
    return [*(choice for layers in mapping.layers for choice in layers), mapping.readout]


def _mapping_text(choice: LayerMapping) -> str:
    """Return where a layer stands, as ``folded, lanes 8, banks 1``."""
    content = {"kind": type(choice).__name__.lower(), **to_json(choice)}
    kind = content.pop("kind")
    return ", ".join([kind, *(f"{name} {value}" for name, value in content.items())])
