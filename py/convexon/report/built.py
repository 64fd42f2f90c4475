"""Figures of builds and of energies: time and joules of an inference on a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from convexon.flow.run import Run
from convexon.plan.pipeline import Cycles
from convexon.report.figure import Figure, FigureKind
from convexon_boards.built import BUILD, Build
from convexon_boards.energy.estimate import ENERGY, EnergyEstimate


def builds_in(folder: Run, rtl: str) -> dict[str, Build]:
    """Read the builds of the bundle with the digest ``rtl``, by board.

    Raises
    ------
    ArtefactError
        If a file is damaged or was changed.
    """
    names = sorted(path.stem for path in folder.path.glob("build-*.json"))
    made = (folder.read(name, BUILD) for name in names)
    return {m.value.board: m.value for m in made if m.record.parents.get("rtl") == rtl}


def energies_in(folder: Run, rtl: str) -> dict[str, EnergyEstimate]:
    """Read the energies of the bundle with the digest ``rtl``, by part; raises as `builds_in`."""
    names = sorted(path.stem for path in folder.path.glob("energy-*.json"))
    made = (folder.read(name, ENERGY) for name in names)
    return {m.value.part: m.value for m in made if m.record.parents.get("rtl") == rtl}


def build_figures(builds: Mapping[str, Build], cycles: Cycles | None) -> Iterator[Figure]:
    """Yield clock, latency and throughput on every board: the schedule's cycles times its clock."""
    for board, build in builds.items():
        mhz = build.clock_mhz
        route = "nextpnr, static timing of the route that was kept"
        yield _figure(f"build.{board}.fmax_mhz", build.route.fmax_mhz, "MHz", route, measured=True)
        if cycles is None:
            continue
        source = f"schedule's mean cycles of a test sample, at the build's {mhz:g} MHz"
        latency = float(cycles.latency.mean()) / mhz
        yield _figure(f"build.{board}.latency_us", latency, "us", source)
        if cycles.interval.size:
            per_second = mhz * 1e6 / float(cycles.interval.mean())
            name = f"build.{board}.throughput"
            yield _figure(name, per_second, "inferences per second", source)


def energy_figures(energies: Mapping[str, EnergyEstimate]) -> Iterator[Figure]:
    """Yield the ends of an inference's energy on every part, in all and by resource."""
    for part, energy in energies.items():
        source = (
            f"toggles on {energy.samples} test samples, at {energy.clock_mhz:g} MHz, "
            "times energies of docs/energy.md; the accelerator's core alone"
        )
        for end in ("low", "high"):
            name = f"energy.{part.lower()}"
            yield _figure(f"{name}.{end}", getattr(energy.total, end), "J", source)
            for resource, own in energy.resources.items():
                key = resource.lower().replace(" ", "_")
                yield _figure(f"{name}.{key}.{end}", getattr(own, end), "J", source)


def _figure(name: str, value: float, unit: str, source: str, *, measured: bool = False) -> Figure:
    kind = FigureKind.MEASURED if measured else FigureKind.ESTIMATED
    return Figure(name=name, value=value, unit=unit, kind=kind, source=source)
