"""The accelerator behind AXI: streams of words for data, registers for control and counters."""
