"""Real weights to integers, with bounds on what that changes."""
