"""The design's clock: the oscillator's own, or what the part's PLL makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from convexon.errors import InputError
from convexon.plan.cost.cells import Family
from convexon_boards.boards import Board, Vendor

TOLERANCE = 0.01
"""A PLL's clock may be that far from the one that was asked for, as a fraction."""

_NEAR = 0.2
"""Clocks up to that far are listed, so that the nearest can be named."""


@dataclass(frozen=True)
class Clocking:
    """How the design's clock is made.

    Members
    -------
    mhz : float
        What the design gets.
    verilog : str
        Statements that drive ``clk`` and ``locked`` from ``clock``.
    """

    mhz: float
    verilog: str


def clocking(board: Board, mhz: float | None = None) -> Clocking:
    """Return how ``board`` makes a clock of ``mhz``; by default its oscillator is used.

    Raises
    ------
    InputError
        If the clock is not above 0, or no PLL setting comes near it.
    """
    oscillator = board.oscillator_mhz
    if mhz is None or mhz == oscillator:
        return Clocking(oscillator, "  assign clk = clock;\n  assign locked = 1'b1;\n")
    if not 0 < mhz < float("inf"):
        raise InputError(f"freq must be above 0 MHz, not {mhz!r}")
    kind = board.vendor if isinstance(board.part, str) else board.part.family
    choices = list(_PLLS[kind](board, mhz))
    if not choices:
        raise InputError(f"freq must be one that the PLL of {board.name} can make, not {mhz:g} MHz")
    best = min(choices, key=lambda choice: abs(choice.mhz - mhz))
    if abs(best.mhz - mhz) > TOLERANCE * mhz:
        raise InputError(
            f"freq must be near {best.mhz:.3f} MHz or another clock that the PLL of {board.name} "
            f"makes of {oscillator:g} MHz, not {mhz:g}"
        )
    return best


def _pairs(limits: tuple[int, int], others: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for divisor in range(limits[0], limits[1] + 1):
        for factor in range(others[0], others[1] + 1):
            yield divisor, factor


def _ice40(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of SB_PLL40: reference 10 to 133 MHz, oscillator 533 to 1066 MHz."""
    kind, pin = ("PAD", "PACKAGEPIN") if board.pll_from_pad else ("CORE", "REFERENCECLK")
    for r, f in _pairs((0, 15), (0, 127)):
        reference = board.oscillator_mhz / (r + 1)
        vco = reference * (f + 1)
        if not (10 <= reference <= 133 and 533 <= vco <= 1066):
            continue
        limits = (17, 26, 44, 66, 101)
        filter_range = 1 + sum(reference >= limit for limit in limits)
        for q in range(1, 7):
            yield Clocking(
                vco / 2**q,
                f'  SB_PLL40_{kind} #(.FEEDBACK_PATH("SIMPLE"), .DIVR({r}), .DIVF({f}),\n'
                f"    .DIVQ({q}), .FILTER_RANGE({filter_range})) pll(.{pin}(clock),\n"
                "    .PLLOUTGLOBAL(clk), .LOCK(locked), .RESETB(1'b1), .BYPASS(1'b0));\n",
            )


def _ecp5(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of EHXPLLL: reference from 3.125 MHz on, oscillator 400 to 800 MHz."""
    for i, f in _pairs((1, 32), (1, 80)):
        out = board.oscillator_mhz / i * f
        if board.oscillator_mhz / i < 3.125 or abs(out - mhz) > _NEAR * mhz:
            continue
        p = round(600 / out)
        if 1 <= p <= 128 and 400 <= out * p <= 800:
            yield Clocking(
                out,
                f"  EHXPLLL #(.CLKI_DIV({i}), .CLKFB_DIV({f}), .CLKOP_DIV({p}),\n"
                f'    .CLKOP_ENABLE("ENABLED"), .CLKOP_CPHASE({p - 1}), .CLKOP_FPHASE(0),\n'
                '    .FEEDBK_PATH("CLKOP")) pll(.CLKI(clock), .CLKFB(clk), .CLKOP(clk),\n'
                "    .LOCK(locked), .RST(1'b0), .STDBY(1'b0), .ENCLKOP(1'b0));\n",
            )


_GOWIN_VCO = {"GW1NR-9C": (400, 1200), "GW2AR-18C": (500, 1250)}
_GOWIN_ODIV = (2, 4, 8, *range(16, 129, 16))


def _gowin(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of rPLL: reference from 3 MHz on, oscillator as the part has it."""
    device = board.open_part.device
    low, high = _GOWIN_VCO[device]
    for i, f in _pairs((0, 63), (0, 63)):
        out = board.oscillator_mhz / (i + 1) * (f + 1)
        if board.oscillator_mhz / (i + 1) < 3 or abs(out - mhz) > _NEAR * mhz:
            continue
        for o in _GOWIN_ODIV:
            if low <= out * o <= high:
                yield Clocking(
                    out,
                    f'  rPLL #(.FCLKIN("{board.oscillator_mhz:g}"), .DEVICE("{device}"),\n'
                    f"    .IDIV_SEL({i}), .FBDIV_SEL({f}), .ODIV_SEL({o}),\n"
                    '    .CLKFB_SEL("internal"), .CLKOUT_BYPASS("false")) pll(.CLKIN(clock),\n'
                    "    .CLKOUT(clk), .LOCK(locked), .CLKFB(1'b0), .RESET(1'b0), .RESET_P(1'b0),\n"
                    "    .FBDSEL(6'b0), .IDSEL(6'b0), .ODSEL(6'b0), .PSDA(4'b0), .DUTYDA(4'b0),\n"
                    "    .FDLY(4'b0));\n",
                )


def _vivado(board: Board, mhz: float) -> Iterator[Clocking]:
    """Settings of MMCME2_BASE: oscillator 600 to 1200 MHz."""
    for d, f in _pairs((1, 10), (2, 64)):
        vco = board.oscillator_mhz / d * f
        if not (board.oscillator_mhz / d >= 10 and 600 <= vco <= 1200):
            continue
        o = max(1, min(128, round(vco / mhz)))
        period = f"{1000 / board.oscillator_mhz:.3f}"
        yield Clocking(
            vco / o,
            "  wire made, feedback;\n"
            f"  MMCME2_BASE #(.CLKIN1_PERIOD({period}), .DIVCLK_DIVIDE({d}),\n"
            f"    .CLKFBOUT_MULT_F({f}.0), .CLKOUT0_DIVIDE_F({o}.0)) pll(.CLKIN1(clock),\n"
            "    .CLKFBIN(feedback), .CLKFBOUT(feedback), .CLKOUT0(made), .LOCKED(locked),\n"
            "    .RST(1'b0), .PWRDWN(1'b0));\n"
            "  BUFG buffer(.I(made), .O(clk));\n",
        )


_ALTERA_MHZ = (1.2, 400.0)
"""Clocks of a Cyclone V PLL: 600 MHz over 512, and what the slowest grade's clock nets take."""


def _quartus(board: Board, mhz: float) -> Iterator[Clocking]:
    """Quartus finds the settings of its altera_pll: the clock that was asked for, if it can."""
    low, high = _ALTERA_MHZ
    mhz = min(max(mhz, low), high)
    yield Clocking(
        mhz,
        f'  altera_pll #(.reference_clock_frequency("{board.oscillator_mhz:.6f} MHz"),\n'
        '    .operation_mode("direct"), .number_of_clocks(1),\n'
        f'    .fractional_vco_multiplier("false"), .output_clock_frequency0("{mhz:.6f} MHz"),\n'
        "    .duty_cycle0(50)) pll(.refclk(clock),\n"
        "    .outclk(clk), .locked(locked), .rst(1'b0));\n",
    )


_PLLS: dict[Family | Vendor | None, Callable[[Board, float], Iterable[Clocking]]] = {
    Family.ICE40: _ice40,
    Family.ECP5: _ecp5,
    Family.GOWIN: _gowin,
    Vendor.VIVADO: _vivado,
    Vendor.QUARTUS: _quartus,
}
