"""Convolutions: what they mean, in every model, in files and in C, without being unrolled."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import convexon as cx
from convexon.errors import ConvexonError, FormatError, InputError
from convexon.interop.export import as_c_header, tables
from convexon.plan.operations import operations_of
from convexon.snn.card import CARD, schema
from convexon.snn.convolution import NO_PADDING, IntegerConvolution, Windows
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden, simulate
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.store.artefact import load, save
from convolutions import WINDOWS, convolution_of, convolutional, spikes_for
from strategies import equal

SHAPES = tuple(WINDOWS)


def unrolled(network: FixedPointNetwork) -> FixedPointNetwork:
    """The same network with a matrix in each layer."""
    branches = tuple(
        Branch(tuple(replace(layer, weights=layer.matrix) for layer in branch.layers))
        for branch in network.branches
    )
    return replace(network, branches=branches)


@pytest.mark.parametrize("name", SHAPES)
def test_a_convolution_is_that_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    own = convolution_of(name)
    windows = own.windows
    images = np.random.default_rng(3).integers(0, 4, (3, *windows.shape)).astype(np.float64)
    cells = torch.nn.functional.avg_pool2d(torch.tensor(images), windows.pool)
    rows, columns = windows.padding
    padded = torch.nn.functional.pad(cells * np.prod(windows.pool), (*columns, *rows))
    expected = torch.nn.functional.conv2d(
        padded,
        torch.tensor(own.kernel.astype(np.float64)),
        stride=windows.stride,
        dilation=windows.dilation,
        groups=windows.groups,
    ).numpy()
    assert expected.shape[1:] == own.shape
    found = images.reshape(3, -1) @ own
    np.testing.assert_allclose(found, expected.reshape(3, -1), rtol=1e-12)


@pytest.mark.parametrize("name", SHAPES)
def test_the_models_and_the_ranges_are_those_of_the_matrix_that_is_meant(name: str) -> None:
    network = convolutional(name, input_bits=2)
    inputs = spikes_for(network, samples=3)
    trace = golden.run(network, inputs)
    assert 0.05 < trace.layers[0][0].spikes.mean() < 0.95
    assert equal(trace, simulate.run(network, inputs))
    assert equal(trace, golden.run(unrolled(network), inputs))
    assert network.ranges == unrolled(network).ranges
    assert network.n_synapses == unrolled(network).n_synapses
    ours, meant = (operations_of(each, inputs, trace) for each in (network, unrolled(network)))
    assert vars(ours) == pytest.approx(vars(meant), rel=1e-12)


def test_sums_over_many_samples_are_taken_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    own = convolution_of("padded")
    rows = np.random.default_rng(0).integers(0, 2, (7, own.n_inputs))
    whole = rows @ own
    monkeypatch.setattr("convexon.snn.convolution._MOST_PATCHES", 2 * own.n_outputs * own.fan_in)
    assert np.array_equal(rows @ own, whole)
    assert np.array_equal(rows[0] @ own, whole[0])


def test_the_card_stores_a_kernel_once(tmp_path: Path) -> None:
    network = convolutional("strided, in groups")
    save(CARD, network, tmp_path / "card.json")
    content = json.loads((tmp_path / "card.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(content)
    stored = content["content"]["branches"][0]["layers"][0]["weights"]
    first = network.branches[0].layers[0]
    assert np.array_equal(stored["kernel"], first.stored)
    read, _ = load(CARD, tmp_path / "card.json")
    again = read.branches[0].layers[0].weights
    assert isinstance(again, IntegerConvolution)
    assert again.windows == first.weights.windows
    assert np.array_equal(again.kernel, first.stored)
    inputs = spikes_for(network, samples=2)
    assert equal(golden.run(read, inputs), golden.run(network, inputs))


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        (["kernel"], [[[[1]]]], "must be a multiple of 2 groups"),
        (["kernel"], [[[1]]], "kernel must have shape"),
        (["kernel"], [[[[0.5]]]], "must hold int64"),
        (["windows", "shape"], [4, 5, 7], "kernel must have shape"),
        (["windows", "shape"], [2, 5, 17], "thresholds must have shape"),
        (["windows", "shape"], [4, 1 << 12, 1 << 12], "pixels of an image"),
        (["windows", "pool"], [9, 9], "pool must fit"),
        (["windows", "stride"], [0, 1], "stride"),
        (["windows", "groups"], 3, "groups must be 1 to 2"),
        (["windows", "padding"], [[0, 0], [0, -1]], "padding"),
        ([], 3, "weights must"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, keys: list[str], value: object, told: str
) -> None:
    content, _ = CARD.encode(convolutional("strided, in groups"))
    target = content["branches"][0]["layers"][0]
    for key in ["weights", *keys][:-1]:
        target = target[key]
    target[["weights", *keys][-1]] = value
    with pytest.raises(ConvexonError, match=told):
        CARD.decode(content, {})


@pytest.mark.parametrize("name", SHAPES)
def test_the_header_computes_it_with_loops_over_the_kernel(tmp_path: Path, name: str) -> None:
    network = convolutional(name)
    (tmp_path / "network.h").write_text(as_c_header(network, digest="sha256:0"))
    inputs = spikes_for(network, samples=2)
    values = ", ".join(map(str, inputs.ravel().tolist()))
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "network.h"\n'
        f"static const uint8_t inputs[] = {{{values}}};\n"
        "int main(void) {\n  int64_t scores[CONVEXON_CLASSES]; int label;\n"
        "  for (int k = 0; k < 2; k++) {\n"
        "    convexon_infer(inputs + k * CONVEXON_STEPS * CONVEXON_INPUTS, scores, &label);\n"
        '    for (int c = 0; c < CONVEXON_CLASSES; c++) printf("%d ", (int)scores[c]);\n'
        "  }\n}\n"
    )
    program = tmp_path / "main"
    warn = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
    subprocess.run(["gcc", *warn, "-o", program, tmp_path / "main.c"], check=True)
    told = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert list(map(int, told.split())) == golden.run(network, inputs).scores.ravel().tolist()


def test_exports_have_the_kernel_once() -> None:
    network = convolutional("padded")
    found = {name: values for name, values, _ in tables(network)}
    kernel = network.branches[0].layers[0].stored
    assert np.array_equal(found["branch0_layer0_weights"], kernel.reshape(len(kernel), -1))


def test_arrays_may_be_convolutions() -> None:
    kernel = np.random.default_rng(1).integers(-3, 4, (2, 1, 3, 3))
    network = cx.Network.from_arrays(
        weights=[
            cx.Convolution(kernel, cx.Windows(shape=(1, 6, 6))),
            np.ones((32, 3), dtype=int),
        ],
        thresholds=[[4, 5], 6],
        biases=[[1, -1], None],
        n_steps=3,
    )
    first, second = network.card.branches[0].layers
    assert first.thresholds.tolist() == [4] * 16 + [5] * 16
    assert first.biases.tolist() == [1] * 16 + [-1] * 16
    assert second.n_inputs == first.n_neurons == 32
    with pytest.raises(InputError, match="kernel must hold"):
        cx.Network.from_arrays(
            weights=cx.Convolution(kernel / 2, cx.Windows(shape=(1, 6, 6))),
            thresholds=3,
            n_steps=3,
        )


def test_what_no_convolution_can_be_is_refused() -> None:
    kernel = np.ones((2, 1, 3, 3), dtype=np.int64)
    windows = Windows(shape=(1, 5, 5))
    with pytest.raises(InputError, match="must fit the image"):
        IntegerConvolution(kernel, Windows(shape=(1, 2, 5)))
    with pytest.raises(InputError, match="multiple of 2 groups"):
        IntegerConvolution(np.ones((3, 1, 1, 1)), Windows(shape=(2, 5, 5), groups=2))
    own = IntegerConvolution(kernel, windows)
    layer = convolutional("padded").branches[0].layers[0]
    n = own.n_outputs
    members = {
        "thresholds": np.ones(n),
        "biases": np.zeros(n),
        "leak": layer.leak,
        "reset": layer.reset,
        "threshold_format": QFormat(8),
    }
    with pytest.raises(InputError, match="must not be recurrent"):
        Layer(weights=own, weight_format=QFormat(4), recurrent=np.zeros((n, n)), **members)
    with pytest.raises(FormatError, match="at most 32 bits"):
        Layer(weights=own, weight_format=QFormat(40), **members)
    wide = Windows(shape=(1, 512, 512))
    with pytest.raises(InputError, match="to be unrolled: fold it"):
        IntegerConvolution(np.ones((1, 1, 1, 1), dtype=np.int64), wide).unrolled()


def test_a_layer_that_is_pruned_is_a_matrix_and_one_that_is_not_is_kept() -> None:
    layer = convolutional("padded").branches[0].layers[0]
    every = np.arange(layer.n_neurons), np.arange(layer.n_inputs)
    assert layer.restricted(*every) is layer
    some = layer.restricted(every[0][::2], every[1])
    assert np.array_equal(some.weights, layer.matrix[:, ::2])
    assert Windows(shape=(1, 2, 2)).padding == NO_PADDING
