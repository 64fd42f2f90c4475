"""Logic, memory and delay of a mapping, and the search for one that fits."""
