"""Simulation: one cocotb bench that Verilator and Icarus run, and the runner around it."""
