"""A board's whole design in Verilator, behind a serial port that a host opens as any other."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Mapping
from importlib import resources
from types import TracebackType

from convexon.errors import InputError, ToolError
from convexon_sim.programs.harness import compiled
from convexon_sim.simulator import Simulator, SimulatorKind

NAME = "serial_board"
"""Name of the program."""

_START_SECONDS = 30.0


class SimulatedBoard:
    """A board that runs while the context lasts.

    The design's ports are ``clock``, ``rx`` and ``tx``, and what ``pins`` names. Time in it passes
    as fast as the simulation goes, and slowly while nothing moves.

    Parameters
    ----------
    verilog : str
        The whole design.
    top : str
        Its top module.
    simulator : Simulator
        A Verilator.
    divisor : int
        Clocks of a bit.
    host_divisor : int, optional
        Clocks of a bit that the host sends; ``divisor`` by default.
    pins : mapping of str to int
        Levels of further inputs.
    timeout : float
        Seconds that compiling may take.

    Members
    -------
    port : str
        Name of the serial port, within the context.

    Raises
    ------
    InputError
        If the simulator is not Verilator, or a bit has no clock.
    ToolError
        If the design does not compile, or the program does not start.
    """

    def __init__(
        self,
        verilog: str,
        *,
        top: str,
        simulator: Simulator,
        divisor: int,
        host_divisor: int | None = None,
        pins: Mapping[str, int] | None = None,
        timeout: float = 600.0,
    ) -> None:
        if simulator.kind is not SimulatorKind.VERILATOR:
            raise InputError(f"a simulated board needs verilator, not {simulator.kind.value}")
        self._divisors = (divisor if host_divisor is None else host_divisor, divisor)
        if min(self._divisors) < 1:
            raise InputError(f"divisors must be 1 clock or more, not {min(self._divisors)!r}")
        levels = "".join(f"    top.{name} = {level};\n" for name, level in (pins or {}).items())
        sources = {
            "design.v": verilog,
            "pins.h": f'#pragma once\n#include "V{top}.h"\nusing Top = V{top};\n'
            f"inline void idle_pins(Top& top) {{\n    top.rx = 1;\n{levels}}}\n",
            f"{NAME}.cpp": resources.files("convexon_sim.programs")
            .joinpath(f"{NAME}.cpp")
            .read_text(),
        }
        self._program = compiled(NAME, sources, top=top, simulator=simulator, timeout=timeout)
        self._process: subprocess.Popen[str] | None = None
        self.port = ""

    def __enter__(self) -> SimulatedBoard:
        command = [str(self._program), *map(str, self._divisors)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        out = self._process.stdout
        if out is not None and select.select([out], [], [], _START_SECONDS)[0]:
            self.port = out.readline().strip()
        if not self.port:
            self.__exit__(None, None, None)
            raise ToolError(f"{NAME} did not start: pseudo-terminals may be missing")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process, self._process, self.port = self._process, None, ""
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()  # which ends it
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
