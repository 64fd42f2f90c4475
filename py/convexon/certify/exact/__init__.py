"""Losses, penalties and margins, in exact or directed-rounding arithmetic."""
