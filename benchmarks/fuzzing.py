"""Files that are wrong, and all that reads files: what `fuzz.py` and the tests run.

A corpus is a folder of sound files, one or more of each kind. A case is one of them, changed with
its form in mind: bytes, leaves of JSON and TOML, nesting, sizes that npz headers declare. Where a
file has a digest, half of the cases state the right one, so that what lies behind it is reached.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from convexon.certify.certificate import CERTIFICATE
from convexon.data.dataset import DATASET
from convexon.data.loading import from_file
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import ConvexonError
from convexon.flow.hardware.emit import Design, emit_stage
from convexon.flow.hardware.verify import golden_trace
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.interop.layer_list import read_layer_list
from convexon.interop.nir import read_nir
from convexon.interop.pytorch.exported import read_exported
from convexon.interop.signing import sign
from convexon.link.codec import read_results
from convexon.link.frame import Frame, FrameReader, encode
from convexon.link.protocol import ANSWER, FINGERPRINT_BYTES, NONCE_BYTES, VERSION, Kind
from convexon.link.session import Patience, Session
from convexon.plan.cost.resources import CELLS, RESOURCES, CellReport, ResourceEstimate
from convexon.plan.family import Family
from convexon.plan.mapping import MAPPING, Folded, Mapping
from convexon.plan.mapping_file import read_mapping
from convexon.plan.operations import EnergyRange
from convexon.plan.schedule import Schedule
from convexon.quantizer.record import QUANTIZATION, LayerRecord, QuantizationRecord
from convexon.quantizer.trained import Choice, Difference
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.card import CARD
from convexon.snn.coding import THRESHOLD
from convexon.snn.models.trace import TRACE
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import digest_of, load, save
from convexon.store.codec import Codec
from convexon.sweeps.point import EXPLORATION, OBJECTIVES, POINT, Exploration, Point
from convexon.sweeps.sweep import read_sweep, sweep_from
from convexon.train.baseline import BASELINES, Baseline, Baselines
from convexon.train.columns.dictionary import DICTIONARY
from convexon.train.settings import SolveSettings, WitnessGuide
from convexon.train.solved import BRANCHES, NETWORK, SOLVED
from convexon_boards.built import BUILD, Build, CriticalPath, Route, RouteReport
from convexon_boards.catalogue import read_board
from convexon_boards.energy.estimate import ENERGY, EnergyEstimate
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.formal.proofs import PROOFS, KindOfProof, ProofReport
from convexon_sim.verification import VERIFICATION, Verification

MAPPING_TOML = """\
decision_registers = 1

[default]
kind = "spatial"
registers = 2

[[layer]]
layer = 0
kind = "folded"
lanes = 4
banks = 2

[decision]
rule = "certain"
"""

SWEEP_TOML = """\
data = "digits"
rho = [0.01, 0.005]

[sweep]
steps = [4, 8]
max_neurons = [32, 64]
mapping = ["spatial", "folded"]
lanes = [8, 32]

[budget]
luts = 20000
clock = 48
"""

LAYERS_TOML = """\
weights = "layers.npz"
[[layer]]
weight = "w"
bias = "b"
leak = "leak"
threshold = 1.0
reset = "zero"
gain = 2
strict = false
"""
BOARD_TOML = """\
title = "iCEBreaker"
part = "iCE40UP5K-SG48"
oscillator_mhz = 12.0
loader = "ice40_generic"

[pins]
clock = "35"
rx = "6"
tx = "9"
led = "!37"

[high]
flash_cs_n = "16"
"""

ARTEFACTS: dict[str, Codec[Any]] = {
    "card": CARD,
    "samples-train": SAMPLES,
    "train": DATASET,
    "branches": BRANCHES,
    "dictionary": DICTIONARY,
    "solution": SOLVED,
    "network": NETWORK,
    "certificate": CERTIFICATE,
    "golden": TRACE,
    "mapping": MAPPING,
    "verify-icarus": VERIFICATION,
    "proofs": PROOFS,
    "cells": CELLS,
    "resources": RESOURCES,
    "baselines": BASELINES,
    "energy": ENERGY,
    "quantization": QUANTIZATION,
    "build": BUILD,
    "point": POINT,
    "exploration": EXPLORATION,
}
"""Artefacts of the corpus, by the names of their files."""


PROGRAM = (
    Path(__file__).parent.parent / "tests" / "interop" / "traces" / "program-snntorch-leaky.pt2"
)
"""A sound program of torch.export, as the tests hold it."""


def write_corpus(folder: Path) -> None:
    """Solve a small problem into ``folder``, and write one file of every other kind beside it."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 12)
    features = np.clip(rng.random((3, 6))[labels] + rng.normal(0, 0.1, (36, 6)), 0, 1)
    np.savez_compressed(folder / "data.npz", features=features, labels=labels)
    np.save(folder / "data.npy", features)
    rows = [",".join(map(str, (*row, label))) for row, label in zip(features, labels, strict=True)]
    (folder / "data.csv").write_text("\n".join(["a,b,c,d,e,f,label", *rows]))
    run = Run(folder)
    settings = SolveSettings(
        coding=THRESHOLD,
        guide=WitnessGuide.DIFFERENCE,
        steps=3,
        witnesses=30,
        fan_in=3,
        max_neurons=5,
        rho=(0.01,),
    )
    solve(run, Samples.of(features, labels, name="fuzz"), settings)
    card, record = load(CARD, run.file("card"))
    emit_stage(run)
    golden_trace(run, Design.of(run))
    layers = tuple(tuple(Folded(lanes=2) for _ in b.layers) for b in card.branches)
    save(MAPPING, Mapping(layers=layers), run.file("mapping"), parents={"card": record.digest})
    (folder / "mapping.toml").write_text(MAPPING_TOML)
    (folder / "sweep.toml").write_text(SWEEP_TOML)
    (folder / "board.toml").write_text(BOARD_TOML)
    (folder / "layers.toml").write_text(LAYERS_TOML)
    np.savez(folder / "layers.npz", w=rng.normal(0, 1, (3, 6)), b=np.ones(3), leak=np.ones(1) / 2)
    figures = [
        Figure(name=name, value=0.5, unit="1", kind=FigureKind.MEASURED, source="fuzz")
        for name in OBJECTIVES
    ]
    write_figures(figures, folder / "report.json")
    nir.write(folder / "graph.nir", _graph(rng))
    shutil.copyfile(PROGRAM, folder / "model.pt2")
    for name, value in _made(figures):
        save(ARTEFACTS[name], value, run.file(name))


def _graph(rng: np.random.Generator) -> nir.NIRGraph:
    """A small graph: a window and an affine node, a layer of neurons, and a linear readout."""
    n, ones = np.ones(4), (1, 1)
    window = rng.normal(0, 1, (2, 1, 2, 2))
    nodes = {
        "input": nir.Input({"input": np.array([1, 3, 3])}),
        "window": nir.Conv2d((3, 3), window, ones, (0, 0), ones, 1, np.zeros(2)),
        "flat": nir.Flatten({"input": np.array([2, 2, 2])}, start_dim=0, end_dim=-1),
        "hidden": nir.Affine(rng.normal(0, 1, (4, 8)), rng.normal(0, 1, 4)),
        "spikes": nir.LIF(tau=n / 100, r=n, v_leak=0 * n, v_threshold=n, v_reset=0 * n),
        "readout": nir.Linear(rng.normal(0, 1, (3, 4))),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes=nodes, edges=list(pairwise(names)))


def _made(figures: list[Figure]) -> Iterator[tuple[str, object]]:
    """Artefacts that the run has none of."""
    cells = CellReport(
        family=Family.ICE40,
        **dict.fromkeys(("lut4", "carry", "wide_mux", "ff", "lutram", "mult18", "block_ram"), 3),
        raw={"SB_LUT4": 3},
        tool="yosys 0.70",
    )
    path = CriticalPath(start="a", end="b", logic_ns=1.5, routing_ns=2.5, cells=3)
    route = Route(seed=1, fmax_mhz=50.0, used={"ICESTORM_LC": 9}, critical_path=path)
    routes = RouteReport(
        part="iCE40", target_mhz=12.0, available={"ICESTORM_LC": 99}, routes=(route,), tools={}
    )
    baseline = Baseline(accuracy_train=0.9, accuracy_test=0.8, chosen=1.0, neurons=0)
    point = Point(settings={"family": "ecp5"}, figures=tuple(figures))
    yield "cells", cells
    yield (
        "resources",
        ResourceEstimate(
            family=Family.ECP5,
            lut_sites=5,
            block_rams=0,
            median_error=0.1,
            usual_error=0.2,
            max_error=0.3,
        ),
    )
    yield (
        "verify-icarus",
        Verification(
            simulator="icarus",
            version="12.0",
            finished=True,
            inferences=3,
            mismatches=1,
            first="spike",
            latency_cycles=(3, 4),
            clocks=99,
        ),
    )
    kind = KindOfProof(kind="neuron", passed=3, total=4, distinct=2)
    yield "proofs", ProofReport(kinds=(kind,), failures=("one",), keys=("key",))
    yield "baselines", Baselines(logistic=baseline, reservoir=baseline)
    yield (
        "energy",
        EnergyEstimate(
            part="iCE40",
            clock_mhz=12.0,
            samples=2,
            clocks=9.0,
            toggles=99.0,
            resources={"clock": EnergyRange(low=1e-9, high=2e-9)},
        ),
    )
    share = np.array([0.25, 0.5])
    layer = LayerRecord(
        name="hidden",
        neurons=4,
        before=share,
        after=share,
        differ=share,
        real_rate=0.2,
        rate=0.1,
        saturated=1,
        silent=0,
        moved=2,
    )
    first = Difference(
        sample=0,
        step=1,
        layer="hidden",
        neuron=3,
        real=True,
        integer=False,
        membrane=1.25,
        threshold=1.0,
    )
    yield (
        "quantization",
        QuantizationRecord(
            origin="a graph",
            compared="test samples",
            layers=(layer,),
            notes=("one",),
            real=0.9,
            integer=0.8,
            same=0.7,
            first=first,
            front=(Choice(bits=(4,), weight_bits=64, accuracy=0.8),),
        ),
    )
    yield (
        "build",
        Build(
            board="icebreaker",
            clock_mhz=12.0,
            line="uart/12",
            cells=cells,
            routes=routes,
            seed=1,
            bitstream=np.arange(64, dtype=np.uint8),
            suffix="bin",
        ),
    )
    yield "point", point
    yield (
        "exploration",
        Exploration(names=("a", "b"), points=(point, replace(point, figures=(), reason="none"))),
    )


# -- readers ---------------------------------------------------------------------------------------


def readers(folder: Path) -> dict[str, Callable[[Path], object]]:
    """Return what reads each file of a corpus, by the file's name."""
    network = load(CARD, folder / "card.json")[0]
    ports = RtlBundle.read(folder / "rtl").ports

    def artefact(name: str) -> Callable[[Path], object]:
        return lambda path: _used(load(ARTEFACTS[name], path)[0], network)

    rtl = dict.fromkeys(
        ("rtl/manifest.json", "rtl/ports.json", "rtl/accelerator.v"),
        lambda path: RtlBundle.read(path.parent),
    )
    return {
        **{f"{name}.json": artefact(name) for name in ARTEFACTS},
        **rtl,
        **dict.fromkeys(("data.npz", "data.npy", "data.csv"), from_file),
        "mapping.toml": lambda path: _used(read_mapping(path, network), network),
        "sweep.toml": lambda path: sweep_from(read_sweep(path)),
        "board.toml": read_board,
        "report.json": read_figures,
        "timing.json": lambda path: Run(path.parent).timing(),
        "signing": lambda path: sign(path, path.with_name("signed.json")),
        "replies": lambda path: _heard(path.read_bytes(), ports),
        "layers.toml": read_layer_list,
        "layers.npz": lambda path: read_layer_list(path.with_name("layers.toml")),
        "model.pt2": read_exported,
        "graph.nir": lambda path: _in_child(lambda: read_nir(path, dt=1e-4)),
    }


def _in_child(read: Callable[[], object]) -> str:
    """Read in a process of its own: a library in C may end it, which is told as an error here."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        told = "read"
        try:
            read()
        except ConvexonError as error:
            told = f"refused {error}"
        except BaseException as error:
            told = f"failed {type(error).__name__}: {error}"
        os.write(writes, told.encode(errors="replace")[:4000])
        os._exit(0)
    os.close(writes)
    try:
        with os.fdopen(reads, "rb") as stream:
            verdict, _, told = stream.read().decode(errors="replace").partition(" ")
    except BaseException:  # a hang
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if verdict == "refused":
        raise ConvexonError(told)
    if verdict != "read":
        raise RuntimeError(told or f"the process ended with {os.waitstatus_to_exitcode(status)}")
    return verdict


def _used(value: object, network: FixedPointNetwork) -> object:
    """Look at what is computed of an artefact before any tool is run."""
    if isinstance(value, FixedPointNetwork):
        return value.ranges, value.score_ranges, value.n_synapses
    if isinstance(value, Mapping):
        value.check(network)
        return Schedule.of(network, value).summary
    if isinstance(value, Exploration):
        return value.front
    return getattr(value, "sentences", value)


class _Line:
    """A line on which a board says what a file holds, in frames of the session or as it is."""

    def __init__(self, said: bytes) -> None:
        self._said = [said[k : k + 40] for k in range(0, len(said), 40)]
        self._reader = FrameReader(_nonce(NONCE_BYTES))

    def write(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            odd = len(self._said) % 2
            body = frame.body + bytes([VERSION, 0]) + bytes(FINGERPRINT_BYTES)
            if frame.kind != Kind.HELLO:
                body = self._said.pop(0)[: 1 + odd * 2] if self._said else b""
            if odd or frame.kind != Kind.HELLO:
                answer = Frame(frame.kind | ANSWER, frame.sequence, body)
                self._said.insert(0, encode(answer, self._reader.nonce))

    def read(self, seconds: float) -> bytes:
        return self._said.pop(0) if self._said else b""

    def close(self) -> None:
        """Nothing to give back."""


def _nonce(count: int) -> bytes:
    return bytes(range(count))


def _heard(said: bytes, ports: dict[str, Any]) -> object:
    patience = Patience(seconds=0.0, quiet_seconds=0.0, tries=3, sessions=2)
    session = Session(_Line(said), fingerprint=0, patience=patience, nonce=_nonce)
    return read_results(ports, session.infer(bytes(9)), count=1)


# -- changes ---------------------------------------------------------------------------------------

SPECIAL: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e-300, 1e300, -1e300, 255, 256, 65536),
    *(2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400),
    *(float("nan"), float("inf"), -float("inf")),
    *("", "a", "\x1b[2J", "a\nb", "\u202eabc", "\u2028", "\x00", "\ud800", "ä", "x" * 20_000),
    *("../../etc/passwd", "$(touch x)", "; exec -- touch x", '"', "\\", "</script>", "a b", "1e3"),
    *([], {}, [[]], [1, 2, 3], [[1, 2], [3]], {"a": 1}, {"kind": "spatial"}, [None], [1e300] * 3),
)
"""Values that stand for kinds of them."""

CHUNKS = (*(bytes([byte]) for byte in b'\x00\xff\n{}[]"-'), b"\x1b[31m", b"1e999", b"NaN")


OFTEN = {
    "sweep.toml": 0.02,
    "certificate.json": 0.2,
    **dict.fromkeys(("model.pt2", "rtl/manifest.json", "rtl/ports.json", "rtl/accelerator.v"), 0.2),
    **dict.fromkeys(
        ("graph.nir", "card.json", "signing", "golden.json", "network.json", "branches.json"), 0.5
    ),
}
"""Shares of the rounds in which files that take long to read have their turn."""

FILES = {"signing": "card.json", "replies": "data.npz"}
"""What readers read whose kind is not the name of a file."""


@dataclass(frozen=True)
class Case:
    """A changed file: its kind, which is a name of `readers`, and its path."""

    kind: str
    path: Path


class Fuzzer:
    """Changes files of a corpus, one at a time, in a folder of its own.

    Parameters
    ----------
    corpus, folder : Path
        Sound files, and where changed ones are written.
    seed : int
    """

    def __init__(self, corpus: Path, folder: Path, seed: int) -> None:
        self.readers = readers(corpus)
        self._folder, self._random = folder, random.Random(seed)
        self._sound = {
            path.relative_to(corpus).as_posix(): path.read_bytes()
            for path in corpus.rglob("*")
            if path.is_file()
        }
        shutil.copytree(corpus, folder, dirs_exist_ok=True)

    def cases(self) -> Iterator[Case]:
        """Yield cases without end; a file is sound again when the next one is asked for."""
        kinds = sorted(self.readers)
        while True:
            for kind in kinds:
                if self._random.random() < OFTEN.get(kind, 1.0):
                    yield from self._case(kind)

    def read_all(self) -> None:
        """Read the sound file of every kind."""
        for kind, read in self.readers.items():
            name = FILES.get(kind, kind)
            if kind != "replies" and name in self._sound:
                read(self._folder / name)

    def _case(self, kind: str) -> Iterator[Case]:
        r = self._random
        name = FILES.get(kind, kind)
        if name == "timing.json" and name not in self._sound:
            return
        path = self._folder / name
        written = [path]
        if kind == "replies":
            path = self._folder / "replies"
            path.write_bytes(self._reply())
            written = [path]
        elif name.endswith(".npz"):
            path.write_bytes(self._npz(self._sound[name]))
        elif name.endswith((".npy", ".csv")):
            path.write_bytes(self._table(self._sound[name]))
        elif name.endswith(".nir"):
            self._graph(path)
        elif name.endswith(".pt2"):
            path.write_bytes(self._program(self._sound[name]))
        elif name.endswith(".toml"):
            path.write_bytes(self._toml(self._sound[name]))
        elif name.startswith("rtl/"):
            written += self._bundle(path, name)
        elif r.random() < 0.3:
            path.write_bytes(self._bytes(self._sound[name]))
        elif name in ("report.json", "timing.json"):
            path.write_text(_dumped(self._json(json.loads(self._sound[name]))))
        else:
            written += self._artefact(path, name)
        try:
            yield Case(kind, path)
        finally:
            self._restore(written)

    def _restore(self, written: list[Path]) -> None:
        """Write sound files in the place of changed ones, and remove what was not there."""
        for changed in written:
            sound = self._sound.get(changed.relative_to(self._folder).as_posix())
            if sound is None:
                changed.unlink(missing_ok=True)
            else:
                changed.write_bytes(sound)

    def _bytes(self, data: bytes) -> bytes:
        """Flip, cut, repeat or insert bytes."""
        r, out = self._random, bytearray(data)
        for _ in range(r.choice((1, 1, 1, 2, 5))):
            place = r.randrange(len(out) + 1)
            act = r.randrange(6)
            if act == 0 and out:
                out[place % len(out)] ^= 1 << r.randrange(8)
            elif act == 1:
                out[place:place] = r.choice(CHUNKS)
            elif act == 2:
                del out[place : place + r.randrange(1, 40)]
            elif act == 3:
                out[place:place] = out[place : place + r.randrange(1, 200)]
            elif act == 4:
                del out[place:]
            else:
                out[place : place + 4] = r.randbytes(4)
        return bytes(out)

    def _json(self, value: Any) -> Any:
        """Change one leaf or branch of a value, or nest one deep."""
        r = self._random
        places: list[tuple[Any, Any]] = []

        def walk(node: Any) -> None:
            items = node.items() if isinstance(node, dict) else enumerate(node)
            for key, item in list(items)[:40]:
                places.append((node, key))
                if isinstance(item, dict | list):
                    walk(item)

        if not isinstance(value, dict | list) or not value:
            return r.choice(SPECIAL)
        walk(value)
        for _ in range(r.choice((1, 1, 2))):
            node, key = r.choice(places)
            act = r.randrange(10)
            try:
                if act < 6:
                    node[key] = r.choice(SPECIAL)
                elif act == 6:
                    del node[key]
                elif act == 7:
                    other, there = r.choice(places)
                    node[key] = json.loads(json.dumps(other[there]))
                elif act == 8:
                    for _ in range(r.choice((5, 70, 900))):
                        node[key] = [node[key]] if r.random() < 0.5 else {"a": node[key]}
                elif isinstance(node, dict):
                    node[r.choice(("extra", "", "\x1b[0m", "kind", "a.b"))] = r.choice(SPECIAL)
                else:
                    node.append(node[key])
            except (LookupError, ValueError, RecursionError):
                continue
        return value

    def _artefact(self, path: Path, name: str) -> list[Path]:
        """Change an artefact, its arrays too, and state the digests that fit, mostly."""
        r = self._random
        head = json.loads(self._sound[name])
        arrays = next(
            (n for n in self._sound if re.fullmatch(rf"{path.stem}\.[0-9a-f]{{12}}\.npz", n)), None
        )
        packed = None if arrays is None else self._sound[arrays]
        if packed is not None and r.random() < 0.4:
            packed = self._npz(packed)
            _describe(head, packed)
        else:
            part = r.choice(("content", "content", "content", "head"))
            if part == "head":
                head = self._json(head)
            else:
                head["content"] = self._json(head["content"])
        written = []
        try:
            if r.random() < 0.8:
                head["digest"] = digest_of({**head, "digest": "", "source": ""})
            if packed is not None:
                digits = str(head["digest"]).removeprefix("sha256:")[:12]
                if re.fullmatch("[0-9a-f]{12}", digits):
                    written = [path.with_name(f"{path.stem}.{digits}.npz")]
                    written[0].write_bytes(packed)
        except (ValueError, TypeError, LookupError, RecursionError):
            pass
        path.write_text(_dumped(head))
        return written

    def _npz(self, data: bytes) -> bytes:
        """Change bytes of an archive, or write it anew with headers that lie."""
        r = self._random
        if r.random() < 0.3:
            return self._bytes(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        chosen = r.choice(sorted(members))
        array = np.lib.format.read_array(io.BytesIO(members[chosen]))
        try:
            members[chosen] = self._member(array, members[chosen])
        except (ValueError, OverflowError, RuntimeWarning):  # a number that the type cannot be
            members[chosen] = self._bytes(members[chosen])
        if r.random() < 0.1:
            members.pop(r.choice(sorted(members)))
        if r.random() < 0.1:
            members[r.choice(("../x.npy", "features.npy", "spikes.npy", "a\x1b.npy"))] = (
                members.get(chosen, b"")
            )
        return self._packed(members)

    def _program(self, data: bytes) -> bytes:
        """Change bytes of a program of torch.export, or a member of its archive."""
        r = self._random
        if r.random() < 0.2:
            return self._bytes(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        chosen = r.choice(sorted(members))
        if chosen.endswith(".json") and r.random() < 0.8:
            members[chosen] = _dumped(self._json(json.loads(members[chosen]))).encode()
        else:
            members[chosen] = self._bytes(members[chosen])
        if r.random() < 0.1:
            members.pop(r.choice(sorted(members)))
        return self._packed(members)

    def _packed(self, members: dict[str, bytes]) -> bytes:
        """An archive of these members, by some method, whose directory may lie."""
        r, out = self._random, io.BytesIO()
        methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        with zipfile.ZipFile(out, "w", r.choice((*methods[:2] * 4, *methods))) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        packed = bytearray(out.getvalue())
        if r.random() < 0.2:  # a size in the directory that is not so
            place = packed.rfind(b"PK\x01\x02") + r.choice((20, 24))
            packed[place : place + 4] = r.choice((0, 1, 1 << 20, 1 << 31, (1 << 32) - 1)).to_bytes(
                4, "little"
            )
        return bytes(packed)

    def _table(self, data: bytes) -> bytes:
        """Change an array alone, or a cell of a table."""
        r = self._random
        if data.startswith(b"\x93NUMPY"):
            with contextlib.suppress(ValueError, OverflowError, RuntimeWarning):
                return self._member(np.lib.format.read_array(io.BytesIO(data)), data)
        elif r.random() < 0.6:
            lines = [line.split(",") for line in data.decode().split("\n")]
            line = r.choice(lines)
            line[r.randrange(len(line))] = str(r.choice(SPECIAL))[:5000]
            return "\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass")
        return self._bytes(data)

    def _member(self, array: np.ndarray, member: bytes) -> bytes:
        """Change an array, or what its header says of it."""
        r, act = self._random, self._random.randrange(4)
        if act == 0:
            return self._bytes(member)
        if act == 1:
            changed = array.astype(
                r.choice(("f8", "f4", "i8", "u1", "b1", "c16", "U3", ">i4", "f2", "V4"))
            )
            if changed.dtype.kind == "f" and changed.size:
                changed.flat[r.randrange(changed.size)] = r.choice(
                    (np.nan, np.inf, -np.inf, 1e30, -1)
                )
            if r.random() < 0.3 and changed.size:
                changed = r.choice(
                    (changed.ravel(), changed[None], changed[:0], np.asfortranarray(changed))
                )
        elif act == 2:
            changed = array.copy()
            if changed.size and changed.dtype.kind in "iuf":
                info = (
                    np.iinfo(changed.dtype)
                    if changed.dtype.kind in "iu"
                    else np.finfo(changed.dtype)
                )
                changed.flat[r.randrange(changed.size)] = r.choice((info.min, info.max, 0, 1))
        else:
            shape = r.choice(
                (
                    "(10**12,)",
                    "(1000000000,)",
                    "(-1,)",
                    "(0,)",
                    "()",
                    "(1,)*40",
                    "(True,)",
                    "(2**70,)",
                    "(1.5,)",
                    "('a',)",
                    "[1]",
                    "(" * 500,
                )
            )
            kind = r.choice(
                ("<f8", "|O", "|U0", "|V0", "<M8[s]", "|S9", "[('a','<f8')]", "<i3", "\x1b")
            )
            header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
            return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + member[128:]
        out = io.BytesIO()
        np.lib.format.write_array(out, changed)
        return out.getvalue()

    def _graph(self, path: Path) -> None:
        """Change bytes of a graph's file, or an array, a text or a group in it."""
        r = self._random
        if r.random() < 0.5:
            path.write_bytes(self._bytes(path.read_bytes()))
            return
        with h5py.File(path, "r+") as file:
            places: list[str] = []
            file.visit(places.append)
            place = r.choice(places)
            before = file[place][()] if isinstance(file[place], h5py.Dataset) else None
            del file[place]
            if r.random() < 0.2:
                return
            if isinstance(before, np.ndarray) and before.dtype.kind == "f" and r.random() < 0.5:
                before.flat[r.randrange(before.size)] = r.choice((np.nan, np.inf, 1e300, -1, 0))
                value: Any = r.choice((before, before[:0], before[None], before + 1j))
            else:
                kinds = ("LIF", "Conv2d", "NIRGraph", "Input", "Delay", "input", "spikes")
                value = r.choice((*SPECIAL, *kinds))
            with contextlib.suppress(TypeError, ValueError, OverflowError):  # HDF5 has no such
                file[place] = value

    def _toml(self, data: bytes) -> bytes:
        """Change a value, a key or bytes, or nest."""
        r, text = self._random, data.decode()
        act = r.randrange(6)
        if act == 0:
            return self._bytes(data)
        if act == 1:
            return (
                text
                + r.choice(
                    (
                        "x = " + "[" * r.choice((50, 70, 5000)),
                        ".".join("a" * r.choice((10, 80, 5000))) + " = 1",
                        "x = 0x" + "f" * 9000,
                        "[sweep.a.b]",
                        "y = 1979-05-27",
                    )
                )
            ).encode()
        lines = text.split("\n")
        place = r.choice([k for k, line in enumerate(lines) if "=" in line])
        key, _, _ = lines[place].partition("=")
        value = r.choice(SPECIAL)
        told = json.dumps(value) if not isinstance(value, float) else str(value)
        if value is None or isinstance(value, dict):
            told = r.choice(
                (
                    "{}",
                    "{a = 1}",
                    "nan",
                    "inf",
                    "[1, [2, ['a']]]",
                    "'''x'''",
                    "1_000",
                    "0o7",
                    "-0x1",
                )
            )
        lines[place] = f"{key}= {told}"
        if act == 2:
            lines.insert(
                place, f"{r.choice(('extra', 'kind', 'seed', 'weights', 'bits'))} = {told}"
            )
        return ("\ufeff" * (act == 3) + "\n".join(lines)).encode("utf-8", "surrogatepass")

    def _bundle(self, path: Path, name: str) -> list[Path]:
        """Change a bundle: its manifest, its ports or its text, hashes made again, mostly."""
        r = self._random
        manifest_path = path.parent / "manifest.json"
        manifest = json.loads(self._sound["rtl/manifest.json"])
        if name == "rtl/manifest.json":
            if r.random() < 0.3:
                path.write_bytes(self._bytes(self._sound[name]))
                return []
            manifest = self._json(manifest)
        elif name == "rtl/ports.json" and r.random() < 0.8:
            ports = json.loads(self._sound[name])
            components = ports.pop("components")
            changed = {**self._json(ports), "components": components}
            path.write_text(_dumped(changed))
        elif r.random() < 0.5:
            lines = self._sound[name].decode().split("\n")
            evil = (
                '$system("x");',
                '`include "x"',
                "/*verilator public*/",
                "$c(1);",
                "import x;",
                "(* a *)",
                "/*",
                '"',
                "\x1b",
            )
            lines.insert(r.randrange(len(lines)), r.choice(evil))
            path.write_text("\n".join(lines))
        else:
            path.write_bytes(self._bytes(self._sound[name]))
        if r.random() < 0.8:
            _make_again(path.parent, manifest)
        elif name == "rtl/manifest.json":
            manifest_path.write_text(_dumped(manifest))
        return [manifest_path]

    def _reply(self) -> bytes:
        """Frames of a board, sound or not, and noise."""
        r, out = self._random, b""
        for _ in range(r.randrange(1, 8)):
            kind = r.choice((*(k | ANSWER for k in Kind), 0xFF, r.randrange(256)))
            body = r.randbytes(r.choice((0, 1, 5, 14, 18, 200)))
            frame = encode(Frame(kind, r.choice((0, 1, 2, r.randrange(256))), body))
            out += frame if r.random() < 0.7 else self._bytes(frame)
        return out + r.randbytes(r.choice((0, 30, 3000)))


def _dumped(value: object) -> str:
    """JSON of a value, or brackets without end in the place of what cannot be written."""
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return "[" * 100_000


def _describe(head: dict[str, Any], packed: bytes) -> None:
    """State hashes and shapes of changed arrays, as far as they can be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            for name in head["arrays"]:
                array = np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")))
                data = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
                head["arrays"][name] = {
                    "dtype": data.dtype.str,
                    "shape": list(array.shape),
                    "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
                }
    except Exception:  # whatever numpy makes of a broken array: then the hashes are the old ones
        return


def _make_again(folder: Path, manifest: Any) -> None:
    """Write a manifest with the hashes of the files that are there, and its digest."""
    path = folder / "manifest.json"
    try:
        ports = json.loads((folder / "ports.json").read_text())
        bundle = RtlBundle.__new__(RtlBundle)
        texts = {
            name: (folder / name).read_bytes().decode()
            for name in manifest["files"]
            if name != "ports.json"
        }
        vars(bundle).update(
            top=manifest["top"],
            verilog=texts.pop("accelerator.v"),
            ports=ports,
            tools=manifest["tools"],
            parents=manifest["parents"],
            others=texts,
        )
        files = {
            name: hashlib.sha256(text.encode()).hexdigest() for name, text in bundle.files.items()
        }
        (folder / "ports.json").write_text(bundle.files["ports.json"])
        manifest = {**manifest, "files": files, "digest": bundle.digest}
    except Exception:  # a manifest that no bundle can have: it stays as it was changed
        pass
    path.write_text(_dumped(manifest))


def verdict(fuzzer: Fuzzer, case: Case) -> Exception | None:
    """Read a case; return what no reader may raise, and None where it read or refused it."""
    try:
        fuzzer.readers[case.kind](case.path)
    except ConvexonError as error:
        text = str(error)
        if "\n" in text or not text:
            return error
        return None
    except Exception as error:
        return error
    return None
