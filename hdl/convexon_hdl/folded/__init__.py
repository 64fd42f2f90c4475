"""The folded mapping: weights in memory, read for spikes only."""
