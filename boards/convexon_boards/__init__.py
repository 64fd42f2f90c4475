"""Boards: what a network takes on them, builds with real tools, and what these report.

``board`` and ``catalogue`` say what a board is, ``toolchain`` and ``families`` what builds for its
part. ``design`` puts clock, reset and link around an accelerator, ``tools`` run Yosys and nextpnr,
``build`` goes from one to the other, and ``built`` holds the results. ``energy`` is that of a
netlist on a part.
"""
