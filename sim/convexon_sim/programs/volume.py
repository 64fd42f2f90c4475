"""Volume: a whole data set through Verilator, with no Python within a clock.

A module around the accelerator brings its ports and probes to vectors of whole words, and
``volume.cpp`` drives it with the stimulus in memory: the source is never idle, the sink always
ready. It records what the bench's monitors would, and the same scoreboard judges it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.tools.process import run
from convexon.tools.scratch import Scratch
from convexon_sim.bench.job import QUIET_CLOCKS, RESET_CLOCKS, clock_limit
from convexon_sim.bench.record import LayerRecord, Record
from convexon_sim.bench.runner import TIMEOUT_SECONDS
from convexon_sim.build import program
from convexon_sim.programs.words import (
    STREAM_PORTS,
    integers,
    module_around,
    packed,
    shipped,
    stream_connections,
    word_range,
    words_of,
)
from convexon_sim.scoreboard import Scoreboard
from convexon_sim.simulator import Simulator, SimulatorKind
from convexon_sim.trial import Observation, Trial

TOP = "convexon_volume"
"""Name of the module around the accelerator."""

NAME = "volume"
"""Name of the program."""

_SAMPLES = 256
"""Samples whose transfers are packed at once."""

LONG_RUN = 200_000
"""Clocks above which a run is worth an optimised program, which takes longer to compile."""


def run_volume(
    trial: Trial, simulator: Simulator, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> Observation:
    """Run a trial without stalls, and judge it as the bench's would be.

    Raises
    ------
    InputError
        If the simulator is not Verilator, or the traffic stalls.
    ToolError
        If Verilator does not compile the design, or it fails, or runs out of time.
    """
    if simulator.kind is not SimulatorKind.VERILATOR:
        raise InputError(f"a volume run needs verilator, not {simulator.kind.value}")
    if not trial.traffic.is_smooth:
        raise InputError(
            "a volume run never stalls nor resets: run traffic that does through the bench"
        )
    design = _Design(trial)
    built = program(
        NAME,
        {
            "design.v": f"{trial.bundle.verilog}\n{design.wrapper(trial.bundle.top)}",
            "design.h": design.header(),
            **shipped("volume.cpp", "vectors.h"),
        },
        top=TOP,
        simulator=simulator,
        timeout=timeout_seconds,
        optimise=bool(trial.cycles.given[-1] > LONG_RUN),
    )
    with Scratch() as folder:
        design.write_stimulus(folder)
        run([str(built), str(folder)], folder=folder, timeout=timeout_seconds).checked()
        record, seconds = design.record(folder)
    return Scoreboard(trial).observation(record, simulator, seconds)


class _Design:
    """The module around an accelerator, the header that describes it, and its files."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.ports = trial.bundle.ports
        self.probes: Sequence[Mapping[str, Any]] = self.ports["probes"]
        self.streams: Mapping[str, Any] = self.ports["streams"]
        self.loads = "load" in self.streams
        self.due = len(trial.inputs) * trial.per_sample
        self.limit = clock_limit(
            self.due, per_sample=trial.per_sample, slowest=trial.slowest, traffic=trial.traffic
        )

    @staticmethod
    def _neurons(probe: Mapping[str, Any]) -> int:
        """Return the neurons of a probe's layer."""
        return int(probe.get("neurons", probe["spikes"]["count"]))

    def header(self) -> str:
        """Return design.h."""
        shapes = "".join(
            f"    {{{self._neurons(probe)}, {probe['spikes']['count']}, "
            f"{probe['membranes']['width']}, {probe.get('offset', 0)}, "
            f"{probe.get('groups', 1)}, {probe.get('lanes', 1)}, {probe.get('spread', 1)}}},\n"
            for probe in self.probes
        )
        samples = "".join(
            f"    if (top.p{k}_valid) probes[{k}].update(top.p{k}_base, top.p{k}_first, "
            f"top.p{k}_spikes.data(), top.p{k}_membranes.data());\n"
            for k in range(len(self.probes))
        )
        return f"""\
#pragma once
#include <cstdint>
struct ProbeShape {{
    uint64_t neurons, at_once, width, offset, groups, lanes, spread;
}};
constexpr uint64_t RESET_CLOCKS = {RESET_CLOCKS}, QUIET_CLOCKS = {QUIET_CLOCKS};
constexpr int INPUT_WORDS = {words_of(self.streams["i"]["width"])};
constexpr int OUTPUT_WORDS = {words_of(self.streams["o"]["width"])};
constexpr int N_PROBES = {len(self.probes)};
const ProbeShape SHAPES[] = {{
{shapes}}};
template <class Top, class Probes>
void sample_probes(Top& top, Probes& probes) {{
{samples}}}
enum Loader : unsigned {{ TAKEN = 1, IMAGE_REFUSED = 2, LOADED = 4 }};
template <class Top>
void offer_word(Top& top, bool valid, uint32_t word) {{
{_OFFER if self.loads else ""}}}
template <class Top>
unsigned loader_state(Top& top) {{
    return {_LOADER if self.loads else "0"};
}}
"""

    def wrapper(self, top: str) -> str:
        """Return the module that brings ports and probes to whole words."""
        i, o = self.streams["i"], self.streams["o"]
        ports = [
            *("input clk", "input rst", *STREAM_PORTS),
            f"input {word_range(i['width'])} in_payload",
            f"output {word_range(o['width'])} out_payload",
        ]
        connections = {self.ports["clock"]: "clk", **stream_connections(self.ports)}
        if self.loads:
            load, weights = self.streams["load"], self.ports["weights"]
            ports += ["input load_valid", "output load_ready", "output loaded", "output refused"]
            ports += ["input [31:0] load_payload"]
            connections |= {
                load["payload"]: "load_payload",
                load["valid"]: "load_valid",
                load["ready"]: "load_ready",
                weights["loaded"]: "loaded",
                weights["refused"]: "refused",
            }
        lines = [f"wire [{o['width'] - 1}:0] given", "assign out_payload = given"]
        for k, probe in enumerate(self.probes):
            for name, size, value in self._probe_signals(probe):
                ports.append(f"output {size} p{k}_{name}")
                lines.append(f"assign p{k}_{name} = {value}")
        return module_around(TOP, top, ports, connections, lines)

    @staticmethod
    def _probe_signals(probe: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield name, range and value of a probe's signals."""
        valid, base = _path(probe["valid"]), "0"
        if probe.get("kind", "registers") == "registers":
            valid = f"{valid} & {_path(probe['ready'])}"
        else:
            base = _path(probe["base"]["path"])
        yield "valid", "", valid
        yield "base", "[31:0]", base
        tag = probe.get("first")
        yield "first", "", "1'b0" if tag is None else f"{_path(tag['path'])} >> {tag['bit']}"
        for name in ("spikes", "membranes"):
            layout = probe[name]
            yield name, word_range(layout["width"] * layout["count"]), _path(layout["path"])

    def write_stimulus(self, folder: Path) -> None:
        """Write what the program reads."""
        (field,) = self.streams["i"]["fields"]
        inputs = self.trial.inputs
        with (folder / "inputs.bin").open("wb") as stream:
            for first in range(0, len(inputs), _SAMPLES):
                part = inputs[first : first + _SAMPLES].reshape(-1, inputs.shape[2])
                stream.write(packed(part, field["width"]).tobytes())
        (folder / "image.bin").write_bytes(self.trial.image or b"")
        limits = [self.due, self.limit]
        np.array(limits, dtype=np.uint64).tofile(folder / "limits.bin")

    def record(self, folder: Path) -> tuple[Record, float]:
        """Return what the program left: the record, and the seconds that its clocks took."""

        def read(name: str, kind: str) -> npt.NDArray[Any]:
            return np.fromfile(folder / f"{name}.bin", dtype=kind)

        layers = []
        for k, probe in enumerate(self.probes):
            n_neurons = self._neurons(probe)
            begins = read(f"probe{k}-begins", "<u8").tolist() if "first" in probe else None
            layers.append(
                LayerRecord(
                    branch=probe["branch"],
                    layer=probe["layer"],
                    spikes=read(f"probe{k}-spikes", "u1").reshape(-1, n_neurons),
                    membranes=read(f"probe{k}-membranes", "<i8").reshape(-1, n_neurons),
                    begins=begins,
                )
            )
        record = Record(
            layers=layers,
            taken_at=read("taken", "<u8").tolist(),
            given_at=read("given", "<u8").tolist(),
            results=integers(
                read("results", "<u4").reshape(-1, words_of(self.streams["o"]["width"]))
            ),
            clocks=int(read("clocks", "<u8")[0]),
        )
        record.failure = self._failure(record, *map(int, read("fault", "<i8")))
        return record, float(read("seconds", "<f8")[0])

    def _failure(self, record: Record, kind: int, probe: int, group: int, due: int) -> str | None:
        """Return what kept a run from its end, in the bench's words."""
        words = len(self.trial.image or b"") // 4
        if kind == _REFUSED:
            return f"the image was refused, in clock {record.clocks}"
        if kind == _NOT_LOADED:
            return f"an image of {words} words was not loaded"
        if kind == _DISORDER:
            return (
                f"{record.layers[probe].name} updated group {group} in clock {record.clocks}, "
                f"where group {due} of {self.probes[probe]['groups']} was due"
            )
        if len(record.given_at) < self.due:
            return (
                f"{len(record.given_at)} of {self.due} results came within "
                f"{self.limit} clocks: steps were lost, or a stream is stuck"
            )
        transfers = self.trial.inputs.shape[0] * self.trial.inputs.shape[1]
        if len(record.taken_at) < transfers:
            return f"{len(record.taken_at)} of {transfers} transfers were taken: a stream is stuck"
        return None


_OFFER = "    top.load_valid = valid;\n    top.load_payload = word;\n"
_LOADER = "top.load_ready * TAKEN | top.refused * IMAGE_REFUSED | top.loaded * LOADED"

_REFUSED, _NOT_LOADED, _DISORDER = 1, 2, 3
"""Faults that end a run, as volume.cpp names them."""


def _path(names: Sequence[str]) -> str:
    """Return a hierarchical name, whatever characters its parts have."""
    parts = [name if name.isidentifier() and name.isascii() else f"\\{name} " for name in names]
    return ".".join(["core", *parts])
