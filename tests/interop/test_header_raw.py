"""The C header on raw samples: the same classes as the network, and the same steps to the bit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from convexon.interop.export import as_c_header
from convexon.snn.coding import CODINGS
from convexon.snn.interface import Interface
from convexon.snn.models.simulate import run
from convexon.snn.network import FixedPointNetwork
from small_run import small_network

MAIN = """
#include <stdio.h>
#include "network.h"
int main(void) {
  static double values[1 << 16];
  int n = 0;
  while (scanf("%lf", &values[n]) == 1) n++;
  int size = SIZE;
  for (int k = 0; k < n / size; k++) {
    uint8_t inputs[CONVEXON_STEPS * CONVEXON_INPUTS];
    convexon_encode(values + k * size, inputs);
    printf("%s", convexon_class_names[convexon_predict(values + k * size)]);
    for (int j = 0; j < CONVEXON_STEPS * CONVEXON_INPUTS; j++) printf(" %d", inputs[j]);
    printf("\\n");
  }
  return 0;
}
"""


def compiled(network: FixedPointNetwork, folder: Path, size: int) -> Path:
    (folder / "network.h").write_text(as_c_header(network, digest="none"))
    (folder / "main.c").write_text(MAIN.replace("SIZE", str(size)))
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-o", "main", "main.c"]
    subprocess.run([*command, "-lm"], cwd=folder, check=True)
    return folder / "main"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("coding", CODINGS.names)
def test_raw_samples_are_encoded_and_named_as_the_network_does(coding: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kind = CODINGS[coding]
    bits = min(3, kind.max_bits)
    network = small_network(input_bits=bits, seed=5)
    n_values = network.n_inputs // kind.inputs_per_value
    shape = (network.n_steps, n_values) if kind.per_step else (n_values,)
    if kind.scaled:
        spread = rng.normal(0, 1, (40, *shape)) * np.logspace(-3, 6, n_values)
    else:
        spread = rng.integers(0, 1 << bits, (40, *shape)).astype(float)
    if not kind.per_step:
        spread[:, 2] = 7.25  # a constant feature
    names = ("first", 'sec"ond', "dritté?")
    interface = Interface.fitted(spread[:30], coding=coding, classes=names)
    known = FixedPointNetwork(**{**vars(network), "interface": interface})
    size = int(np.prod(shape))
    program = compiled(known, tmp_path, size)
    text = " ".join(repr(float(x)) for x in spread.ravel())
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    inputs = known.encode(spread)
    labels = run(known, inputs).labels[:, -1]
    expected = [
        " ".join([names[label], *map(str, row.ravel().tolist())])
        for label, row in zip(labels, inputs, strict=True)
    ]
    assert done.stdout.splitlines() == expected
    assert len(set(labels.tolist())) > 1, "the samples tell nothing apart"
