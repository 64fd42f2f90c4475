"""Stage ``energy``: the bundle's netlist on real samples, and what an inference takes on a part."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.errors import InputError
from convexon.flow.board.build import current_build
from convexon.flow.hardware.emit import emitted
from convexon.flow.hardware.stimulus import stimulus_of
from convexon.flow.run import Made, Run
from convexon.progress import QUIET, Progress
from convexon.snn.models import simulate
from convexon_boards.board import Board, Part
from convexon_boards.energy.device import device_of
from convexon_boards.energy.estimate import ENERGY, EnergyEstimate, energy_on
from convexon_boards.tools.synthesis import FLOW_VERSION
from convexon_hdl.emit import yosys
from convexon_sim.programs.activity import count_switching
from convexon_sim.simulator import SimulatorKind, ready

ENERGY_VERSION = 1
"""Raised whenever a constant, or how pins are counted, changes."""

SAMPLES = 8
"""Samples that are simulated, unless others are asked for."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EnergyResult:
    """What the stage estimated."""

    estimate: Made[EnergyEstimate]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        e = self.estimate.value
        total, power = e.total, e.power
        return (
            f"energy: {e.part} at {e.clock_mhz:g} MHz, {e.clocks:.1f} clocks an inference, "
            f"{_si(total.low)}J to {_si(total.high)}J, {_si(power.low)}W to {_si(power.high)}W "
            f"({e.samples} samples)"
        )

    @property
    def lines(self) -> list[str]:
        """The split by resource, a line for each."""
        return [
            f"  {name:<10} {_si(energy.low):>8}J to {_si(energy.high):>8}J"
            for name, energy in self.estimate.value.resources.items()
        ]


def _si(value: float) -> str:
    """Return a value with three digits and the prefix of its unit."""
    for exponent, prefix in ((0, ""), (-3, "m"), (-6, "u"), (-9, "n")):
        if value >= 10.0**exponent:
            return f"{value / 10.0**exponent:.3g} {prefix}"
    return f"{value / 1e-12:.3g} p"


def clock_of_build(folder: Run, board: Board) -> float:
    """Return the clock in MHz that the current build for a board runs at.

    Raises
    ------
    ArtefactError
        If there is no build of the bundle for the board.
    """
    return current_build(folder, board).value.clock_mhz


def energy_stage(
    folder: Run,
    progress: Progress = QUIET,
    *,
    part: Part,
    clock_mhz: float,
    samples: int = SAMPLES,
) -> EnergyResult:
    """Estimate the energy of an inference of the bundle of ``folder``, on its first test samples.

    Parameters
    ----------
    folder : Run
    progress : Progress
    part : Part
    clock_mhz : float
    samples : int

    Raises
    ------
    ArtefactError
        If there is no sound bundle or card, or no samples, or one is not of the other.
    InputError
        If there is no sample or clock, no energies of the part are known, or weights are loaded at
        run time, or the network decides early.
    MismatchError
        If the netlist does not compute what the golden model does.
    ToolError
        If Yosys or Verilator is missing or fails.
    """
    if samples < 1:
        raise InputError(f"samples must be 1 or more, not {samples!r}")
    device = device_of(part)
    design, bundle = emitted(folder)
    stimulus = stimulus_of(folder, design.mapping)
    used = min(samples, len(stimulus.transfers))

    def compute() -> EnergyEstimate:
        ready(SimulatorKind.VERILATOR)  # before the netlist is made
        progress.begin(f"counting what {device.part} switches")
        return energy_on(
            bundle.value,
            part,
            stimulus.transfers[:used],
            simulate.run(design.network, stimulus.inputs[:used]),
            clock_mhz=clock_mhz,
            count=count_switching,
        )

    estimate = folder.made(
        f"energy-{device.part.lower()}",
        ENERGY,
        compute,
        parents={"rtl": bundle, **stimulus.origins},
        recipe={
            **{"part": part.name, "clock_mhz": clock_mhz, "samples": used},
            **{"flow": FLOW_VERSION, "energies": ENERGY_VERSION, "yosys": yosys.version()},
        },
    )
    return EnergyResult(estimate=estimate)
