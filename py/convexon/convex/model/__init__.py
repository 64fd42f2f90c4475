"""The convex program: rows, targets, loss and penalty."""
