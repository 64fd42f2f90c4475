"""Energy of an inference: toggles of the netlist times energies of the part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.operations import EnergyRange
from convexon.plan.switching import Switching, Watch
from convexon.snn.models.trace import SpikeTrace
from convexon.store.codec import Codec
from convexon.store.untrusted import Amount
from convexon_boards.board import Part
from convexon_boards.energy.device import MULTIPLIER_CELLS, Constant, Device, device_of
from convexon_boards.energy.nets import Nets, nets_of, watch_of
from convexon_boards.toolchain import Driver
from convexon_boards.tools.synthesis import synthesize
from convexon_hdl.emit.bundle import RtlBundle

RESOURCES = (*(driver.value for driver in Driver), "clock", "static")
"""What an energy is split by: nets by what drives them, the clock, and what is always there."""

_GLITCHING = (Driver.LOGIC, Driver.CARRY)
"""Drivers whose nets may change more than once a clock."""

End = Callable[[Constant], float]

Count = Callable[[Watch, npt.NDArray[np.uint8], SpikeTrace], Switching]
"""Counts the toggles of a watched netlist on transfers, and compares it with a trace."""

NOTHING = EnergyRange(low=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class EnergyEstimate:
    """Energy of an inference, of many that follow one another without a pause.

    Members
    -------
    samples : inferences that were simulated
    clocks : mean clocks of an inference
    toggles : mean toggles of an inference, of all nets
    resources : joules of an inference, by resource

    Raises
    ------
    InputError
        If the clock, the samples or the clocks are not above 0.
    """

    part: str
    clock_mhz: float
    samples: int
    clocks: float
    toggles: Amount
    resources: Mapping[str, EnergyRange]

    def __post_init__(self) -> None:
        if not (self.clock_mhz > 0 and self.samples > 0 and self.clocks > 0):
            raise InputError("an energy must be of a clock, samples and clocks above 0")

    @property
    def total(self) -> EnergyRange:
        """Joules of an inference."""
        return sum(self.resources.values(), NOTHING)

    @property
    def seconds(self) -> float:
        """Mean time of an inference."""
        return self.clocks / (self.clock_mhz * 1e6)

    @property
    def power(self) -> EnergyRange:
        """Watts while inferences follow one another."""
        return self.total.scaled(1 / self.seconds)


ENERGY: Codec[EnergyEstimate] = Codec(
    EnergyEstimate, "convexon.energy", 2, made_by="convexon energy"
)
"""File form of an `EnergyEstimate`."""


def energy_of(
    nets: Nets, switching: Switching, device: Device, *, clock_mhz: float
) -> EnergyEstimate:
    """Return the energy of an inference, as a range whose ends are those of all constants at once.

    Parameters
    ----------
    switching : of these nets

    Raises
    ------
    InputError
        If the counts are not of these nets, or the clock is not above 0.
    """
    if not clock_mhz > 0:
        raise InputError(f"clock_mhz must be above 0, not {clock_mhz!r}")
    if len(switching.toggles) != len(nets.bits) or len(switching.highs) != len(nets.accesses):
        raise InputError(
            f"switching must be of the {len(nets.bits)} nets and {len(nets.accesses)} memory ports "
            f"of the netlist, not of {len(switching.toggles)} and {len(switching.highs)}"
        )
    lows = _joules(nets, switching, device, clock_mhz, lambda constant: constant.low)
    highs = _joules(nets, switching, device, clock_mhz, lambda constant: constant.high)
    return EnergyEstimate(
        part=device.part,
        clock_mhz=clock_mhz,
        samples=switching.samples,
        clocks=switching.clocks / switching.samples,
        toggles=float(switching.toggles.sum()) / switching.samples,
        resources={name: EnergyRange(low=lows[name], high=highs[name]) for name in RESOURCES},
    )


def _joules(
    nets: Nets, switching: Switching, device: Device, clock_mhz: float, end: End
) -> dict[str, float]:
    """Joules of an inference by resource, at one end of all constants."""
    at = {name: end(constant) for name, constant in device.constants.items()}
    dynamic = (at["supply"] / device.volts) ** 2 / switching.samples
    cells = sum(driver is Driver.LOGIC for driver in nets.drivers)
    pin = at["pin"] * max(1.0, cells / MULTIPLIER_CELLS) ** at["spread"]
    joules = {}
    for driver in Driver:
        own = np.array([d is driver for d in nets.drivers], dtype=np.bool_)
        toggles = switching.toggles[own]
        inside = np.where(nets.chains[own], at["carry"], at["cell"])
        if driver in (Driver.INPUT, Driver.MEMORY):  # driven from outside, or by an access
            inside = np.zeros(len(toggles))
        factor = at["glitch"] if driver in _GLITCHING else 1.0
        joules[driver.value] = factor * float(toggles @ (inside + pin * nets.pins[own]))
    joules[Driver.MEMORY.value] += at["memory"] * float(switching.highs.sum())
    joules["clock"] = switching.clocks * (at["clock"] + at["clock_pin"] * nets.clocked)
    seconds = switching.clocks / switching.samples / (clock_mhz * 1e6)
    scaled = {name: value * dynamic for name, value in joules.items()}
    return {**scaled, "static": at["static"] * at["supply"] * seconds}


def energy_on(
    bundle: RtlBundle,
    part: Part,
    transfers: npt.NDArray[np.uint8],
    expected: SpikeTrace,
    *,
    clock_mhz: float,
    count: Count,
) -> EnergyEstimate:
    """Estimate the energy of an inference of a bundle, out of context, on ``transfers``.

    Parameters
    ----------
    transfers : uint8 array, shape (samples, transfers, inputs)
        What the host hands over.
    expected : of the samples
    count : `convexon_sim.programs.activity.count_switching`

    Raises
    ------
    InputError
        If no energies of the part or of a cell are known.
    MismatchError
        If the netlist does not compute what the golden model does.
    ToolError
        If Yosys or the simulator is missing or fails.
    """
    device = device_of(part)
    netlist = synthesize(bundle, part.family)
    nets = nets_of(netlist)
    switching = count(watch_of(netlist, nets, bundle.ports), transfers, expected)
    return energy_of(nets, switching, device, clock_mhz=clock_mhz)
