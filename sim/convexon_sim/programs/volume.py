"""Volume: a whole data set through Verilator, with no Python within a clock.

A module around the accelerator brings its ports and probes to vectors of whole words, and
``volume.cpp`` drives it with the stimulus in memory. Every step of every layer is compared there
with the expected vectors; results and clocks come back and are compared here. What differs first is
named as the bench names it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, MismatchError
from convexon.plan.pipeline import Cycles
from convexon.snn.trace import LayerTrace, SpikeTrace, differing_samples, first_mismatch
from convexon_hdl.emit.bundle import RtlBundle
from convexon_sim.bench.packing import field_of, unpack, unpack_field
from convexon_sim.bench.runner import Trial
from convexon_sim.bench.scoreboard import cycle_faults, last_mismatches
from convexon_sim.programs.harness import call, compiled
from convexon_sim.simulator import Simulator, SimulatorKind

TOP = "convexon_volume"
"""Name of the module around the accelerator."""

NAME = "volume"
"""Name of the program."""

QUIET_CLOCKS = 16
"""Clocks to watch after the last result: nothing more may come."""

_WORD_BITS = 32
_SMALLEST_WORDS = 3
"""Verilator holds vectors of three words and more as arrays, whatever their length."""

_SAMPLES = 256
"""Samples whose expected vectors are packed at once."""

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class VolumeResult:
    """What a volume run found.

    Members
    -------
    inferences : int
        Samples that were compared: all, or those whose results came.
    mismatches : int
        Samples of them that differ anywhere, in a value or in cycles.
    first : str or None
        What went wrong first; None if everything is equal.
    clocks : int
        Clocks simulated.
    seconds : float
        Wall time of the clocks, without compiling and loading.
    """

    inferences: int
    mismatches: int
    first: str | None
    clocks: int
    seconds: float

    @property
    def inferences_per_second(self) -> float:
        """Inferences per second of the simulation."""
        return self.inferences / self.seconds

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        verdict = "all equal" if self.first is None else f"{self.mismatches} differ: {self.first}"
        return (
            f"verify: volume, {self.inferences} inferences, {self.clocks} clocks, "
            f"{self.inferences_per_second:.0f} inferences a second, {verdict}"
        )

    def require_equal(self) -> None:
        """Raise `MismatchError` unless every comparison was equal."""
        if self.first is not None:
            raise MismatchError(f"volume: {self.mismatches} inferences differ; first {self.first}")


def run_volume(
    bundle: RtlBundle,
    simulator: Simulator,
    *,
    inputs: npt.NDArray[np.uint8],
    expected: SpikeTrace,
    cycles: Cycles,
    timeout_seconds: float = 1800.0,
) -> VolumeResult:
    """Run ``bundle`` on all of ``inputs``, and compare everything; arguments as in `Trial`.

    Raises
    ------
    InputError
        As `Trial`, or if the simulator is not Verilator, or the hardware decides early or waits
        for its weights.
    ToolError
        If Verilator does not compile the design, or it fails, or runs out of time.
    """
    if simulator.kind is not SimulatorKind.VERILATOR:
        raise InputError(f"a volume run needs verilator, not {simulator.kind.value}")
    rule = bundle.ports["decision"]["rule"]
    if rule != "end":
        raise InputError(
            f"a volume run needs a network that decides at the end, not by the rule {rule}: "
            "run it without --volume"
        )
    if "load" in bundle.ports["streams"]:
        raise InputError(
            "a volume run needs weights that stand in the hardware, not loaded ones: "
            "run it without --volume"
        )
    trial = Trial(bundle=bundle, inputs=inputs, expected=expected, cycles=cycles)
    shape = _Shape(bundle.ports, expected)
    program = _build(bundle, simulator, shape, timeout_seconds)
    with tempfile.TemporaryDirectory(prefix="convexon-volume-") as name:
        folder = Path(name)
        _write_stimulus(folder, trial, shape)
        call([str(program), str(folder)], folder, os.environ, timeout_seconds)
        return _judge(folder, trial, shape)


class _Shape:
    """Numbers that the harness is compiled with."""

    def __init__(self, ports: Mapping[str, Any], expected: SpikeTrace) -> None:
        self.ports = ports
        self.n_steps: int = expected.layers[0][0].spikes.shape[1]
        self.n_transfers: int = ports["transfers_per_inference"]
        self.per_sample: int = expected.labels.shape[1]
        self.input_words = _words(ports["streams"]["i"]["width"])
        self.output_words = _words(ports["streams"]["o"]["width"])
        self.probes: Sequence[Mapping[str, Any]] = ports["probes"]

    @staticmethod
    def neurons(probe: Mapping[str, Any]) -> int:
        """Return the neurons of a probe's layer."""
        return int(probe.get("neurons", probe["spikes"]["count"]))

    def probe_words(self, probe: Mapping[str, Any]) -> tuple[int, int]:
        """Return the words of a whole step's spikes and membranes."""
        n = self.neurons(probe)
        return _words(n), _words(n * probe["membranes"]["width"])

    def header(self) -> str:
        """Return design.h."""
        shapes = ",\n".join(
            f"    {{{self.neurons(probe)}, {probe['spikes']['count']}, "
            f"{probe['membranes']['width']}, {probe.get('offset', 0)}, {probe.get('groups', 1)}, "
            f"{', '.join(map(str, self.probe_words(probe)))}}}"
            for probe in self.probes
        )
        samples = "".join(self._sample(k, probe) for k, probe in enumerate(self.probes))
        return f"""\
#pragma once
#include <cstdint>
struct ProbeShape {{
    uint64_t neurons, at_once, width, offset, groups, spike_words, membrane_words;
}};
constexpr uint64_t N_STEPS = {self.n_steps}, N_TRANSFERS = {self.n_transfers};
constexpr uint64_t RESULTS = {self.per_sample};
constexpr uint64_t QUIET_CLOCKS = {QUIET_CLOCKS};
constexpr int INPUT_WORDS = {self.input_words}, OUTPUT_WORDS = {self.output_words};
constexpr int N_PROBES = {len(self.probes)};
const ProbeShape SHAPES[] = {{
{shapes}}};
template <class Top, class Probes, class Wrong>
void sample_probes(Top& top, Probes& probes, Wrong& wrong) {{
{samples}}}
"""

    @staticmethod
    def _sample(k: int, probe: Mapping[str, Any]) -> str:
        vectors = f"top.p{k}_spikes.data(), top.p{k}_membranes.data(), wrong"
        if probe.get("kind", "registers") == "updates":
            return f"    if (top.p{k}_valid) probes[{k}].update(top.p{k}_base[0], {vectors});\n"
        return f"    if (top.p{k}_valid) probes[{k}].registers({vectors});\n"

    def wrapper(self, bundle: RtlBundle) -> str:
        """Return the module that brings ports and probes to whole words."""
        streams = self.ports["streams"]
        ports = [
            "input clk",
            "input rst",
            f"input [{32 * self.input_words - 1}:0] in_payload",
            "input in_valid",
            "output in_ready",
            f"output [{32 * self.output_words - 1}:0] out_payload",
            "output out_valid",
            "input out_ready",
        ]
        lines = []
        for k, probe in enumerate(self.probes):
            for name, words, value in self._probe_signals(probe):
                size = f"[{32 * words - 1}:0] " if words else ""
                ports.append(f"output {size}p{k}_{name}")
                lines.append(f"  assign p{k}_{name} = {value};\n")
        i, o = streams["i"], streams["o"]
        connections = (
            (self.ports["clock"], "clk"),
            (self.ports["reset"], "rst"),
            (i["payload"], f"in_payload[{i['width'] - 1}:0]"),
            (i["valid"], "in_valid"),
            (i["ready"], "in_ready"),
            (o["payload"], "payload"),
            (o["valid"], "out_valid"),
            (o["ready"], "out_ready"),
        )
        joined = ", ".join(f".{port}({signal})" for port, signal in connections)
        return (
            f"module {TOP}({', '.join(ports)});\n  wire [{o['width'] - 1}:0] payload;\n"
            f"  assign out_payload = payload;\n  {bundle.top} core ({joined});\n"
            f"{''.join(lines)}endmodule\n"
        )

    def _probe_signals(self, probe: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
        """Yield name, words (0 for a single bit) and value of a probe's signals."""
        if probe.get("kind", "registers") == "updates":
            yield "valid", 0, _path(probe["valid"])
            yield "base", _SMALLEST_WORDS, _path(probe["base"]["path"])
        else:
            yield "valid", 0, f"{_path(probe['valid'])} & {_path(probe['ready'])}"
        for name in ("spikes", "membranes"):
            layout = probe[name]
            yield name, _words(layout["width"] * layout["count"]), _path(layout["path"])


def _words(bits: int) -> int:
    return max(_SMALLEST_WORDS, -(-bits // _WORD_BITS))


def _path(names: Sequence[str]) -> str:
    """Return a hierarchical name, whatever characters its parts have."""
    parts = [name if name.isidentifier() and name.isascii() else f"\\{name} " for name in names]
    return ".".join(["core", *parts])


def _build(bundle: RtlBundle, simulator: Simulator, shape: _Shape, timeout: float) -> Path:
    """Return the compiled harness, from the cache if it is there."""
    sources = {
        "design.v": bundle.verilog + "\n" + shape.wrapper(bundle),
        "design.h": shape.header(),
        "volume.cpp": resources.files("convexon_sim.programs").joinpath("volume.cpp").read_text(),
        "vectors.h": resources.files("convexon_sim.programs").joinpath("vectors.h").read_text(),
    }
    return compiled(NAME, sources, top=TOP, simulator=simulator, timeout=timeout)


def packed(values: npt.NDArray[Any], width: int, n_words: int) -> Words:
    """Return vectors with element j at bits ``j * width`` and up, two's complement.

    Parameters
    ----------
    values : integer array, shape (vectors, elements)
    width : int
        Bits of an element.
    n_words : int
        Words of 32 bits of a vector.

    Returns
    -------
    uint32 array, shape (vectors, n_words)
    """
    bits = (values.astype(np.int64)[:, :, None] >> np.arange(width)) & 1
    raw = np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1, bitorder="little")
    out = np.zeros((len(values), n_words * 4), dtype=np.uint8)
    out[:, : raw.shape[1]] = raw
    return out.view("<u4")


def _write_stimulus(folder: Path, trial: Trial, shape: _Shape) -> None:
    """Write what the harness reads."""
    (field,) = shape.ports["streams"]["i"]["fields"]
    _write(folder / "inputs.bin", trial.inputs, field["width"], shape.input_words)
    layers = {(branch, layer): trace for branch, layer, trace in trial.expected.flat_layers()}
    for k, probe in enumerate(shape.probes):
        trace = layers[probe["branch"], probe["layer"]]
        spike_words, membrane_words = shape.probe_words(probe)
        _write(folder / f"probe{k}-spikes.bin", trace.spikes, 1, spike_words)
        _write(
            folder / f"probe{k}-membranes.bin",
            trace.membranes,
            probe["membranes"]["width"],
            membrane_words,
        )
    cycles = trial.cycles
    slowest = max(cycles.latency.max(), cycles.interval.max(initial=0), shape.n_steps)
    np.array([4 * int(slowest) + 1000], dtype=np.uint64).tofile(folder / "limit.bin")


def _write(path: Path, values: npt.NDArray[Any], width: int, n_words: int) -> None:
    """Pack values, shape (samples, steps, elements), a part at a time."""
    with path.open("wb") as stream:
        for first in range(0, len(values), _SAMPLES):
            part = values[first : first + _SAMPLES]
            part = part.reshape(-1, values.shape[2])
            stream.write(packed(part, width, n_words).tobytes())


def _judge(folder: Path, trial: Trial, shape: _Shape) -> VolumeResult:
    """Compare what came back."""

    def read(name: str, kind: str) -> npt.NDArray[Any]:
        return np.fromfile(folder / f"{name}.bin", dtype=kind)

    given, taken = read("given", "<u8").astype(np.int64), read("taken", "<u8").astype(np.int64)
    total = len(trial.inputs)
    n = min(len(given) // shape.per_sample, len(taken), total)
    wrong = read("wrong", "u1").astype(np.bool_)
    rows = read("results", "<u4").reshape(-1, shape.output_words)[: n * shape.per_sample]
    vectors = [int.from_bytes(row.tobytes(), "little") for row in rows]
    output = shape.ports["streams"]["o"]
    fields = {name: unpack_field(vectors, field_of(output, name)) for name in _FIELDS}
    results = SpikeTrace(
        layers=(),
        scores=fields["scores"].reshape(n, shape.per_sample, fields["scores"].shape[1]),
        labels=fields["label"].reshape(n, shape.per_sample),
    )
    want = SpikeTrace(layers=(), scores=trial.expected.scores[:n], labels=trial.expected.labels[:n])
    wrong[:n] |= differing_samples(want, results)
    last = last_mismatches(fields["last"].reshape(n, shape.per_sample))
    wrong[[fault.sample for fault in last]] = True
    ends = given[shape.per_sample - 1 :: shape.per_sample][:n]
    late = cycle_faults(trial.cycles, Cycles(taken=taken[:n], given=ends))
    wrong[[sample for sample, _ in late]] = True
    counts = read("probes", "<i8").reshape(-1, 3)
    values = [*_probe_faults(trial, shape, counts, read("seen", "<u4"))]
    values += [(m.sample, 1, 0, str(m)) for m in (first_mismatch(want, results), *last[:1]) if m]
    reasons = [*_count_faults(trial, shape, counts, len(given))]
    reasons += [min(values)[3]] if values else []
    reasons += [late[0][1]] if late and not values else []
    clocks, seconds = int(read("clocks", "<u8")[0]), float(read("seconds", "<f8")[0])
    if reasons and not wrong[:n].any():  # lost or doubled, where every sample looks right
        wrong[max(n - 1, 0)] = True
    return VolumeResult(
        inferences=n,
        mismatches=int(wrong[: max(n, 1)].sum()),
        first="; ".join(reasons) or None,
        clocks=clocks,
        seconds=seconds,
    )


_FIELDS = ("scores", "label", "last")
"""Fields of a result."""


def _count_faults(
    trial: Trial, shape: _Shape, counts: npt.NDArray[np.int64], n_results: int
) -> Iterator[str]:
    """Yield what came too often, too rarely, or in disorder."""
    results = len(trial.inputs) * shape.per_sample
    if n_results < results:
        yield f"{n_results} of {results} results came: steps were lost, or a stream is stuck"
    elif n_results > results:
        yield f"{n_results - results} results came after the last sample's: steps were doubled"
    steps = len(trial.inputs) * shape.n_steps
    for probe, (completed, disorder, _) in zip(shape.probes, counts, strict=True):
        name = f"branch {probe['branch']} layer {probe['layer']}"
        if completed != steps and n_results >= results:
            yield f"{name} completed {completed} of {steps} steps: steps were lost or doubled"
        if disorder:
            yield f"{name} updated {disorder} groups out of order"


def _probe_faults(
    trial: Trial, shape: _Shape, counts: npt.NDArray[np.int64], seen: Words
) -> Iterator[tuple[int, int, int, str]]:
    """Yield the first difference of each layer that has one: sample, 0, place in time, text."""
    begin = 0
    for probe, (_, _, first) in zip(shape.probes, counts, strict=True):
        if first < 0:
            continue
        n, width = shape.neurons(probe), probe["membranes"]["width"]
        spike_words, membrane_words = shape.probe_words(probe)
        spikes = _vector(seen[begin : begin + spike_words])
        begin += spike_words
        membranes = _vector(seen[begin : begin + membrane_words])
        begin += membrane_words
        sample, step = divmod(int(first), shape.n_steps)
        have = LayerTrace(
            unpack([spikes], width=1, count=n, signed=False).astype(np.uint8)[None],
            unpack([membranes], width=width, count=n, signed=True)[None],
        )
        want = trial.expected.layers[probe["branch"]][probe["layer"]]
        yield sample, 0, step * 1000 + probe["layer"], _place(want, have, probe, sample, step)


def _place(
    want: LayerTrace, have: LayerTrace, probe: Mapping[str, Any], sample: int, step: int
) -> str:
    """Name the neuron that differs."""
    for quantity in ("membranes", "spikes"):
        expected = getattr(want, quantity)[sample, step]
        actual = getattr(have, quantity)[0, 0]
        wrong = np.flatnonzero(expected != actual)
        if len(wrong):
            neuron = int(wrong[0])
            return (
                f"{quantity.removesuffix('s')} at sample {sample}, step {step}, "
                f"branch {probe['branch']}, layer {probe['layer']}, neuron {neuron}: "
                f"expected {expected[neuron]}, got {actual[neuron]}"
            )
    return f"vector at sample {sample}, step {step}: bits beyond its neurons are set"


def _vector(words: Words) -> int:
    return int.from_bytes(words.tobytes(), "little")
