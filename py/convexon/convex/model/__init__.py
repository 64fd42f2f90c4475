"""The convex program: rows, targets, loss and penalty."""

import convexon.convex.model.losses  # noqa: F401  # it registers the built-in losses
