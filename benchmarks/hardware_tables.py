"""Tables of the hardware: what was placed, proved, built and estimated."""

from __future__ import annotations

import re

from tabling import ABSENT, Figures, figures_of, number, table, two_columns

HARDWARE_CELLS = (
    ("hw.spatial.40-16-10", "40-16-10, 6 bits, spatial, ECP5"),
    ("hw.folded.40-16-10", "40-16-10, 6 bits, folded, ECP5"),
    ("peer.spiker-plus.40-16-10", "the same, Spiker+"),
    ("peer.sc-neurocore.40-16-10", "the same, sc-neurocore"),
    ("hw.folded.784-128-10", "784-128-10, 4 bits, folded, ECP5"),
    ("peer.spiker-plus.784-128-10", "the same, Spiker+"),
    ("hw.spatial.ice40", "40-16-10, 6 bits, spatial, iCE40 UP5K"),
    ("hw.folded.ice40", "40-16-10, 6 bits, folded, iCE40 UP5K"),
)

CHECK_ROWS = (
    ("hw.inferences", "inferences simulated, spikes, membranes, scores and cycles compared"),
    ("hw.mismatches", "inferences that differ"),
    ("hw.mutants.caught", "mutants caught"),
    ("hw.mutants.total", "mutants"),
    ("hw.mutants.by_bench", "of them by a bench"),
    ("hw.mutants.refuted", "of them refuted by a proof"),
    ("hw.mutants.unproved", "of them left without a proof"),
    ("hw.mutants.equal", "mutants that change nothing, not counted"),
    ("hw.mutants.right", "mutants that are proved right, not counted"),
    ("hw.proofs.passed", "obligations proved"),
    ("hw.proofs.total", "obligations"),
)


def _least(figures: Figures, start: str) -> tuple[str, str]:
    """Cycles and microseconds of a step; of a peer that has a range, all of it."""
    if f"{start}.cycles_per_step" in figures or f"{start}.cycles_per_step_min" not in figures:
        cycles = [f"{start}.cycles_per_step"]
    else:
        cycles = [f"{start}.cycles_per_step_{end}" for end in ("min", "max")]
    values = [figures[name].value for name in cycles if name in figures]
    if not values or f"{start}.fmax_mhz" not in figures:
        return ABSENT, ABSENT
    clock = figures[f"{start}.fmax_mhz"].value
    return (
        " to ".join(f"{value:.4g}" for value in values),
        " to ".join(f"{value / clock:.3g}" for value in values),
    )


def hardware() -> str:
    """Return what place and route reaches, beside the peers."""
    figures = figures_of("hardware")
    rows = [
        (
            label,
            number(figures, f"{start}.lut4", ".0f"),
            number(figures, f"{start}.carry", ".0f"),
            number(figures, f"{start}.ff", ".0f"),
            number(figures, f"{start}.bram", ".0f") if f"{start}.bram" in figures else "0",
            number(figures, f"{start}.fmax_mhz", ".1f"),
            *_least(figures, start),
        )
        for start, label in HARDWARE_CELLS
    ]
    header = ("network", "LUT4", "carry cells", "flip-flops", "block RAMs", "MHz", "cycles a step",
              "us a step")  # fmt: skip
    return table(header, rows)


def checks() -> str:
    """Return what was simulated, proved and caught."""
    return two_columns(figures_of("hardware"), CHECK_ROWS)


def generator() -> str:
    """Return how the generator scales."""
    figures = figures_of("generator")
    rows = []
    for name, figure in figures.items():
        match = re.fullmatch(r"generator\.emit\.(\w+)\.(\d+)\.seconds", name)
        if match:
            label = f"{match[1]}, {int(match[2]):,} synapses: emission, seconds"
            rows.append((label, f"{figure.value:.2f}"))
    for neurons in (512, 2048):
        label = f"spatial, {neurons:,} neurons that read 32 inputs each, ternary: emission"
        for unit, shown in (("seconds", "CPU seconds"), ("megabytes", "MiB")):
            name = f"generator.emit_{unit}.{neurons}"
            rows.append((f"{label}, {shown}", number(figures, name, ".0f")))
    for kind in ("spatial", "folded"):
        name = f"generator.emit.{kind}.exponent"
        rows.append((f"{kind}: exponent in the synapses", number(figures, name, ".2f")))
    for name, label in (
        ("generator.volume.inferences_per_second", "volume runner: digit inferences a second"),
        ("generator.volume.inferences", "volume runner: inferences"),
    ):
        rows.append((label, number(figures, name, ".0f")))
    return table(("figure", "value"), rows)


def synapses() -> str:
    """Return LUTs of a synapse by its bits, and cycles by activity."""
    figures = figures_of("generator")
    bits = [number(figures, f"generator.lut4_per_synapse.bits{k}", ".2f") for k in range(1, 9)]
    return table(("bits", *map(str, range(1, 9))), [("LUT4 sites a synapse", *bits)])


def activity() -> str:
    """Return cycles of a folded layer by the activity of its inputs."""
    figures = figures_of("generator")
    shares = (0, 2, 5, 10, 15, 25, 50, 100)
    start = "generator.cycles_per_step.activity"
    cycles = [number(figures, f"{start}{k:03d}", ".1f") for k in shares]
    header = ("inputs that spike", *(f"{k} %" for k in shares))
    return table(header, [("cycles a step", *cycles)])


WAYS = ("tables", "tree", "shared", "auto", "da4ml")


def adders() -> str:
    """Return LUTs of the sums of a layer by the way that they are added."""
    figures = figures_of("adders")
    layers = dict.fromkeys(name.split(".")[1] + "." + ".".join(name.split(".")[2:-2])
                           for name in figures)  # fmt: skip
    rows = [
        (
            layer.replace(".", ", ").replace("bits", "bits ").replace("density", "density "),
            *(number(figures, f"adders.{layer}.{way}.lut4", ".0f") for way in WAYS),
        )
        for layer in layers
    ]
    return table(("layer", *WAYS), rows)


def _boards_of(figures: Figures) -> list[tuple[str, str]]:
    """Boards and networks that were built, in the order of the results."""
    names = (name.split(".") for name in figures)
    return list(dict.fromkeys((parts[1], parts[2]) for parts in names))


def boards() -> str:
    """Return what was built for each board, from network to bitstream."""
    figures = figures_of("boards")
    rows = [
        (
            board,
            network,
            number(figures, f"{start}.fmax_mhz", ".1f"),
            number(figures, f"{start}.lut4_sites", ".0f"),
            number(figures, f"{start}.ff", ".0f"),
            number(figures, f"{start}.bram", ".0f"),
            number(figures, f"{start}.latency_us", ".3g"),
            number(figures, f"{start}.seconds", ".0f"),
            number(figures, f"{start}.memory", ".0f"),
            number(figures, f"{start}.bitstream_bytes", ".0f"),
        )
        for board, network in _boards_of(figures)
        for start in (f"boards.{board}.{network}",)
    ]
    header = ("board", "network", "MHz", "LUT sites", "flip-flops", "block RAMs", "latency, us",
              "seconds", "memory, MB", "bitstream, bytes")  # fmt: skip
    return table(header, rows)


def predictions() -> str:
    """Return what was estimated of each network on each board beside what was measured."""
    figures = figures_of("boards")
    rows = []
    for board, network in _boards_of(figures):
        start = f"boards.{board}.{network}"
        own = f"{start}.accelerator"
        luts, estimated = f"{own}.lut4_sites", f"{own}.lut4_sites_estimated"
        error = ABSENT
        if luts in figures:
            error = f"{100 * (figures[estimated].value / figures[luts].value - 1):+.1f} %"
        rows.append(
            (
                board,
                network,
                number(figures, estimated, ".0f"),
                number(figures, luts, ".0f"),
                error,
                number(figures, f"{own}.bram_estimated", ".0f"),
                number(figures, f"{own}.bram", ".0f"),
                number(figures, f"{start}.cycles", ".1f"),
                number(figures, f"{start}.simulated.mismatches", ".0f"),
                number(figures, f"{start}.energy.low", ".2g"),
                number(figures, f"{start}.energy.high", ".2g"),
            )
        )
    header = (
        *("board", "network", "LUT sites estimated", "counted", "off by"),
        *("block RAMs estimated", "counted", "cycles", "inferences at other cycles"),
        *("energy from, J", "to, J"),
    )
    return table(header, rows)


FAMILIES = (("ecp5", "ECP5"), ("ice40", "iCE40"), ("gowin", "Gowin"))


def estimates() -> str:
    """Return how far estimates of resources are from synthesis, family by family."""
    figures = figures_of("estimates")
    rows = []
    for family, title in FAMILIES:
        errors = [f"estimate.lut.{family}.{kind}_error" for kind in ("median", "usual", "max")]
        shown = (
            f"{100 * figures[name].value:.1f} %" if name in figures else ABSENT for name in errors
        )
        rows.append((title, *shown, number(figures, f"estimate.bram.{family}.error", ".0f")))
    return table(
        ("family", "LUT sites, median error", "of nine in ten", "largest", "block RAMs, largest"),
        rows,
    )
