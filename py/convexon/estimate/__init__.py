"""What an inference costs, before there is hardware: operations and their energy."""
