"""Stages that make a network: solve, bring one in, weigh its readout anew."""
