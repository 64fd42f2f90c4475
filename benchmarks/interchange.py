"""Networks that other tools trained, as integers and in hardware: results/interchange.json.

    python benchmarks/interchange.py [NAME ...]

Networks are those of `interchange_train.py`, in build/interchange, and NIR graphs below the folder
CONVEXON_DATA, with spikes that `interchange_graphs.py` recorded of them. Each is compared with what
its tool did, quantized on samples of its training part at several bits, and simulated in Verilator
on its whole test set. Of networks that were trained from several seeds (--seeds of
`interchange_train.py`) the means at 8 bits are written too.
Figures are written after each network; those of networks that are not named are kept.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from interchange_data import LEVEL_BITS
from real_files import network_of, read_arrays

import convexon as cx
from convexon.errors import InputError
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.models.real import RealNetwork, stack_spikes

Make = Callable[[str, float, str, str], Figure]
"""A figure of one network: what it tells, value, unit and source."""

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "interchange"
RESULTS = ROOT / "benchmarks" / "results" / "interchange.json"

BITS = (8, 4, 6, 3, 2)
HARDWARE_BITS = 4
"""Bits of the network that is simulated as hardware."""

TARGET, LUTS = "ulx3s-85f", 12_000
"""Board and LUTs at most: what is larger is time-multiplexed, and compiled in seconds."""

GRAPHS = {
    "braille": ("braille_noDelay_bias_zero.nir", "nir-euler", 50),
    "cnn-sinabs": ("cnn_sinabs.nir", "norse", 25),
}
"""NIR graphs of others, by the names of their figures: the profile, and samples that calibrate."""

LARGE, N_SIMULATED = 2_000, 20
"""Neurons of a network that has all of its board, and inferences of it that are simulated."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A network as it was read, with samples and what its tool did with them.

    Members
    -------
    network : RealNetwork
    seconds : float
        That reading it took.
    source : str
        By what it was read.
    calibrate, test : arrays
    calibrate_labels, labels : int64 arrays, or None
    n_steps : int
    spikes : dict of str to uint8 array
        What the tool did on the test samples, by layer.
    """

    network: RealNetwork
    seconds: float
    source: str
    calibrate: np.ndarray
    calibrate_labels: np.ndarray | None
    test: np.ndarray
    labels: np.ndarray | None
    n_steps: int
    spikes: dict[str, np.ndarray]

    @property
    def steps(self) -> np.ndarray:
        """What comes in at each step of the test."""
        values = self.test.astype(np.float64)
        return values if values.ndim == 3 else np.repeat(values[:, None], self.n_steps, axis=1)

    @property
    def coding(self) -> dict[str, int]:
        """How samples without steps come in."""
        return {} if self.test.ndim == 3 else {"steps": self.n_steps, "input_bits": LEVEL_BITS}


def trained(name: str) -> Case:
    """A network that was trained for this benchmark."""
    arrays = read_arrays(FOLDER / f"{name}.npz")
    network = network_of(arrays)
    return Case(
        network=network,
        seconds=float(arrays["seconds"]),
        source="convexon.from_torch",
        calibrate=arrays["calibrate"],
        calibrate_labels=arrays["calibrate_labels"],
        test=arrays["test"],
        labels=arrays["test_labels"],
        n_steps=int(arrays["steps"]),
        spikes={each.name: arrays[f"spikes.{each.name}"] for each in network.layers},
    )


def published(name: str) -> Case:
    """A graph that others published."""
    file, profile, n_calibration = GRAPHS[name]
    started = time.monotonic()
    network = cx.from_nir(Path(os.environ["CONVEXON_DATA"]) / "nir" / file, profile=profile)
    seconds = time.monotonic() - started
    arrays = read_arrays(FOLDER / f"{name}.npz")
    inputs, n_test, labels = arrays["inputs"], len(arrays["spikes"]), arrays.get("labels")
    others = slice(n_test, n_test + n_calibration)
    return Case(
        network=network,
        seconds=seconds,
        source="convexon.from_nir",
        calibrate=inputs[others],
        calibrate_labels=None if labels is None else labels[others],
        test=inputs[:n_test],
        labels=None if labels is None else labels[:n_test],
        n_steps=inputs.shape[1],
        spikes={network.layers[-1].name: arrays["spikes"]},
    )


def measured(name: str) -> Iterator[Figure]:
    """All figures of one network; those that nothing can be said of are absent."""
    case = published(name) if name in GRAPHS else trained(name)

    def figure(what: str, value: float, unit: str, source: str) -> Figure:
        told = f"interchange.{name}.{what}"
        return Figure(told, value, unit, FigureKind.MEASURED, source)

    found = stack_spikes(case.network.layers, case.steps)
    compared = [
        (found[depth], case.spikes[layer.name])
        for depth, layer in enumerate(case.network.layers)
        if layer.name in case.spikes
    ]
    wrong = sum(int((ours != theirs).sum()) for ours, theirs in compared)
    n_compared = sum(ours.size for ours, _ in compared)
    yield figure("float_mismatches", wrong, "spikes", f"of {n_compared:,} steps of neurons")
    yield figure("seconds.import", case.seconds, "seconds", case.source)
    source = f"{len(case.test)} test samples, calibrated on {len(case.calibrate)} others"
    for bits in BITS:
        started = time.process_time()
        made = cx.quantize(
            case.network,
            calibrate=case.calibrate,
            labels=case.calibrate_labels,
            bits=bits,
            **case.coding,
        )
        seconds = time.process_time() - started
        change = made.compare(case.test, case.labels)
        if change.real is not None and change.integer is not None:
            if bits == BITS[0]:
                yield figure("accuracy.float", change.real, "1", f"{len(case.test)} test samples")
            yield figure(f"accuracy.{bits}bit", change.integer, "1", source)
        different = float(change.disagreement.mean())
        yield figure(f"spike_disagreement.{bits}bit", different, "1", source)
        yield figure(f"same_decisions.{bits}bit", change.same, "1", source)
        yield figure(f"seconds.quantize.{bits}bit", seconds, "seconds", "of one processor")
        print(f"{name}, {bits} bits: {change.real} -> {change.integer}", flush=True)
        if bits == HARDWARE_BITS:
            yield from in_hardware(made.network, case, figure)
    yield from over_seeds(name, figure)


def over_seeds(name: str, figure: Make) -> Iterator[Figure]:
    """Mean accuracies of a network that was trained from several seeds, at the most bits."""
    names = [name, *sorted(path.stem for path in FOLDER.glob(f"{name}.*.npz"))]
    if len(names) == 1:
        return
    found = []
    for each in names:
        case = trained(each)
        made = cx.quantize(
            case.network,
            calibrate=case.calibrate,
            labels=case.calibrate_labels,
            bits=BITS[0],
            **case.coding,
        )
        change = made.compare(case.test, case.labels)
        found.append((change.real, change.integer, change.same))
        print(f"{each}, {BITS[0]} bits: {change.real} -> {change.integer}", flush=True)
    source = f"mean over {len(names)} seeds, {len(case.test)} test samples each"
    told = ("accuracy.float", f"accuracy.{BITS[0]}bit", f"same_decisions.{BITS[0]}bit")
    for what, value in zip(told, np.mean(found, axis=0).tolist(), strict=True):
        yield figure(f"seeds.{what}", value, "1", source)


def in_hardware(network: cx.Network, case: Case, figure: Make) -> Iterator[Figure]:
    """Verilog of the network, every test sample of it simulated."""
    is_large = network.card.n_neurons > LARGE
    limits = {} if is_large else {"luts": LUTS}
    busy = case.calibrate[: 4 if is_large else 50]
    accelerator = cx.compile(network, target=TARGET, samples=busy, **limits)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        accelerator.write(folder)
        seconds = time.monotonic() - started
    result = accelerator.verify(case.test[: N_SIMULATED if is_large else None])
    found = result.verification.value
    print(result.summary, flush=True)
    if found.finished:
        source = f"{found.simulator} {found.version}, {HARDWARE_BITS} bits, {TARGET}"
        yield figure("hardware_mismatches", found.mismatches, "inferences", source)
        yield figure("hardware_inferences", found.inferences, "inferences", source)
        yield figure("seconds.emit", seconds, "seconds", "Verilog and wrappers, by Yosys")


def main() -> None:
    """Measure the named networks, or all that were recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names or sorted(
        path.stem for path in FOLDER.glob("*.npz") if "." not in path.stem
    )
    for name in names:
        found: dict[str, Figure] = {}
        try:
            for each in measured(name):
                found[each.name] = each
                keep(name, found)
        except InputError as error:  # what is refused has no figure
            print(f"{name}: {error}", flush=True)


def keep(name: str, found: dict[str, Figure]) -> None:
    """Write the figures of a network in the place of those that it had."""
    figures = read_figures(RESULTS) if RESULTS.exists() else {}
    kept = {k: v for k, v in figures.items() if not k.startswith(f"interchange.{name}.")}
    kept |= found
    write_figures([kept[key] for key in sorted(kept)], RESULTS)


if __name__ == "__main__":
    main()
