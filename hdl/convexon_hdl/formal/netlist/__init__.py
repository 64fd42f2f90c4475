"""The emitted Verilog as a netlist, and what its words are."""
