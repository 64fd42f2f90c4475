"""Formal proofs: specifications, the prover, and whole networks by parts."""
