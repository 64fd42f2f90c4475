"""A sweep over networks and targets, on samples in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexon.api.estimator import SpikingClassifier
from convexon.data.loading import to_npz
from convexon.data.samples import Samples
from convexon.errors import MissingToolError
from convexon.sweeps.point import Exploration, Point
from convexon.sweeps.stage import explore_stage
from convexon.sweeps.sweep import AXES, LIMITS, plain, sweep_from
from convexon.tools.scratch import Scratch

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Front:
    """Points that none beats, and the figures that they are weighed by."""

    points: tuple[Point, ...]

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a point, its settings and its figures as columns.

        Raises
        ------
        MissingToolError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingToolError("pandas is not installed: pip install pandas") from None
        return pandas.DataFrame(
            [
                {**point.settings, **{figure.name: figure.value for figure in point.figures}}
                for point in self.points
            ]
        )


@dataclass(frozen=True, eq=False)
class Explored:
    """What a sweep found."""

    exploration: Exploration

    @property
    def front(self) -> Front:
        """The points that none beats."""
        points = self.exploration.points
        return Front(tuple(points[k] for k in self.exploration.front))


def explore(
    classifier: SpikingClassifier,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    split: Any = None,
    targets: Sequence[str] = (),
    folder: str | Path | None = None,
    **axes: Any,
) -> Explored:
    """Try combinations of settings and targets, and weigh what comes of them.

    Parameters
    ----------
    classifier : its parameters are the settings that are not varied
    X, y, groups, split : array or sequence
        Samples, and labels and the like of them as `convexon.data.samples.Samples.of` takes them. A
        share is held out for the test where no split is given.
    targets : boards to fit
    folder : where points are kept and reused; a temporary one by default
    axes : a value, or a list of values to try, of any setting, and limits such as ``luts``; of the
        values of ``rho`` each network chooses

    Raises
    ------
    InputError
        If a setting does not fit, or no point does.
    """
    given = {"board": list(targets) or None, **axes}
    fixed = {name: plain(value) for name, value in vars(classifier.settings()).items()}
    rho = given.pop("rho", fixed.pop("rho"))
    varied = {name: value for name, value in given.items() if name in AXES and value is not None}
    tables: dict[str, Any] = {
        "rho": rho,
        "sweep": {**{k: v for k, v in fixed.items() if v is not None}, **varied},
        "budget": {name: value for name, value in given.items() if name in LIMITS},
    }
    unknown = set(given) - set(AXES) - set(LIMITS)
    tables["sweep"] |= {name: given[name] for name in unknown}  # refused by name below
    samples = Samples.of(X, y, groups=groups, split=split)
    _ = samples.known_labels  # there must be some
    with Scratch() as temporary:
        data = temporary / "samples.npz"
        to_npz(data, samples)
        root = temporary / "sweep" if folder is None else Path(folder)
        sweep = sweep_from({**tables, "data": str(data)})
        return Explored(explore_stage(root, sweep).exploration)
