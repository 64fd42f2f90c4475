"""Switching activity: the gates of a netlist in Verilator, with every change of a net counted.

Counts are made as the simulation runs, so that no file of waves is written, however long it is. A
net is looked at once a clock, after all has settled: there are no delays, so no glitches.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, MismatchError, ToolError
from convexon.plan.switching import Switching, Watch
from convexon.snn.models.trace import SpikeTrace, first_mismatch
from convexon.tools.process import run
from convexon.tools.scratch import Scratch
from convexon_sim.bench.packing import field_of, unpack_field
from convexon_sim.build import program
from convexon_sim.programs.words import (
    STREAM_PORTS,
    Words,
    integers,
    module_around,
    packed,
    shipped,
    stream_connections,
    word_range,
    words_of,
)
from convexon_sim.simulator import SimulatorKind, find

TOP = "convexon_activity"
"""Name of the module around the netlist."""

NAME = "activity"
"""Name of the program."""

RESET_CLOCKS = 4
"""Clocks of reset before the run."""

IDLE_LIMIT = 1_000_000
"""Clocks without a result after which a run is stuck."""


def count_switching(
    watch: Watch,
    transfers: npt.NDArray[np.uint8],
    expected: SpikeTrace,
    *,
    timeout_seconds: float = 1800.0,
) -> Switching:
    """Run a netlist on samples back to back, and count; its results must be those expected.

    Parameters
    ----------
    transfers : uint8 array, shape (samples, transfers, inputs)
        What the host hands over.
    expected : scores and labels of every sample
    timeout_seconds : wall time after which compiling, or the run, is stopped

    Raises
    ------
    InputError
        If the netlist waits for its weights, or decides early.
    MismatchError
        If the netlist computes anything else.
    ToolError
        If Verilator is missing, does not compile the netlist, or runs out of time.
    """
    streams = watch.ports["streams"]
    if "load" in streams:
        raise InputError(
            "energy needs weights that stand in the hardware, not loaded ones: map with fixed ones"
        )
    if watch.ports["decision"]["rule"] != "end":
        raise InputError(
            f"energy needs a network that decides at the end, not by the rule "
            f"{watch.ports['decision']['rule']}: map it with the rule end"
        )
    (field,) = streams["i"]["fields"]
    words = packed(transfers.reshape(-1, transfers.shape[2]), field["width"])
    due = len(transfers) * expected.labels.shape[1]
    with Scratch() as folder:
        _run(watch, folder, words, (due, IDLE_LIMIT), timeout_seconds)
        _require_results(folder, streams["o"], expected, due)
        return _counted(watch, folder, len(transfers))


def count_free(watch: Watch, clocks: int, *, timeout_seconds: float = 1800.0) -> Switching:
    """Run a netlist that has a clock and no other input for some clocks, and count.

    Raises
    ------
    InputError
        If there are fewer than 2 clocks.
    ToolError
        As `count_switching`.
    """
    if clocks < 2:
        raise InputError(f"clocks must be 2 or more, not {clocks!r}")
    with Scratch() as folder:
        words = np.zeros((0, words_of(1)), dtype=np.uint32)
        _run(watch, folder, words, (1, clocks + 1), timeout_seconds)
        return _counted(watch, folder, 1)


def _run(
    watch: Watch,
    folder: Path,
    words: Words,
    limits: tuple[int, int],
    timeout: float,
) -> None:
    """Compile the netlist and run it on packed transfers."""
    simulator = find(SimulatorKind.VERILATOR)
    sources = {
        "design.v": f"{watch.verilog}\n{_wrapper(watch)}",
        "design.h": _header(watch),
        **shipped("activity.cpp", "vectors.h"),
    }
    built = program(NAME, sources, top=TOP, simulator=simulator, timeout=timeout, optimise=True)
    words.tofile(folder / "inputs.bin")
    np.array(limits, dtype=np.uint64).tofile(folder / "limits.bin")
    run([str(built), str(folder)], folder=folder, timeout=timeout).checked()


def _widths(watch: Watch) -> dict[str, int]:
    """Bits of the wrapper's vectors; a design that runs by itself reads and gives nothing."""
    streams = watch.ports.get("streams")
    return {
        "in_payload": streams["i"]["width"] if streams else 1,
        "out_payload": streams["o"]["width"] if streams else 1,
        "nets": watch.n_nets,
        "together": len(watch.together),
    }


def _header(watch: Watch) -> str:
    """Return design.h."""
    words = {name: words_of(bits) for name, bits in _widths(watch).items()}
    free = "streams" not in watch.ports
    return f"""\
#pragma once
#include <cstddef>
constexpr int INPUT_WORDS = {words["in_payload"]}, OUTPUT_WORDS = {words["out_payload"]};
constexpr size_t NET_WORDS = {words["nets"]}, HIGH_WORDS = {words["together"]};
constexpr int RESET_CLOCKS = {RESET_CLOCKS};
constexpr bool FREE = {"true" if free else "false"};
"""


def _wrapper(watch: Watch) -> str:
    """Return the module that brings ports and nets to whole words."""
    widths = _widths(watch)
    sizes = {name: word_range(bits) for name, bits in widths.items()}
    groups = [" & ".join(f"shown[{k}]" for k in group) or "1'b1" for group in watch.together]
    together = ", ".join(reversed(groups)) or "1'b0"
    connections = {watch.ports["clock"]: "clk", watch.port: "shown"}
    idle = "assign in_ready = 0, out_valid = 0"
    if "streams" in watch.ports:
        connections |= stream_connections(watch.ports)
        idle = "assign out_payload = given"
    ports = [
        *("input clk", "input rst", *STREAM_PORTS),
        f"input {sizes['in_payload']} in_payload",
        *(f"output {sizes[name]} {name}" for name in ("out_payload", "nets", "together")),
    ]
    lines = [
        f"wire [{widths['out_payload'] - 1}:0] given",
        f"wire [{watch.n_nets - 1}:0] shown",
        idle,
        "assign nets = shown",
        f"assign together = {{{together}}}",
    ]
    return module_around(TOP, watch.top, ports, connections, lines)


def _require_results(
    folder: Path, stream: Mapping[str, Any], expected: SpikeTrace, due: int
) -> None:
    """Raise `MismatchError` unless scores and labels are those expected."""
    rows = np.fromfile(folder / "results.bin", dtype="<u4").reshape(-1, words_of(stream["width"]))
    if len(rows) != due:
        raise MismatchError(f"the netlist gave {len(rows)} of {due} results")
    vectors = integers(rows)
    scores, labels = (unpack_field(vectors, field_of(stream, n)) for n in ("scores", "label"))
    have = SpikeTrace(
        layers=(),
        scores=scores.reshape(expected.scores.shape),
        labels=labels.reshape(expected.labels.shape),
    )
    want = SpikeTrace(layers=(), scores=expected.scores, labels=expected.labels)
    found = first_mismatch(want, have)
    if found is not None:
        raise MismatchError(f"the netlist differs from the golden model: {found}")


def _counted(watch: Watch, folder: Path, samples: int) -> Switching:
    """Read what was counted."""

    def read(name: str) -> npt.NDArray[np.int64]:
        return np.fromfile(folder / f"{name}.bin", dtype="<i8").astype(np.int64)

    clocks = int(read("clocks")[0])
    if not clocks:
        raise ToolError("the netlist never took a sample, so nothing was counted")
    return Switching(
        clocks=clocks,
        samples=samples,
        toggles=read("toggles")[: watch.n_nets],
        highs=read("highs")[: len(watch.together)],
    )
