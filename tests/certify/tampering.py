"""Every leaf of a run's artefacts, changed to values small, large and special, digests made again.

A tamper must be refused in a line, or leave every claim that is reported as checked true. Truth is
said by `judge`, which shares nothing with Convexon.
"""

from __future__ import annotations

import copy
import math
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from forgery import Forged, Forger, optimal_run
from judge import Judge

from convexon.certify.certificate import CERTIFICATE, SampleMargins
from convexon.certify.check import check_file
from convexon.convex.model.losses import Squared
from convexon.convex.model.penalty import GroupL2
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.samples import Samples
from convexon.errors import ConvexonError
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.quantizer.readout import quantize_readout, sample_margins
from convexon.snn.card import CARD
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.store.artefact import save
from convexon.store.codec import DERIVED
from convexon.train.claims import certified
from convexon.train.columns.dictionary import DICTIONARY, patterns
from convexon.train.fit import Plan, fit
from convexon.train.generation import GenerationBudget
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.site import site_on
from convexon.train.settings import SolveSettings
from convexon.train.solved import NETWORK
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import WitnessFamily

ARTEFACTS = ("certificate", "card", "network", "dictionary", "solution")


# -- runs ------------------------------------------------------------------------------------------


def small_samples(n_classes: int) -> Samples:
    """A few samples around a centre for each class."""
    rng = np.random.default_rng(11)
    labels = np.repeat(np.arange(n_classes), 7)
    centres = rng.random((n_classes, 4))
    values = np.clip(centres[labels] + rng.normal(0.0, 0.25, (len(labels), 4)), 0.0, 1.0)
    return Samples.of(values.round(2), labels, name="small")


def small_run(path: Path, n_classes: int = 3, **changes: Any) -> Path:
    """A run of the whole chain on `small_samples`."""
    members = {
        **{"coding": "threshold", "guide": "difference", "steps": 3, "witnesses": 14},
        **{"fan_in": 2, "max_neurons": 5, "rho": (0.01,)},
    }
    solve(Run(path), small_samples(n_classes), SolveSettings(**{**members, **changes}))
    return path


def windowed_run(path: Path) -> Path:
    """A run with a bound over all neurons on windows of two inputs."""
    return small_run(path, loss="softmax", oracle="windows", steps=2, witnesses=6)


def cells_run(path: Path) -> Path:
    """A run with logic cells, and a bound over all of them."""
    members = {"pricing_rounds": 1, "selection_rho": 0.01, "readout": "last"}
    return small_run(path, loss="softmax", oracle="cells", steps=2, witnesses=6, **members)


def grouped_run(path: Path) -> Path:
    """A fit with one output, a row-group penalty and pricing, as the examples leave it."""
    samples = small_samples(2)
    inputs = (samples.values >= 0.5).astype(np.uint8)[:, None]
    data = SpikeDataset(
        inputs=inputs, labels=samples.labels, n_classes=2, input_bits=1, name="small"
    )
    family = WitnessFamily(
        fan_in=2, alphabet=Alphabet.parse("ternary"), leak=MEMORYLESS, reset=Reset.NONE,
        at_last=True, spikes_per_sample=1.0,
    )  # fmt: skip
    plan = Plan(
        mode=ReadoutMode.LAST,
        sites=lambda train, rows: [site_on(train, rows, family)],
        oracles=[LocalSearch()],
        loss=Squared(),
        penalty=GroupL2(),
        rhos=(0.01,),
        budget=GenerationBudget(max_rounds=3, columns_per_round=4, tolerance=1e-6),
    )
    fitted = fit(plan, data, data, seed=0)
    network = fitted.network
    margins: SampleMargins = sample_margins(
        patterns(network.branches, data, ReadoutMode.LAST),
        np.concatenate([network.readout_weights, network.readout_biases[None]]),
        quantize_readout(network.readout_weights, network.readout_biases, bits=8),
        name="test",
    )
    certificate, dictionary = certified(fitted, tolerance=1e-6, readout_bits=8, others=(margins,))
    parents: dict[str, str] = {}
    for name, codec, value in (
        ("train", DATASET, data), ("test", DATASET, data), ("dictionary", DICTIONARY, dictionary),
        ("network", NETWORK, network), ("card", CARD, fitted.card),
        ("certificate", CERTIFICATE, certificate),
    ):  # fmt: skip
        own = parents if name == "certificate" else {}
        parents[name] = save(codec, value, path / f"{name}.json", parents=own).digest
    return path


RUNS = {
    "squared": optimal_run,
    "softmax, costs": lambda path: small_run(path, loss="softmax", cost="events"),
    "logistic, one output": lambda path: small_run(path, 2, loss="logistic", readout="sign"),
    "hinge, deep, priced": lambda path: small_run(
        path, loss="hinge", depth=2, hidden=4, pricing_rounds=1, witnesses=8
    ),
    "squared, one output, group_l2": grouped_run,
    "softmax, windows": windowed_run,
}
"""Runs that are tampered with: losses, penalties, one output, pricing, costs."""


# -- leaves and values -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Tamper:
    """One change of one file.

    Members
    -------
    name : str
        Of the file.
    place : tuple
        Members on the way through its JSON; or an array's name and a place in it.
    is_array : bool
    value : object
        What is put there.
    """

    name: str
    place: tuple[Any, ...]
    is_array: bool
    value: Any

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.place))} = {self.value!r}"

    def apply(self, file: Forged) -> None:
        """Change the file."""
        if not self.is_array:
            inner = file.head["content"]
            for part in self.place[:-1]:
                inner = inner[part]
            inner[self.place[-1]] = copy.deepcopy(self.value)
            return
        name, where = self.place
        if where == "whole":
            file.arrays[name] = self.value
            return
        array = file.arrays[name].copy()
        if isinstance(self.value, float) and array.dtype.kind != "f":
            array = array.astype(np.float64)
        array[where] = self.value
        file.arrays[name] = array


def tampers(forger: Forger) -> Iterator[Tamper]:
    """Yield every tamper of every leaf of a run's artefacts."""
    for name in ARTEFACTS:
        if name not in forger.files:
            continue
        file = forger.files[name]
        for place, value in _leaves(file.head["content"], ()):
            for other in _others(value):
                yield Tamper(name, place, False, other)
        for key, array in sorted(file.arrays.items()):
            for other in _other_arrays(array):
                yield Tamper(name, (key, "whole"), True, other)
            for where in np.ndindex(array.shape):
                for number in _numbers(array[where].item()):
                    if array.dtype.kind != "f" and isinstance(number, int):
                        limits = np.iinfo(array.dtype)
                        if not limits.min <= number <= limits.max:
                            continue
                    yield Tamper(name, (key, where), True, number)


def _leaves(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key != DERIVED:
                yield from _leaves(item, (*place, key))
    elif isinstance(value, list) and value:
        for k, item in enumerate(value):
            yield from _leaves(item, (*place, k))
    else:
        yield place, value


def _numbers(value: int | float) -> list[Any]:
    """Numbers in place of another: near it, far from it, and special."""
    if isinstance(value, int):
        near = [value + 1, value - 1, -value, 2 * value + 1, 0, 1, 255, 2**31, 2**62, -(2**62)]
        return [n for n in dict.fromkeys(near) if n != value] + [value + 0.5]
    near = [
        math.nextafter(value, math.inf), math.nextafter(value, -math.inf),
        value * (1 + 1e-9), value * (1 - 1e-9), value + 1e-6, value - 1e-6,
        2.0 * value, -value, value + 1.0, 0.0, 1e-300, 1e30, 1e300, -1e300,
        math.nan, math.inf, -math.inf,
    ]  # fmt: skip
    return [n for n in dict.fromkeys(near) if n != value]


def _others(value: Any) -> list[Any]:
    """Values of any kind in place of a leaf of JSON."""
    if isinstance(value, bool):
        return [not value, None, 1, "true"]
    if isinstance(value, int | float):
        return [*_numbers(value), 10**400, None, "1", True, [], {}]
    if isinstance(value, str):
        return [value + "x", "", value + "\nx", "\x1b[2J", "\u202e", "\ud800", "x" * 5000, 7, None]
    return [0, "x", [], [[]], {}, 1.5]


def _other_arrays(array: np.ndarray) -> list[np.ndarray]:
    """Arrays of other shapes, types and orders."""
    return [
        array[:0], array[:-1], np.concatenate([array, array]), array.reshape(-1)[:, None],
        array[::-1].copy(), np.zeros_like(array), array.astype(np.float32), array.astype(np.int8),
        np.array(0.0), array.astype(bool),
    ]  # fmt: skip


# -- trial -----------------------------------------------------------------------------------------


@dataclass(eq=False)
class Outcome:
    """What became of tampers.

    Members
    -------
    total, accepted : int
    false, tracebacks : list of str
        Those that were accepted although a claim reported as checked is false, and those that
        ended in anything but a line.
    """

    total: int = 0
    accepted: int = 0
    false: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)


class Trial:
    """A run that is tampered with again and again, in a folder of its own."""

    def __init__(self, run: Path, folder: Path) -> None:
        self.forger = Forger(Path(shutil.copytree(run, folder)))
        self.clean = copy.deepcopy(self.forger.files)
        self.bytes = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def run(self, tamper: Tamper, outcome: Outcome) -> None:
        """Try one tamper, and put everything back."""
        outcome.total += 1
        try:
            tamper.apply(self.forger.raw(tamper.name))
            self.forger.sign()
            self._check(tamper, outcome)
        finally:
            self._restore()

    def _check(self, tamper: Tamper, outcome: Outcome) -> None:
        path = self.forger.path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                verdict = check_file(path)
        except ConvexonError as error:
            if not str(error).isprintable():
                outcome.tracebacks.append(f"{tamper}: {error!r}")
            return
        except Exception as error:
            outcome.tracebacks.append(f"{tamper}: {error!r}")
            return
        outcome.accepted += 1
        judge = Judge(path)
        wrong = [f.claim for f in verdict.findings if f.checked and not judge.is_true(f.claim)]
        said = [f.line for f in verdict.findings] + [verdict.claim, verdict.summary]
        if wrong or not all(line.isprintable() for line in said):
            outcome.false.append(f"{tamper}: {', '.join(wrong)}")

    def _restore(self) -> None:
        for path in self.forger.path.iterdir():
            if path.name not in self.bytes:
                path.unlink()
        for name, content in self.bytes.items():
            path = self.forger.path / name
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        self.forger.files = copy.deepcopy(self.clean)
