"""Traces as a page carries them: a block of compressed bytes an inference, and what describes it.

A block is the zlib stream of, one after the other: the inputs, a byte each, by step and input; then
for each layer its spikes, a bit each with the lowest first and every row of neurons filled up to a
byte, and its membranes, little-endian and signed. Both are by step, run and neuron. Runs are the
golden model and the simulations, each with its own bytes: rows of all runs lie side by side, so
that equal ones take little space once compressed.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np

from convexon.report.recording import GOLDEN, Recording
from convexon.snn.models.trace import SpikeTrace, differing_samples
from convexon.store.codec import Json

MOST_BYTES = 2 << 20
"""Size of all blocks of a page, as text, that is not exceeded after the first one."""


def packed_traces(recording: Recording, *, most_bytes: int = MOST_BYTES) -> Json:
    """Return as many inferences as ``most_bytes`` have room for, and at least one.

    Those that differ in hardware come first; then the first ones, in their order.
    """
    reference = "golden" if recording.reference == GOLDEN else "model"
    runs = {reference: recording.expected, **recording.hardware}
    differing = _differing(recording)
    hit = np.zeros(recording.expected.n_samples, dtype=np.bool_)
    for wrong in differing.values():
        hit[: len(wrong)] |= wrong
    widths = _membrane_bytes(list(runs.values()))
    chosen: dict[int, Json] = {}
    size = 0
    for sample in [*np.flatnonzero(hit).tolist(), *np.flatnonzero(~hit).tolist()]:
        block = _block(recording, runs, widths, sample)
        size += len(block)
        if chosen and size > most_bytes:
            break
        differs = [name for name, wrong in differing.items() if wrong[sample : sample + 1].any()]
        chosen[sample] = _described(recording, runs, sample, differs) | {"data": block}
    network = recording.network
    return {
        "reference": recording.reference,
        "runs": list(runs),
        "simulated": {name: trace.n_samples for name, trace in recording.hardware.items()},
        "total": recording.n_test,
        "steps": network.n_steps,
        "inputs": network.n_inputs,
        "input_bits": network.input_bits,
        "classes": network.n_classes,
        "layers": [
            {
                "branch": branch,
                "layer": depth,
                "neurons": layer.n_neurons,
                "thresholds": layer.thresholds.tolist(),
                "bytes": widths[branch][depth],
            }
            for branch, stack in enumerate(network.branches)
            for depth, layer in enumerate(stack.layers)
        ],
        "differing": {name: int(wrong.sum()) for name, wrong in differing.items()},
        "inferences": [chosen[sample] for sample in sorted(chosen)],
    }


def _differing(recording: Recording) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Which samples differ anywhere, by simulator, of those that it brought to their end."""
    return {
        name: differing_samples(recording.expected.head(trace.n_samples), trace)
        for name, trace in recording.hardware.items()
    }


def _membrane_bytes(traces: Sequence[SpikeTrace]) -> list[list[int]]:
    """Bytes that hold every membrane of a layer, by branch and layer."""
    return [
        [
            max(_bytes_of(trace.layers[branch][depth].membranes) for trace in traces)
            for depth in range(len(layers))
        ]
        for branch, layers in enumerate(traces[0].layers)
    ]


def _bytes_of(values: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int:
    kinds = (np.int8, np.int16, np.int32, np.int64)
    low, high = values.min(initial=0), values.max(initial=0)
    return next(
        np.dtype(kind).itemsize
        for kind in kinds
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max
    )


def _block(
    recording: Recording, runs: dict[str, SpikeTrace], widths: list[list[int]], sample: int
) -> str:
    """Return one inference of all runs that have it, as text."""
    having = [trace for trace in runs.values() if sample < trace.n_samples]
    parts = [recording.inputs[sample].astype(np.uint8).tobytes()]
    for branch, depth, _ in recording.expected.flat_layers():
        layers = [trace.layers[branch][depth] for trace in having]
        spikes = np.stack([layer.spikes[sample] for layer in layers], axis=1)
        parts.append(np.packbits(spikes, axis=-1, bitorder="little").tobytes())
        membranes = np.stack([layer.membranes[sample] for layer in layers], axis=1)
        parts.append(membranes.astype(f"<i{widths[branch][depth]}").tobytes())
    return base64.b64encode(zlib.compress(b"".join(parts), 9)).decode("ascii")


def _described(
    recording: Recording, runs: dict[str, SpikeTrace], sample: int, differs: list[str]
) -> Json:
    """Return what is said of one inference beside its block; readouts are the last ones."""
    having = {name: trace for name, trace in runs.items() if sample < trace.n_samples}
    return {
        "sample": sample,
        "label": int(np.atleast_1d(recording.labels[sample])[-1]),
        "differs": differs,
        "runs": [
            {
                "name": name,
                "answer": int(trace.labels[sample, -1]),
                "scores": trace.scores[sample, -1].tolist(),
                "steps": recording.network.n_steps
                if trace.steps is None
                else int(trace.steps[sample]),
                "latency": None
                if trace.latency_cycles is None
                else int(trace.latency_cycles[sample]),
            }
            for name, trace in having.items()
        ],
    }
