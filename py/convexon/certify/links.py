"""The links of a run: whether card, network, dictionary, samples and recipe are one whole.

`convexon.certify.check` shows that the figures of a certificate follow from a dictionary, targets
and weights. What is shown here is that these are those of the network on the card and of its
samples. Each link says what was compared, or what is missing beside the certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.certify.certificate import Certificate, Rounded, SampleMargins, WindowBound
from convexon.certify.exact.dyadic import Dyadic, FloatArray, power_of_two
from convexon.certify.exact.losses import EXACT_LOSSES
from convexon.certify.exact.margins import require_margins
from convexon.certify.exact.objective import nearest, objective
from convexon.certify.exact.penalties import EXACT_PENALTIES
from convexon.certify.finding import Finding
from convexon.certify.folder import (
    BRANCHES,
    NETWORK,
    READOUT,
    SOLUTION,
    Dictionary,
    Folder,
    NotHere,
    Solution,
)
from convexon.certify.network.cells import CellSet, violating_cell
from convexon.certify.network.columns import Columns
from convexon.certify.network.costs import LEAST, weights_of
from convexon.certify.network.neurons import Signal, below, columns_of
from convexon.certify.network.rows import DataRows, require_rows, rows_of
from convexon.certify.network.windows import WindowCheck
from convexon.certify.statement import IntArray, Statement
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.samples import SAMPLES
from convexon.errors import ArtefactError, ClaimError, InputError
from convexon.snn.card import CARD
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, FixedPointNetwork, Network
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import Record
from convexon.store.codec import to_json


@dataclass(frozen=True, eq=False)
class Evidence:
    """A certificate with the files beside it, each read where it is first asked for.

    A file that is asked for and is not there raises `NotHere`.
    """

    certificate: Certificate
    record: Record
    dictionary: Dictionary
    folder: Folder

    @property
    def statement(self) -> Statement:
        """What the certificate speaks of."""
        return self.certificate.statement

    @cached_property
    def train(self) -> SpikeDataset:
        """Samples that were fitted."""
        return self.folder.read("train", DATASET)[0]

    @cached_property
    def card(self) -> FixedPointNetwork:
        """The network in integers, which reads the samples that were fitted, and weighs columns."""
        card, _ = self.folder.read("card", CARD)
        _require_reads("card", card, self.train)
        if card.reads_membranes:
            told = (
                f"its scores are membranes ({card.readout_mode.value}), which no column is made of"
            )
            raise _fail("card", told)
        return card

    @cached_property
    def network(self) -> Network:
        """The network before rounding."""
        network, _ = self.folder.read("network", NETWORK)
        _require_reads("network", network, self.train)
        return network

    @cached_property
    def rows(self) -> DataRows:
        """The rows of the program."""
        return rows_of(self.train, self.card.readout_mode)

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """The branches that hold every witness."""
        branches, _ = self.folder.read("branches", BRANCHES)
        if not branches:
            raise ArtefactError("branches.json must hold a branch or more")
        sizes = np.array([branch.n_outputs for branch in branches], dtype=np.int64)
        b, j = self.dictionary.witnesses.T
        if ((b < 0) | (b >= len(sizes))).any() or ((j < 0) | (j >= sizes[b])).any():
            raise ArtefactError("witnesses of the dictionary must be neurons of branches.json")
        return branches

    @cached_property
    def places(self) -> IntArray:
        """Place of each column's witness among the neurons of all branches."""
        sizes = [branch.n_outputs for branch in self.branches]
        first = np.cumsum([0, *sizes])[:-1]
        b, j = self.dictionary.witnesses.T
        return np.asarray(first[b] + j, dtype=np.int64)

    @cached_property
    def solution(self) -> tuple[Solution, Record]:
        """What the solver left."""
        return self.folder.read("solution", SOLUTION)

    @property
    def rounded(self) -> Rounded:
        """The integer readout."""
        if self.certificate.rounded is None:
            raise NotHere("the certificate claims nothing of an integer readout")
        return self.certificate.rounded

    @cached_property
    def rounding(self) -> Mapping[str, Any]:
        """The settings by which the readout became integers: of readout.json, where it is named.

        Raises `ClaimError` if its integers are not the certificate's.
        """
        if "readout" not in self.record.parents:
            return self.settings(self.record)
        found, record = self.folder.read("readout", READOUT)
        stated = np.concatenate([found.weights, found.biases[None]])
        if not np.array_equal(stated, self.rounded.readout):
            raise _fail("card", "readout.json has other integers than the certificate")
        return self.settings(record)

    @property
    def is_descended(self) -> bool:
        """Whether the integers are said to be of descent, not the nearest."""
        return self.rounding.get("readout_rounding") == "descent"

    def settings(self, record: Record) -> Mapping[str, Any]:
        """The settings that a file says it was made by."""
        found = record.recipe.get("settings")
        if not isinstance(found, Mapping):
            raise NotHere("its recipe states no settings")
        return found


def _require_reads(
    claim: str, network: FixedPointNetwork | Network, data: SpikeDataset, name: str = "train"
) -> None:
    """Raise `ClaimError` unless the network takes the samples of ``name``.json."""
    reads = (network.n_steps, network.n_inputs, network.input_bits)
    if reads != (data.n_steps, data.n_inputs, data.input_bits):
        raise _fail(claim, f"the network does not read samples of {name}.json")


def linked(evidence: Evidence) -> Iterator[Finding]:
    """Check every link, one after the other.

    Raises
    ------
    ClaimError
        At the first that does not hold.
    ArtefactError
        If a file is damaged, or is not the one that the others name.
    """
    margins = () if evidence.certificate.rounded is None else evidence.certificate.rounded.others
    windows = evidence.certificate.windows
    checks: list[tuple[str, Callable[[], str]]] = [
        *((name, lambda check=check: check(evidence)) for name, check in LINKS.items()),
        *([] if windows is None else [("windows", lambda: _windows(evidence, windows))]),
        *((margins_of(part), lambda part=part: _margins(evidence, part)) for part in margins),
    ]
    for name, check in checks:
        try:
            yield Finding.held(name, check())
        except NotHere as missing:
            yield Finding.open(name, str(missing))


def margins_of(part: SampleMargins) -> str:
    """What the claim of margins on other samples is called."""
    return f"margins ({part.name})"


def _fail(claim: str, why: str) -> ClaimError:
    return ClaimError(f"claim {claim} does not hold: {why}")


def _data(e: Evidence) -> str:
    """Rows, counts, groups and targets are those of the samples and their labels."""
    s = e.statement
    if s.unchecked is not None:
        raise NotHere(s.unchecked)
    require_rows(s, e.rows, e.train.n_classes, "train.json")
    n_inputs = len(np.unique(s.groups))
    return f"{s.n_samples} samples with their labels, {n_inputs} distinct inputs"


def _samples(e: Evidence) -> str:
    """The spikes are what the card's interface makes of raw samples, label by label."""
    others = () if e.certificate.rounded is None else e.certificate.rounded.others
    names = ["train", *(part.name for part in others)]
    for name in names:
        spikes, _ = e.folder.read(name, DATASET)
        raw, _ = e.folder.read(f"samples-{name}", SAMPLES)
        interface = e.card.interface
        if interface is None:
            raise NotHere("the card does not say how raw samples are encoded")
        if raw.labels is None or raw.classes != interface.classes:
            raise _fail("samples", f"samples-{name}.json has other classes than the card")
        coded = raw.encoded(interface, n_steps=e.card.n_steps, bits=e.card.input_bits)
        if not np.array_equal(coded.inputs, spikes.inputs):
            raise _fail("samples", f"{name}.json is not what the card makes of samples-{name}.json")
        for what in ("labels", "groups"):
            mine, stated = getattr(raw, what), getattr(spikes, what)
            if (mine is None) is not (stated is None) or not np.array_equal(mine, stated):
                raise _fail("samples", f"{name}.json has other {what} than samples-{name}.json")
    return f"{' and '.join(names)}: what the card makes of the raw samples, label by label"


def _columns(e: Evidence) -> str:
    """The dictionary is every distinct column of every witness, computed anew."""
    stated, rows = e.dictionary, e.rows
    mode = e.card.readout_mode
    try:
        found = columns_of(e.branches, e.train.inputs, mode, rows.samples, rows.readouts)
    except InputError as error:
        raise _fail("columns", str(error)) from error
    if not np.array_equal(found.planes[:, e.places], stated.columns.planes):
        raise _fail("columns", "a column of the dictionary is not what its witness does")
    keys = [found.planes[:, j].tobytes() for j in range(found.n_columns)]
    ones = np.packbits(np.ones(found.n_rows, dtype=np.uint8)).tobytes()
    constant, silent = ones.ljust(len(keys[0]), b"\0"), bytes(len(keys[0]))
    own = [keys[place] for place in e.places.tolist()]
    told_apart = [key for key in keys if key not in (silent, constant)]
    if len(set(own)) != len(own) or set(own) != set(told_apart):
        raise _fail("columns", "the dictionary is not every distinct column of its witnesses")
    counts = {
        "n_drawn": len(keys),
        "n_silent": keys.count(silent),
        "n_constant": keys.count(constant),
        "n_duplicate": len(told_apart) - len(own),
        "n_complement": _complements(own, constant) if len(found.planes) == 1 else 0,
    }
    if any(getattr(stated, name) != count for name, count in counts.items()):
        raise _fail("columns", f"the dictionary counts other witnesses than {len(keys)}")
    return f"all {len(own)} are what their witnesses do, of {len(keys)} that were drawn"


def _complements(spikes: Sequence[bytes], ones: bytes) -> int:
    """How many columns of spikes have their complement among them."""
    every, all_ones = {int.from_bytes(column) for column in spikes}, int.from_bytes(ones)
    return sum(all_ones ^ column in every for column in every)


def _costs(e: Evidence) -> str:
    """Penalty weights follow from what witnesses cost, and the largest entry from the readout."""
    s = e.statement
    most = e.train.n_steps if e.card.readout_mode is ReadoutMode.COUNT else 1
    if (s.max_feature, e.dictionary.max_feature) != (most, most):
        raise _fail("costs", f"a column's largest entry is {most}, not {s.max_feature}")
    if s.intercept and s.weights[-1] != 1.0:
        raise _fail("costs", "the always-firing column must weigh 1")
    kind = e.settings(e.record).get("cost")
    weights, least = s.weights[: s.n_dictionary], 1.0 if kind is None else LEAST
    if s.min_weight != least:
        raise _fail("costs", f"the smallest weight is {least!r}, not {s.min_weight!r}")
    if kind is None:
        if (weights != 1.0).any():
            raise _fail("costs", "a column weighs other than 1, though nothing is counted")
        return "every column weighs 1"
    expected = weights_of(
        kind, e.branches, e.dictionary.witnesses, e.train.inputs[e.rows.samples], e.train.input_bits
    )
    if not np.allclose(weights, expected, rtol=_DIGITS, atol=0.0):
        raise _fail("costs", f"a column does not weigh what its witness costs in {kind}")
    return f"every column weighs what its witness costs in {kind}, to {_DIGITS:g}"


_DIGITS = 1e-9
"""Costs are computed in float64: their last digits depend on the machine, and nothing on those."""


def _solution(e: Evidence) -> str:
    """The weights are the solver's."""
    (found, _), s = e.solution, e.statement
    for name, mine, stated in (
        ("columns", found.columns, s.columns),
        ("weights", found.weights, s.weights[: s.n_dictionary]),
        ("W", found.W, e.certificate.W),
        ("rho", found.gap.get("rho"), s.rho),
    ):
        if not np.array_equal(np.asarray(mine), stated):
            raise _fail("solution", f"solution.json has another {name}")
    return "columns, weights and rho are those of solution.json"


def _network(e: Evidence) -> str:
    """The network is the witnesses of the weights, neuron for neuron."""
    branches, weights = kept(e.branches, _active(e), _own_weights(e))
    if not _same_branches(branches, e.network.branches):
        raise _fail("network", "its neurons are not the witnesses that the weights are over")
    if not np.array_equal(weights, e.network.readout_weights):
        raise _fail("network", "its readout is not the certificate's weights")
    if not np.array_equal(_bias(e, e.certificate.W), e.network.readout_biases):
        raise _fail("network", "its biases are not the certificate's weights")
    if e.network.readout_mode is not e.card.readout_mode:
        raise _fail("network", "its readout weighs something else than the card's")
    return f"its {len(weights)} last-layer neurons are the witnesses, with their weights"


def _card(e: Evidence) -> str:
    """The card is the network, its readout rounded as is stated, and scores as is claimed."""
    rounded, card = e.rounded, e.card
    told = _no_worse_than_nearest(e) if e.is_descended else _rounded_to_nearest(e)
    readout = _network_readout(e)
    used = np.flatnonzero(readout.any(axis=1))
    branches, weights = kept(e.network.branches, used, readout[used])
    if not _same_branches(branches, card.branches):
        raise _fail("card", "its neurons are not the network's")
    stated = (weights, _bias(e, rounded.readout), np.array(rounded.frac))
    found = (card.readout_weights, card.readout_biases, np.array(card.readout_format.frac))
    if not all(np.array_equal(a, b) for a, b in zip(stated, found, strict=True)):
        raise _fail("card", "its readout is not the certificate's")
    rows, s = e.rows, e.statement
    scores = _scores(e, card, e.train.inputs, rows.samples, rows.readouts)
    own = e.dictionary.columns.chosen(s.columns, intercept=s.intercept)
    if not _equal(scores, own.times(_integers(e, rounded.readout))):
        raise _fail("card", "it scores a sample otherwise than the certificate's readout")
    return f"{card.n_neurons} neurons, {told}, score every row as is claimed"


def _rounded_to_nearest(e: Evidence) -> str:
    """Each weight is rounded to nearest, at the finest step."""
    rounded = e.rounded
    moved = abs(_integers(e, rounded.readout) - Dyadic.of(e.certificate.W))
    if moved.largest() > power_of_two(-rounded.frac - 1):
        raise _fail("card", "a weight of the readout is not rounded to nearest")
    if rounded.frac != _finest(_own_part(e), e.card.readout_format):
        raise _fail("card", "the step of its readout is not the finest that holds every weight")
    return "rounded to nearest"


def _no_worse_than_nearest(e: Evidence) -> str:
    """The objective is at most that of the nearest integers at the finest step."""
    s = e.statement
    frac = _finest(_own_part(e), e.card.readout_format)
    Q = nearest(e.certificate.W, len(s.columns), frac, e.card.readout_format)
    own = e.dictionary.columns.chosen(s.columns, intercept=s.intercept)
    mine = _integers(e, e.rounded.readout)
    if objective(s, own.times(mine), mine, up=False) > objective(s, own.times(Q), Q, up=True):
        raise _fail("card", "its readout is worse than the one that is rounded to nearest")
    return "of integers that are no worse than the nearest"


def _own_part(e: Evidence) -> FloatArray:
    """The weights, without the intercept."""
    return e.certificate.W[: len(e.statement.columns)]


def _finest(weights: FloatArray, stored: QFormat) -> int:
    """Fractional bits of the finest step at which the format holds every weight, rounded."""
    most = Fraction(float(np.abs(weights).max(initial=0.0)))
    steps = range(MOST_FRAC, 0, -1)
    return next((frac for frac in steps if round(most * 2**frac) <= stored.interval.high), 0)


MOST_FRAC = 30
"""Fractional bits that a readout has at most."""


def _recipe(e: Evidence) -> str:
    """The certificate is of the settings that made it."""
    said = e.settings(e.record)
    stated = {
        "loss": e.statement.loss,
        "penalty": e.statement.penalty,
        "tolerance": e.certificate.tolerance,
        "readout": e.card.readout_mode.value,
        "readout_bits": e.card.readout_format.width,
    }
    bits = e.rounding.get("readout_bits")
    if e.rounding.get("bit_penalty") and isinstance(bits, int):  # fewer may be worth it
        bits = min(bits, e.card.readout_format.width)
    asked = {"penalty": "l1", **said, "readout_bits": bits}  # l1, unless another is named
    for name, value in stated.items():
        if asked.get(name) != value:
            raise _fail("recipe", f"its {name}, {value!r}, is not what the run was asked for")
    rhos = e.settings(e.solution[1]).get("rho")
    if not isinstance(rhos, list) or e.statement.rho not in rhos:
        raise _fail("recipe", f"its rho {e.statement.rho!r} is none of the run's")
    return ", ".join(f"{name} {value}" for name, value in stated.items())


LINKS: Mapping[str, Callable[[Evidence], str]] = {
    "data": _data,
    "samples": _samples,
    "columns": _columns,
    "costs": _costs,
    "solution": _solution,
    "network": _network,
    "card": _card,
    "recipe": _recipe,
}
"""What ties a run together, in the order in which it is checked."""


def _windows(e: Evidence, bound: WindowBound) -> str:
    """No neuron on the windows, and no column of the dictionary, violates the bound's dual."""
    s = e.statement
    if s.unchecked is not None:
        raise NotHere(s.unchecked)
    loss, penalty = EXACT_LOSSES[s.loss](), EXACT_PENALTIES[s.penalty]()
    dual, rho = Dyadic.of(bound.dual), Dyadic.of(np.array([s.rho]))
    limit = rho * Dyadic.of(np.array([s.min_weight]))
    try:
        value = loss.dual_value(dual, s.targets, s.counts)
        if Fraction(bound.lower_bound) > value:
            raise _fail("windows", f"the dual vector's value is {float(value)!r}")
        every = np.arange(s.n_dictionary)
        columns = e.dictionary.columns.chosen(every, intercept=s.intercept)
        if penalty.exceeds(columns.transposed_times(dual), rho * Dyadic.of(s.weights)).any():
            raise _fail("windows", "a column of the dictionary violates the dual constraint")
        for windows in bound.sets:
            if windows.branch >= len(e.branches):
                raise _fail("windows", f"branches.json has no branch {windows.branch}")
            check = WindowCheck(
                signal=below(e.branches[windows.branch], e.train.inputs)[e.rows.samples],
                mode=e.card.readout_mode,
                readouts=e.rows.readouts,
                dual=bound.dual,
                penalty=penalty,
                limit=limit,
            )
            if isinstance(windows, CellSet):
                found = violating_cell(check, windows)
            else:
                found = check.violation(windows)
            if found is not None:
                raise _fail("windows", f"a neuron violates the dual constraint: {found}")
    except InputError as error:
        raise _fail("windows", str(error)) from error
    return f"no network of {bound.about} goes below {bound.lower_bound!r}"


def _margins(e: Evidence, part: SampleMargins) -> str:
    """Margins on samples that were not fitted, by the network and the card."""
    claim = margins_of(part)
    data, _ = e.folder.read(part.name, DATASET)
    per_sample = data.n_steps if e.card.readout_mode is ReadoutMode.STEP else 1
    each = np.arange(data.n_samples * per_sample)
    if (part.counts != 1).any() or len(part.counts) != len(each):
        raise _fail(claim, f"its rows are not the samples of {part.name}.json")
    _require_reads(claim, e.card, data, part.name)
    where = (data.inputs, each // per_sample, each % per_sample)
    columns = _with_ones(e.network.branches, e.card.readout_mode, *where)
    Q = _integers(e, np.vstack([_network_readout(e), e.card.readout_biases]))
    W = Dyadic.of(np.vstack([e.network.readout_weights, e.network.readout_biases]))
    scores = columns.times(Q)
    if not _equal(scores, _scores(e, e.card, *where)):
        raise _fail(claim, "the card scores a sample otherwise than the rounded network")
    return require_margins(claim, part, scores, columns.times(abs(Q - W)))


def kept(
    branches: Sequence[Branch], places: IntArray, rows: npt.NDArray[Any]
) -> tuple[tuple[Branch, ...], npt.NDArray[Any]]:
    """Branches of the neurons at ``places`` alone, with a row of ``rows`` for each.

    Neurons that those read through lateral weights stay too, with rows of zeros.
    """
    parts: list[Branch] = []
    weights = [rows[:0]]
    first = 0
    for branch in branches:
        mine = (first <= places) & (places < first + branch.n_outputs)
        if mine.any():
            neurons = branch.closed((places[mine] - first).astype(np.intp))
            parts.append(branch.pruned(neurons))
            weights += [
                rows[mine],
                np.repeat(np.zeros_like(rows[:1]), len(neurons) - mine.sum(), 0),
            ]
        first += branch.n_outputs
    return tuple(parts), np.concatenate(weights)


def _same_branches(a: Sequence[Branch], b: Sequence[Branch]) -> bool:
    return [to_json(branch) for branch in a] == [to_json(branch) for branch in b]


def _chosen(e: Evidence) -> npt.NDArray[np.intp]:
    """Rows of the weights that are not zero: the network has no other neurons."""
    return np.flatnonzero(_own_part(e).any(axis=1))


def _active(e: Evidence) -> IntArray:
    """Places of the witnesses that the network has."""
    return e.places[e.statement.columns[_chosen(e)]]


def _own_weights(e: Evidence) -> FloatArray:
    return e.certificate.W[_chosen(e)]


def _network_readout(e: Evidence) -> IntArray:
    """Integer readout of the network's neurons, in the network's order."""
    return np.asarray(kept(e.branches, _active(e), e.rounded.readout[_chosen(e)])[1])


def _bias(e: Evidence, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The always-firing column's row; zeros where there is none."""
    return rows[-1] if e.statement.intercept else np.zeros_like(rows[0])


def _scores(
    e: Evidence,
    card: FixedPointNetwork,
    inputs: Signal,
    samples: IntArray,
    readouts: IntArray,
) -> Dyadic:
    """Scores of the card on some rows, in real units, exactly."""
    columns = _with_ones(card.branches, card.readout_mode, inputs, samples, readouts)
    return columns.times(_integers(e, np.vstack([card.readout_weights, card.readout_biases])))


def _with_ones(
    branches: Sequence[Branch],
    mode: ReadoutMode,
    inputs: Signal,
    samples: IntArray,
    readouts: IntArray,
) -> Columns:
    """What the readout weighs on some rows, and last the always-firing column."""
    found = columns_of(branches, inputs, mode, samples, readouts)
    return Columns(planes=found.planes, n_rows=found.n_rows, intercept=True)


def _integers(e: Evidence, readout: IntArray) -> Dyadic:
    """What an integer readout stands for."""
    return Dyadic(readout.astype(object), -e.rounded.frac)


def _equal(a: Dyadic, b: Dyadic) -> bool:
    return not (a - b).units.any()
