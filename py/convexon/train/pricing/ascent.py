"""Pricing by surrogate ascent on ``lambda^T s``, quantized on the grid at every step.

Needs the torch extra: `convexon.train.surrogate.ascent` climbs, this module asks it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.errors import require_positive
from convexon.snn.neuron import ReadoutMode
from convexon.train.pricing.oracle import Proposal, candidates, proposed
from convexon.train.pricing.site import PricingProblem, Site


@dataclass(frozen=True, kw_only=True)
class SurrogateAscent:
    """Starts from witnesses drawn at random, each with a direction of its own, and climbs."""

    n_candidates: int = 64  # neurons that climb side by side
    n_steps: int = 40  # of the optimizer

    def __post_init__(self) -> None:
        require_positive(n_candidates=self.n_candidates, n_steps=self.n_steps)

    @property
    def name(self) -> str:  # noqa: D102
        return f"surrogate ascent, {self.n_candidates} candidates of {self.n_steps} steps"

    def propose(  # noqa: D102
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        from convexon.train.surrogate.ascent import Stimulus, ascend
        from convexon.train.surrogate.grid import WeightGrid

        layer = candidates(site, self.n_candidates, generator)
        directions = problem.directions(self.n_candidates, generator)
        signal, mode = site.signal, site.mode
        if site.memoryless:  # each row depends on one step alone
            signal, mode = site.last_step()[:, None], ReadoutMode.LAST
        elif mode is ReadoutMode.STEP:  # rows that were merged away have no pull
            every = np.zeros((len(signal) * signal.shape[1], self.n_candidates))
            every[site.rows.index] = directions
            directions = every
        climbed = ascend(
            layer,
            Stimulus(signal=signal, reach=site.reach, mode=mode),
            directions,
            grid=WeightGrid.of_family(site.family),
            steps=self.n_steps,
            seed=int(generator.integers(2**31)),
        )
        return proposed(problem, site, climbed, n_seen=self.n_candidates * self.n_steps)
