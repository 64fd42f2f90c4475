"""What stands around an accelerator on a board."""
