"""The host's end of the link to a board: frames, sessions, and data sets sent through them."""
