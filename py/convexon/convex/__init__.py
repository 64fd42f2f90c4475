"""The convex core: programs, their solver, certificates and bounds.

The program is that of arXiv:2605.08022, whose predecessor is arXiv:2303.03382::

    min_W (1/n) sum_i loss((D W)_i, y_i) + rho * Omega_w(W)

State it as a `ConvexProgram`, solve it with `solve` (first-order and Newton steps on the support,
or an interior-point method where there are other kinks), or with `path` for many rho, and read the
`GapCertificate` of the solution; `certify` makes one for any weights. `universal_bound` says how
much any other dictionary could still gain. The same program through cone solvers is in
`convexon.convex.crosscheck`, which is not imported here because CVXPY is slow to load.
"""

from convexon.convex.bound import (
    program_bound,
    squared_arrangement,
    universal_bound,
)
from convexon.convex.certificate import GapCertificate, certify
from convexon.convex.loss import Hinge, Logistic, Loss, LossKind, Softmax, Squared, loss_for
from convexon.convex.penalty import L1, GroupL2, GroupLInf, Penalty, PenaltyKind, penalty_for
from convexon.convex.program import ConvexProgram
from convexon.convex.record import GapRecord
from convexon.convex.regularization import path
from convexon.convex.solver import Solution, gap_target, solve

__all__ = [
    "L1",
    "ConvexProgram",
    "GapCertificate",
    "GapRecord",
    "GroupL2",
    "GroupLInf",
    "Hinge",
    "Logistic",
    "Loss",
    "LossKind",
    "Penalty",
    "PenaltyKind",
    "Softmax",
    "Solution",
    "Squared",
    "certify",
    "gap_target",
    "loss_for",
    "path",
    "penalty_for",
    "program_bound",
    "solve",
    "squared_arrangement",
    "universal_bound",
]
