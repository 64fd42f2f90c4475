"""Every way to cheat that was thought of: what is forged, and what `convexon certify` then says.

Each attack changes as many files as it needs, with the solver's own help where figures must fit
each other, and makes all digests again. The base is a run that is globally optimal, so that a
forger has something to lose by being told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from forgery import Forger, optimal_run
from tampering import cells_run, windowed_run

from convexon.certify.certificate import Certificate, SampleMargins
from convexon.certify.check import check_file
from convexon.certify.statement import Statement
from convexon.convex.bounds.gap import certify
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import PENALTIES
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import solve
from convexon.errors import ConvexonError
from convexon.quantizer.readout import (
    QuantizedReadout,
    quantize,
    quantize_readout,
    rounded_readout,
    sample_margins,
)
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models.simulate import branch_trace
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.train.claims import Scope, Weighed, certificate_of
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import SpikeDictionary, build_dictionary, patterns
from convexon.train.columns.rows import distinct_rows
from convexon.train.witnesses.reconstruct import reconstruct


@dataclass(frozen=True)
class Attack:
    """A forgery.

    Members
    -------
    name : str
    forge : callable
        Changes files; digests are made again afterwards.
    told : str
        Pattern of what the checker says: of the line that refuses it, or of a line that leaves it
        open.
    base : str
        Of which run.
    """

    name: str
    forge: Callable[[Forger], None]
    told: str
    base: str

    @property
    def how(self) -> str:
        """The attack in a sentence."""
        return (self.forge.__doc__ or "").strip().rstrip(".")


ATTACKS: dict[str, Attack] = {}

BASES: dict[str, Callable[[Path], Path]] = {
    "optimal": optimal_run,
    "costly": lambda path: optimal_run(path, cost="events"),
    "windows": windowed_run,
    "cells": cells_run,
}
"""Runs that are forged."""


def told_of(path: Path) -> str:
    """All that the checker says of a run."""
    try:
        verdict = check_file(path)
    except ConvexonError as error:
        return str(error)
    lines = [found.line for found in verdict.findings]
    return "\n".join([*lines, verdict.claim, verdict.summary])


def attack(
    told: str, base: str = "optimal"
) -> Callable[[Callable[[Forger], None]], Callable[[Forger], None]]:
    """Register a forgery by its function's name."""

    def register(forge: Callable[[Forger], None]) -> Callable[[Forger], None]:
        name = forge.__name__.replace("_", "-")
        ATTACKS[name] = Attack(name, forge, told, base)
        return forge

    return register


def failed(claim: str) -> str:
    """What is said of a claim that does not hold."""
    return rf"claim {claim} does not hold: "


# -- tools of the trade ----------------------------------------------------------------------------


def state(f: Forger, **changes: Any) -> None:
    """Change members of the statement."""
    certificate: Certificate = f.get("certificate")
    f.change("certificate", statement=replace(certificate.statement, **changes))


def priced(f: Forger, **changes: Any) -> None:
    """Change members of the priced set."""
    certificate: Certificate = f.get("certificate")
    f.change("certificate", priced=(replace(certificate.priced[0], **changes),))


def windowed(f: Forger, **changes: Any) -> None:
    """Change members of the bound over windows."""
    certificate: Certificate = f.get("certificate")
    f.change("certificate", windows=replace(certificate.windows, **changes))


def one_set(f: Forger, **changes: Any) -> None:
    """Change members of the first set of windows."""
    first, *others = f.get("certificate").windows.sets
    windowed(f, sets=(replace(first, **changes), *others))


def rounding(f: Forger, **changes: Any) -> None:
    """Change members of what is claimed of rounding."""
    certificate: Certificate = f.get("certificate")
    f.change("certificate", rounded=replace(certificate.rounded, **changes))


def settings(f: Forger, name: str, **changes: Any) -> None:
    """Change what a file's recipe says of the settings."""
    f.raw(name).head["recipe"]["settings"].update(changes)


def program_of(
    s: Statement, dictionary: SpikeDictionary, loss: str | None = None, penalty: str = "l1"
) -> ConvexProgram:
    """The program of a statement over a dictionary."""
    return ConvexProgram(
        features=dictionary.with_intercept(),
        targets=s.targets.argmax(axis=1) if loss == "softmax" else s.targets,
        loss=LOSSES[loss or s.loss](),
        penalty=PENALTIES[penalty](),
        rho=s.rho,
        weights=s.weights,
        counts=s.counts,
        groups=s.groups,
    )


def solved_anew(
    f: Forger,
    *,
    columns: np.ndarray | None = None,
    loss: str | None = None,
    penalty: str = "l1",
    **changes: Any,
) -> None:
    """Solve another program by the solver itself, and forge all files that follow from it.

    ``columns`` are the dictionary's; ``changes`` are members of the statement.
    """
    before: Certificate = f.get("certificate")
    s = replace(before.statement, **{**changes, "columns": np.zeros(0, dtype=np.int64)})
    dictionary: SpikeDictionary = f.get("dictionary")
    if columns is not None:
        dictionary = replace(dictionary, bits=BitColumns.pack(columns, max_value=s.max_feature))
        f.set("dictionary", dictionary)
    program = program_of(s, dictionary, loss, penalty)
    found = solve(program, tolerance=1e-9)
    own = np.flatnonzero(found.W[:-1].any(axis=1))
    W = np.concatenate([found.W[own], found.W[-1:]])
    test, card = f.get("test"), f.get("card")
    network = reconstruct(
        f.get("branches"),
        dictionary.restricted(own),
        W,
        n_steps=card.n_steps,
        input_bits=card.input_bits,
        readout_mode=card.readout_mode,
    )
    margins = sample_margins(
        patterns(network.branches, test, card.readout_mode),
        np.concatenate([network.readout_weights, network.readout_biases[None]]),
        quantize_readout(network.readout_weights, network.readout_biases, bits=8),
        name="test",
    )
    certificate = certificate_of(
        program,
        Weighed(columns=own, W=W, dual=found.dual),
        Scope(max_feature=s.max_feature, min_weight=s.min_weight, about="every column drawn"),
        tolerance=before.tolerance,
        readout=quantize_readout(W[:-1], W[-1], bits=8),
        others=(margins,),
    )
    solution = f.get("solution")
    f.change(
        "solution",
        columns=own,
        W=W,
        dual=found.dual,
        weights=s.weights[:-1],
        gap=replace(solution.gap, rho=s.rho),
    )
    f.set("network", network)
    f.set("readout", quantize_readout(W[:-1], W[-1], bits=8))
    f.set("card", quantize(network, bits=8, interface=card.interface))
    f.set("certificate", certificate)


def certified_readout(f: Forger, readout: np.ndarray, coarser: int = 0) -> None:
    """Certify another integer readout, with figures that hold, and put it on the card.

    Its step is larger by ``coarser`` powers of two.
    """
    certificate: Certificate = f.get("certificate")
    s, rounded, card = certificate.statement, certificate.rounded, f.get("card")
    own = replace(s, weights=s.weights[s.with_intercept(s.columns)], columns=s.columns[:0])
    frac = rounded.frac - coarser
    program = program_of(own, f.get("dictionary").restricted(s.columns))
    W = np.ldexp(readout.astype(float), -frac)
    other = rounded_readout(program, W, quantize_readout(W[:-1], W[-1], bits=8))
    moved = np.abs(other.readout - certificate.W * 2.0**frac).sum()

    def loose(part: SampleMargins) -> SampleMargins:
        return replace(part, margin=np.zeros_like(part.margin), rounding=part.rounding + 1e3)

    rounding(
        f,
        readout=readout,
        frac=frac,
        primal=other.primal + 1.0,
        score_error=float(moved),
        objective_change=1e3,
        train=loose(rounded.train),
        others=tuple(loose(part) for part in rounded.others),
    )
    weights, biases = readout[:-1], readout[-1]
    formats = {name: replace(getattr(card, name), frac=frac)
               for name in ("readout_format", "bias_format")}  # fmt: skip
    f.set("card", replace(card, readout_weights=weights, readout_biases=biases, **formats))
    stated = {"weights": weights, "biases": biases}
    stated |= {"weight_format": formats["readout_format"], "bias_format": formats["bias_format"]}
    f.set("readout", QuantizedReadout(**stated))


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Targets of two classes."""
    return np.eye(2)[labels]


def layer_of(f: Forger, name: str, **changes: Any) -> None:
    """Change the first layer of a network, a card, or of branches."""
    value = f.get(name)
    branches = value if isinstance(value, tuple) else value.branches
    first = Branch((replace(branches[0].layers[0], **changes), *branches[0].layers[1:]))
    changed = (first, *branches[1:])
    f.set(name, changed if isinstance(value, tuple) else replace(value, branches=changed))


def first_layer(f: Forger, name: str) -> Layer:
    value = f.get(name)
    return (value if isinstance(value, tuple) else value.branches)[0].layers[0]


# -- samples and labels ----------------------------------------------------------------------------


@attack(failed("data"))
def scaled_targets(f: Forger) -> None:
    """Targets an eighth of the labels, all solved anew."""
    solved_anew(f, targets=f.get("certificate").statement.targets * 2.0**-3)


@attack(failed("data"))
def zeros_that_are_optimal(f: Forger) -> None:
    """Targets a millionth of the labels, for which a readout of zeros is globally optimal."""
    certificate = f.get("certificate")
    s = replace(certificate.statement, targets=certificate.statement.targets * 2.0**-20)
    program = program_of(s, f.get("dictionary"))
    _, dual = certify(program, np.zeros((program.n_columns, program.n_outputs)))
    optimal = certificate_of(
        program,
        Weighed(columns=s.columns, W=np.zeros_like(certificate.W), dual=dual),
        Scope(max_feature=1, about="every column drawn"),
        tolerance=1e-6,
        readout=quantize_readout(certificate.W[:-1] * 0.0, certificate.W[-1] * 0.0, bits=8),
    )
    f.set("certificate", optimal)


@attack(failed("data"))
def targets_of_another_scale_in_one_row(f: Forger) -> None:
    """One target a unit in the last place off, solved anew."""
    targets = f.get("certificate").statement.targets.copy()
    targets[0, 0] = np.nextafter(1.0, 0.0)
    solved_anew(f, targets=targets)


@attack(failed("data"))
def exchanged_labels(f: Forger) -> None:
    """The labels of two rows exchanged in the certificate, all solved anew."""
    targets = f.get("certificate").statement.targets
    solved_anew(f, targets=targets[[1, 0, *range(2, len(targets))]])


@attack(failed("samples"))
def exchanged_labels_in_the_spikes(f: Forger) -> None:
    """Labels that suit the network in train.json as well, all solved anew."""
    train = f.get("train")
    f.change("train", labels=1 - train.labels)
    solved_anew(f, targets=1.0 - f.get("certificate").statement.targets)


@attack(failed("data"))
def dropped_samples(f: Forger) -> None:
    """Rows of conflicting labels counted once each, solved anew."""
    counts = f.get("certificate").statement.counts.copy()
    counts[-2:] = 1
    solved_anew(f, counts=counts)


@attack(failed("samples"))
def dropped_samples_in_the_spikes(f: Forger) -> None:
    """A sample left out of train.json, and all solved anew on the others."""
    train = f.get("train")
    f.set("train", train.take(np.arange(train.n_samples - 1)))
    rows = distinct_rows(f.get("train"), f.get("card").readout_mode)
    solved_anew(f, counts=rows.counts, groups=rows.groups, targets=one_hot(rows.labels))


@attack(failed("samples"))
def other_inputs_under_the_same_labels(f: Forger) -> None:
    """Inputs in train.json that a class gives away, solved anew on columns that fit them."""
    train = f.get("train")
    f.change("train", inputs=np.eye(3, dtype=np.uint8)[train.labels][:, None])
    rows = distinct_rows(f.get("train"), f.get("card").readout_mode)
    f.set("dictionary", build_dictionary(
        f.get("branches"), f.get("train"), f.get("card").readout_mode, rows=rows
    ))  # fmt: skip
    members = {"counts": rows.counts, "groups": rows.groups, "targets": one_hot(rows.labels)}
    weights = np.ones(f.get("dictionary").n_columns + 1)
    rounded = f.get("certificate").rounded
    train_margins = SampleMargins(
        name="train",
        margin=np.zeros(len(rows.counts)),
        rounding=np.zeros(len(rows.counts)),
        counts=rows.counts,
    )
    s = replace(
        f.get("certificate").statement,
        columns=np.zeros(0, dtype=np.int64),
        weights=weights,
        **members,
    )
    nothing = np.zeros((len(rows.counts), 2))
    f.change(
        "certificate", statement=s, W=np.zeros((1, 2)), dual=nothing, priced=(), universal=None,
        rounded=replace(rounded, readout=np.zeros((1, 2), dtype=np.int64), train=train_margins),
    )  # fmt: skip
    solved_anew(f)


@attack(failed("(data|universal)"))
def inputs_called_equal(f: Forger) -> None:
    """Inputs of both classes called one input, which would raise the universal bound."""
    solved_anew(f, groups=np.zeros_like(f.get("certificate").statement.groups))


@attack(failed("data"))
def inputs_called_different(f: Forger) -> None:
    """Rows of one input called different ones."""
    solved_anew(f, groups=np.arange(len(f.get("certificate").statement.groups)))


@attack(failed("samples"))
def easier_test_samples(f: Forger) -> None:
    """Test samples exchanged for training samples, with their margins."""
    test, train = f.get("test"), f.get("train")
    f.change("test", inputs=train.inputs[: test.n_samples], labels=train.labels[: test.n_samples])
    solved_anew(f)


@attack(failed(r"margins \(test\)"))
def fewer_test_samples(f: Forger) -> None:
    """Margins of those test samples alone whose decisions cannot flip."""
    part = f.get("certificate").rounded.others[0]
    kept = {name: getattr(part, name)[:-1] for name in ("margin", "rounding", "counts")}
    rounding(f, others=(replace(part, **kept),))


@attack(failed(r"margins \(test\)") + "the network does not read samples of test.json")
def longer_test_samples(f: Forger) -> None:
    """Test samples of more steps than the card reads, without the raw samples that tell."""
    f.remove("samples-test")
    f.change("test", inputs=np.repeat(f.get("test").inputs, 2, axis=1))


@attack("not checkable here: samples, because samples-train.json is not beside it")
def no_raw_samples(f: Forger) -> None:
    """The raw samples taken away."""
    f.remove("samples-train")


@attack("not checkable here: data, because train.json is not beside it")
def no_spikes(f: Forger) -> None:
    """The encoded samples taken away."""
    f.remove("train")


# -- columns ---------------------------------------------------------------------------------------


@attack(failed("columns"))
def columns_that_equal_the_labels(f: Forger) -> None:
    """A dictionary of columns that equal the labels, which no neuron has; all solved anew."""
    s = f.get("certificate").statement
    columns = f.get("dictionary").columns.copy()
    columns[:, :2] = s.targets.astype(np.uint8)
    columns[:, 2:] = 1 - columns[:, :2][:, [0]] * np.ones(columns.shape[1] - 2, dtype=np.uint8)
    solved_anew(f, columns=columns)
    f.change("certificate", universal=None)  # which inputs of both labels would give away


@attack(failed("columns"))
def one_entry_of_a_column(f: Forger) -> None:
    """One entry of one column flipped, all solved anew."""
    columns = f.get("dictionary").columns.copy()
    columns[0, 0] ^= 1
    solved_anew(f, columns=columns)


@attack(failed("columns"))
def columns_left_out(f: Forger) -> None:
    """A dictionary of the network's columns alone, said to be every column drawn; solved anew."""
    own = f.get("certificate").statement.columns
    f.set("dictionary", f.get("dictionary").restricted(own))
    n, weights = len(own), f.get("certificate").statement.weights
    state_of_all(f, weights[: n + 1])


def state_of_all(f: Forger, weights: np.ndarray) -> None:
    """Solve anew over a dictionary of another size."""
    certificate = f.get("certificate")
    s = replace(certificate.statement, columns=np.zeros(0, dtype=np.int64), weights=weights)
    C = s.n_outputs
    rounded = replace(certificate.rounded, readout=np.zeros((1, C), dtype=np.int64))
    f.change("certificate", statement=s, W=np.zeros((1, C)), priced=(), rounded=rounded)
    solved_anew(f)


@attack(failed("columns"))
def columns_twice(f: Forger) -> None:
    """The dictionary's columns repeated in place of those that would gain."""
    own = f.get("certificate").statement.columns
    repeated = np.resize(own, f.get("dictionary").n_columns)
    f.set("dictionary", f.get("dictionary").restricted(np.sort(repeated)))
    state_of_all(f, f.get("certificate").statement.weights)


@attack(failed("columns"))
def witnesses_exchanged(f: Forger) -> None:
    """Columns with the witnesses of others."""
    f.change("dictionary", witnesses=f.get("dictionary").witnesses[::-1])


@attack("witnesses of the dictionary must be neurons of branches.json")
def witnesses_of_nothing(f: Forger) -> None:
    """Columns whose witnesses are in no branch."""
    f.change("dictionary", witnesses=f.get("dictionary").witnesses + 1000)


@attack(failed("columns"))
def other_thresholds_of_the_witnesses(f: Forger) -> None:
    """Thresholds in branches.json that no longer realise the columns."""
    layer_of(f, "branches", thresholds=first_layer(f, "branches").thresholds * 0)


@attack(failed("columns"), base="cells")
def another_truth_table(f: Forger) -> None:
    """A bit of a cell's truth table flipped in branches.json, network and card."""
    for name in ("branches", "network", "card"):
        value = f.get(name)
        branches = list(value if isinstance(value, tuple) else value.branches)
        place = next(b for b, branch in enumerate(branches) if branch.layers[-1].tables is not None)
        *below, last = branches[place].layers
        flipped = last.tables.copy()
        flipped[:, 0] ^= 1
        branches[place] = Branch((*below, replace(last, tables=flipped)))
        own = tuple(branches)
        f.set(name, own if isinstance(value, tuple) else replace(value, branches=own))


@attack("branches must read the 3 inputs")
def witnesses_of_other_inputs(f: Forger) -> None:
    """Branches that read fewer inputs than a sample has."""
    branches = f.get("branches")
    cut = [
        Branch((replace(b.layers[0], weights=b.layers[0].weights[:2]), *b.layers[1:]))
        for b in branches
    ]
    f.set("branches", tuple(cut))


@attack("branches.json must hold a branch or more")
def no_branches_at_all(f: Forger) -> None:
    """A list of no branches, beside a dictionary of no columns."""
    certificate = f.get("certificate")
    s, C = certificate.statement, certificate.statement.n_outputs
    f.set("branches", ())
    f.set("dictionary", f.get("dictionary").restricted(s.columns[:0]))
    f.change(
        "certificate",
        statement=replace(s, columns=s.columns[:0], weights=np.ones(1)),
        W=np.zeros((1, C)),
        dual=np.zeros_like(s.targets),
        primal=1e3,
        lower=-1e3,
        gap=1e4,
        priced=(),
        universal=None,
        rounded=None,
    )


@attack(failed("columns"))
def complements_miscounted(f: Forger) -> None:
    """A dictionary that says that more of its columns are complements than there are."""
    f.change("dictionary", n_complement=f.get("dictionary").n_complement + 2)


@attack(failed("columns"))
def witnesses_left_uncounted(f: Forger) -> None:
    """A dictionary that says that more witnesses were drawn than there were."""
    f.change("dictionary", n_drawn=f.get("dictionary").n_drawn + 1000)


@attack(failed("(columns|card|network)"))
def branches_exchanged(f: Forger) -> None:
    """The branches in another order, so that columns name the witnesses of others."""
    branches = f.get("branches")
    f.set("branches", tuple(reversed(branches)))


@attack("not checkable here: columns, because branches.json is not beside it")
def no_witnesses(f: Forger) -> None:
    """The branches taken away, so that no column can be computed anew."""
    f.remove("branches")


# -- priced sets -----------------------------------------------------------------------------------


@attack("must have members of .*, not 'columns'")
def priced_columns_of_the_forgers_choice(f: Forger) -> None:
    """A priced set that lists the solution's own columns, repeated, as every column drawn."""
    f.raw("certificate").head["content"]["priced"][0]["columns"] = [0, 0, 0, 0]


@attack("must have members of .*, not 'columns'")
def priced_columns_none_at_all(f: Forger) -> None:
    """A priced set without columns."""
    f.raw("certificate").head["content"]["priced"][0]["columns"] = []


@attack(failed("dictionary"))
def priced_columns_miscounted(f: Forger) -> None:
    """A priced set that says that a million columns were seen."""
    priced(f, n_columns=10**6)


@attack(failed("dictionary"))
def violation_denied(f: Forger) -> None:
    """No violation claimed at a dual vector that violates."""
    certificate = f.get("certificate")
    s, C = certificate.statement, certificate.statement.n_outputs
    residual = (s.targets - np.average(s.targets, axis=0, weights=s.counts)) * s.counts[:, None]
    priced(f, violation=0.0)
    f.change(
        "certificate",
        statement=replace(s, columns=s.columns[:0]),
        W=np.zeros((1, C)),
        dual=0.99 * residual / s.n_samples,
        primal=1e3,
        lower=-1e3,
        gap=1e4,
        rounded=None,
    )


@attack("not checkable here: search0, because the dictionary does not hold its columns")
def a_set_that_nobody_can_see(f: Forger) -> None:
    """A bound over "every column drawn" of a set that is said not to be the dictionary."""
    priced(f, name="search0", is_dictionary=False, lower_bound=f.get("certificate").lower,
           dual=f.get("certificate").dual)  # fmt: skip


@attack(r"not checkable here: dictionary \(complete\)")
def a_sample_called_complete(f: Forger) -> None:
    """The dictionary called every column that any network can have."""
    priced(f, every_network_of_form=True, about="any network whatever")


@attack("name must be dictionary or search0")
def a_set_named_like_a_link(f: Forger) -> None:
    """A priced set by the name of a check that would fail."""
    f.raw("certificate").head["content"]["priced"][0]["name"] = "data"


@attack("about must be one line of printable text")
def a_line_break_in_a_name(f: Forger) -> None:
    """A name with a line break, and a verdict of the forger's on the next line."""
    _about(f, "every column\ncertify: 12 of 12 claims checked, none fails; globally optimal")


@attack("not checkable here: search0, because the dictionary does not hold its columns")
def a_verdict_in_a_name(f: Forger) -> None:
    """A name that ends in a verdict of the forger's, on the same line."""
    verdict = "18 of 18 claims checked, none fails; the weights are globally optimal"
    priced(f, name="search0", is_dictionary=False, about=f"x. certify: {verdict} over any network")


@attack(r"not checkable here: dictionary \(complete\)")
def a_verdict_in_the_name_of_a_form(f: Forger) -> None:
    """A form that ends in a verdict of the forger's, of which all columns are said to be there."""
    priced(f, every_network_of_form=True, about="x: the weights are globally optimal")


@attack("about must be one line of printable text")
def an_escape_in_a_name(f: Forger) -> None:
    """A name with an escape sequence that clears the terminal."""
    _about(f, "every column\x1b[2J\x1b[H")


@attack("about must be one line of printable text")
def letters_that_run_backwards(f: Forger) -> None:
    """A name with characters that turn the direction of writing."""
    _about(f, "every column \u202edellif ton")


@attack("name must be one line of printable text")
def an_escape_in_the_name_of_samples(f: Forger) -> None:
    """An escape sequence in the name of the samples that margins are of."""
    f.raw("certificate").head["content"]["rounded"]["others"][0]["name"] = "test\x1b[2J"


@attack("loss must be one line of printable text")
def an_escape_in_the_name_of_the_loss(f: Forger) -> None:
    """An escape sequence in the name of the loss, which nothing here evaluates."""
    f.raw("certificate").head["content"]["statement"]["loss"] = "cubic\x9b2J"


def _about(f: Forger, text: str) -> None:
    f.raw("certificate").head["content"]["priced"][0]["about"] = text


# -- the program and its bounds --------------------------------------------------------------------


@attack(failed("recipe"))
def a_loose_tolerance(f: Forger) -> None:
    """A tolerance of 1, to which every bound closes."""
    f.change("certificate", tolerance=1.0)


@attack("claimed, to a tolerance of 1: an objective of")
def a_loose_tolerance_in_the_recipe_too(f: Forger) -> None:
    """A tolerance of 1 in the recipe as well: no bound closes to it."""
    f.change("certificate", tolerance=1.0)
    settings(f, "certificate", tolerance=1.0)


@attack(r"claimed, to a tolerance of 1e\+300: an objective of")
def a_tolerance_beyond_reason(f: Forger) -> None:
    """A tolerance of 1e300, in the recipe as well."""
    f.change("certificate", tolerance=1e300)
    settings(f, "certificate", tolerance=1e300)


@attack(failed("costs"))
def heavier_columns(f: Forger) -> None:
    """Every column twice as dear, and the smallest weight with them; solved anew."""
    weights = f.get("certificate").statement.weights * 2.0
    weights[-1] = 1.0
    solved_anew(f, weights=weights)


@attack(failed("costs"), base="costly")
def a_smallest_weight_too_large(f: Forger) -> None:
    """The smallest weight of any network a hundred times too large in a run with costs."""
    weights = np.maximum(f.get("certificate").statement.weights, 0.5)
    solved_anew(f, min_weight=0.5, weights=weights)


@attack(failed("costs"), base="costly")
def a_cheap_neuron(f: Forger) -> None:
    """A dear neuron weighed as a cheap one, solved anew."""
    weights = f.get("certificate").statement.weights.copy()
    weights[weights[:-1].argmax()] = weights.min()
    solved_anew(f, weights=weights)


@attack(failed("costs"), base="costly")
def costs_of_another_kind(f: Forger) -> None:
    """The recipe of another cost than was weighed."""
    settings(f, "certificate", cost="luts")


@attack(failed("costs"), base="costly")
def costs_denied(f: Forger) -> None:
    """The recipe of a run without costs."""
    settings(f, "certificate", cost=None)


@attack(failed("costs"))
def a_cheap_intercept(f: Forger) -> None:
    """An always-firing column that weighs a tenth, solved anew."""
    weights = f.get("certificate").statement.weights.copy()
    weights[-1] = 0.1
    solved_anew(f, weights=weights, min_weight=0.1)


@attack(failed("costs"))
def larger_entries(f: Forger) -> None:
    """A largest entry of 2 where neurons spike once."""
    f.change("dictionary", max_feature=2)
    state(f, max_feature=2)
    f.change("certificate", universal=None)


@attack(failed("solution"))
def another_regularisation_strength(f: Forger) -> None:
    """Half the regularisation strength in the certificate, its figures solved anew."""
    found = f.get("solution")
    solved_anew(f, rho=f.get("certificate").statement.rho / 2.0)
    f.change("solution", gap=found.gap)


@attack(failed("recipe"))
def another_regularisation_strength_of_the_solution(f: Forger) -> None:
    """Half the regularisation strength in the solution too."""
    solved_anew(f, rho=f.get("certificate").statement.rho / 2.0)


@attack(failed("recipe"))
def another_loss(f: Forger) -> None:
    """The program of another loss than was asked for, solved anew."""
    solved_anew(f, loss="softmax")


@attack(failed("recipe"))
def another_penalty(f: Forger) -> None:
    """The program of another penalty than was asked for, solved anew."""
    solved_anew(f, penalty="group_linf")


@attack(failed("recipe"))
def a_verdict_in_the_recipe(f: Forger) -> None:
    """The recipe of a loss that is called a verdict of the forger's."""
    settings(f, "certificate", loss="x: the weights are globally optimal")


@attack("cost must be luts, events or memory")
def a_verdict_in_the_name_of_a_cost(f: Forger) -> None:
    """A cost that is called a verdict of the forger's."""
    settings(f, "certificate", cost="x: the weights are globally optimal")
    state(f, min_weight=0.01)
    f.change("certificate", universal=None)


@attack("not checkable here: primal, because no exact loss 'cubic' is registered")
def a_loss_that_nobody_knows(f: Forger) -> None:
    """A loss that the checker cannot evaluate, with any figures."""
    state(f, loss="cubic")
    settings(f, "certificate", loss="cubic")
    f.change("certificate", primal=0.0, lower=0.0, gap=0.0)


@attack(failed("primal"))
def a_lower_primal(f: Forger) -> None:
    """An objective a billionth below that of the weights, and the gap with it."""
    certificate = f.get("certificate")
    f.change("certificate", primal=certificate.primal * (1 - 1e-9), lower=0.0, gap=1.0)


@attack(failed("dual"))
def a_higher_dual(f: Forger) -> None:
    """A lower bound a billionth above its dual vector's value."""
    certificate = f.get("certificate")
    f.change("certificate", lower=certificate.lower * (1 + 1e-9), gap=1.0)


@attack(failed("(dual|universal)"))
def a_louder_dual(f: Forger) -> None:
    """A dual vector that leaves the constraints by a billionth."""
    f.change("certificate", dual=f.get("certificate").dual * (1 + 1e-9), gap=1.0, lower=0.0)


@attack(failed("gap"))
def no_gap(f: Forger) -> None:
    """A gap of zero between figures that differ."""
    certificate = f.get("certificate")
    f.change("certificate", primal=certificate.primal + 1e-9, gap=0.0)


@attack(failed("universal"))
def a_higher_universal_bound(f: Forger) -> None:
    """A universal bound a billionth above its dual vector's value."""
    bound = f.get("certificate").universal
    raised = replace(bound, lower_bound=bound.lower_bound * (1 + 1e-9))
    f.change("certificate", universal=raised)


@attack(failed("universal"))
def a_universal_bound_of_another_dual(f: Forger) -> None:
    """A universal bound from a dual vector that holds over the dictionary alone."""
    bound, certificate = f.get("certificate").universal, f.get("certificate")
    dual = certificate.universal.dual * (1 + 1e-6)
    f.change("certificate", universal=replace(bound, dual=dual))


@attack(failed("windows"), base="windows")
def a_bound_over_the_dictionary_said_to_be_over_windows(f: Forger) -> None:
    """The dictionary's bound and dual vector, said to be over all neurons on windows."""
    (part,) = f.get("certificate").priced
    windowed(f, lower_bound=part.lower_bound, dual=part.dual)


@attack(failed("windows"), base="windows")
def a_higher_bound_over_windows(f: Forger) -> None:
    """A bound over windows a billionth above its dual vector's value."""
    windowed(f, lower_bound=f.get("certificate").windows.lower_bound * (1 + 1e-9))


@attack(failed("windows"), base="windows")
def a_louder_dual_over_windows(f: Forger) -> None:
    """A dual vector over windows that leaves the constraints by a millionth."""
    windowed(f, dual=f.get("certificate").windows.dual * (1 + 1e-6))


@attack(failed("windows"), base="windows")
def more_neurons_than_were_priced(f: Forger) -> None:
    """A set of neurons that is said to be a million times as large."""
    one_set(f, n_neurons=1_000_000 * f.get("certificate").windows.sets[0].n_neurons)


@attack(failed("windows"), base="windows")
def thresholds_that_were_not_priced(f: Forger) -> None:
    """Neurons with a memory that are said to be priced with any threshold."""
    one_set(f, any_threshold=True)


@attack(failed("windows"), base="windows")
def windows_of_inputs_that_are_not_there(f: Forger) -> None:
    """Windows of inputs that no sample has."""
    one_set(f, inputs=f.get("certificate").windows.sets[0].inputs + 1000)


@attack(failed("windows"), base="windows")
def windows_on_a_trunk_that_is_not_there(f: Forger) -> None:
    """Windows above the layers of a branch that there is not."""
    one_set(f, branch=1000)


@attack(failed("windows"), base="cells")
def a_louder_dual_over_cells(f: Forger) -> None:
    """A dual vector over logic cells that leaves the constraints by a millionth."""
    windowed(f, dual=f.get("certificate").windows.dual * (1 + 1e-6))


@attack(failed("windows"), base="cells")
def cells_of_inputs_that_are_not_there(f: Forger) -> None:
    """Logic cells that read inputs which no sample has."""
    one_set(f, inputs=f.get("certificate").windows.sets[0].inputs + 1000)


@attack("W must be finite float64 of at most 1e\\+60")
def a_weight_beyond_reason(f: Forger) -> None:
    """A weight of 1e300."""
    f.raw("certificate").arrays["W"][0, 0] = 1e300


@attack("dual must be finite float64 of at most 1e\\+60")
def a_dual_beyond_reason(f: Forger) -> None:
    """A dual vector of 1e300."""
    f.raw("certificate").arrays["dual"][0, 0] = 1e300


@attack("targets must be finite float64 of at most 1e\\+60")
def a_target_beyond_reason(f: Forger) -> None:
    """A target of 1e300."""
    f.raw("certificate").arrays["statement.targets"][0, 0] = 1e300


@attack("W must hold finite numbers")
def a_weight_that_is_no_number(f: Forger) -> None:
    """A weight that is NaN."""
    f.raw("certificate").arrays["W"][0, 0] = np.nan


@attack("not checkable here: recipe, because its recipe states no settings")
def no_recipe(f: Forger) -> None:
    """A certificate that does not say by which settings it was made."""
    f.raw("certificate").head["recipe"] = {}


# -- network and card ------------------------------------------------------------------------------


@attack(failed("card"))
def a_negated_readout(f: Forger) -> None:
    """The readout negated on the card, which then decides wrongly."""
    f.change("card", readout_weights=-f.get("card").readout_weights)


@attack(failed("card"))
def a_negated_readout_with_figures_that_hold(f: Forger) -> None:
    """The readout negated on the card and in the certificate, all its figures true of it."""
    certified_readout(f, -f.get("certificate").rounded.readout)


@attack(failed("card"))
def a_negated_readout_that_descent_chose(f: Forger) -> None:
    """The readout negated, all figures true of it, and said to be what descent chose."""
    certified_readout(f, -f.get("certificate").rounded.readout)
    settings(f, "readout", readout_rounding="descent")


@attack(failed("card"))
def other_integers_in_the_readouts_file(f: Forger) -> None:
    """A readout.json of other integers, said to be what descent chose."""
    f.change("readout", biases=f.get("readout").biases + 1)
    settings(f, "readout", readout_rounding="descent")


@attack(failed("card"))
def a_readout_of_zeros(f: Forger) -> None:
    """A readout of zeros but for one weight, all figures true of it."""
    readout = np.zeros_like(f.get("certificate").rounded.readout)
    readout[0, 0] = 1
    certified_readout(f, readout)


@attack(failed("card"))
def a_coarser_step(f: Forger) -> None:
    """The readout rounded to steps twice as large, all figures true of it."""
    certificate = f.get("certificate")
    finer = certificate.rounded.frac
    certified_readout(f, np.rint(certificate.W * 2.0 ** (finer - 1)).astype(np.int64), coarser=1)


@attack(failed("card"))
def another_bias_of_the_card(f: Forger) -> None:
    """A bias one unit off on the card."""
    card = f.get("card")
    wider = replace(card.bias_format, width=9)
    f.change("card", readout_biases=card.readout_biases + 1, bias_format=wider)


@attack(failed("card"))
def another_step_of_the_card(f: Forger) -> None:
    """Weights on the card that stand for half of what is certified."""
    card = f.get("card")
    f.change(
        "card",
        readout_format=replace(card.readout_format, frac=card.readout_format.frac + 1),
        bias_format=replace(card.bias_format, frac=card.bias_format.frac + 1),
    )


@attack(failed("card"))
def another_threshold_of_the_card(f: Forger) -> None:
    """A threshold on the card that is not the network's, whether or not a sample shows it."""
    layer = first_layer(f, "card")
    layer_of(f, "card", thresholds=layer.thresholds + 1, threshold_format=QFormat(8))


@attack(failed("card"))
def another_leak_of_the_card(f: Forger) -> None:
    """A leak on the card that no sample shows, as there is one step."""
    layer_of(f, "card", leak=Leak(1, 1))


@attack(failed("card"))
def another_reset_of_the_card(f: Forger) -> None:
    """A reset on the card that no sample shows."""
    layer_of(f, "card", reset=Reset.ZERO)


@attack(failed("card"))
def a_card_that_saturates(f: Forger) -> None:
    """Membranes on the card that saturate where no sample reaches."""
    layer_of(f, "card", saturation=QFormat(20))


@attack(failed("card"))
def one_weight_more_on_the_card(f: Forger) -> None:
    """A synapse on the card that the network has not."""
    weights = first_layer(f, "card").weights.copy()
    weights[weights == 0] = 1
    layer_of(f, "card", weights=weights)


@attack(failed("network"))
def other_neurons_under_the_same_columns(f: Forger) -> None:
    """A leak of network and card that no sample shows."""
    for name in ("network", "card"):
        layer_of(f, name, leak=Leak(1, 1))


@attack(failed("network"))
def another_readout_of_the_network(f: Forger) -> None:
    """The network's real weights doubled."""
    f.change("network", readout_weights=2.0 * f.get("network").readout_weights)


@attack(failed("network"))
def another_bias_of_the_network(f: Forger) -> None:
    """The network's real biases a unit in the last place off."""
    biases = f.get("network").readout_biases
    f.change("network", readout_biases=np.nextafter(biases, 9.0))


@attack(failed("(columns|network)"))
def another_readout_mode(f: Forger) -> None:
    """Network and card that weigh the sign of the membrane in place of the spike."""
    for name in ("network", "card"):
        f.change(name, readout_mode=ReadoutMode.SIGN)


def membranes_read(f: Forger, mode: ReadoutMode) -> None:
    """Put a sound card of two of its neurons, whose membranes are the scores, in its place."""
    card = f.get("card")
    layer = first_layer(f, "card").restricted(np.arange(2), np.arange(card.n_inputs))
    f.change(
        "card",
        branches=(Branch((replace(layer, reset=Reset.NONE),)),),
        readout_mode=mode,
        readout_weights=np.eye(2, dtype=np.int64),
        readout_biases=np.zeros(2, dtype=np.int64),
    )


@attack(failed("card"))
def scores_that_are_membranes(f: Forger) -> None:
    """A card whose scores are membranes, which nothing weighs, in place of the weighed spikes."""
    membranes_read(f, ReadoutMode.MEMBRANE)


@attack(failed("card"))
def scores_that_are_the_largest_membranes(f: Forger) -> None:
    """A card whose scores are the largest membranes, the recipe too, and no branches."""
    membranes_read(f, ReadoutMode.PEAK)
    settings(f, "certificate", readout=ReadoutMode.PEAK.value)
    f.remove("branches")


@attack("readout_weights must be the identity, and readout_biases 0, for the readout membrane")
def membranes_that_are_weighed(f: Forger) -> None:
    """A network and a card that weigh membranes in place of spikes."""
    for name in ("network", "card"):
        f.raw(name).head["content"]["readout_mode"] = ReadoutMode.MEMBRANE.value


@attack(failed("columns"))
def membranes_in_the_columns(f: Forger) -> None:
    """Columns of membranes in place of spikes, all solved anew."""
    train, branches = f.get("train"), f.get("branches")
    rows = distinct_rows(train, ReadoutMode.LAST)
    inputs = train.inputs[rows.samples]
    reached = [branch_trace(each, inputs, Interval(0, 1))[-1].membranes[:, -1] for each in branches]
    places = np.cumsum([0, *(each.n_outputs for each in branches)])[
        f.get("dictionary").witnesses.T[0]
    ]
    values = np.concatenate(reached, axis=1)[:, places + f.get("dictionary").witnesses.T[1]]
    columns = np.minimum(values - values.min(), 7).astype(np.uint8)
    f.change("dictionary", max_feature=7)
    solved_anew(f, columns=columns, max_feature=7)


@attack(failed("card"))
def more_steps_on_the_card(f: Forger) -> None:
    """A card of more steps than a sample has."""
    f.change("card", n_steps=2)


@attack("does not hold|content")
def a_card_of_ten_to_the_eighteen_steps(f: Forger) -> None:
    """A card of so many steps that no machine would come to their end."""
    f.raw("card").head["content"]["n_steps"] = 10**18


@attack(failed("samples"))
def class_names_exchanged(f: Forger) -> None:
    """The names of the classes exchanged on the card."""
    interface = f.get("card").interface
    f.change("card", interface=replace(interface, classes=interface.classes[::-1]))


@attack(failed("samples"))
def ranges_of_the_card(f: Forger) -> None:
    """Ranges of the features on the card that encode samples otherwise."""
    interface = f.get("card").interface
    f.change("card", interface=replace(interface, low=interface.low - 10.0))


@attack(failed("margins"))
def wider_margins(f: Forger) -> None:
    """Margins of the training samples twice as wide."""
    part = f.get("certificate").rounded.train
    rounding(f, train=replace(part, margin=2.0 * part.margin + 1.0))


@attack(failed(r"margins \(test\)"))
def wider_margins_of_test_samples(f: Forger) -> None:
    """Margins of the test samples twice as wide."""
    (part,) = f.get("certificate").rounded.others
    rounding(f, others=(replace(part, margin=2.0 * part.margin + 1.0),))


@attack(failed(r"margins \(test\)"))
def rounding_denied(f: Forger) -> None:
    """No change by rounding claimed on the test samples."""
    (part,) = f.get("certificate").rounded.others
    rounding(f, others=(replace(part, rounding=np.zeros_like(part.rounding)),))


@attack(failed("solution"))
def another_solution(f: Forger) -> None:
    """A solution with other weights than the certificate's."""
    f.change("solution", W=2.0 * f.get("solution").W)


@attack("not checkable here: card, because card.json is not beside it")
def no_card(f: Forger) -> None:
    """The card taken away."""
    f.remove("card")


@attack("not checkable here: card, because no file says which card.json it was made from")
def a_card_that_nobody_names(f: Forger) -> None:
    """A certificate that does not name its card, beside any card."""
    del f.raw("certificate").head["parents"]["card"]
    f.change("card", readout_weights=-f.get("card").readout_weights)


@attack("is not the card of .*certificate.json: solve again")
def a_card_of_another_digest(f: Forger) -> None:
    """A certificate that names another card than lies beside it."""
    f.raw("certificate").head["parents"]["card"] = "sha256:" + "0" * 64


@attack("is of another train than")
def files_of_two_runs(f: Forger) -> None:
    """A network that names other training samples than the certificate does."""
    f.raw("network").head["parents"]["train"] = "sha256:" + "0" * 64
