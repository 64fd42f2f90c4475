"""The spike dictionary: what witnesses do on the training rows."""
