"""What is proved of a solution: duality gaps and universal lower bounds."""
