"""Stage ``baselines``: what simpler methods reach on the same split."""

from __future__ import annotations

import time

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

from convexon.flow.run import Made, RunFolder
from convexon.flow.solve import encode_data, samples_of
from convexon.progress import QUIET, Progress
from convexon.train.baseline import BASELINES, Baselines, logistic_regression, reservoir
from convexon.train.selection import validation_split
from convexon.train.settings import SolveSettings


def baselines_stage(
    folder: RunFolder, settings: SolveSettings, progress: Progress = QUIET
) -> Made[Baselines]:
    """Make the artefact ``baselines``, on the samples of stage ``solve``.

    Raises
    ------
    InputError
        If data or settings do not fit.
    ArtefactError
        If the folder cannot be written.
    """
    train, test = encode_data(folder, settings)

    def compute() -> Baselines:
        began = time.monotonic()
        raw_train, raw_test = samples_of(settings)
        fit, held = validation_split(raw_train.labels, raw_train.n_classes, seed=settings.seed)
        progress.begin("logistic regression on raw features")
        with threadpool_limits(limits=1, user_api="blas"):  # its products are thin
            logistic = logistic_regression(
                raw_train.take(fit, "fit"), raw_train.take(held, "validation"), raw_test
            )
        progress.begin("random reservoir with ridge readout")
        result = Baselines(
            logistic=logistic,
            reservoir=reservoir(
                train.value.take(fit),
                train.value.take(held),
                test.value,
                n_neurons=settings.max_neurons,
                generator=np.random.default_rng([settings.seed, 2]),
            ),
        )
        folder.time("baselines", time.monotonic() - began)
        return result

    return folder.made(
        "baselines",
        BASELINES,
        compute,
        parents={"train": train, "test": test},
        recipe=settings.recipe("seed", "max_neurons") | {"scikit-learn": sklearn.__version__},
    )
