"""Hardware: Amaranth components of the accelerator, the Verilog emitter, and formal proofs."""
