"""A board's whole design in Verilator, behind a serial port that a host opens as any other."""

from __future__ import annotations

import select
from collections.abc import Mapping
from contextlib import ExitStack

from convexon.errors import InputError, ToolError
from convexon.tools.process import started
from convexon_sim.build import program
from convexon_sim.programs.words import shipped
from convexon_sim.simulator import SimulatorKind, find

NAME = "serial_board"
"""Name of the program."""

_COMPILE_SECONDS, _START_SECONDS = 600.0, 30.0


class SimulatedBoard:
    """A board that runs while the context lasts.

    The design's ports are ``clock``, ``rx`` and ``tx``, and what ``pins`` names. Time in it passes
    as fast as the simulation goes, and slowly while nothing moves.

    Parameters
    ----------
    verilog : the whole design
    top : its top module
    divisor : clocks of a bit
    host_divisor : clocks of a bit that the host sends; ``divisor`` by default
    pins : levels of further inputs

    Members
    -------
    port : name of the serial port, within the context

    Raises
    ------
    InputError
        If a bit has no clock.
    ToolError
        If Verilator is missing, the design does not compile, or the program does not start.
    """

    def __init__(
        self,
        verilog: str,
        *,
        top: str,
        divisor: int,
        host_divisor: int | None = None,
        pins: Mapping[str, int] | None = None,
    ) -> None:
        self._divisors = (divisor if host_divisor is None else host_divisor, divisor)
        if min(self._divisors) < 1:
            raise InputError(f"divisors must be 1 clock or more, not {min(self._divisors)!r}")
        levels = "".join(f"    top.{name} = {level};\n" for name, level in (pins or {}).items())
        sources = {
            "design.v": verilog,
            "pins.h": f'#pragma once\n#include "V{top}.h"\nusing Top = V{top};\n'
            f"inline void idle_pins(Top& top) {{\n    top.rx = 1;\n{levels}}}\n",
            **shipped(f"{NAME}.cpp"),
        }
        simulator = find(SimulatorKind.VERILATOR)
        self._program = program(
            NAME, sources, top=top, simulator=simulator, timeout=_COMPILE_SECONDS
        )
        self._running = ExitStack()
        self.port = ""

    def __enter__(self) -> SimulatedBoard:
        command = [str(self._program), *map(str, self._divisors)]
        with ExitStack() as stack:
            process = stack.enter_context(started(command))
            out = process.stdout
            if out is not None and select.select([out], [], [], _START_SECONDS)[0]:
                self.port = out.readline().decode().strip()
            if not self.port:
                raise ToolError(f"{NAME} did not start: pseudo-terminals may be missing")
            self._running = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self.port = ""
        self._running.close()
