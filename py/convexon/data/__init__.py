"""Samples, and what makes spikes of them."""
