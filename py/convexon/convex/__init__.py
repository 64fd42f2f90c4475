"""The convex core: programs, their solver, certificates and bounds. It knows no spikes.

The program is that of arXiv:2605.08022, whose predecessor is arXiv:2303.03382::

    min_W (1/n) sum_i loss((D W)_i, y_i) + rho * Omega_w(W)

State it as a `model.program.ConvexProgram`, solve it with `solvers.solver.solve` (by loss and
penalty an active set, successive quadratic programs, first-order and Newton steps on the support,
or an interior-point method where there are other kinks), or with `solvers.solver.path` for many
rho, and read the certificate of the solution; `bounds.gap.certify` makes one for any weights.
`bounds.universal` says how much any other dictionary could still gain.
"""
