"""Figures of builds and of energies: time and joules of an inference on a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from convexon.flow.run import Run
from convexon.plan.pipeline import Cycles
from convexon.report.figure import Figure, FigureKind
from convexon.store.codec import Codec
from convexon_boards.built import BUILD, Build
from convexon_boards.energy.estimate import ENERGY, EnergyEstimate

T = TypeVar("T")

ESTIMATED, MEASURED = FigureKind.ESTIMATED, FigureKind.MEASURED


def builds_in(folder: Run, rtl: str) -> dict[str, Build]:
    """Read the builds of the bundle with the digest ``rtl``, by board."""
    return {build.board: build for build in _of_bundle(folder, "build", BUILD, rtl)}


def energies_in(folder: Run, rtl: str) -> dict[str, EnergyEstimate]:
    """Read the energies of the bundle with the digest ``rtl``, by part."""
    return {energy.part: energy for energy in _of_bundle(folder, "energy", ENERGY, rtl)}


def _of_bundle(folder: Run, kind: str, codec: Codec[T], rtl: str) -> Iterator[T]:
    """Read the artefacts of a kind that are of a bundle; `ArtefactError` if one is damaged."""
    for path in sorted(folder.path.glob(f"{kind}-*.json")):
        made = folder.read(path.stem, codec)
        if made.record.parents.get("rtl") == rtl:
            yield made.value


def build_figures(builds: Mapping[str, Build], cycles: Cycles | None) -> Iterator[Figure]:
    """Yield clock, latency and throughput on every board: the schedule's cycles times its clock."""
    for board, build in builds.items():
        mhz = build.clock_mhz
        route = "nextpnr, static timing of the route that was kept"
        yield Figure(f"build.{board}.fmax_mhz", build.route.fmax_mhz, "MHz", MEASURED, route)
        if cycles is None:
            continue
        source = f"schedule's mean cycles of a test sample, at the build's {mhz:g} MHz"
        latency = float(cycles.latency.mean()) / mhz
        yield Figure(f"build.{board}.latency_us", latency, "us", ESTIMATED, source)
        if cycles.interval.size:
            per_second = mhz * 1e6 / float(cycles.interval.mean())
            name = f"build.{board}.throughput"
            yield Figure(name, per_second, "inferences per second", ESTIMATED, source)


def energy_figures(energies: Mapping[str, EnergyEstimate]) -> Iterator[Figure]:
    """Yield the ends of an inference's energy on every part, in all and by resource."""
    for part, energy in energies.items():
        source = (
            f"toggles on {energy.samples} test samples, at {energy.clock_mhz:g} MHz, "
            "times energies of docs/energy.md; the accelerator's core alone"
        )
        for end in ("low", "high"):
            name = f"energy.{part.lower()}"
            yield Figure(f"{name}.{end}", getattr(energy.total, end), "J", ESTIMATED, source)
            for resource, own in energy.resources.items():
                key = resource.lower().replace(" ", "_")
                yield Figure(f"{name}.{key}.{end}", getattr(own, end), "J", ESTIMATED, source)
