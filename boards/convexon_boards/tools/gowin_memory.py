"""Behaviour of Gowin's block memories, in the modes that Yosys uses: outputs without a register."""

from __future__ import annotations

_ROWS = 64

_CORE = r"""
// 2048 bytes of SLICE bits with two ports; a port is a word of WIDTH bits. A word of two bytes or
// more has an enable for each byte in the lowest bits of its address.
module convexon_bsram #(parameter SLICE = 9, WIDTH_A = 9, WIDTH_B = 9, MODE_A = 0, MODE_B = 0,
    parameter [2048*SLICE-1:0] INIT = 0) (
  input clkA, ceA, weA, rstA, clkB, ceB, weB, rstB, input [13:0] adA, adB,
  input [35:0] diA, diB, output reg [35:0] doA, doB);
  reg [2048*SLICE+35:0] cells;
  initial begin cells = INIT; doA = 0; doB = 0; end
  function integer base(input [13:0] address, input integer width);
    if (width < 8) base = address[13:3] * SLICE + (address[2:0] & ~(width - 1));
    else if (width < 16) base = address[13:3] * SLICE;
    else if (width < 32) base = address[13:4] * 2 * SLICE;
    else base = address[13:5] * 4 * SLICE;
  endfunction
@PORTS@endmodule
"""

_PORT = r"""
  integer j{p};
  always @(posedge clk{p}) begin
    if (ce{p} && we{p}) begin
      for (j{p} = 0; j{p} < WIDTH_{p}; j{p} = j{p} + 1)
        if (WIDTH_{p} < 16 || ad{p}[j{p} / SLICE])
          cells[base(ad{p}, WIDTH_{p}) + j{p}] <= di{p}[j{p}];
    end
    if (rst{p}) do{p} <= 0;
    else if (ce{p} && !we{p}) do{p} <= cells[base(ad{p}, WIDTH_{p}) +: 36];
    else if (ce{p} && MODE_{p} == 1) do{p} <= di{p};
    else if (ce{p} && MODE_{p} == 2) do{p} <= cells[base(ad{p}, WIDTH_{p}) +: 36];
  end
"""


def block_memories() -> str:
    """Return the modules SP, DPB and SDPB, and those with bytes of nine bits."""
    core = _CORE.replace("@PORTS@", "".join(_PORT.format(p=p) for p in "AB"))
    return core + "".join(_cells(slice_bits) for slice_bits in (8, 9))


def _cells(slice_bits: int) -> str:
    """The three kinds with bytes of so many bits."""
    ninth = "X9" if slice_bits == 9 else ""
    wide, half = 4 * slice_bits, 2 * slice_bits
    init = ", ".join(f"INIT_RAM_{row:02X}" for row in reversed(range(_ROWS)))
    rows = "".join(
        f"  parameter [{32 * slice_bits - 1}:0] INIT_RAM_{row:02X} = 0;\n" for row in range(_ROWS)
    )
    reset = '  parameter RESET_MODE = "SYNC";\n'

    def module(name: str, ports: str, parameters: str, core: str, connections: str) -> str:
        return (
            f"module {name}({ports});\n{parameters}{reset}{rows}"
            f"  convexon_bsram #(.SLICE({slice_bits}), {core}, .INIT({{{init}}})) memory(\n"
            f"    {connections});\nendmodule\n"
        )

    unused = ".clkB(1'b0), .ceB(1'b0), .weB(1'b0), .rstB(1'b0), .adB(14'b0), .diB(36'b0), .doB()"
    single = module(
        f"SP{ninth}",
        f"output [{wide - 1}:0] DO, input [{wide - 1}:0] DI, input [2:0] BLKSEL, "
        "input [13:0] AD, input WRE, CLK, CE, OCE, RESET",
        "  parameter READ_MODE = 0, WRITE_MODE = 0, BIT_WIDTH = 32, BLK_SEL = 0;\n",
        ".WIDTH_A(BIT_WIDTH), .MODE_A(WRITE_MODE)",
        f".clkA(CLK), .ceA(CE), .weA(WRE), .rstA(RESET), .adA(AD), .diA(DI), .doA(DO), {unused}",
    )
    two = "  parameter BIT_WIDTH_0 = 16, BIT_WIDTH_1 = 16, BLK_SEL_0 = 0, BLK_SEL_1 = 0;\n"
    widths = ".WIDTH_A(BIT_WIDTH_0), .WIDTH_B(BIT_WIDTH_1)"
    double = module(
        f"DP{ninth}B",
        f"output [{half - 1}:0] DOA, DOB, input [{half - 1}:0] DIA, DIB, "
        "input [2:0] BLKSELA, BLKSELB, input [13:0] ADA, ADB, "
        "input WREA, WREB, CLKA, CLKB, CEA, CEB, OCEA, OCEB, RESETA, RESETB",
        f"{two}  parameter READ_MODE0 = 0, READ_MODE1 = 0, WRITE_MODE0 = 0, WRITE_MODE1 = 0;\n",
        f"{widths}, .MODE_A(WRITE_MODE0), .MODE_B(WRITE_MODE1)",
        ", ".join(
            f".clk{p}(CLK{p}), .ce{p}(CE{p}), .we{p}(WRE{p}), .rst{p}(RESET{p}), .ad{p}(AD{p}), "
            f".di{p}(DI{p}), .do{p}(DO{p})"
            for p in "AB"
        ),
    )
    simple = module(
        f"SDP{ninth}B",
        f"output [{wide - 1}:0] DO, input [{wide - 1}:0] DI, input [2:0] BLKSELA, BLKSELB, "
        "input [13:0] ADA, ADB, input CLKA, CLKB, CEA, CEB, OCE, RESETA, RESETB",
        f"{two}  parameter READ_MODE = 0;\n",
        widths,
        ".clkA(CLKA), .ceA(CEA), .weA(1'b1), .rstA(1'b0), .adA(ADA), .diA(DI), .doA(), "
        ".clkB(CLKB), .ceB(CEB), .weB(1'b0), .rstB(RESETB), .adB(ADB), .diB(36'b0), .doB(DO)",
    )
    return single + double + simple
