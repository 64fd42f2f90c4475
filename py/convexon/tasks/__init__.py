"""Tasks: labelled samples, split into training and test, ready to be encoded."""
