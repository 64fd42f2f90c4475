"""Proofs of whole networks by parts, on the emitted Verilog."""
