"""Commands that make a network, apply it, and check what is claimed of it."""
