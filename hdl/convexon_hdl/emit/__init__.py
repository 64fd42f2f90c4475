"""From a component to Verilog and its description."""
