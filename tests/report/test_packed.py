"""What a page carries of the traces, taken apart here without the page's own scripts."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from typing import Any

import numpy as np
import pytest
from report_bench import mutate

from convexon.errors import ArtefactError
from convexon.flow.run import Run
from convexon.report.packed import packed_traces
from convexon.report.recording import GOLDEN, Recording, recording_of
from convexon.snn.card import CARD
from convexon.snn.models.trace import TRACE, LayerTrace, SpikeTrace, differing_samples
from convexon.store.artefact import save


def unpacked(packed: dict[str, Any], inference: dict[str, Any]) -> tuple[np.ndarray, list[Any]]:
    """Inputs, and by layer spikes and membranes, shape (steps, runs, neurons)."""
    data = zlib.decompress(base64.b64decode(inference["data"]))
    steps, runs = packed["steps"], len(inference["runs"])
    at = steps * packed["inputs"]
    inputs = np.frombuffer(data[:at], np.uint8).reshape(steps, -1)
    layers = []
    for layer in packed["layers"]:
        n, width = layer["neurons"], -(-layer["neurons"] // 8)
        size = steps * runs * width
        bits = np.frombuffer(data[at : at + size], np.uint8).reshape(steps, runs, width)
        at += size
        size = steps * runs * n * layer["bytes"]
        values = np.frombuffer(data[at : at + size], f"<i{layer['bytes']}")
        at += size
        spikes = np.unpackbits(bits, axis=-1, bitorder="little", count=n)
        layers.append((spikes, values.reshape(steps, runs, n)))
    assert at == len(data)
    return inputs, layers


def require_equal(packed: dict[str, Any], recording: Recording) -> None:
    """Every value of the page is one of the recording, in its run."""
    traces = [recording.expected, *recording.hardware.values()]
    for inference in packed["inferences"]:
        inputs, layers = unpacked(packed, inference)
        sample = inference["sample"]
        np.testing.assert_array_equal(inputs, recording.inputs[sample])
        for position, (branch, depth, _) in enumerate(recording.expected.flat_layers()):
            spikes, membranes = layers[position]
            for run, trace in enumerate(traces[: len(inference["runs"])]):
                layer = trace.layers[branch][depth]
                np.testing.assert_array_equal(spikes[:, run], layer.spikes[sample])
                np.testing.assert_array_equal(membranes[:, run], layer.membranes[sample])


def test_a_page_carries_what_the_artefacts_hold(verified: Run) -> None:
    recording = recording_of(verified)
    packed = packed_traces(recording)
    require_equal(packed, recording)
    assert recording.reference == GOLDEN
    assert packed["runs"] == ["golden", "icarus"]
    assert [each["sample"] for each in packed["inferences"]] == list(range(packed["total"]))
    thresholds = [list(layer["thresholds"]) for layer in packed["layers"]]
    card = verified.read("card", CARD).value
    assert thresholds == [
        layer.thresholds.tolist() for branch in card.branches for layer in branch.layers
    ]


def test_a_fault_of_the_hardware_is_in_the_page_as_it_was_simulated(mutated: Run) -> None:
    golden = mutated.read("golden", TRACE).value
    hardware = mutated.read("trace-icarus", TRACE).value
    wrong = differing_samples(golden, hardware)
    packed = packed_traces(recording_of(mutated))
    require_equal(packed, recording_of(mutated))
    assert packed["differing"] == {"icarus": int(wrong.sum())}
    assert wrong.any()
    marked = [each["sample"] for each in packed["inferences"] if each["differs"] == ["icarus"]]
    assert marked == np.flatnonzero(wrong).tolist()
    _, layers = unpacked(packed, packed["inferences"][marked[0]])
    spikes, _ = layers[0]
    assert (spikes[:, 0] != spikes[:, 1]).any(), "the two runs have their own bytes"


def test_what_differs_comes_first_where_there_is_not_room_for_all(verified: Run) -> None:
    recording = recording_of(verified)
    hardware = recording.hardware["icarus"]
    labels = hardware.labels.copy()
    labels[[20, 30]] += 1
    wrong = dataclasses.replace(hardware, labels=labels)
    recording = dataclasses.replace(recording, hardware={"icarus": wrong})
    whole = packed_traces(recording)
    sizes = [len(each["data"]) for each in whole["inferences"]]
    room = sizes[20] + sizes[30] + sizes[0] + sizes[1]
    few = packed_traces(recording, most_bytes=room)
    assert [each["sample"] for each in few["inferences"]] == [0, 1, 20, 30]
    assert few["total"] == whole["total"] == len(whole["inferences"])
    one = packed_traces(recording, most_bytes=1)
    assert [each["sample"] for each in one["inferences"]] == [20], "at least one"


@pytest.mark.parametrize(
    ("value", "n_bytes"),
    [(127, 1), (-128, 1), (128, 2), (-32769, 4), (1 << 31, 8), (-(1 << 61), 8)],
)
def test_membranes_of_any_width_are_kept_whole(verified: Run, value: int, n_bytes: int) -> None:
    recording = recording_of(verified, n_samples=2)
    membranes = np.zeros_like(recording.expected.layers[0][0].membranes)
    membranes[1, 0, 0] = value
    layer = LayerTrace(recording.expected.layers[0][0].spikes, membranes)
    expected = dataclasses.replace(
        recording.expected, layers=((layer,), *recording.expected.layers[1:])
    )
    recording = dataclasses.replace(recording, expected=expected, hardware={})
    packed = packed_traces(recording)
    assert packed["layers"][0]["bytes"] == n_bytes
    require_equal(packed, recording)


def test_a_run_that_is_equal_takes_little_space(verified: Run) -> None:
    recording = recording_of(verified)
    alone = dataclasses.replace(recording, hardware={})
    size, own = (
        sum(len(each["data"]) for each in packed_traces(each)["inferences"])
        for each in (recording, alone)
    )
    assert size < 1.7 * own


def test_hardware_of_another_bundle_is_not_shown(run: Run) -> None:
    assert recording_of(run).hardware
    mutate(run)
    assert recording_of(run).reference == GOLDEN
    assert recording_of(run).hardware == {}


def test_the_trace_of_another_card_is_not_taken_for_the_golden_one(run: Run) -> None:
    card = run.read("card", CARD)
    changed = dataclasses.replace(card.value, readout_biases=card.value.readout_biases[::-1])
    save(CARD, changed, run.file("card"), parents=card.record.parents)
    recording = recording_of(run)
    assert recording.reference != GOLDEN
    assert recording.hardware == {}
    assert packed_traces(recording)["runs"] == ["model"]


def test_a_trace_that_was_changed_by_hand_is_refused(run: Run) -> None:
    path = run.file("trace-icarus")
    path.write_text(path.read_text().replace('"depths": [\n', '"depths": [\n\n', 1) + " ")
    assert recording_of(run).hardware, "space is no content"
    path.write_text(path.read_text().replace("sha256:", "sha256:0", 1))
    with pytest.raises(ArtefactError, match="does not match its digest"):
        recording_of(run)


def test_a_run_without_one_whole_inference_has_no_hardware(run: Run) -> None:
    made = run.read("trace-icarus", TRACE)
    none: SpikeTrace = made.value.head(0)
    record = made.record
    path = run.file("trace-icarus")
    save(TRACE, none, path, parents=record.parents, recipe=record.recipe)
    assert recording_of(run).hardware == {}
