"""Sums of constant weights as graphs of additions."""
