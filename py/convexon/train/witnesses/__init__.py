"""Witnesses: hidden weights on the integer grid."""
