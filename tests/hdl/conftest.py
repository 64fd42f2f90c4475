"""Tests of the hardware. What they share lies in this folder, which pytest puts on the path."""
