"""Random convex programs for the tests of the convex core."""

import numpy as np

from convexon.convex import ConvexProgram, LossKind, loss_for, penalty_for


def random_program(kind, penalty_kind, seed, *, n=24, P=15, C=3, share=0.1):
    """A program with binary columns, uneven weights, and rho at ``share`` of rho_max."""
    rng = np.random.default_rng(seed)
    if kind is LossKind.SQUARED:
        targets = rng.normal(size=(n, C))
    elif kind is LossKind.SOFTMAX:
        targets = rng.permutation(np.arange(n) % min(C, n))
    elif kind is LossKind.LOGISTIC:
        targets = rng.choice([-1, 1], n)
    else:
        targets = rng.choice([-1, 1], (n, C))
    features = rng.random((n, P)) < 0.5
    features[0] = True  # no column is silent, so that rho_max is positive

    def build(rho):
        return ConvexProgram(
            features=features,
            targets=targets,
            loss=loss_for(kind),
            penalty=penalty_for(penalty_kind),
            rho=rho,
            weights=np.random.default_rng(seed + 1).uniform(0.5, 2.0, P),
        )

    return build(max(share * build(1.0).rho_max(), 1e-6))
