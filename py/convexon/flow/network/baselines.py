"""What simpler methods reach on the same split."""

from __future__ import annotations

import time

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

from convexon.data.dataset import SpikeDataset
from convexon.data.samples import Samples
from convexon.flow.network.solve import held_out, interface_of, test_spikes, train_spikes
from convexon.flow.run import Made, Run
from convexon.flow.stage import stage
from convexon.progress import QUIET, Progress
from convexon.train.baseline import BASELINES, Baselines, logistic_regression, reservoir
from convexon.train.selection import validation_split
from convexon.train.settings import SolveSettings


def baselines(
    run: Run, samples: Samples, settings: SolveSettings, progress: Progress = QUIET
) -> Made[Baselines]:
    """Tune and test the baselines on the samples of `convexon.flow.network.solve.solve`.

    Raises
    ------
    InputError
        If samples or settings do not fit.
    ArtefactError
        If the folder cannot be written.
    """
    began = time.monotonic()
    settings = settings.on(samples)
    train, test = held_out(run, settings, samples)
    spikes = train_spikes(run, settings, train, train), test_spikes(run, settings, test, train)
    progress.begin("logistic regression on raw features, random reservoir with ridge readout")
    made = _compared(run, settings, train, test, *spikes, sklearn.__version__)
    if not made.reused:
        run.time("baselines", time.monotonic() - began)
    return made


@stage("baselines", BASELINES)
def _compared(
    settings: SolveSettings,
    raw_train: Made[Samples],
    raw_test: Made[Samples],
    train: Made[SpikeDataset],
    test: Made[SpikeDataset],
    scikit_learn: str,
) -> Baselines:
    """Compare on scaled features, and on spikes; ``scikit_learn`` is its version."""
    labels = train.value.labels
    fit, held = validation_split(labels, train.value.groups, seed=settings.seed)
    interface = interface_of(settings, raw_train.value)
    features = interface.scaled(raw_train.value.values).reshape(len(labels), -1)
    unseen = interface.scaled(raw_test.value.values).reshape(len(test.value.labels), -1)
    with threadpool_limits(limits=1, user_api="blas"):  # its products are thin
        logistic = logistic_regression(
            (features[fit], labels[fit]),
            (features[held], labels[held]),
            (unseen, test.value.labels),
        )
    return Baselines(
        logistic=logistic,
        reservoir=reservoir(
            train.value.take(fit),
            train.value.take(held),
            test.value,
            n_neurons=settings.max_neurons,
            generator=np.random.default_rng([settings.seed, 2]),
        ),
    )
