"""Models that run a network: the golden one, a vectorised one, and one of real numbers."""
