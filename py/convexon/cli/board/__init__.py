"""Commands that bring the hardware to a board."""
