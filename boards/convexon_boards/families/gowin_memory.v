// Behaviour of Gowin's block memories in the modes that Yosys uses: outputs without a register.
`define CONVEXON_ROWS(WIDTH) \
  parameter [WIDTH-1:0] \
    INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0, \
    INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0, INIT_RAM_08 = 0, INIT_RAM_09 = 0, \
    INIT_RAM_0A = 0, INIT_RAM_0B = 0, INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, \
    INIT_RAM_0F = 0, INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0, \
    INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0, INIT_RAM_18 = 0, \
    INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0, \
    INIT_RAM_1E = 0, INIT_RAM_1F = 0, INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, \
    INIT_RAM_23 = 0, INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0, \
    INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0, \
    INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0, INIT_RAM_30 = 0, INIT_RAM_31 = 0, \
    INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0, \
    INIT_RAM_37 = 0, INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0, \
    INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0;
`define CONVEXON_INIT { \
    INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A, INIT_RAM_39, \
    INIT_RAM_38, INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34, INIT_RAM_33, INIT_RAM_32, \
    INIT_RAM_31, INIT_RAM_30, INIT_RAM_2F, INIT_RAM_2E, INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B, \
    INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28, INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24, \
    INIT_RAM_23, INIT_RAM_22, INIT_RAM_21, INIT_RAM_20, INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D, \
    INIT_RAM_1C, INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18, INIT_RAM_17, INIT_RAM_16, \
    INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10, INIT_RAM_0F, \
    INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A, INIT_RAM_09, INIT_RAM_08, \
    INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04, INIT_RAM_03, INIT_RAM_02, INIT_RAM_01, \
    INIT_RAM_00}

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

  integer jA;
  always @(posedge clkA) begin
    if (ceA && weA) begin
      for (jA = 0; jA < WIDTH_A; jA = jA + 1)
        if (WIDTH_A < 16 || adA[jA / SLICE])
          cells[base(adA, WIDTH_A) + jA] <= diA[jA];
    end
    if (rstA) doA <= 0;
    else if (ceA && !weA) doA <= cells[base(adA, WIDTH_A) +: 36];
    else if (ceA && MODE_A == 1) doA <= diA;
    else if (ceA && MODE_A == 2) doA <= cells[base(adA, WIDTH_A) +: 36];
  end

  integer jB;
  always @(posedge clkB) begin
    if (ceB && weB) begin
      for (jB = 0; jB < WIDTH_B; jB = jB + 1)
        if (WIDTH_B < 16 || adB[jB / SLICE])
          cells[base(adB, WIDTH_B) + jB] <= diB[jB];
    end
    if (rstB) doB <= 0;
    else if (ceB && !weB) doB <= cells[base(adB, WIDTH_B) +: 36];
    else if (ceB && MODE_B == 1) doB <= diB;
    else if (ceB && MODE_B == 2) doB <= cells[base(adB, WIDTH_B) +: 36];
  end
endmodule

// The memories with one port, with two, and with one to write and one to read, of BITS to a byte.
`define CONVEXON_MEMORIES(SINGLE, DUAL, SEMI, BITS) \
module SINGLE(output [4*BITS-1:0] DO, input [4*BITS-1:0] DI, input [2:0] BLKSEL, \
  input [13:0] AD, input WRE, CLK, CE, OCE, RESET); \
  parameter READ_MODE = 0, WRITE_MODE = 0, BIT_WIDTH = 32, BLK_SEL = 0; \
  parameter RESET_MODE = "SYNC"; \
  `CONVEXON_ROWS(32*BITS) \
  convexon_bsram #(.SLICE(BITS), .WIDTH_A(BIT_WIDTH), .MODE_A(WRITE_MODE), \
      .INIT(`CONVEXON_INIT)) memory( \
    .clkA(CLK), .ceA(CE), .weA(WRE), .rstA(RESET), .adA(AD), .diA(DI), .doA(DO), \
    .clkB(1'b0), .ceB(1'b0), .weB(1'b0), .rstB(1'b0), .adB(14'b0), .diB(36'b0), .doB()); \
endmodule \
module DUAL(output [2*BITS-1:0] DOA, DOB, input [2*BITS-1:0] DIA, DIB, \
  input [2:0] BLKSELA, BLKSELB, input [13:0] ADA, ADB, \
  input WREA, WREB, CLKA, CLKB, CEA, CEB, OCEA, OCEB, RESETA, RESETB); \
  parameter BIT_WIDTH_0 = 16, BIT_WIDTH_1 = 16, BLK_SEL_0 = 0, BLK_SEL_1 = 0; \
  parameter READ_MODE0 = 0, READ_MODE1 = 0, WRITE_MODE0 = 0, WRITE_MODE1 = 0; \
  parameter RESET_MODE = "SYNC"; \
  `CONVEXON_ROWS(32*BITS) \
  convexon_bsram #(.SLICE(BITS), .WIDTH_A(BIT_WIDTH_0), .WIDTH_B(BIT_WIDTH_1), \
      .MODE_A(WRITE_MODE0), .MODE_B(WRITE_MODE1), .INIT(`CONVEXON_INIT)) memory( \
    .clkA(CLKA), .ceA(CEA), .weA(WREA), .rstA(RESETA), .adA(ADA), .diA(DIA), .doA(DOA), \
    .clkB(CLKB), .ceB(CEB), .weB(WREB), .rstB(RESETB), .adB(ADB), .diB(DIB), .doB(DOB)); \
endmodule \
module SEMI(output [4*BITS-1:0] DO, input [4*BITS-1:0] DI, input [2:0] BLKSELA, BLKSELB, \
  input [13:0] ADA, ADB, input CLKA, CLKB, CEA, CEB, OCE, RESETA, RESETB); \
  parameter BIT_WIDTH_0 = 16, BIT_WIDTH_1 = 16, BLK_SEL_0 = 0, BLK_SEL_1 = 0; \
  parameter READ_MODE = 0; \
  parameter RESET_MODE = "SYNC"; \
  `CONVEXON_ROWS(32*BITS) \
  convexon_bsram #(.SLICE(BITS), .WIDTH_A(BIT_WIDTH_0), .WIDTH_B(BIT_WIDTH_1), \
      .INIT(`CONVEXON_INIT)) memory( \
    .clkA(CLKA), .ceA(CEA), .weA(1'b1), .rstA(1'b0), .adA(ADA), .diA(DI), .doA(), \
    .clkB(CLKB), .ceB(CEB), .weB(1'b0), .rstB(RESETB), .adB(ADB), .diB(36'b0), .doB(DO)); \
endmodule
`CONVEXON_MEMORIES(SP, DPB, SDPB, 8)
`CONVEXON_MEMORIES(SPX9, DPX9B, SDPX9B, 9)
