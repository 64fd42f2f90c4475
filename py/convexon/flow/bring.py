"""Bring a network that was not solved here into a run folder."""

from __future__ import annotations

from pathlib import Path

from convexon.data.dataset import DATASET
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import InputError
from convexon.flow.run import Run
from convexon.interop.importers import importer_for
from convexon.snn.card import CARD


def bring(run: Run, file: Path, *, kind: str | None = None, samples: Samples | None = None) -> str:
    """Keep the network of ``file`` as the card of ``run``, and samples as its test samples.

    Returns
    -------
    str
        The line with the figures that matter.

    Raises
    ------
    ConvexonError
        If the file holds no network, the samples do not fit it, or the folder has a card already.
    """
    if run.has("card"):
        raise InputError(f"{run.path} has a network already: choose another folder")
    network = importer_for(file, kind).read(file)
    recipe = {"file": file.name}
    told = ""
    if samples is not None:
        if network.interface is None:
            raise InputError("data must be left out: the card does not say how samples are encoded")
        named = samples.named_as(network.interface.classes)
        data = named.encoded(network.interface, n_steps=network.n_steps, bits=network.input_bits)
        run.keep("samples-test", SAMPLES, named, parents={}, recipe=recipe)
        run.keep("test", DATASET, data, parents={}, recipe=recipe)
        told = f", {data.n_samples} test samples"
    run.keep("card", CARD, network, parents={}, recipe=recipe)
    return (
        f"import: {network.n_neurons} neurons, {network.n_synapses} synapses, "
        f"{network.n_steps} steps{told}, {run.file('card')}"
    )
