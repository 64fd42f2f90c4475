"""Solvers of the convex program; a certified duality gap ends them."""
