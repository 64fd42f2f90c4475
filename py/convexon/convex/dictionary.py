"""The spike dictionary: distinct columns, each with the witness that realises it.

Column j is what the readout weighs of one last-layer neuron over all rows: a spike pattern in {0,
1}^n (arXiv:2605.08022), or spike counts 0..T for `ReadoutMode.COUNT`, each the sum of T such
patterns. Rows are samples, or (sample, step) pairs for `ReadoutMode.STEP`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.artefact import Arrays, Codec, Json
from convexon.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.fixed import Interval
from convexon.network import Branch
from convexon.neuron import ReadoutMode
from convexon.simulate import branch_trace, features


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikeDictionary:
    """Distinct columns with their witnesses.

    Members
    -------
    columns : uint8 array, shape (rows, P)
        Column j is realised by the witness ``witnesses[j]``. No two are equal, and none is all
        zero.
    witnesses : int64 array, shape (P, 2)
        Branch, and neuron of its last layer.
    n_drawn, n_silent, n_duplicate : int
        Witnesses simulated, and those left out because they never fired or repeated a column.
    max_feature : int
        Largest value that a column can take: 1, or T for counts.
    """

    columns: npt.NDArray[np.uint8]
    witnesses: npt.NDArray[np.int64]
    n_drawn: int
    n_silent: int
    n_duplicate: int
    max_feature: int

    def __post_init__(self) -> None:
        if self.columns.ndim != 2 or self.witnesses.shape != (self.columns.shape[1], 2):
            raise InputError(
                "columns must have shape (rows, P) and witnesses (P, 2), "
                f"not {self.columns.shape} and {self.witnesses.shape}"
            )

    @property
    def n_columns(self) -> int:
        """P, the number of distinct columns."""
        return int(self.columns.shape[1])

    def with_intercept(self) -> npt.NDArray[np.uint8]:
        """Return the columns and, last, the always-firing one that carries the intercept."""
        ones = np.ones((len(self.columns), 1), dtype=np.uint8)
        return np.concatenate([self.columns, ones], axis=1)

    def restricted(self, columns: npt.NDArray[np.intp]) -> SpikeDictionary:
        """Return the dictionary of the given columns."""
        return SpikeDictionary(
            columns=self.columns[:, columns],
            witnesses=self.witnesses[columns],
            n_drawn=self.n_drawn,
            n_silent=self.n_silent,
            n_duplicate=self.n_duplicate,
            max_feature=self.max_feature,
        )


def patterns(
    branches: Sequence[Branch], dataset: SpikeDataset, mode: ReadoutMode
) -> npt.NDArray[np.uint8]:
    """Return what the readout weighs of every branch, shape (rows, last-layer neurons).

    Raises
    ------
    InputError
        If counts do not fit 8 bits (T above 255).
    """
    if mode is ReadoutMode.COUNT and dataset.n_steps > 255:
        raise InputError(f"n_steps must be at most 255 for spike counts, not {dataset.n_steps}")
    reach = Interval(0, (1 << dataset.input_bits) - 1)
    parts = [features(mode, branch_trace(branch, dataset.inputs, reach)[-1]) for branch in branches]
    weighed = np.concatenate(parts, axis=2)
    return weighed.reshape(-1, weighed.shape[2]).astype(np.uint8)


def build_dictionary(
    branches: Sequence[Branch],
    dataset: SpikeDataset,
    mode: ReadoutMode,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> SpikeDictionary:
    """Simulate all branches and keep the distinct columns, first come first kept.

    Parameters
    ----------
    branches : sequence of Branch
    dataset : SpikeDataset
    mode : ReadoutMode
    progress : callable, optional
        Called with (branches done, branches in all).

    Raises
    ------
    InputError
        If no witness ever fires.
    """
    kept: list[npt.NDArray[np.uint8]] = []
    witnesses: list[tuple[int, int]] = []
    seen: set[bytes] = set()
    n_drawn = n_silent = 0
    for b, branch in enumerate(branches):
        weighed = patterns([branch], dataset, mode)
        for j in range(weighed.shape[1]):
            column = np.ascontiguousarray(weighed[:, j])
            key = column.tobytes()
            n_drawn += 1
            if not column.any():
                n_silent += 1
            elif key not in seen:
                seen.add(key)
                kept.append(column)
                witnesses.append((b, j))
        if progress is not None:
            progress(b + 1, len(branches))
    if not kept:
        raise InputError(f"none of {n_drawn} witnesses ever fired: lower their thresholds")
    return SpikeDictionary(
        columns=np.stack(kept, axis=1),
        witnesses=np.array(witnesses, dtype=np.int64),
        n_drawn=n_drawn,
        n_silent=n_silent,
        n_duplicate=n_drawn - n_silent - len(kept),
        max_feature=dataset.n_steps if mode is ReadoutMode.COUNT else 1,
    )


def _encode(dictionary: SpikeDictionary) -> tuple[Json, Arrays]:
    content: Json = {
        name: getattr(dictionary, name)
        for name in ("n_drawn", "n_silent", "n_duplicate", "max_feature")
    }
    return content, {"columns": dictionary.columns, "witnesses": dictionary.witnesses}


def _decode(content: Json, arrays: Arrays) -> SpikeDictionary:
    return SpikeDictionary(
        columns=arrays["columns"],
        witnesses=arrays["witnesses"],
        n_drawn=content["n_drawn"],
        n_silent=content["n_silent"],
        n_duplicate=content["n_duplicate"],
        max_feature=content["max_feature"],
    )


DICTIONARY = Codec("convexon.dictionary", 1, _encode, _decode)
"""File form of a `SpikeDictionary`."""
