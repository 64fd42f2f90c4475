"""The silicon card for other tools: the C header runs it, hex and CSV hold its integers."""

from __future__ import annotations

import csv
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from convexon.errors import ArtefactError
from convexon.interop.export import as_c_header, as_csv, as_hex, tables, write_exports
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import MEMORYLESS, Leak, LeakRounding, ReadoutMode, Reset
from strategies import layer_of, readout_of

DIGEST = "sha256:0123abcd"
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")

MAIN = """\
#include <stdio.h>
#include "network.h"

int main(void) {
  static uint8_t inputs[CONVEXON_STEPS * CONVEXON_INPUTS];
  static int64_t scores[CONVEXON_READOUTS * CONVEXON_CLASSES];
  static int labels[CONVEXON_READOUTS];
  while (fread(inputs, sizeof inputs, 1, stdin) == 1) {
    convexon_infer(inputs, scores, labels);
    for (int r = 0; r < CONVEXON_READOUTS; r++) {
      for (int c = 0; c < CONVEXON_CLASSES; c++)
        printf("%lld ", (long long)scores[r * CONVEXON_CLASSES + c]);
      printf("%d\\n", labels[r]);
    }
  }
  return 0;
}
"""


def random_layer(rng: np.random.Generator, n_inputs: int, n: int, **changes: object) -> Layer:
    """Layer that fires now and then; ``recurrent=True`` draws lateral weights."""
    if changes.pop("recurrent", False):
        changes["recurrent"] = rng.integers(-8, 8, (n, n))
    members = {"biases": rng.integers(-3, 4, n), "leak": Leak(3, 3), "weight_format": QFormat(4)}
    weights = changes.pop("weights", rng.integers(-8, 8, (n_inputs, n)))
    return layer_of(weights, rng.integers(-2, 9, n), **{**members, **changes})


@cache
def network(name: str) -> FixedPointNetwork:
    """The first network drawn that tells inputs apart."""
    return next(
        net
        for net in (drawn(name, seed) for seed in range(100))
        if len(np.unique(golden.run(net, inputs_of(net)).labels)) > 1
    )


def inputs_of(net: FixedPointNetwork) -> np.ndarray:
    """Random inputs, the smallest and the largest ones first."""
    high = net.input_range.high
    shape = (25, net.n_steps, net.n_inputs)
    inputs = np.random.default_rng(1).integers(0, high + 1, shape).astype(np.uint8)
    inputs[0], inputs[1] = 0, high
    return inputs


def drawn(name: str, seed: int) -> FixedPointNetwork:
    """A seeded network; together they have every readout, reset, and optional part."""
    rng = np.random.default_rng([seed, *name.encode()])
    mode, n_classes, input_bits, stacks = CASES[name]
    branches = []
    for stack in stacks:
        layers, n_inputs = [], 5
        for n, changes in stack:
            layers.append(random_layer(rng, n_inputs, n, **changes))
            n_inputs = n
        branches.append(Branch(tuple(layers)))
    n_features = sum(branch.n_outputs for branch in branches)
    return FixedPointNetwork(
        branches=tuple(branches),
        n_steps=6,
        input_bits=input_bits,
        **readout_of(
            mode,
            rng.integers(-16, 16, (n_features, n_classes)),
            rng.integers(-40, 40, n_classes),
        ),
        readout_format=QFormat(5, frac=2),
        bias_format=QFormat(8, frac=2),
    )


CODED = np.zeros((5, 6), dtype=np.int64)
CODED[:3] = [[1], [4], [2]]
TRUTH = np.random.default_rng(1).integers(0, 2, (8, 6))

CASES = {
    "last, deep, recurrent": (
        ReadoutMode.LAST,
        4,
        1,
        [[(6, {"recurrent": True}), (3, {"reset": Reset.ZERO})], [(2, {"leak": MEMORYLESS})]],
    ),
    "sign, saturating": (
        ReadoutMode.SIGN,
        3,
        1,
        [[(5, {"saturation": QFormat(4)})], [(3, {"reset": Reset.NONE, "leak": Leak(1, 4)})]],
    ),
    "count, intensities": (
        ReadoutMode.COUNT,
        3,
        8,
        [[(4, {"recurrent": True, "saturation": QFormat(9), "leak": Leak(0, 0)})]],
    ),
    "synaptic currents": (
        ReadoutMode.COUNT,
        3,
        2,
        [[(4, {"recurrent": True, "synapse": Leak(5, 3)}), (3, {"synapse": Leak(1, 2)})]],
    ),
    "synaptic currents, late reset": (
        ReadoutMode.STEP,
        4,
        1,
        [[(6, {"reset": Reset.LATE, "synapse": Leak(1, 1)})]],
    ),
    "with leaks towards zero": (
        ReadoutMode.COUNT,
        4,
        1,
        [[(6, {"leak": Leak(3, 3, LeakRounding.ZERO), "synapse": Leak(1, 2, LeakRounding.ZERO)})]],
    ),
    "with resets": (
        ReadoutMode.COUNT,
        3,
        1,
        [[(5, {"reset": Reset.ZERO, "resets": range(-2, 3)})]],
    ),
    "v of the last step": (
        ReadoutMode.MEMBRANE,
        3,
        1,
        [[(6, {}), (3, {"reset": Reset.NONE, "leak": Leak(3, 4), "synapse": Leak(1, 1)})]],
    ),
    "v where it is largest": (
        ReadoutMode.PEAK,
        5,
        1,
        [[(3, {"reset": Reset.NONE})], [(2, {"leak": Leak(1, 2)})]],
    ),
    "their own leaks": (ReadoutMode.STEP, 4, 1, [[(6, {"leaks": [0, 1, 3, 5, 7, 8]})]]),
    "step, reset to zero": (ReadoutMode.STEP, 2, 2, [[(4, {"reset": Reset.ZERO}), (3, {})]]),
    "one score": (ReadoutMode.LAST, 1, 1, [[(6, {"reset": Reset.NONE, "saturation": QFormat(3)})]]),
    "truth tables": (
        ReadoutMode.STEP,
        3,
        1,
        [[(6, {"weights": CODED, "tables": TRUTH, "biases": [0] * 6, "leak": Leak(0, 0)})]],
    ),
}


@pytest.mark.parametrize("language", [("-x", "c", *WARNINGS), ("-x", "c++", "-Wall", "-Werror")])
@pytest.mark.parametrize("used", [True, False], ids=["used", "only included"])
def test_the_header_compiles_without_a_warning(
    tmp_path: Path, language: tuple[str, ...], used: bool
) -> None:
    (tmp_path / "network.h").write_text(as_c_header(network("sign, saturating"), digest=DIGEST))
    (tmp_path / "main.c").write_text(MAIN if used else '#include "network.h"\nint x;\n')
    command = [shutil.which("g++") or "g++", *language, "-fsyntax-only", "main.c"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", CASES)
def test_the_header_gives_the_golden_models_scores_and_labels(tmp_path: Path, name: str) -> None:
    net = network(name)
    inputs = inputs_of(net)
    (tmp_path / "network.h").write_text(as_c_header(net, digest=DIGEST))
    (tmp_path / "main.c").write_text(MAIN)
    compiler = [shutil.which("g++") or "g++", "-x", "c", *WARNINGS, "-O1", "main.c", "-o", "infer"]
    subprocess.run(compiler, cwd=tmp_path, check=True)
    result = subprocess.run(
        [tmp_path / "infer"], input=inputs.tobytes(), capture_output=True, check=True
    )
    rows = np.array([line.split() for line in result.stdout.splitlines()], dtype=np.int64)
    trace = golden.run(net, inputs)
    np.testing.assert_array_equal(rows[:, :-1].reshape(trace.scores.shape), trace.scores)
    np.testing.assert_array_equal(rows[:, -1].reshape(trace.labels.shape), trace.labels)


@pytest.mark.parametrize("name", CASES)
def test_hex_words_are_the_integers_in_twos_complement(name: str) -> None:
    n_negative = 0
    for _, values, number_format in tables(network(name)):
        lines = as_hex(values, number_format).splitlines()
        assert {len(line) for line in lines} == {-(-number_format.width // 4)}
        words = [int(line, 16) for line in lines]
        assert max(words) < 1 << number_format.width
        signed = [w - ((w >> number_format.width - 1) << number_format.width) for w in words]
        assert signed == values.ravel().tolist()
        n_negative += sum(value < 0 for value in signed)
    assert n_negative


@pytest.mark.parametrize("name", CASES)
def test_csv_rows_are_the_integers_at_their_places(name: str) -> None:
    net = network(name)
    rows = list(csv.DictReader(as_csv(net).splitlines()))
    found = {(r["table"], int(r["row"]), int(r["column"])): int(r["value"]) for r in rows}
    expected = {
        (table, i, j): value
        for table, values, _ in tables(net)
        for i, numbers in enumerate(np.atleast_2d(values).tolist())
        for j, value in enumerate(numbers)
    }
    assert found == expected
    assert len(rows) == len(expected)


def test_the_tables_are_everything_that_the_network_stores() -> None:
    net = network("last, deep, recurrent")
    stored = {name: values for name, values, _ in tables(net)}
    layer = net.branches[0].layers[0]
    assert stored["branch0_layer0_recurrent"] is layer.recurrent
    assert "branch0_layer1_recurrent" not in stored
    n_synapses = sum(
        np.count_nonzero(values)
        for name, values in stored.items()
        if name.endswith(("weights", "recurrent"))
    )
    assert n_synapses == net.n_synapses


def test_exports_are_whole_and_the_same_every_time(tmp_path: Path) -> None:
    net = network("count, intensities")
    paths = write_exports(net, tmp_path / "a", digest=DIGEST)
    again = write_exports(net, tmp_path / "b", digest=DIGEST)
    assert sorted(paths) == sorted((tmp_path / "a").iterdir())
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    assert DIGEST in (tmp_path / "a" / "network.h").read_text().splitlines()[0]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtefactError, match=r"weights\.csv cannot be written: .*directory"):
        write_exports(network("one score"), tmp_path / "file" / "export", digest=DIGEST)
