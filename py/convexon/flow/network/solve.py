"""From labelled samples to a certified, quantized network and its silicon card.

The street, each step an artefact of the run::

    samples -> spikes -> branches of witnesses -> dictionary -> solution -> network
                                       card, of network and integer readout; certificate, of all
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from convexon.certify.certificate import CERTIFICATE, Certificate, SampleMargins
from convexon.convex.model.penalty import L1
from convexon.convex.model.program import ConvexProgram
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import ArtefactError, InputError
from convexon.flow.run import Keeper, Made, Run
from convexon.flow.stage import stage, stages
from convexon.progress import QUIET, Progress
from convexon.quantizer.descent import descended
from convexon.quantizer.readout import (
    READOUT,
    QuantizedReadout,
    quantize_readout,
    sample_margins,
    with_readout,
)
from convexon.quantizer.settings import ReadoutRounding
from convexon.snn.card import CARD
from convexon.snn.coding import CODINGS
from convexon.snn.interface import Interface
from convexon.snn.models.health import notices
from convexon.snn.models.simulate import run as simulated
from convexon.snn.network import FixedPointNetwork, Network
from convexon.train.claims import Scope, Weighed, certificate_of
from convexon.train.columns.dictionary import (
    DICTIONARY,
    SpikeDictionary,
    build_dictionary,
    patterns,
)
from convexon.train.columns.parallel import THREADS, Executor
from convexon.train.columns.rows import distinct_rows
from convexon.train.jitter import with_copies
from convexon.train.selection import Pool, least_weight, rows_apart, solve_program
from convexon.train.settings import SolveSettings
from convexon.train.solved import BRANCHES, NETWORK, SOLVED, Branches, SolvedProgram
from convexon.train.witnesses.reconstruct import kept_neurons, reconstruct
from convexon.train.witnesses.stage import pool_for, window_bound, witnesses_for


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawn:
    """What is made before anything is solved; ``test`` is None where no samples were held out."""

    train: Made[SpikeDataset]
    test: Made[SpikeDataset] | None
    branches: Made[Branches]
    dictionary: Made[SpikeDictionary]
    interface: Interface


@dataclass(frozen=True, eq=False, kw_only=True)
class Solved:
    """What was made."""

    drawn: Drawn
    solution: Made[SolvedProgram]
    network: Made[Network]
    card: Made[FixedPointNetwork]
    certificate: Made[Certificate]
    settings: SolveSettings

    def accuracy(self, data: SpikeDataset) -> float:
        """Share of right decisions of the integer network."""
        return float((simulated(self.card.value, data.inputs).labels[:, 0] == data.labels).mean())

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        c, drawn = self.certificate.value, self.drawn
        test = drawn.test
        told = "" if test is None else f", {100 * self.accuracy(test.value):.2f} % test"
        card = self.card.value
        cells = f" ({card.n_cells} of them logic cells)" if card.n_cells else ""
        return (
            f"solve: {drawn.dictionary.value.n_columns} columns, "
            f"{card.n_neurons} neurons{cells}, gap {c.gap:.1e}, primal {c.primal:.6f}, "
            f"accuracy {100 * self.accuracy(drawn.train.value):.2f} % train{told}"
        )

    @property
    def notices(self) -> list[str]:
        """What was clipped, inputs that never spike, and layers that tell nothing, a line each."""
        train, fan_in = self.drawn.train.value, self.settings.known_fan_in
        clipped = f"fan_in {fan_in} is clipped to the {train.n_inputs} inputs"
        told = [clipped] if fan_in > train.n_inputs else []
        if train.n_steps != self.settings.steps:
            told.append(f"steps {self.settings.steps} is set aside: a sample has {train.n_steps}")
        if np.array_equal(*rows_apart(self.settings, distinct_rows(train, self.settings.readout))):
            told.append(
                "inputs are too few to hold any back: rho was chosen on what it is fitted to"
            )
        return [*told, *notices(self.card.value, train.inputs)]

    @property
    def certificate_lines(self) -> list[str]:
        """The certificate for people: what is proved, and what is not."""
        return [f"certificate: {sentence}" for sentence in self.certificate.value.sentences]


def solve(
    run: Run,
    samples: Samples,
    settings: SolveSettings,
    *,
    replace: bool = False,
    progress: Progress = QUIET,
    executor: Executor = THREADS,
) -> Solved:
    """Hold out test samples, and fit a network to the others; what is current is reused.

    Parameters
    ----------
    run : Run
    samples : Samples
        Labelled.
    settings : SolveSettings
    replace : bool
        Whether a run of other samples may be replaced.
    progress : Progress
    executor : Executor
        What builds the dictionary in chunks. The bytes are the same, whatever it is.

    Raises
    ------
    InputError, FormatError
        If samples or settings do not fit, or the run holds other samples or a network of others.
    SolverError
        If the gap is not reached.
    ArtefactError
        If the folder cannot be written.
    """
    if not replace:
        require_same(run, samples)
    settings = settings.on(samples)
    train, test = held_out(run, settings, samples)
    return fit(run, train, test, settings, progress=progress, executor=executor)


def draw(
    run: Run,
    samples: Samples,
    settings: SolveSettings,
    *,
    progress: Progress = QUIET,
    executor: Executor = THREADS,
) -> Drawn:
    """Run `solve` up to the spike dictionary, which settings of the solver share."""
    settings = settings.on(samples)
    train, test = held_out(run, settings, samples)
    return _drawn(run, train, test, settings, progress, executor)


def fit(
    run: Keeper,
    train: Made[Samples],
    test: Made[Samples] | None,
    settings: SolveSettings,
    *,
    progress: Progress = QUIET,
    executor: Executor = THREADS,
) -> Solved:
    """Fit a network to training samples; raises as `solve`. Test samples have no say in it."""
    began, settings = time.monotonic(), settings.on(train.value)
    drawn = _drawn(run, train, test, settings, progress, executor)
    found = weigh(run, drawn, train, settings, progress=progress)
    if not found.card.reused:
        run.time("solve", time.monotonic() - began, first=True)
    return found


def weigh(
    run: Keeper,
    drawn: Drawn,
    train: Made[Samples],
    settings: SolveSettings,
    *,
    progress: Progress = QUIET,
) -> Solved:
    """Solve the program over a dictionary, round its solution, and certify both."""
    spikes, branches, columns = drawn.train, drawn.branches, drawn.dictionary
    solution = solved(run, settings, spikes, branches, columns, progress=progress)
    progress.begin("reconstructing and quantizing")
    network = rebuilt(run, settings, spikes, branches, columns, solution)
    readout = integers(run, settings, spikes, columns, solution)
    card = rounded(run, settings, train, branches, columns, solution, network, readout)
    progress.begin("writing the certificate")
    certificate = certified(
        run,
        settings,
        train,
        spikes,
        drawn.test,
        branches,
        columns,
        solution,
        network,
        readout,
        card,
    )
    return Solved(
        drawn=drawn,
        solution=solution,
        network=network,
        card=card,
        certificate=certificate,
        settings=settings,
    )


def _drawn(
    run: Keeper,
    train: Made[Samples],
    test: Made[Samples] | None,
    settings: SolveSettings,
    progress: Progress,
    executor: Executor,
) -> Drawn:
    """Encode, draw and build."""
    progress.begin("encoding samples")
    spikes = train_spikes(run, settings, train, train)
    held = None if test is None else test_spikes(run, settings, test, train)
    progress.begin("drawing witnesses")
    branches = witnesses(run, settings, train, spikes, progress=progress)
    progress.begin("building the spike dictionary")
    columns = dictionary(run, settings, spikes, branches, progress=progress, executor=executor)
    return Drawn(
        train=spikes,
        test=held,
        branches=branches,
        dictionary=columns,
        interface=interface_of(settings, train.value),
    )


def require_same(run: Run, samples: Samples) -> None:
    """Raise `InputError` where the run is of other samples, or of a network that was brought."""
    if not run.has("samples-train"):
        if run.has("card"):
            raise InputError(
                f"{run.path} holds a network that was not solved here: choose another folder, or "
                "give --replace"
            )
        return
    try:
        before = run.read("samples-train", SAMPLES)
    except ArtefactError:
        raise InputError(
            f"{run.path} holds samples that cannot be read: choose another folder, or give "
            "--replace"
        ) from None
    if before.record.recipe.get("samples") != samples.digest:
        raise InputError(
            f"{run.path} holds other samples ({before.value.name}): choose another folder, or "
            "give --replace"
        )


def interface_of(settings: SolveSettings, train: Samples) -> Interface:
    """Ranges and class names of the training samples; spikes are taken as they are."""
    if train.are_spikes and CODINGS[settings.known_coding].scaled:
        raise InputError(f"coding must be direct for spikes, not {settings.known_coding}")
    return Interface.fitted(train.values, coding=settings.known_coding, classes=train.classes)


# -- the steps -------------------------------------------------------------------------------------


@stages(("samples-train", "samples-test"), SAMPLES)
def held_out(settings: SolveSettings, samples: Samples) -> tuple[Samples, ...]:
    """Split raw samples by class and seed; jittered copies join those for training."""
    train, test = samples.split(seed=settings.seed)
    return _with_copies(settings, train), test


@stage("samples-train", SAMPLES)
def all_for_training(settings: SolveSettings, samples: Samples, held_out: None = None) -> Samples:
    """Hold nothing out; the recipe says so, and differs from that of a split of the samples."""
    del held_out
    return _with_copies(settings, samples)


def _with_copies(settings: SolveSettings, samples: Samples) -> Samples:
    """Samples and their jittered copies; the seed is read where there are any."""
    if not settings.jitter:
        return samples
    coding = settings.known_coding
    return with_copies(samples, settings.jitter, coding=coding, seed=settings.seed)


def _spikes(
    settings: SolveSettings, samples: Made[Samples], reference: Made[Samples]
) -> SpikeDataset:
    """Encode samples, scaled by the range of each feature in the training samples."""
    interface = interface_of(settings, reference.value)
    per_step = CODINGS[settings.known_coding].per_step  # then a sample says how many steps it has
    n_steps = interface.shape[0] if per_step else settings.steps
    return samples.value.encoded(interface, n_steps=n_steps, bits=settings.known_bits)


train_spikes = stage("train", DATASET)(_spikes)
test_spikes = stage("test", DATASET)(_spikes)


@stage("branches", BRANCHES)
def witnesses(
    settings: SolveSettings,
    samples: Made[Samples],
    train: Made[SpikeDataset],
    *,
    progress: Progress = QUIET,
) -> Branches:
    """Draw witnesses; refine and price further ones where that is asked for."""
    rows = distinct_rows(train.value, settings.readout)
    return witnesses_for(settings, train.value, _shape(settings, samples.value), rows, progress)


def _shape(settings: SolveSettings, samples: Samples) -> tuple[int, ...]:
    """Shape of a sample whose features are a network's inputs, else none."""
    # Steps of a series or of spikes are no side of an image.
    return () if CODINGS[settings.known_coding].per_step else samples.values.shape[1:]


@stage("dictionary", DICTIONARY)
def dictionary(
    settings: SolveSettings,
    train: Made[SpikeDataset],
    branches: Made[Branches],
    *,
    progress: Progress = QUIET,
    executor: Executor = THREADS,
) -> SpikeDictionary:
    """Simulate every witness on every training row."""
    return build_dictionary(
        branches.value,
        train.value,
        settings.readout,
        rows=distinct_rows(train.value, settings.readout),
        executor=executor,
        progress=lambda done, of: progress.advance(f"{done} of {of} chunks"),
    )


@stage("solution", SOLVED)
def solved(
    settings: SolveSettings,
    train: Made[SpikeDataset],
    branches: Made[Branches],
    dictionary: Made[SpikeDictionary],
    *,
    progress: Progress = QUIET,
) -> SolvedProgram:
    """Solve the convex program over the dictionary."""
    rows = distinct_rows(train.value, settings.readout)
    pool = pool_for(settings, train.value, rows, branches.value, dictionary.value)
    return solve_program(settings, pool, progress)


@stage("network", NETWORK)
def rebuilt(
    settings: SolveSettings,
    train: Made[SpikeDataset],
    branches: Made[Branches],
    dictionary: Made[SpikeDictionary],
    solution: Made[SolvedProgram],
) -> Network:
    """Keep the witnesses that the solution weighs."""
    return reconstruct(
        branches.value,
        dictionary.value.restricted(solution.value.columns),
        solution.value.W,
        n_steps=train.value.n_steps,
        input_bits=train.value.input_bits,
        readout_mode=settings.readout,
    )


@stage("readout", READOUT)
def integers(
    settings: SolveSettings,
    train: Made[SpikeDataset],
    dictionary: Made[SpikeDictionary],
    solution: Made[SolvedProgram],
) -> QuantizedReadout:
    """Round the weights of the solution."""
    found = solution.value
    if settings.readout_rounding is ReadoutRounding.NEAREST:
        return quantize_readout(found.W[:-1], found.W[-1], bits=settings.readout_bits)
    drawn = _certified_program(settings, train.value, dictionary.value, found)
    own = drawn.restricted(np.append(found.columns, drawn.n_columns - 1))
    return descended(own, found.W, bits=settings.readout_bits, bit_penalty=settings.bit_penalty)


@stage("card", CARD)
def rounded(
    settings: SolveSettings,
    samples: Made[Samples],
    branches: Made[Branches],
    dictionary: Made[SpikeDictionary],
    solution: Made[SolvedProgram],
    network: Made[Network],
    readout: Made[QuantizedReadout],
) -> FixedPointNetwork:
    """Give the network its integer readout, and put on the card how raw samples come in."""
    return with_readout(
        network.value,
        _in_order(branches.value, dictionary.value, solution.value, readout.value),
        interface=interface_of(settings, samples.value),
    )


def _in_order(
    branches: Branches,
    dictionary: SpikeDictionary,
    solution: SolvedProgram,
    readout: QuantizedReadout,
) -> QuantizedReadout:
    """The readout of the solution's columns, as one of the network's neurons."""
    _, rows = kept_neurons(branches, dictionary.restricted(solution.columns), solution.W)
    return readout.of_rows(rows)


def _certified_program(
    settings: SolveSettings,
    train: SpikeDataset,
    dictionary: SpikeDictionary,
    solution: SolvedProgram,
) -> ConvexProgram:
    """The program over the whole dictionary, whose solution is certified."""
    pool = Pool(
        rows=distinct_rows(train, settings.readout),
        n_classes=train.n_classes,
        dictionary=dictionary,
        weights=solution.weights,
    )
    return pool.program(settings.loss, L1(), solution.gap.rho)


@stage("certificate", CERTIFICATE)
def certified(
    settings: SolveSettings,
    samples: Made[Samples],
    train: Made[SpikeDataset],
    test: Made[SpikeDataset] | None,
    branches: Made[Branches],
    dictionary: Made[SpikeDictionary],
    solution: Made[SolvedProgram],
    network: Made[Network],
    readout: Made[QuantizedReadout],
    card: Made[FixedPointNetwork],
) -> Certificate:
    """Certify the solution anew, and bound what rounding its readout to the ``card`` does.

    The universal bound counts samples with equal inputs as one input, whatever their labels are.
    """
    found = solution.value
    held_out: tuple[SampleMargins, ...] = ()
    if test is not None:
        ordered = _in_order(branches.value, dictionary.value, found, readout.value)
        held_out = (_margins(settings, network.value, ordered, test.value),)
    program = _certified_program(settings, train.value, dictionary.value, found)
    certificate = certificate_of(
        program,
        Weighed(columns=found.columns, W=found.W, dual=found.dual),
        Scope(
            max_feature=dictionary.value.max_feature,
            min_weight=least_weight(settings),
            about="every column drawn",
        ),
        tolerance=settings.tolerance,
        readout=readout.value,
        others=held_out,
    )
    dual, shape = certificate.priced[0].dual, _shape(settings, samples.value)
    if dual is None:
        return certificate
    bound = window_bound(settings, train.value, shape, branches.value, program, dual)
    return replace(certificate, windows=bound)


def _margins(
    settings: SolveSettings, network: Network, readout: QuantizedReadout, test: SpikeDataset
) -> SampleMargins:
    """Decisions on test samples that rounding cannot flip."""
    return sample_margins(
        patterns(network.branches, test, settings.readout),
        np.concatenate([network.readout_weights, network.readout_biases[None]]),
        readout,
        name="test",
    )
