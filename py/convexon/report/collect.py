"""Collecting a run's figures: what its artefacts say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from convexon.certify.certificate import CERTIFICATE, Certificate, Rounded, gap_above
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.flow.hardware.emit import Design
from convexon.flow.hardware.stimulus import of_card
from convexon.flow.run import Made, Run
from convexon.plan.cost.resources import CELLS, RESOURCES, CellReport, ResourceEstimate
from convexon.plan.mapping import MAPPING, Mapping
from convexon.plan.operations import SOURCE, neutral_energy, operations_of
from convexon.plan.pipeline import Cycles
from convexon.plan.schedule import Schedule
from convexon.quantizer.record import QUANTIZATION, QuantizationRecord
from convexon.report.built import build_figures, builds_in, energies_in, energy_figures
from convexon.report.figure import Figure, FigureKind
from convexon.snn.card import CARD
from convexon.snn.models.simulate import run
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.store.codec import Codec
from convexon.train.baseline import BASELINES, Baselines
from convexon.train.columns.dictionary import DICTIONARY, SpikeDictionary
from convexon.train.solved import NETWORK, SOLVED, SolvedProgram
from convexon_boards.built import Build
from convexon_boards.energy.estimate import EnergyEstimate
from convexon_hdl.emit.bundle import RtlBundle
from convexon_sim.verification import VERIFICATION, Verification

T = TypeVar("T")

MEASURED, ESTIMATED, PROVED = FigureKind.MEASURED, FigureKind.ESTIMATED, FigureKind.PROVED
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

    train: SpikeDataset | None
    test: SpikeDataset | None
    dictionary: SpikeDictionary | None
    solved: SolvedProgram | None
    card: FixedPointNetwork
    card_digest: str
    test_trace: SpikeTrace | None
    train_trace: SpikeTrace | None
    certificate: Certificate | None
    baselines: Baselines | None
    verifications: dict[str, Verification]
    cells: CellReport | None
    resources: ResourceEstimate | None
    timing: dict[str, float]
    builds: dict[str, Build]
    energies: dict[str, EnergyEstimate]
    quantization: QuantizationRecord | None

    mapping: Mapping

    @property
    def cycles(self) -> Cycles | None:
        """Cycles of every test sample, as the schedule predicts them; None without samples."""
        if self.test is None or self.test_trace is None:
            return None
        return Schedule.of(self.card, self.mapping).cycles(self.test.inputs, self.test_trace)


def collect(folder: Run) -> RunContent:
    """Read a run folder, however its network came to be: only a card is needed.

    Raises
    ------
    ArtefactError
        If there is no card, or one of the files is damaged.
    """
    card = folder.read("card", CARD)
    train, test = (_samples_of(folder, card, name) for name in ("train", "test"))
    network = {"network": card.record.parents.get("network", "")}
    rebuilt = current(folder, "network", NETWORK, {})
    is_ours = rebuilt is not None and rebuilt.record.digest == network["network"]
    origins = rebuilt.record.parents if rebuilt is not None and is_ours else {}
    solved = _if_digest(folder, "solution", SOLVED, origins.get("solution"))
    dictionary = _if_digest(folder, "dictionary", DICTIONARY, origins.get("dictionary"))
    samples = {
        name: "" if made is None else made.record.digest
        for name, made in (("train", train), ("test", test))
    }
    baselines = _current(folder, "baselines", BASELINES, samples)
    bundle = bundle_of_card(folder)
    mapping = _current(folder, "mapping", MAPPING, {"card": card.record.digest})
    cells = resources = None
    verifications: dict[str, Verification] = {}
    if bundle is not None:
        cells = _current(folder, "cells", CELLS, {"rtl": bundle.record.digest})
        resources = _current(folder, "resources", RESOURCES, {"rtl": bundle.record.digest})
        for name in SIMULATORS:
            origins = {"rtl": bundle.record.digest, "test": samples["test"]}
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
        train=None if train is None else train.value,
        test=None if test is None else test.value,
        dictionary=dictionary,
        solved=solved,
        card=card.value,
        card_digest=card.record.digest,
        test_trace=None if test is None else run(card.value, test.value.inputs),
        train_trace=None if train is None else run(card.value, train.value.inputs),
        certificate=_current(folder, "certificate", CERTIFICATE, network),
        baselines=baselines,
        mapping=mapping or Mapping.spatial(card.value),
        verifications=verifications,
        quantization=_current(folder, "quantization", QUANTIZATION, {"card": card.record.digest}),
        cells=cells,
        resources=resources,
        builds={} if bundle is None else builds_in(folder, bundle.record.digest),
        energies={} if bundle is None else energies_in(folder, bundle.record.digest),
        timing={k: v for k, v in folder.timing().items() if obtained.get(k, True)},
    )


def _samples_of(folder: Run, card: Made[FixedPointNetwork], name: str) -> Made[SpikeDataset] | None:
    """Samples of the folder, or None if there are none or they are of another solve."""
    if not folder.has(name):
        return None
    made = folder.read(name, DATASET)
    return made if of_card(card, made) else None


def _if_digest(folder: Run, name: str, codec: Codec[T], digest: str | None) -> T | None:
    """Value of the artefact with this digest, or None."""
    if digest is None or not folder.has(name):
        return None
    made = folder.read(name, codec)
    return made.value if made.record.digest == digest else None


def bundle_of_card(folder: Run) -> Made[RtlBundle] | None:
    """Return the emitted bundle, or None if there is none or it is of another card or mapping.

    One that was edited is returned too: the page shows what was simulated, and marks where it
    differs from the golden model.
    """
    if not folder.rtl.exists():
        return None
    bundle, digests = folder.bundle(), Design.of(folder).digests
    return bundle if dict(bundle.record.parents) == digests else None


def current(folder: Run, name: str, codec: Codec[T], parents: dict[str, str]) -> Made[T] | None:
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


def _current(folder: Run, name: str, codec: Codec[T], parents: dict[str, str]) -> T | None:
    """Value of `current`."""
    made = current(folder, name, codec, parents)
    return None if made is None else made.value


def figures_of(content: RunContent) -> list[Figure]:
    """Return every figure that the run has; figures that were not obtained are left out."""
    return [
        *_accuracy(content),
        *_certificate(content),
        *_quantization(content),
        *_network(content),
        *_verification(content),
        *_cells(content),
        *build_figures(content.builds, content.cycles),
        *_operations(content),
        *energy_figures(content.energies),
        *(
            Figure(f"{stage}.seconds", seconds, "seconds", MEASURED, "wall clock")
            for stage, seconds in sorted(content.timing.items())
        ),
    ]


def _accuracy(content: RunContent) -> Iterator[Figure]:
    for name, trace, data in (
        ("train", content.train_trace, content.train),
        ("test", content.test_trace, content.test),
    ):
        if trace is None or data is None:
            continue
        share = float((trace.labels[:, 0] == data.labels).mean())
        yield Figure(f"accuracy.{name}", share, "1", MEASURED, f"integer network, {data.name}")
    if content.baselines is None:
        return
    for name in ("logistic", "reservoir"):
        baseline = getattr(content.baselines, name)
        source = f"scikit-learn, regularisation {baseline.chosen:g} chosen on validation"
        for split in ("train", "test"):
            share = getattr(baseline, f"accuracy_{split}")
            yield Figure(f"baseline.{name}.accuracy.{split}", share, "1", MEASURED, source)
        if baseline.neurons:
            yield Figure(f"baseline.{name}.neurons", baseline.neurons, "neurons", MEASURED, source)


def _certificate(content: RunContent) -> Iterator[Figure]:
    """What certificate.json claims, and `convexon certify` rechecks."""
    certificate = content.certificate
    if certificate is None:
        return
    n_columns = len(certificate.W)
    yield Figure("certificate.columns", n_columns, "columns", MEASURED, "with the intercept")
    source = f"certificate.json, over {n_columns} columns"
    primal = certificate.primal
    for name, value, kind in (
        ("primal", primal, MEASURED),
        ("dual", certificate.lower, PROVED),
        ("gap", certificate.gap, PROVED),
        ("relative_gap", certificate.gap / primal if primal else 0.0, PROVED),
        ("rho", certificate.statement.rho, MEASURED),
    ):
        yield Figure(f"certificate.{name}", value, "1", kind, source)
    for part in certificate.priced:
        told = f"certificate.json: over {part.about}"
        yield Figure(f"certificate.{part.name}.violation", part.violation, "1", PROVED, told)
        if part.lower_bound is not None:
            gap = gap_above(primal, part.lower_bound)
            name = "drawn" if part.name == "dictionary" else part.name
            yield Figure(f"certificate.{name}.dual", part.lower_bound, "1", PROVED, told)
            yield Figure(f"certificate.{name}.gap", gap, "1", PROVED, told)
    if certificate.windows is not None:
        bound, told = certificate.windows, f"certificate.json: over {certificate.windows.about}"
        n_neurons = sum(part.n_neurons for part in bound.sets)
        yield Figure("certificate.windows.neurons", n_neurons, "neurons", PROVED, told)
        yield Figure("certificate.windows.dual", bound.lower_bound, "1", PROVED, told)
        gap = gap_above(primal, bound.lower_bound)
        yield Figure("certificate.windows.gap", gap, "1", PROVED, told)
    if certificate.universal is not None:
        yield Figure(
            "certificate.universal_lower_bound",
            certificate.universal.lower_bound,
            "1",
            PROVED,
            "complete-arrangement program, arXiv:2303.03382",
        )
    if certificate.rounded is not None:
        yield from _rounding(certificate.rounded)


def _rounding(rounded: Rounded) -> Iterator[Figure]:
    """What rounding the readout can have changed."""
    source = "worst case of rounding the readout, over the training samples"
    yield Figure("quantization.score_error", rounded.score_error, "1", PROVED, source)
    yield Figure("quantization.objective_change", rounded.objective_change, "1", PROVED, source)
    name = "quantization.certified_decisions"
    yield Figure(name, rounded.train.n_certified, "samples", PROVED, source)
    for margins in rounded.others:
        source = f"margins above what rounding can do, {margins.name} samples"
        yield Figure(f"{name}.{margins.name}", margins.n_certified, "samples", PROVED, source)


def _network(content: RunContent) -> Iterator[Figure]:
    card, dictionary = content.card, content.dictionary
    if dictionary is not None:
        yield Figure("dictionary.drawn", dictionary.n_drawn, "witnesses", MEASURED, "dictionary")
        yield Figure("dictionary.columns", dictionary.n_columns, "columns", MEASURED, "dictionary")
    source = f"silicon card {content.card_digest[:19]}"
    yield Figure("network.branches", len(card.branches), "branches", MEASURED, source)
    yield Figure("network.neurons", card.n_neurons, "neurons", MEASURED, source)
    if card.n_cells:
        yield Figure("network.cells", card.n_cells, "logic cells", MEASURED, source)
    yield Figure("network.synapses", card.n_synapses, "synapses", MEASURED, source)
    bits = max(layer.weight_format.width for branch in card.branches for layer in branch.layers)
    yield Figure("network.weight_bits", bits, "bits", MEASURED, source)
    yield Figure("network.readout_bits", card.readout_format.width, "bits", MEASURED, source)
    layers = () if content.test_trace is None else content.test_trace.flat_layers()
    for branch, depth, trace in layers:
        name = f"network.branch{branch}.layer{depth}.firing_rate"
        yield Figure(name, float(trace.spikes.mean()), "1", MEASURED, "test samples")


def _quantization(content: RunContent) -> Iterator[Figure]:
    """The real network beside the card's."""
    record = content.quantization
    if record is None:
        return
    source = f"real numbers beside integers, {record.compared}"
    yield Figure("quantization.decisions_same", record.same, "1", MEASURED, source)
    if record.real is not None:
        yield Figure("quantization.accuracy.float", record.real, "1", MEASURED, source)
    for depth, layer in enumerate(record.layers):
        name = f"quantization.layer{depth}.spike_disagreement"
        yield Figure(name, float(layer.differ.mean()), "1", MEASURED, source)


def _verification(content: RunContent) -> Iterator[Figure]:
    latencies: set[int] = set()
    for name, found in content.verifications.items():
        source = f"{name} {found.version}, against the golden model"
        yield Figure(f"verify.{name}.passed", int(found.passed), "1", MEASURED, source)
        if found.finished:  # a run that broke off did not obtain the figures of a whole one
            for key in ("inferences", "mismatches"):
                value = getattr(found, key)
                yield Figure(f"verify.{name}.{key}", value, "inferences", MEASURED, source)
            yield Figure(f"verify.{name}.clocks", found.clocks, "cycles", MEASURED, source)
            latencies |= set(found.latency_cycles)
    cycles = content.cycles
    if cycles is None:
        return
    predicted = {int(x) for x in cycles.latency}
    intervals = {int(x) for x in cycles.interval}
    estimated = (ESTIMATED, "schedule")
    yield from _cycles("latency.cycles.predicted", predicted, *estimated)
    yield from _cycles("interval.cycles.predicted", intervals, *estimated)
    source = " and ".join(content.verifications)
    yield from _cycles("latency.cycles.simulated", latencies, MEASURED, source)


def _cycles(name: str, cycles: set[int], kind: FigureKind, source: str) -> Iterator[Figure]:
    """Cycles of all samples: one figure where all are equal, else the smallest and the largest."""
    if len(cycles) == 1:
        yield Figure(name, next(iter(cycles)), "cycles", kind, source)
    elif cycles:
        yield Figure(f"{name}.smallest", min(cycles), "cycles", kind, source)
        yield Figure(f"{name}.largest", max(cycles), "cycles", kind, source)


def _operations(content: RunContent) -> Iterator[Figure]:
    """Operations of a test sample, and their energy in a technology that papers compare by."""
    if content.test is None or content.test_trace is None:
        return
    counted = operations_of(content.card, content.test.inputs, content.test_trace)
    source = "spikes of the test samples"
    for name, unit in OPERATIONS.items():
        yield Figure(f"operations.{name}", getattr(counted, name), unit, MEASURED, source)
    energy = neutral_energy(content.card, counted)
    for end in ("low", "high"):
        value = getattr(energy, end)
        yield Figure(f"energy.neutral.{end}", value, "J", ESTIMATED, ENERGY_SOURCE)


def _cells(content: RunContent) -> Iterator[Figure]:
    cells = content.cells
    if cells is None:
        return
    source = f"{cells.tool}, tables and carry chains mapped by hand, out of context"
    for key in ("lut4", "carry", "lut4_sites", "ff", "mult18", "block_ram"):
        name = f"cells.{cells.family.value}.{key}"
        yield Figure(name, getattr(cells, key), "cells", MEASURED, source)
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
        yield Figure(name, value, "cells", ESTIMATED, about)
