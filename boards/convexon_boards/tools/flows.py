"""Yosys scripts for each family, from Verilog to the vendor's cells.

The steps are those of Yosys' ``synth_ecp5``, ``synth_ice40`` and ``synth_gowin`` with changes for a
design that is mostly tables of four inputs and short adders:

- a constant table that a four-bit address selects from is one LUT4, and is mapped so at once;
- each adder becomes one carry chain. Left alone, Yosys would merge a tree of adders into
  compressors of plain logic, which take two LUT4s for a bit where a chain takes one, and are
  slower;
- LUTs are not joined to wider ones, which costs clock and saves none;
- constant memories go to block RAM by what they would cost in LUT4s: an eighth for each bit.
"""

from __future__ import annotations

from convexon.plan.cost.cells import Family

TECHMAP = r"""
(* techmap_celltype = "$shr $shift $shiftx" *)
module _convexon_table (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  parameter _TECHMAP_CONSTMSK_A_ = 0;
  parameter _TECHMAP_CONSTVAL_A_ = 0;
  (* force_downto *) input [A_WIDTH-1:0] A;
  (* force_downto *) input [B_WIDTH-1:0] B;
  (* force_downto *) output [Y_WIDTH-1:0] Y;
  wire _TECHMAP_FAIL_ =
    !(&_TECHMAP_CONSTMSK_A_) || A_SIGNED || B_SIGNED || B_WIDTH > 4 || Y_WIDTH != 1;
  \$lut #(.WIDTH(B_WIDTH), .LUT(_TECHMAP_CONSTVAL_A_)) _TECHMAP_REPLACE_ (.A(B), .Y(Y));
endmodule

(* techmap_celltype = "$add" *)
module _convexon_add (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  (* force_downto *) input [A_WIDTH-1:0] A;
  (* force_downto *) input [B_WIDTH-1:0] B;
  (* force_downto *) output [Y_WIDTH-1:0] Y;
  wire [Y_WIDTH-1:0] propagate, carry;
  \$alu #(
    .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED),
    .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)
  ) _TECHMAP_REPLACE_ (
    .A(A), .B(B), .BI(1'b0), .CI(1'b0), .Y(Y), .X(propagate), .CO(carry)
  );
endmodule
"""

FLOW_VERSION = 2
"""Raised whenever the steps below change, so that a cached count is not taken for a new one."""

_COARSE = (
    "proc",
    "flatten",
    "opt_expr",
    "opt_clean",
    "opt -nodffe -nosdff",
    "opt",
    "wreduce",
    "peepopt",
    "opt_clean",
    "memory_dff",
    "techmap -map convexon.v",
    "alumacc",
    "opt",
    "memory -nomap",
    "opt_clean",
)

_NO_VERIFY = "scratchpad -set abc9.verify false"
"""ABC would prove its result equal to its input by SAT, which takes minutes where adders are shared
over many levels, and changes nothing. Netlists are compared with the traces instead."""

_ROM_BIT_COST = 1 / 8
"""LUT4s that a constant bit takes outside of block RAM, multiplexers included (random ROMs of 1 to
2 Kibit: 0.15). A block is taken to cost 128 of them on ECP5 and Gowin, and 64 on iCE40."""

_MEMORY_MAP = f"memory_libmap -logic-cost-rom {_ROM_BIT_COST}"

_ECP5 = "synth_ecp5 -noiopad -nodsp -nowidelut"

_ICE40 = "synth_ice40 -device u"

_GOWIN = "synth_gowin -family gw2a -nodsp -nowidelut"

_FINE = {
    Family.ECP5: (
        f"{_MEMORY_MAP} -lib +/lattice/lutrams_trellis.txt -lib +/lattice/brams_16kd.txt",
        "techmap -map +/lattice/lutrams_map_trellis.v -map +/lattice/brams_map_16kd.v",
        f"{_ECP5} -run map_ffram:check",
    ),
    Family.ICE40: (
        f"{_MEMORY_MAP} -lib +/ice40/brams.txt",
        "techmap -map +/ice40/brams_map.v",
        "ice40_braminit",
        f"{_ICE40} -run map_ffram:check",
    ),
    Family.GOWIN: (
        f"{_MEMORY_MAP} -lib +/gowin/lutrams.txt -lib +/gowin/brams.txt",
        "techmap -map +/gowin/lutrams_map.v -map +/gowin/brams_map.v",
        f"{_GOWIN} -run map_ffram:check",
    ),
}

_BEGIN = {
    Family.ECP5: (_ECP5, "coarse"),
    Family.ICE40: (_ICE40, "flatten"),
    Family.GOWIN: (_GOWIN, "coarse"),
}
"""How the models of the cells are read: the command, and the label behind that step."""


def synthesis_script(family: Family, top: str) -> list[str]:
    """Return the commands that turn the module ``top`` of design.v into cells of ``family``.

    They read `TECHMAP` as convexon.v, and write stat.json, netlist.v and netlist.json.
    """
    begin, end = _BEGIN[family]
    return [
        _NO_VERIFY,
        "read_verilog design.v",
        f"{begin} -top {top} -run begin:{end}",
        *_COARSE,
        *_FINE[family],
        "autoname",  # cells by the nets that they drive, so that a critical path can be read
        "blackbox =A:whitebox",  # the models of the cells stay out of the netlist
        "tee -q -o stat.json stat -json",
        "write_verilog -noattr netlist.v",
        "write_json netlist.json",
    ]
