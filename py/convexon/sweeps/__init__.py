"""Sweeps over networks and mappings, and the Pareto front of what they cost."""
