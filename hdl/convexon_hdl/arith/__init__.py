"""Exact integer arithmetic in Amaranth."""
