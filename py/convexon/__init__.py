"""Convexon: spiking networks from a convex program to an FPGA, with proof at every step."""

__version__ = "0.1.0"
