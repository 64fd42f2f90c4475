"""The cocotb bench and the runner around it."""
