"""Obligations of each kind of part."""
