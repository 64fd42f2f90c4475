"""What a run folder holds of its inferences: the golden model's trace, and the hardware's."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.flow.hardware.stimulus import Stimulus, stimulus_of
from convexon.flow.run import Made, Run
from convexon.plan.mapping import MAPPING, Mapping
from convexon.report.collect import SIMULATORS, bundle_of_card, current
from convexon.snn.card import CARD
from convexon.snn.decision import decided_trace
from convexon.snn.models import simulate
from convexon.snn.models.trace import TRACE, SpikeTrace
from convexon.snn.network import FixedPointNetwork

GOLDEN = "golden model"
MODEL = "vectorised model, which the tests hold equal to the golden one"


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """Test samples with what the network must do on them, and what its hardware did.

    Members
    -------
    mapping : of the accelerator; spatial where none was chosen
    inputs : uint8 array, shape (samples, steps, inputs)
        What the network reads.
    labels : int64 array, shape (samples,) or (samples, steps)
        Classes of the samples.
    n_test : test samples of the run; those of this recording are the first of them
    expected : what the golden model did, or a model that equals it
    reference : which of the two
    hardware : what the monitors of a simulation saw, by simulator. It has fewer samples where the
        simulation broke off.
    """

    network: FixedPointNetwork
    mapping: Mapping
    card_digest: str
    inputs: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    n_test: int
    expected: SpikeTrace
    reference: str
    hardware: MappingType[str, SpikeTrace]


def recording_of(folder: Run, *, n_samples: int | None = None) -> Recording:
    """Read the traces of a run folder.

    ``convexon verify`` keeps the golden model's trace and those of the simulations. Where it has
    not run, or has run on another card, a model runs here, and there is no hardware.

    Parameters
    ----------
    n_samples : of the first test samples; all by default

    Raises
    ------
    ArtefactError
        If the folder lacks a card or test samples, or a file is damaged.
    """
    card = folder.read("card", CARD)
    mapping = current(folder, "mapping", MAPPING, {"card": card.record.digest})
    chosen = mapping.value if mapping else Mapping.spatial(card.value)
    stimulus = stimulus_of(folder, chosen)
    labels = stimulus.labels
    assert labels is not None  # noqa: S101  (a run folder's test samples have labels)
    golden = _golden(folder, card, mapping, stimulus)
    inputs = stimulus.inputs[:n_samples]
    if golden is None:
        trace = decided_trace(chosen.decision, card.value, simulate.run(card.value, inputs))
    else:
        trace = golden.value.head(len(inputs))
    return Recording(
        network=card.value,
        mapping=chosen,
        card_digest=card.record.digest,
        inputs=inputs,
        labels=labels[:n_samples],
        n_test=len(stimulus.inputs),
        expected=trace,
        reference=MODEL if golden is None else GOLDEN,
        hardware={} if golden is None else _hardware(folder, golden, len(inputs)),
    )


def _golden(
    folder: Run,
    card: Made[FixedPointNetwork],
    mapping: Made[Mapping] | None,
    stimulus: Stimulus,
) -> Made[SpikeTrace] | None:
    """Return the golden model's trace of this card, stimulus, encoder and rule; None if none is."""
    origins = {"card": card, **stimulus.origins}
    if mapping is not None and (
        mapping.value.encoder is not None or mapping.value.decision.is_early
    ):
        origins["mapping"] = mapping
    digests = {role: made.record.digest for role, made in origins.items()}
    return current(folder, "golden", TRACE, digests)


def _hardware(folder: Run, golden: Made[SpikeTrace], n_samples: int) -> dict[str, SpikeTrace]:
    """Traces of the simulations of the bundle that lies there, against this golden trace."""
    bundle = bundle_of_card(folder)
    if bundle is None:
        return {}
    origins = {"rtl": bundle.record.digest, "golden": golden.record.digest}
    found = {name: current(folder, f"trace-{name}", TRACE, origins) for name in SIMULATORS}
    return {
        name: made.value.head(n_samples)
        for name, made in found.items()
        if made is not None and made.value.n_samples
    }
