"""The silicon card for other tools: weights as hex and CSV, and a C header that runs the network.

All of them are written from the card's integers, unchanged. The header is plain C99 without
dependencies: its tables are the card's, and what it computes is the contract of
`convexon.snn.neuron` once more. Where the card says how raw samples come in, the header encodes
them too, in doubles, with the operations of `convexon.snn.interface` in their order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convexon.snn.coding import CODINGS, Coding
from convexon.snn.convolution import IntegerConvolution
from convexon.snn.fixed import QFormat
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, LeakRounding, ReadoutMode, Reset
from convexon.store.artefact import atomic_write

Matrix = npt.NDArray[np.int64]


def tables(network: FixedPointNetwork) -> Iterator[tuple[str, Matrix, QFormat]]:
    """Yield (name, integers, format) of everything that the network stores, by branch and layer."""
    for b, branch in enumerate(network.branches):
        for depth, layer in enumerate(branch.layers):
            place = f"branch{b}_layer{depth}"
            stored = layer.stored.reshape(len(layer.stored), -1)  # of a kernel, a row an output
            yield f"{place}_weights", stored, layer.weight_format
            if layer.recurrent is not None:
                yield f"{place}_recurrent", layer.recurrent, layer.weight_format
            if layer.leaks is not None:
                yield f"{place}_leaks", layer.leaks, QFormat(layer.leak.f + 2)
            if layer.resets is not None:
                yield f"{place}_resets", layer.resets, layer.threshold_format
            if layer.tables is not None:
                yield f"{place}_tables", layer.tables, QFormat(2)
            yield f"{place}_thresholds", layer.thresholds, layer.threshold_format
            yield f"{place}_biases", layer.biases, layer.threshold_format
    yield "readout_weights", network.readout_weights, network.readout_format
    yield "readout_biases", network.readout_biases, network.bias_format


def write_exports(network: FixedPointNetwork, folder: Path, *, digest: str) -> list[Path]:
    """Write ``weights.csv``, one hex file a table, and ``network.h`` into ``folder``.

    Parameters
    ----------
    digest : of the card, for the files' heads

    Raises
    ------
    ArtefactError
        If the folder cannot be written.
    """
    files = {"weights.csv": as_csv(network), "network.h": as_c_header(network, digest=digest)}
    for name, values, number_format in tables(network):
        files[f"{name}.hex"] = as_hex(values, number_format)
    for name, text in files.items():
        atomic_write(folder / name, text.encode())
    for stale in set(folder.glob("*.hex")) - {folder / name for name in files}:
        stale.unlink(missing_ok=True)  # of a network with more tables than this one
    return [folder / name for name in files]


def as_hex(values: Matrix, number_format: QFormat) -> str:
    """Words in two's complement, one a line in row-major order, for ``$readmemh``."""
    digits = (number_format.width + 3) // 4
    mask = (1 << number_format.width) - 1
    return "".join(f"{int(value) & mask:0{digits}x}\n" for value in values.ravel())


def as_csv(network: FixedPointNetwork) -> str:
    """Return all integers as rows ``table,row,column,value``; a vector has only row 0."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value"))
    for name, values, _ in tables(network):
        for row, numbers in enumerate(np.atleast_2d(values).tolist()):
            writer.writerows((name, row, column, value) for column, value in enumerate(numbers))
    return stream.getvalue()


def as_c_header(network: FixedPointNetwork, *, digest: str) -> str:
    """Return a C99 header with the tables and ``convexon_infer``.

    ``convexon_infer(inputs, scores, labels)`` takes ``inputs[STEPS * INPUTS]`` step after step and
    fills ``scores[READOUTS * CLASSES]`` and ``labels[READOUTS]``. Where raw samples can be encoded,
    ``convexon_predict(values)`` takes one of them, row after row, and returns the place of its
    class in ``convexon_class_names``.
    """
    readouts = network.n_steps if network.readout_mode is ReadoutMode.STEP else 1
    sizes = {
        "STEPS": network.n_steps,
        "INPUTS": network.n_inputs,
        "INPUT_BITS": network.input_bits,
        "FEATURES": network.n_features,
        "CLASSES": network.n_classes,
        "READOUTS": readouts,
        "FRAC": network.readout_format.frac,
    }
    parts = [
        f"/* A spiking network as integers, from the silicon card {digest}. */\n",
        "#ifndef CONVEXON_NETWORK_H\n#define CONVEXON_NETWORK_H\n\n#include <stdint.h>\n\n",
        *(f"#define CONVEXON_{name} {value}\n" for name, value in sizes.items()),
        "\n",
        *(_c_table(name, values) for name, values, _ in tables(network)),
        _C_ARITHMETIC,
        *_c_layers(network),
        _c_infer(network),
        _c_predict(network),
        "\n#endif\n",
    ]
    return "".join(parts)


def _c_table(name: str, values: Matrix) -> str:
    rows = np.atleast_2d(values).tolist()
    body = ",\n".join("  " + ", ".join(str(value) for value in row) for row in rows)
    return f"static const int64_t convexon_{name}[{values.size}] = {{\n{body}\n}};\n\n"


_C_ARITHMETIC = """\
/* Floor of v * d / 2**f, whatever the compiler does to a shifted negative. */
static inline int64_t convexon_leaked(int64_t v, int64_t d, int f) {
  int64_t product = v * d, unit = (int64_t)1 << f;
  int64_t quotient = product / unit;
  return quotient - (product % unit < 0);
}

/* The same, away from zero: so that what is left of v rounds towards it. */
static inline int64_t convexon_leaked_zero(int64_t v, int64_t d, int f) {
  return v - v * (((int64_t)1 << f) - d) / ((int64_t)1 << f);
}

static inline int64_t convexon_clamp(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

"""


def _c_layers(network: FixedPointNetwork) -> Iterator[str]:
    """Yield one step function a layer: ``x`` in, spikes ``s``, membranes ``v`` (and ``i``) kept."""
    for b, branch in enumerate(network.branches):
        for depth, layer in enumerate(branch.layers):
            place = f"branch{b}_layer{depth}"
            limits = layer.saturation.interval if layer.saturation else None
            clamp = f"convexon_clamp(%s, {limits.low}, {limits.high})" if limits else "%s"
            to = f"convexon_{place}_resets[j]"
            after = {
                Reset.SUBTRACT: clamp % f"u - convexon_{place}_thresholds[j] * next[j]",
                Reset.ZERO: f"next[j] ? {'0' if layer.resets is None else to} : u",
                Reset.NONE: "u",
                Reset.LATE: "u",
            }[layer.reset]
            taken = ""
            if layer.reset is Reset.LATE:
                taken = f" - convexon_{place}_thresholds[j] * s[j]"
            n = layer.n_neurons
            lateral = (
                f"    for (int k = 0; k < {n}; k++) "
                f"current += convexon_{place}_recurrent[k * {n} + j] * s[k];\n"
                if layer.recurrent is not None
                else ""
            )
            looked_up = (
                f"    current = convexon_{place}_tables[current * {n} + j];\n"
                if layer.tables is not None
                else ""
            )
            synapse = (
                f"    current += i[j] - {_c_leaked(layer.synapse)}(i[j], {layer.synapse.d}, "
                f"{layer.synapse.f});\n    i[j] = current;\n"
                if layer.synapse is not None
                else ""
            )
            d = layer.leak.d if layer.leaks is None else f"convexon_{place}_leaks[j]"
            leaked = f"{_c_leaked(layer.leak)}(v[j], {d}, {layer.leak.f})"
            integrated = clamp % f"v[j] - {leaked} + current{taken}"
            state = "int64_t *v" if layer.synapse is None else "int64_t *v, int64_t *i"
            yield (
                f"static inline void convexon_{place}("
                f"const int64_t *x, int64_t *s, {state}) {{\n"
                f"  int64_t next[{n}];\n"
                f"  for (int j = 0; j < {n}; j++) {{\n"
                "    int64_t current = 0;\n"
                f"{_c_synapses(layer, f'convexon_{place}_weights')}"
                f"{lateral}{looked_up}"
                f"    current += convexon_{place}_biases[j];\n"
                f"{synapse}"
                f"    int64_t u = {integrated};\n"
                f"    next[j] = u >= convexon_{place}_thresholds[j];\n"
                f"    v[j] = {after};\n"
                f"  }}\n"
                f"  for (int j = 0; j < {n}; j++) s[j] = next[j];\n}}\n\n"
            )


def _c_leaked(leak: Leak) -> str:
    """Return the function of what a leak takes."""
    suffix = "" if leak.rounding is LeakRounding.DOWN else "_zero"
    return f"convexon_leaked{suffix}"


def _c_synapses(layer: Layer, table: str) -> str:
    """Return the loops that add what neuron ``j`` reads of ``x`` to ``current``."""
    if not isinstance(layer.weights, IntegerConvolution):
        return (
            f"    for (int i = 0; i < {layer.n_inputs}; i++) "
            f"current += {table}[i * {layer.n_neurons} + j] * x[i];\n"
        )
    windows, (n_outputs, _, across) = layer.weights.windows, layer.weights.shape
    _, channels, rows, columns = layer.weights.kernel.shape
    spread, (_, height, width) = layer.weights.spread, windows.shape
    (high, wide), (down, right) = windows.pooled, windows.pool
    (stride, step), (dilation, spacing) = windows.stride, windows.dilation
    return (
        f"    int o = j / {spread}, row = j % {spread} / {across}, column = j % {across};\n"
        f"    int group = o / {n_outputs // windows.groups} * {channels};\n"
        f"    const int64_t *w = {table} + o * {channels * rows * columns};\n"
        f"    for (int i = 0; i < {channels}; i++)\n"
        f"      for (int m = 0; m < {rows}; m++)\n"
        f"        for (int n = 0; n < {columns}; n++, w++) {{\n"
        f"          int y = row * {stride} + m * {dilation} - {windows.padding[0][0]};\n"
        f"          int z = column * {step} + n * {spacing} - {windows.padding[1][0]};\n"
        f"          if (y < 0 || y >= {high} || z < 0 || z >= {wide}) continue;\n"
        f"          for (int a = 0; a < {down}; a++)\n"
        f"            for (int b = 0; b < {right}; b++)\n"
        f"              current += *w * x[((group + i) * {height} + y * {down} + a) * {width} "
        f"+ z * {right} + b];\n"
        "        }\n"
    )


def _c_infer(network: FixedPointNetwork) -> str:
    """Return the inference function: all steps of all branches, readout, decision."""
    declare: list[str] = []
    step: list[str] = []
    offset = 0
    mode = network.readout_mode
    for b, branch in enumerate(network.branches):
        signal = "x"
        for depth, layer in enumerate(branch.layers):
            place = f"{b}_{depth}"
            states = [f"{name}{place}" for name in ("sv" if layer.synapse is None else "svi")]
            declare += [f"  int64_t {name}[{layer.n_neurons}] = {{0}};\n" for name in states]
            given = ", ".join((signal, *states))
            step.append(f"    convexon_branch{b}_layer{depth}({given});\n")
            signal = f"s{place}"
        held = f"feature[{offset} + j]"
        feature = {
            ReadoutMode.SIGN: f"v{place}[j] >= 0",
            ReadoutMode.COUNT: f"{held} + s{place}[j]",
            ReadoutMode.MEMBRANE: f"v{place}[j]",
            ReadoutMode.PEAK: f"t && {held} > v{place}[j] ? {held} : v{place}[j]",
        }.get(mode, f"s{place}[j]")
        step.append(f"    for (int j = 0; j < {branch.n_outputs}; j++) {held} = {feature};\n")
        offset += branch.n_outputs
    place_of_readout = "t" if mode is ReadoutMode.STEP else "0"
    when = "" if mode is ReadoutMode.STEP else "    if (t != CONVEXON_STEPS - 1) continue;\n"
    return (
        "static inline void convexon_infer("
        "const uint8_t *inputs, int64_t *scores, int *labels) {\n"
        + "".join(declare)
        + "  int64_t feature[CONVEXON_FEATURES] = {0};\n"
        "  for (int t = 0; t < CONVEXON_STEPS; t++) {\n"
        "    int64_t x[CONVEXON_INPUTS];\n"
        "    for (int i = 0; i < CONVEXON_INPUTS; i++) x[i] = inputs[t * CONVEXON_INPUTS + i];\n"
        + "".join(step)
        + when
        + f"    int64_t *score = scores + {place_of_readout} * CONVEXON_CLASSES;\n"
        "    for (int c = 0; c < CONVEXON_CLASSES; c++) {\n"
        "      score[c] = convexon_readout_biases[c];\n"
        "      for (int j = 0; j < CONVEXON_FEATURES; j++)\n"
        "        score[c] += convexon_readout_weights[j * CONVEXON_CLASSES + c] * feature[j];\n"
        "    }\n"
        "    int best = CONVEXON_CLASSES == 1 ? score[0] > 0 : 0;\n"
        "    for (int c = 1; c < CONVEXON_CLASSES; c++)\n"
        "      if (score[c] > score[best]) best = c;\n"
        f"    labels[{place_of_readout}] = best;\n"
        "  }\n}\n"
    )


def _c_predict(network: FixedPointNetwork) -> str:
    """Return class names, encoding and prediction of raw samples; nothing where there are none."""
    interface = network.interface
    coding = None if interface is None else CODINGS[interface.coding]
    if interface is None or coding is None or not (coding.c_expression or coding.c_step):
        return ""
    place = "i"
    if coding.per_step:
        place = f"t * {interface.n_values} + i"
    ranges = ""
    value = f"values[{place}]"
    if interface.low is not None and interface.high is not None:
        half = 0.5 * interface.low
        ranges = _c_doubles("half_low", half) + _c_doubles("span", 0.5 * interface.high - half)
        value = f"convexon_unit({value}, i)"
        ranges += (
            "static inline double convexon_unit(double x, int i) {\n"
            "  double span = convexon_span[i];\n"
            "  double u = span > 0 ? (0.5 * x - convexon_half_low[i]) / span : 0;\n"
            "  return u < 0 ? 0 : u > 1 ? 1 : u;\n}\n\n"
        )
    names = ", ".join(_c_string(str(name)) for name in interface.classes)
    n_names = len(interface.classes)
    return (
        "\n#include <math.h>\n\n"
        f"static const char *const convexon_class_names[{n_names}] = {{{names}}};\n\n"
        f"{ranges}"
        "static inline void convexon_encode(const double *values, uint8_t *inputs) {\n"
        f"{_c_encode(coding, value, interface.n_values)}}}\n\n"
        "static inline int convexon_predict(const double *values) {\n"
        "  uint8_t inputs[CONVEXON_STEPS * CONVEXON_INPUTS];\n"
        "  int64_t scores[CONVEXON_READOUTS * CONVEXON_CLASSES];\n"
        "  int labels[CONVEXON_READOUTS];\n"
        "  convexon_encode(values, inputs);\n"
        "  convexon_infer(inputs, scores, labels);\n"
        "  return labels[CONVEXON_READOUTS - 1];\n}\n"
    )


def _c_encode(coding: Coding, value: str, n_values: int) -> str:
    """Return the loops over steps and values that fill ``inputs``."""
    if coding.c_step is None:
        return (
            "  const int T = CONVEXON_STEPS, LEVELS = (1 << CONVEXON_INPUT_BITS) - 1;\n"
            "  (void)T, (void)LEVELS;\n"
            "  for (int t = 0; t < CONVEXON_STEPS; t++)\n"
            "    for (int i = 0; i < CONVEXON_INPUTS; i++) {\n"
            f"      double u = {value};\n"
            f"      inputs[t * CONVEXON_INPUTS + i] = (uint8_t)({coding.c_expression});\n"
            "    }\n"
        )
    return (
        f"  for (int i = 0; i < {n_values}; i++)\n"
        "    for (int t = 0, held = 0; t < CONVEXON_STEPS; t++) {\n"
        f"      int level = (int)rint({value} * 255), on, off;\n"
        f"      {coding.c_step}\n"
        "      inputs[t * CONVEXON_INPUTS + 2 * i] = (uint8_t)on;\n"
        "      inputs[t * CONVEXON_INPUTS + 2 * i + 1] = (uint8_t)off;\n"
        "    }\n"
    )


def _c_doubles(name: str, values: npt.NDArray[np.float64]) -> str:
    """A table of doubles, each in as many digits as it takes to read it back."""
    body = ", ".join(repr(float(value)) for value in values)
    return f"static const double convexon_{name}[{len(values)}] = {{{body}}};\n\n"


def _c_string(text: str) -> str:
    """A string literal; whatever is no plain character is written as an octal escape."""
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(plain)}"'
