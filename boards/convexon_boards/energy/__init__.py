"""Energy of a design on a part: switching of the mapped netlist, times energies with a source."""
