"""The accelerator for users of VHDL and of SystemVerilog: packages, shims and examples."""
