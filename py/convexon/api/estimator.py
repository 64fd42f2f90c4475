"""The estimator: spiking networks by convex programming, with scikit-learn's conventions."""

from __future__ import annotations

import inspect
import warnings
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from convexon.api.network import Network
from convexon.api.run import Run
from convexon.certify.certificate import Certificate
from convexon.certify.check import check
from convexon.certify.finding import Finding
from convexon.certify.network.columns import Columns
from convexon.data.labels import MULTI_LABEL, Numbered, numbered
from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.flow.network.solve import Solved, all_for_training, fit, require_same
from convexon.flow.run import Keeper
from convexon.settings import settings_of
from convexon.snn.coding import CODINGS
from convexon.snn.series import is_ragged, rectangular
from convexon.train.settings import SolveSettings

SEED = "random_state"
"""What scikit-learn calls `SolveSettings.seed`."""


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


_DEFAULTS = {
    SEED if each.name == "seed" else each.name: _plain(each.default)
    for each in settings_of(SolveSettings)
}


class FittedCertificate:
    """A certificate with the columns that it is over, so that it can be rechecked at any time.

    Members
    -------
    certificate : everything that is claimed, with the dual vectors that prove it
    """

    def __init__(self, certificate: Certificate, columns: Columns) -> None:
        self.certificate, self.columns = certificate, columns

    def check(self) -> tuple[Finding, ...]:
        """Recompute every claim in exact or directed-rounding arithmetic, sharing no solver code.

        But those of windows and of samples that were not fitted, which need the samples: over a
        run folder ``convexon certify`` checks them too.

        Raises
        ------
        ClaimError
            At the first claim that does not hold.
        """
        return tuple(check(self.certificate, self.columns))

    def __str__(self) -> str:
        return "\n".join(self.certificate.sentences)


class SpikingClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of integer LIF neurons, trained by a convex program without surrogate gradients.

    Its parameters are those of `convexon.train.settings.SolveSettings`, where ``seed`` goes by
    scikit-learn's name ``random_state``.

    Members
    -------
    classes_ : array
        Names of the classes.
    network_ : the integer network, which needs nothing of this object
    certificate_ : what is proved of the fit
    n_features_in_ : features of a sample: the length of its second axis, as scikit-learn has it
    """

    def __init__(self, **parameters: Any) -> None:
        for name, default in _DEFAULTS.items():
            setattr(self, name, parameters.pop(name, default))
        if parameters:
            raise TypeError(
                f"SpikingClassifier has no parameter {next(iter(parameters))!r}; it has "
                f"{', '.join(_DEFAULTS)}"
            )

    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            *(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                for name, default in _DEFAULTS.items()
            ),
        ]
    )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def settings(self) -> SolveSettings:
        """Return the parameters as settings, checked.

        Raises
        ------
        InputError
            If one does not fit.
        """
        parameters = self.get_params(deep=False)
        seed = parameters.pop(SEED)
        if seed is None:
            seed = int(np.random.default_rng().integers(1 << 31))
        elif isinstance(seed, np.random.RandomState):
            seed = int(seed.randint(1 << 31))
        return SolveSettings(**parameters, seed=seed)

    def fit(
        self, X: Any, y: Any, *, groups: Any = None, run: Run | None = None
    ) -> SpikingClassifier:
        """Fit to samples.

        Parameters
        ----------
        X : array, shape (samples, features), or images, series or spikes of three axes or more
            Series may have unequal lengths: a list of arrays (steps, channels), padded at their
            end.
        y : array or sequence, shape (samples,)
            Classes, of any one hashable kind.
        groups : array or sequence, shape (samples,), optional
            What each sample is of, such as its subject: validation keeps groups apart.
        run : where what is made on the way is kept; in memory by default

        Raises
        ------
        ValueError
            If samples, labels or parameters do not fit.
        SolverError
            If the duality gap is not reached.
        """
        odd = _numbered_if_odd(y)
        y = y if odd is None else odd.numbers
        values, labels = validate_data(self, self._series(X), y, allow_nd=True, dtype="numeric")
        check_classification_targets(labels)
        names = _labels(labels) if odd is None else np.array(odd.names)[labels]
        samples = Samples.of(values, names, groups=groups, name="training samples")
        if len(samples.classes) < 2:
            raise InputError("y must have two classes or more, and has one class")
        settings = self.settings()
        keeper = Keeper()
        if run is not None:
            keeper = run.folder
            require_same(run.folder, samples)
        train = all_for_training(keeper, settings, samples)
        self._keep(fit(keeper, train, None, settings))
        self.classes_ = np.asarray(samples.classes)
        if odd is not None:
            self.classes_ = np.empty(len(odd.classes), dtype=object)
            self.classes_[:] = odd.classes
        return self

    def _series(self, X: Any) -> Any:
        """Series of unequal length as one array; anything else as it is."""
        if not is_ragged(X):
            return X
        network = getattr(self, "network_", None)
        n_steps = None if network is None else network.card.n_steps
        return rectangular(X, hold=CODINGS[self.settings().known_coding].scaled, n_steps=n_steps)

    def _keep(self, made: Solved) -> None:
        """Take from a solve what the estimator offers."""
        for notice in made.notices:
            warnings.warn(notice, UserWarning, stacklevel=3)
        bits = made.drawn.dictionary.value.bits
        self.network_ = Network(made.card.value)
        self.certificate_ = FittedCertificate(
            made.certificate.value, Columns(planes=bits.planes, n_rows=bits.n_rows)
        )

    def _scores(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Scores of samples that are checked as scikit-learn does."""
        check_is_fitted(self)
        values = validate_data(self, self._series(X), reset=False, allow_nd=True, dtype="numeric")
        return self.network_.scores(values)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the class of each sample; raises ValueError if the samples do not fit."""
        found = self._scores(X).argmax(axis=1)
        names: npt.NDArray[Any] = self.classes_[found]
        return names

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the integer network's scores, shape (samples, classes), or (samples,) for two."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the softmax of the scores, shape (samples, classes).

        It is what the loss ``softmax`` makes of them; for other losses it ranks classes alike, and
        is no more than that.
        """
        scores = self._scores(X)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares


def _numbered_if_odd(labels: Any) -> Numbered | None:
    """Labels of a kind that scikit-learn does not know, such as dates or tuples; else None.

    Raises
    ------
    InputError
        If there are several labels a sample.
    """
    has_tuples = isinstance(labels, list | tuple) and any(isinstance(y, tuple) for y in labels)
    if not has_tuples:
        array = np.asarray(labels)
        if array.ndim == 2 and array.shape[1] > 1:
            raise InputError(MULTI_LABEL)
        first = next(iter(array.ravel().tolist()), None) if array.dtype.kind == "O" else None
        is_known = first is None or isinstance(first, bool | int | float | str)
        if array.ndim != 1 or (is_known and array.dtype.kind not in "MS"):
            return None
    return numbered(labels, count=len(labels))


def _labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels of one axis; a column of them is taken, with a warning, as scikit-learn does."""
    if labels.ndim == 2:
        warnings.warn("a column-vector y was passed", DataConversionWarning, stacklevel=3)
    flat: npt.NDArray[Any] = column_or_1d(labels)
    return flat
