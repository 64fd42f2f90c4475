"""Circuits whose current on an iCE40UP5K is published, in Verilog that is mapped as they were.

They are those of ``power_test/rgb_blink.v`` in `TINYVISION`, written
anew without their pads: a counter alone, or beside two counters of 8 bits and the product of the
two. The currents are of the core rail, at 1.219 V; that of the oscillator or the pad that makes the
clock is part of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TINYVISION = "tinyVision.ai, ice40_power (github.com/tinyvision-ai-inc/ice40_power), Joulescope"

MEASURED_VOLTS = 1.219
"""Core supply of the measured iCE40UP5K."""

TOP = "measured"
"""Name of the circuits' module."""

PORTS: Mapping[str, str] = MappingProxyType({"clock": "clk"})
"""What `convexon_boards.energy.nets.watch_of` is told of their ports."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A circuit and its published current.

    Members
    -------
    verilog : str
    clock_mhz : float
    amperes : float
        Of the core rail.
    """

    verilog: str
    clock_mhz: float
    amperes: float

    @property
    def watts(self) -> float:
        """Power of the core."""
        return self.amperes * MEASURED_VOLTS


def _counter(bits: int) -> str:
    return (
        f"module {TOP}(input clk, output busy);\n"
        f"  reg [{bits - 1}:0] count = 0;\n"
        f"  always @(posedge clk) count <= count + 1'b1;\n"
        f"  assign busy = count[{bits - 1}];\n"
        "endmodule\n"
    )


_MULTIPLIER = f"""\
module {TOP}(input clk, output busy);
  reg [23:0] count = 0;
  reg [7:0] a = 0, b = 0;
  (* keep *) wire [15:0] product = a * b;  // kept, though it is never all ones
  always @(posedge clk) begin
    count <= count + 1'b1;
    a <= a + 3;
    b <= b + 5;
  end
  assign busy = count[23] | (&a) | (&b) | (&product);
endmodule
"""

MEASURED: Mapping[str, Measured] = MappingProxyType(
    {
        "counter-28": Measured(verilog=_counter(28), clock_mhz=12.0, amperes=613.5e-6),
        "counter-224": Measured(verilog=_counter(224), clock_mhz=12.0, amperes=641.3e-6),
        "counter-24-at-48": Measured(verilog=_counter(24), clock_mhz=48.0, amperes=2184e-6),
        "multiplier": Measured(verilog=_MULTIPLIER, clock_mhz=12.0, amperes=996e-6),
    }
)
"""By name. The multiplier's clock is from the part's own oscillator, as is that of 48 MHz."""
