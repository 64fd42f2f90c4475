"""Neuron, layer, stage, readout, decision, and the accelerator that they make."""
