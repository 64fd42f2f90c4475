"""The spike dictionary: distinct columns, each with the witness that realises it.

Column j is what the readout weighs of one last-layer neuron over all rows: a spike pattern in {0,
1}^n (arXiv:2605.08022), or spike counts 0..T for `ReadoutMode.COUNT`, each the sum of T such
patterns. Rows are samples, or (sample, step) pairs for `ReadoutMode.STEP`;
`convexon.train.columns.rows` merges equal ones. Columns are stored bit-packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError, require_counts, require_within
from convexon.snn.fixed import Interval
from convexon.snn.models.simulate import layer_features, spikes_of
from convexon.snn.network import Branch
from convexon.snn.neuron import ReadoutMode
from convexon.store.codec import Codec
from convexon.store.untrusted import Count, Within
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.parallel import THREADS, Executor, Progress
from convexon.train.columns.rows import Rows

MAX_FEATURE = 255
"""Largest value of a column: it has a byte."""

_SAMPLES, _NEURONS = 1024, 1024
"""Samples and neurons that are simulated at once: their membranes stay in the cache."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikeDictionary:
    """Distinct columns with their witnesses.

    Raises
    ------
    InputError
        If a column has no witness, or a count is out of its range.
    """

    # P columns over the rows. Column j is realised by the witness `witnesses[j]`. No two are equal,
    # none is all zero, and none is all one: that is the intercept's.
    bits: BitColumns
    witnesses: npt.NDArray[np.int64]  # (P, 2), branch, and neuron of its last layer
    n_drawn: Count  # witnesses simulated, of which these are left out:
    n_silent: Count  # never fired
    n_constant: Count  # fired in every row once, as the intercept does
    n_duplicate: Count  # repeated a column
    # Kept although another is their complement: the two cost differently, so both may be active.
    n_complement: Count
    # Largest value that a column can take: 1, or T for counts.
    max_feature: Annotated[int, Within(1, MAX_FEATURE)]

    def __post_init__(self) -> None:
        if self.witnesses.shape != (self.bits.n_columns, 2):
            raise InputError(
                f"witnesses must have shape ({self.bits.n_columns}, 2), one for each column, "
                f"not {self.witnesses.shape}"
            )
        require_counts(self, "n_drawn", "n_silent", "n_constant", "n_duplicate", "n_complement")
        require_within("max_feature", self.max_feature, 1, 255)
        if (self.witnesses < 0).any():
            raise InputError("witnesses must be counted from 0")

    @property
    def columns(self) -> npt.NDArray[np.uint8]:
        """All columns unpacked, shape (rows, P)."""
        return self.bits.dense()

    @property
    def n_columns(self) -> int:
        """P, the number of distinct columns."""
        return self.bits.n_columns

    def with_intercept(self) -> BitColumns:
        """Return the columns and, last, the always-firing one that carries the intercept."""
        return self.bits.with_intercept()

    def restricted(self, columns: npt.NDArray[np.intp]) -> SpikeDictionary:
        """Return the dictionary of the given columns."""
        return replace(self, bits=self.bits.take(columns), witnesses=self.witnesses[columns])


def simulate_columns(
    branches: Sequence[Branch],
    dataset: SpikeDataset,
    mode: ReadoutMode,
    *,
    rows: Rows | None = None,
    executor: Executor = THREADS,
    progress: Progress | None = None,
) -> BitColumns:
    """Return what the readout weighs of every last-layer neuron, branch after branch.

    Simulation goes chunk by chunk, and only packed bits are kept.

    Raises `InputError` if the readout takes membranes, and `FormatError` if counts do not fit 8
    bits (T above 255), or membranes do not fit 64.

    Parameters
    ----------
    rows : those to keep; all where None
    executor : what runs the chunks; the columns are the same, whatever it is
    progress : called with (chunks done, chunks in all)
    """
    mode.require_weighed("columns")
    inputs = dataset.inputs
    stepwise = mode is ReadoutMode.STEP
    if rows is not None and not stepwise:
        inputs = inputs[rows.samples]
    n_planes = dataset.n_steps.bit_length() if mode is ReadoutMode.COUNT else 1
    n_rows = len(inputs) * (dataset.n_steps if stepwise else 1)
    first = np.cumsum([0, *(branch.n_outputs for branch in branches)])
    planes = np.zeros((n_planes, int(first[-1]), (n_rows + 7) // 8), dtype=np.uint8)
    places = [
        (branch, start, part)
        for branch, start in zip(branches, first, strict=False)
        for part in _parts(len(inputs), _SAMPLES)
    ]
    chunks = [
        (branch, inputs[part], dataset.input_range, mode, n_planes) for branch, _, part in places
    ]
    for done, (k, packed) in enumerate(executor.each(_packed, chunks), start=1):
        _, start, part = places[k]
        begin = part.start * (dataset.n_steps if stepwise else 1) // 8
        planes[:, start : start + packed.shape[1], begin : begin + packed.shape[2]] = packed
        if progress is not None:
            progress(done, len(chunks))
    bits = BitColumns(planes=planes, n_rows=n_rows)
    return bits.rows(rows.index.astype(np.intp)) if rows is not None and stepwise else bits


def _parts(total: int, size: int) -> Iterator[slice]:
    """Cut ``total`` into slices of ``size``, a multiple of 8 so that bytes are never shared."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _packed(
    branch: Branch,
    inputs: npt.NDArray[np.uint8],
    input_range: Interval,
    mode: ReadoutMode,
    n_planes: int,
) -> npt.NDArray[np.uint8]:
    """Bit planes of what the readout weighs, shape (planes, last-layer neurons, packed rows)."""
    n_rows = len(inputs) * (inputs.shape[1] if mode is ReadoutMode.STEP else 1)
    planes = np.zeros((n_planes, branch.n_outputs, (n_rows + 7) // 8), dtype=np.uint8)
    for block, features in _features(branch, inputs, input_range, mode):
        across = features.reshape(-1, features.shape[2]).T
        for b in range(n_planes):
            planes[b, block] = np.packbits((across >> b) & 1, axis=1)
    return planes


def _features(
    branch: Branch, inputs: npt.NDArray[np.uint8], input_range: Interval, mode: ReadoutMode
) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
    """Yield blocks of last-layer neurons with what the readout weighs of them."""
    signal, input_range = spikes_of(branch.layers[:-1], inputs, input_range)
    last = branch.layers[-1]
    # Neurons that read each other's spikes are simulated together.
    size = _NEURONS if last.recurrent is None else last.n_neurons
    every_input = np.arange(last.n_inputs)
    for block in _parts(last.n_neurons, size):
        neurons = np.arange(block.start, block.stop)
        part = last if size >= last.n_neurons else last.restricted(neurons, every_input)
        yield block, layer_features(mode, part, signal, input_range)


def patterns(
    branches: Sequence[Branch], dataset: SpikeDataset, mode: ReadoutMode
) -> npt.NDArray[np.uint8]:
    """Return `simulate_columns` unpacked, shape (rows, last-layer neurons)."""
    return simulate_columns(branches, dataset, mode).dense()


def build_dictionary(
    branches: Sequence[Branch],
    dataset: SpikeDataset,
    mode: ReadoutMode,
    *,
    rows: Rows | None = None,
    executor: Executor = THREADS,
    progress: Progress | None = None,
) -> SpikeDictionary:
    """Simulate all branches and keep the distinct columns, first come first kept.

    Arguments are those of `simulate_columns`, which says more of what is raised.

    Raises `InputError` if no witness ever fires, or all fire in every row.
    """
    bits = simulate_columns(
        branches, dataset, mode, rows=rows, executor=executor, progress=progress
    )
    names = np.array(
        [(b, j) for b, branch in enumerate(branches) for j in range(branch.n_outputs)],
        dtype=np.int64,
    )
    kept, counts = distinct_columns(bits)
    if not len(kept):
        raise InputError(
            f"none of {len(names)} witnesses ever told two rows apart: "
            f"{counts['n_silent']} never fired; change their thresholds"
        )
    return SpikeDictionary(
        bits=bits.take(kept),
        witnesses=names[kept],
        n_drawn=len(names),
        max_feature=dataset.n_steps if mode is ReadoutMode.COUNT else 1,
        **counts,
    )


def distinct_columns(bits: BitColumns) -> tuple[npt.NDArray[np.intp], dict[str, int]]:
    """Return the columns to keep, and how many there were of each other kind.

    The counts are those of `SpikeDictionary`: silent, constant, duplicate and complement.
    """
    keys = bits.keys()
    silent = bytes(len(keys[0])) if keys else b""
    constant = bits.take(np.zeros(0, dtype=np.intp)).with_intercept().keys()[0]
    counts = {"n_silent": 0, "n_constant": 0, "n_duplicate": 0}
    kept: dict[bytes, int] = {}
    for j, key in enumerate(keys):
        if key == silent:
            counts["n_silent"] += 1
        elif key == constant:
            counts["n_constant"] += 1
        elif key in kept:
            counts["n_duplicate"] += 1
        else:
            kept[key] = j
    chosen = np.array(list(kept.values()), dtype=np.intp)
    blocks = list(_parts(len(chosen), _NEURONS)) if len(bits.planes) == 1 else []
    counts["n_complement"] = sum(
        key in kept for block in blocks for key in bits.take(chosen[block]).complement_keys()
    )
    return chosen, counts


DICTIONARY: Codec[SpikeDictionary] = Codec(
    SpikeDictionary, "convexon.dictionary", 3, made_by="convexon solve"
)
"""File form of a `SpikeDictionary`."""
