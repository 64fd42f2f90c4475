"""What the checker recomputes of a network: neurons, columns, costs, and sets of neurons."""
