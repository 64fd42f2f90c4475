"""Stages of a board: its bitstream, its energy, and what it answers."""
