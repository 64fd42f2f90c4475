"""Random convex programs for the tests of the convex core."""

import numpy as np

from convexon.convex.bounds.universal import universal_bound
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import PENALTIES
from convexon.convex.model.program import ConvexProgram

LOSS_NAMES = ("squared", "logistic", "hinge", "softmax")
PENALTY_NAMES = ("l1", "group_l2", "group_linf")
FEATURES = ("binary", "counts", "mixed")


def random_features(style, rng, *, n, P):
    """Columns of spikes, of spike counts 0 to 8, or of counts in units from 1/10 to 10."""
    features = rng.random((n, P)) < 0.5 if style == "binary" else rng.integers(0, 9, (n, P))
    features[0] = 1  # no column is silent, so that rho_max is positive
    return features * rng.choice([0.1, 1.0, 10.0], P) if style == "mixed" else features


def random_program(
    kind, penalty_kind, seed, *, n=24, P=15, C=3, share=0.1, features="binary", counts=None
):
    """A program with columns of a style, uneven weights, and rho at ``share`` of rho_max.

    ``counts`` are those of the rows; "random" draws them from 1 to 40, half of them 1.
    """
    rng = np.random.default_rng(seed)
    if kind == "squared":
        targets = rng.normal(size=(n, C))
    elif kind == "softmax":
        targets = rng.permutation(np.arange(n) % min(C, n))
    elif kind == "logistic":
        targets = rng.choice([-1, 1], n)
    else:
        targets = rng.choice([-1, 1], (n, C))
    columns = random_features(features, rng, n=n, P=P)
    if counts == "random":
        rng = np.random.default_rng(seed + 2)
        counts = np.where(rng.random(n) < 0.5, 1, rng.integers(1, 41, n))

    def build(rho):
        return ConvexProgram(
            features=columns,
            targets=targets,
            loss=LOSSES[kind](),
            penalty=PENALTIES[penalty_kind](),
            rho=rho,
            weights=np.random.default_rng(seed + 1).uniform(0.5, 2.0, P),
            n_classes=min(C, n) if kind == "softmax" else None,
            counts=counts,
        )

    return build(max(share * build(1.0).rho_max(), 1e-6))


def program_bound(program):
    """The universal bound for a program's own weights and largest entry."""
    D = program.take(np.arange(program.n_columns))
    return universal_bound(
        program, min_weight=float(program.weights.min()), max_feature=max(float(D.max()), 1.0)
    )
