"""The version of Convexon, which all four packages share."""

__version__ = "0.1.0"
