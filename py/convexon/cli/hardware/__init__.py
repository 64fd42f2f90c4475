"""Commands that make hardware of a network, and check it."""
