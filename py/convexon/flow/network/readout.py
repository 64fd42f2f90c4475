"""The readout of a trained network, solved anew for the spikes of its integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convexon.data.samples import SAMPLES, Samples
from convexon.errors import InputError
from convexon.flow.network.solve import Drawn, Solved, dictionary, test_spikes, train_spikes, weigh
from convexon.flow.run import Keeper
from convexon.quantizer.settings import HiddenSettings, ReadoutWeights
from convexon.quantizer.trained import Trained
from convexon.train.settings import SolveSettings
from convexon.train.solved import BRANCHES


def with_readout(
    keeper: Keeper,
    trained: Trained,
    samples: Samples,
    settings: HiddenSettings,
    *,
    test: Samples | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> tuple[Trained, Solved | None]:
    """Give the network a solved readout, where the settings ask for one, and its certificate.

    The quantized hidden neurons are the only witnesses, and the rest is the chain of ``solve``:
    ``keeper`` keeps its artefacts, of which the certificate speaks. ``test`` are samples for
    bounds on what rounding does to others.

    Raises
    ------
    InputError
        If samples lack labels of a class, or the program leaves no neuron.
    SolverError
        If the gap is not reached.
    """
    if settings.readout is not ReadoutWeights.SOLVE:
        return trained, None
    hidden, interface, origin = trained.quantized.card, trained.interface, dict(recipe or {})
    if samples.labels is None or samples.classes != interface.classes:
        raise InputError(
            f"readout must be trained where samples have not labels of all "
            f"{len(interface.classes)} classes: the convex program fits it to labels"
        )
    (branch,) = hidden.branches
    chosen = SolveSettings(
        coding=interface.coding,
        steps=hidden.n_steps,
        bits=hidden.input_bits,
        readout=hidden.readout_mode,
        max_neurons=branch.n_outputs,
        rho=settings.rho,
        readout_bits=settings.readout_bits,
    )
    train = keeper.keep("samples-train", SAMPLES, samples, parents={}, recipe=origin)
    spikes = train_spikes(keeper, chosen, train, train)
    held = None
    if test is not None:
        raw = keeper.keep("samples-test", SAMPLES, test, parents={}, recipe=origin)
        held = test_spikes(keeper, chosen, raw, train)
    parents = {"samples": train.record.digest, "train": spikes.record.digest}
    branches = keeper.keep("branches", BRANCHES, (branch,), parents=parents, recipe=origin)
    columns = dictionary(keeper, chosen, spikes, branches)
    drawn = Drawn(
        train=spikes, test=held, branches=branches, dictionary=columns, interface=interface
    )
    found = weigh(keeper, drawn, train, chosen)
    return trained.with_readout(found.card.value, samples), found
