"""Collecting a run's figures: what its artefacts say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from convexon.certify.certificate import CERTIFICATE, Certificate
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.errors import ArtefactError
from convexon.flow.run import Made, RunFolder
from convexon.plan.cost.resources import CELLS, RESOURCES, CellReport, ResourceEstimate
from convexon.plan.energy.operations import operations_of
from convexon.plan.energy.technology import SOURCE, neutral_energy
from convexon.plan.mapping import MAPPING, Mapping
from convexon.plan.pipeline import Cycles
from convexon.plan.schedule import Schedule
from convexon.report.built import build_figures, builds_in, energies_in, energy_figures
from convexon.report.figure import Figure, FigureKind
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon.snn.simulate import run
from convexon.snn.trace import SpikeTrace
from convexon.store.artefact import Codec
from convexon.train.baseline import BASELINES, Baselines
from convexon.train.columns.dictionary import DICTIONARY, SpikeDictionary
from convexon.train.solved import SOLVED, SolvedProgram
from convexon_boards.built import Build
from convexon_boards.energy.estimate import EnergyEstimate
from convexon_hdl.emit.bundle import RtlBundle
from convexon_sim.verification import VERIFICATION, Verification

T = TypeVar("T")

MEASURED, PROVED = FigureKind.MEASURED, FigureKind.PROVED
SIMULATORS = ("verilator", "icarus")
OPERATIONS = {
    "synaptic": "additions",
    "updates": "updates",
    "weight_bits": "bits",
    "membrane_bits": "bits",
}
"""Counts of an inference that a report states, and their units."""

ENERGY_SOURCE = f"counted operations, {SOURCE}; not of an FPGA"


@dataclass(frozen=True, eq=False, kw_only=True)
class RunContent:
    """A run's artefacts; what was not made, or is of other origins, is None or left out."""

    train: SpikeDataset
    test: SpikeDataset
    dictionary: SpikeDictionary
    solved: SolvedProgram
    card: FixedPointNetwork
    card_digest: str
    test_trace: SpikeTrace
    train_trace: SpikeTrace
    certificate: Certificate | None
    baselines: Baselines | None
    verifications: dict[str, Verification]
    cells: CellReport | None
    resources: ResourceEstimate | None
    timing: dict[str, float]
    builds: dict[str, Build]
    energies: dict[str, EnergyEstimate]

    mapping: Mapping

    @property
    def cycles(self) -> Cycles:
        """Cycles of every test sample, as the schedule predicts them."""
        return Schedule.of(self.card, self.mapping).cycles(self.test.inputs, self.test_trace)


def collect(folder: RunFolder) -> RunContent:
    """Read a run folder; raises `ArtefactError` if stage ``solve`` did not finish in it."""
    train = folder.read("train", DATASET)
    test = folder.read("test", DATASET)
    dictionary = folder.read("dictionary", DICTIONARY)
    solved = folder.read("solution", SOLVED)
    card = folder.read("card", CARD)
    for name, made, role, parent in (
        ("dictionary", dictionary, "train", train),
        ("solution", solved, "dictionary", dictionary),
        ("card", card, "solution", solved),
    ):
        if made.record.parents.get(role) != parent.record.digest:
            raise ArtefactError(
                f"{folder.file(name)} is of another {role} than {folder.file(role)}: solve again"
            )
    samples = {"train": train.record.digest, "test": test.record.digest}
    certified = {"solution": solved.record.digest, "test": test.record.digest}
    baselines = _current(folder, "baselines", BASELINES, samples)
    bundle = bundle_of_card(folder)
    mapping = _current(folder, "mapping", MAPPING, {"card": card.record.digest})
    cells = resources = None
    verifications: dict[str, Verification] = {}
    if bundle is not None:
        cells = _current(folder, "cells", CELLS, {"rtl": bundle.record.digest})
        resources = _current(folder, "resources", RESOURCES, {"rtl": bundle.record.digest})
        for name in SIMULATORS:
            origins = {"rtl": bundle.record.digest, "test": test.record.digest}
            found = _current(folder, f"verify-{name}", VERIFICATION, origins)
            if found is not None:
                verifications[name] = found
    obtained = {
        "baselines": baselines is not None,
        "emit": bundle is not None,
        "synthesize": cells is not None,
        "demo": bool(verifications),
        **{f"verify.{name}": name in verifications for name in SIMULATORS},
    }
    return RunContent(
        train=train.value,
        test=test.value,
        dictionary=dictionary.value,
        solved=solved.value,
        card=card.value,
        card_digest=card.record.digest,
        test_trace=run(card.value, test.value.inputs),
        train_trace=run(card.value, train.value.inputs),
        certificate=_current(folder, "certificate", CERTIFICATE, certified),
        baselines=baselines,
        mapping=mapping or Mapping.spatial(card.value),
        verifications=verifications,
        cells=cells,
        resources=resources,
        builds={} if bundle is None else builds_in(folder, bundle.record.digest),
        energies={} if bundle is None else energies_in(folder, bundle.record.digest),
        timing={k: v for k, v in folder.timing().items() if obtained.get(k, True)},
    )


def bundle_of_card(folder: RunFolder) -> Made[RtlBundle] | None:
    """Return the emitted bundle, or None if there is none or it is of another card or mapping."""
    if not folder.rtl.exists():
        return None
    digests = {"card": folder.read("card", CARD).record.digest}
    if folder.has("mapping"):
        digests["mapping"] = folder.read("mapping", MAPPING).record.digest
    bundle = folder.bundle()
    stale = any(bundle.record.parents.get(name) != digest for name, digest in digests.items())
    return None if stale else bundle


def current(
    folder: RunFolder, name: str, codec: Codec[T], parents: dict[str, str]
) -> Made[T] | None:
    """Return an artefact, or None if it was not made from ``parents``: it says nothing of them.

    Raises
    ------
    ArtefactError
        If its file is damaged or was changed.
    """
    if not folder.has(name):
        return None
    made = folder.read(name, codec)
    if any(made.record.parents.get(role) != digest for role, digest in parents.items()):
        return None
    return made


def _current(folder: RunFolder, name: str, codec: Codec[T], parents: dict[str, str]) -> T | None:
    """Value of `current`."""
    made = current(folder, name, codec, parents)
    return None if made is None else made.value


def figures_of(content: RunContent) -> list[Figure]:
    """Return every figure that the run has; figures that were not obtained are left out."""
    return [
        *_accuracy(content),
        *_certificate(content),
        *_network(content),
        *_verification(content),
        *_cells(content),
        *build_figures(content.builds, content.cycles),
        *_operations(content),
        *energy_figures(content.energies),
        *(
            _figure(f"{stage}.seconds", seconds, "seconds", MEASURED, "wall clock")
            for stage, seconds in sorted(content.timing.items())
        ),
    ]


def _figure(name: str, value: float, unit: str, kind: FigureKind, source: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, kind=kind, source=source)


def _accuracy(content: RunContent) -> Iterator[Figure]:
    for name, trace, data in (
        ("train", content.train_trace, content.train),
        ("test", content.test_trace, content.test),
    ):
        share = float((trace.labels[:, 0] == data.labels).mean())
        yield _figure(f"accuracy.{name}", share, "1", MEASURED, f"integer network, {data.name}")
    if content.baselines is None:
        return
    for name in ("logistic", "reservoir"):
        baseline = getattr(content.baselines, name)
        source = f"scikit-learn, regularisation {baseline.chosen:g} chosen on validation"
        for split in ("train", "test"):
            share = getattr(baseline, f"accuracy_{split}")
            yield _figure(f"baseline.{name}.accuracy.{split}", share, "1", MEASURED, source)
        if baseline.neurons:
            yield _figure(f"baseline.{name}.neurons", baseline.neurons, "neurons", MEASURED, source)


def _certificate(content: RunContent) -> Iterator[Figure]:
    solved = content.solved
    chosen, drawn = solved.certificate.n_columns, solved.drawn.n_columns
    yield _figure("certificate.columns", chosen, "columns", MEASURED, "selected, and the intercept")
    source = f"weights and dual point, over {chosen} columns selected of {drawn} drawn"
    for name in ("primal", "dual", "gap", "relative_gap", "rho"):
        value = getattr(solved.certificate, name)
        kind = MEASURED if name in ("primal", "rho") else PROVED
        yield _figure(f"certificate.{name}", value, "1", kind, source)
    yield _figure(
        "certificate.drawn.dual", solved.drawn.dual, "1", PROVED, "over all drawn columns"
    )
    yield _figure("certificate.drawn.gap", solved.drawn.gap, "1", PROVED, "over all drawn columns")
    yield _figure(
        "certificate.universal_lower_bound",
        solved.universal_lower_bound,
        "1",
        PROVED,
        "complete-arrangement program, arXiv:2303.03382",
    )
    bound = solved.quantization
    source = "worst case of rounding the readout, over the training samples"
    yield _figure("quantization.score_error", bound.score_error, "1", PROVED, source)
    yield _figure("quantization.objective_change", bound.objective_change, "1", PROVED, source)
    yield _figure(
        "quantization.certified_decisions", bound.certified_decisions, "samples", PROVED, source
    )
    yield from _claims(content.certificate)


def _claims(certificate: Certificate | None) -> Iterator[Figure]:
    """What certificate.json adds to the solution's own figures."""
    if certificate is None:
        return
    source = "certificate.json, which convexon certify rechecks"
    for part in certificate.priced:
        name = f"certificate.{part.name}.violation"
        yield _figure(name, part.violation, "1", PROVED, f"{source}: {part.about}")
    if certificate.rounded is not None:
        for margins in certificate.rounded.others:
            name = f"quantization.certified_decisions.{margins.name}"
            source = f"margins above what rounding can do, {margins.name} samples"
            yield _figure(name, margins.n_certified, "samples", PROVED, source)


def _network(content: RunContent) -> Iterator[Figure]:
    card, dictionary = content.card, content.dictionary
    yield _figure("dictionary.drawn", dictionary.n_drawn, "witnesses", MEASURED, "dictionary")
    yield _figure("dictionary.columns", dictionary.n_columns, "columns", MEASURED, "dictionary")
    source = f"silicon card {content.card_digest[:19]}"
    yield _figure("network.branches", len(card.branches), "branches", MEASURED, source)
    yield _figure("network.neurons", card.n_neurons, "neurons", MEASURED, source)
    yield _figure("network.synapses", card.n_synapses, "synapses", MEASURED, source)
    bits = max(layer.weight_format.width for branch in card.branches for layer in branch.layers)
    yield _figure("network.weight_bits", bits, "bits", MEASURED, source)
    yield _figure("network.readout_bits", card.readout_format.width, "bits", MEASURED, source)
    for branch, depth, trace in content.test_trace.flat_layers():
        name = f"network.branch{branch}.layer{depth}.firing_rate"
        yield _figure(name, float(trace.spikes.mean()), "1", MEASURED, "test samples")


def _verification(content: RunContent) -> Iterator[Figure]:
    latencies: set[int] = set()
    for name, found in content.verifications.items():
        source = f"{name} {found.version}, against the golden model"
        yield _figure(f"verify.{name}.passed", int(found.passed), "1", MEASURED, source)
        if found.finished:  # a run that broke off did not obtain the figures of a whole one
            for key in ("inferences", "mismatches"):
                value = getattr(found, key)
                yield _figure(f"verify.{name}.{key}", value, "inferences", MEASURED, source)
            yield _figure(f"verify.{name}.clocks", found.clocks, "cycles", MEASURED, source)
            latencies |= set(found.latency_cycles)
    cycles = content.cycles
    predicted = {int(x) for x in cycles.latency}
    intervals = {int(x) for x in cycles.interval}
    estimated = (FigureKind.ESTIMATED, "schedule")
    yield from _cycles("latency.cycles.predicted", predicted, *estimated)
    yield from _cycles("interval.cycles.predicted", intervals, *estimated)
    source = " and ".join(content.verifications)
    yield from _cycles("latency.cycles.simulated", latencies, MEASURED, source)


def _cycles(name: str, cycles: set[int], kind: FigureKind, source: str) -> Iterator[Figure]:
    """Cycles of all samples: one figure where all are equal, else the smallest and the largest."""
    if len(cycles) == 1:
        yield _figure(name, next(iter(cycles)), "cycles", kind, source)
    elif cycles:
        yield _figure(f"{name}.smallest", min(cycles), "cycles", kind, source)
        yield _figure(f"{name}.largest", max(cycles), "cycles", kind, source)


def _operations(content: RunContent) -> Iterator[Figure]:
    """Operations of a test sample, and their energy in a technology that papers compare by."""
    counted = operations_of(content.card, content.test.inputs, content.test_trace)
    source = "spikes of the test samples"
    for name, unit in OPERATIONS.items():
        yield _figure(f"operations.{name}", getattr(counted, name), unit, MEASURED, source)
    energy = neutral_energy(content.card, counted)
    for end in ("low", "high"):
        value = getattr(energy, end)
        yield _figure(f"energy.neutral.{end}", value, "J", FigureKind.ESTIMATED, ENERGY_SOURCE)


def _cells(content: RunContent) -> Iterator[Figure]:
    cells = content.cells
    if cells is None:
        return
    source = f"{cells.tool}, tables and carry chains mapped by hand, out of context"
    for key in ("lut4", "carry", "lut4_sites", "ff", "mult18", "block_ram"):
        name = f"cells.{cells.family.value}.{key}"
        yield _figure(name, getattr(cells, key), "cells", MEASURED, source)
    estimate = content.resources
    if estimate is None or estimate.family is not cells.family:
        return
    about = (
        f"counts and widths of the mapping; LUTs off by {100 * estimate.median_error:.1f} % in the "
        f"median, {100 * estimate.usual_error:.1f} % in nine of ten and "
        f"{100 * estimate.max_error:.0f} % at most on designs that were not fitted"
    )
    for key, value in (("lut4_sites", estimate.lut_sites), ("block_ram", estimate.block_rams)):
        name = f"cells.{cells.family.value}.{key}.estimated"
        yield _figure(name, value, "cells", FigureKind.ESTIMATED, about)
