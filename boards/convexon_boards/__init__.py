"""Boards: builds with real tools, and what they report."""
