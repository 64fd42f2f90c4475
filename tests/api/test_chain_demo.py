"""The whole chain in one call, on a small problem, with the simulators that are installed."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from convexon.api.demo import _Threads, run_demo
from convexon.certify.certificate import CERTIFICATE
from convexon.cli import app
from convexon.data.dataset import DATASET
from convexon.errors import ArtefactError, ToolError
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.hardware.verify import verify_stage
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.plan.cost.resource_model import resource_model
from convexon.plan.family import Family
from convexon.plan.mapping import Mapping
from convexon.progress import QUIET, Progress
from convexon.report.document import REPORT_SCRIPTS
from convexon.report.figure import Figure, FigureKind, read_figures
from convexon.report.stage import report_stage
from convexon.snn.card import CARD
from convexon.snn.models.simulate import run
from convexon.snn.models.trace import first_mismatch
from convexon.snn.network import Branch, FixedPointNetwork
from convexon.store.artefact import load, save
from convexon.train.settings import SolveSettings
from convexon_hdl.emit.emitter import emit
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.verification import VERIFICATION
from toy import toy_samples, toy_settings

CONTRACT = {
    "accuracy.train": "1",
    "accuracy.test": "1",
    "baseline.logistic.accuracy.test": "1",
    "baseline.reservoir.accuracy.test": "1",
    "certificate.primal": "1",
    "certificate.dual": "1",
    "certificate.gap": "1",
    "certificate.universal_lower_bound": "1",
    "certificate.windows.neurons": "neurons",
    "certificate.windows.dual": "1",
    "certificate.windows.gap": "1",
    "dictionary.columns": "columns",
    "network.neurons": "neurons",
    "network.synapses": "synapses",
    "network.weight_bits": "bits",
    "verify.verilator.inferences": "inferences",
    "verify.verilator.mismatches": "inferences",
    "latency.cycles.predicted": "cycles",
    "latency.cycles.simulated": "cycles",
    "cells.ecp5.lut4": "cells",
    "cells.ecp5.ff": "cells",
    "cells.ecp5.lut4_sites": "cells",
    "cells.ecp5.lut4_sites.estimated": "cells",
    "cells.ecp5.block_ram.estimated": "cells",
    "operations.synaptic": "additions",
    "operations.updates": "updates",
    "operations.weight_bits": "bits",
    "operations.membrane_bits": "bits",
    "energy.neutral.low": "J",
    "energy.neutral.high": "J",
    "demo.seconds": "seconds",
}
"""Names that every demo's report.json has, with their units; Icarus' are there if it is."""

UNITS = {*CONTRACT.values(), "branches", "samples", "witnesses"}


class Recorder:
    """A screen that remembers what it showed."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.lines: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        self.stages.append(name)
        yield QUIET

    def line(self, text: str) -> None:
        self.lines.append(text)


@dataclasses.dataclass(frozen=True)
class Demo:
    """A finished demo."""

    folder: Run
    settings: SolveSettings
    screen: Recorder

    def figures(self) -> dict[str, Figure]:
        return read_figures(self.folder.path / "report.json")


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The toy in place of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convexon.api.demo.digits", toy_samples)
        yield


@pytest.fixture(scope="module")
def demo(build_cache: Path, small: None, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    del build_cache, small  # simulations are compiled there
    settings = toy_settings(max_neurons=6, oracle="windows")
    folder, screen = Run(tmp_path_factory.mktemp("demo")), Recorder()
    run_demo(folder, settings, screen)
    return Demo(folder, settings, screen)


@pytest.fixture
def folder(demo: Demo, tmp_path: Path) -> Run:
    """A copy of the demo's folder, that a test may change."""
    return Run(Path(shutil.copytree(demo.folder.path, tmp_path / "run")))


def test_report_json_has_every_figure_of_the_contract(demo: Demo) -> None:
    figures = demo.figures()
    assert {name: figures[name].unit for name in CONTRACT if name in figures} == CONTRACT
    assert {figure.unit for figure in figures.values()} <= UNITS
    assert all(figure.source for figure in figures.values())
    rows = json.loads((demo.folder.path / "report.json").read_text())["figures"]
    assert {row["kind"] for row in rows} <= {"measured", "estimated", "assumed", "proved"}
    assert all(np.isfinite(row["value"]) for row in rows)


def test_figures_are_what_the_artefacts_say(demo: Demo) -> None:
    figures = {name: figure.value for name, figure in demo.figures().items()}
    card, _ = load(CARD, demo.folder.file("card"))
    test, _ = load(DATASET, demo.folder.file("test"))
    share = (run(card, test.inputs).labels[:, 0] == test.labels).mean()
    assert figures["accuracy.test"] == share
    assert figures["network.neurons"] == card.n_neurons <= demo.settings.max_neurons
    assert figures["network.synapses"] == card.n_synapses
    certificate, _ = load(CERTIFICATE, demo.folder.file("certificate"))
    assert figures["certificate.gap"] == certificate.gap <= 1e-6
    assert figures["certificate.primal"] == certificate.primal
    assert figures["certificate.dual"] == certificate.lower
    universal = certificate.universal.lower_bound
    assert figures["certificate.universal_lower_bound"] == universal
    assert figures["cells.ecp5.lut4"] > 0
    assert demo.figures()["certificate.gap"].kind is FigureKind.PROVED
    assert demo.figures()["cells.ecp5.lut4"].kind is FigureKind.MEASURED


def test_estimates_stand_beside_what_synthesis_counted(demo: Demo) -> None:
    figures = demo.figures()
    model = resource_model(Family.ECP5)
    counted, estimated = (figures[f"cells.ecp5.lut4_sites{end}"] for end in ("", ".estimated"))
    assert estimated.kind is FigureKind.ESTIMATED
    assert f"{100 * model.median_error:.1f} % in the median" in estimated.source
    assert abs(estimated.value / counted.value - 1) <= model.max_error
    blocks = figures["cells.ecp5.block_ram"].value
    assert figures["cells.ecp5.block_ram.estimated"].value == blocks


@pytest.mark.parametrize("kind", SimulatorKind)
def test_each_simulator_agrees_on_the_whole_test_split(demo: Demo, kind: SimulatorKind) -> None:
    try:
        find(kind)
    except ToolError as error:
        pytest.skip(str(error))
    figures = demo.figures()
    test, _ = load(DATASET, demo.folder.file("test"))
    assert figures[f"verify.{kind.value}.inferences"].value == test.n_samples
    assert figures[f"verify.{kind.value}.mismatches"].value == 0
    assert figures[f"verify.{kind.value}.clocks"].value > test.n_samples


def test_simulated_cycles_are_the_predicted_ones(demo: Demo) -> None:
    figures = demo.figures()
    simulated, predicted = (figures[f"latency.cycles.{k}"] for k in ("simulated", "predicted"))
    assert simulated.value == predicted.value
    assert (simulated.kind, predicted.kind) == (FigureKind.MEASURED, FigureKind.ESTIMATED)


def test_every_stage_shows_itself_and_prints_a_line(demo: Demo) -> None:
    stages = {"solve", "emit", "synthesize", "verify verilator", "baselines", "report"}
    assert stages <= set(demo.screen.stages) <= stages | {"verify icarus"}
    text = "\n".join(demo.screen.lines)
    for start in ("solve: ", "certificate: ", "emit: ", "verify: ", "report: "):
        assert re.search(f"^{start}.*[0-9]", text, re.MULTILINE), start
    assert all("\n" not in line for line in demo.screen.lines)


class References(HTMLParser):
    """Collects what a page loads or points to, its tags, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.labels: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.loaded.append(f"{tag} {name}={value}")
            if name == "aria-label":
                self.labels.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_html_needs_nothing_else(demo: Demo) -> None:
    whole = (demo.folder.path / "report.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    html = re.sub(r"<script>.*?</script>", "", whole, flags=re.DOTALL)
    page = References()
    page.feed(html)
    assert page.loaded == ["link href=data:,"], "an icon, so that no browser asks for one"
    assert not {"iframe", "img", "object", "embed"} & set(page.tags)
    assert not re.search(r"@import|url\(", html)
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', html)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    assert policy.startswith(f"default-src 'none'; script-src {allowed};")
    assert len(scripts) == 1 + len(REPORT_SCRIPTS)
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) == {"http://www.w3.org/2000/svg"}


def test_report_html_shows_raster_convergence_certificate_and_baselines(demo: Demo) -> None:
    page = References()
    page.feed((demo.folder.path / "report.html").read_text())
    assert {
        "Spike raster of the first test sample",
        "Duality gap and primal objective over iterations",
    } <= set(page.labels)
    assert page.tags.count("svg") == 2
    assert page.tags.count("polyline") == 2
    figures = demo.figures()
    test, _ = load(DATASET, demo.folder.file("test"))
    assert page.tags.count("rect") > int(test.inputs[0].sum()), "a mark for every input spike"
    for text in (
        "universal lower bound",
        f"{figures['certificate.primal'].value:.6g}",
        "logistic regression on raw features",
        "random reservoir, ridge readout",
        f"{100 * figures['accuracy.test'].value:.2f} %",
        f"{figures['cells.ecp5.lut4'].value:,}",
    ):
        assert text in page.text


def test_report_md_has_whole_tables_of_the_same_figures(demo: Demo) -> None:
    text = (demo.folder.path / "report.md").read_text()
    sections = text.split("\n## ")[1:]
    titles = [section.splitlines()[0] for section in sections]
    assert titles == [
        "Accuracy",
        "Certificate",
        "Network and hardware",
        "Operations and energy",
        "Time",
    ]
    for section in sections:
        rows = [line for line in section.splitlines() if line.startswith("|")]
        assert len(rows) > 2
        assert re.fullmatch(r"\|( --- \|)+", rows[1])
        assert len({row.count("|") for row in rows}) == 1
    figures = demo.figures()
    logistic = 100 * figures["baseline.logistic.accuracy.test"].value
    assert f"| {logistic:.2f} % |\n" in text
    latency = figures["latency.cycles.predicted"].value
    assert f"| latency.cycles.predicted | {latency} | cycles | estimated |\n" in text


def test_a_second_demo_computes_nothing(
    demo: Demo, folder: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a current artefact was computed again")

    for name in (
        "convexon.flow.network.solve.solve_program",
        "convexon.flow.network.baselines.logistic_regression",
        "convexon.flow.hardware.emit.emit",
        "convexon.flow.hardware.verify.observe",
        "convexon.flow.hardware.verify.golden.run",
        "convexon.flow.hardware.synthesize.synthesize",
    ):
        monkeypatch.setattr(name, refuse)
    before = demo.figures()
    run_demo(folder, demo.settings, Recorder())
    after = read_figures(folder.path / "report.json")
    seconds, first = after.pop("demo.seconds"), before.pop("demo.seconds")
    assert after == before
    assert 0 < seconds.value == first.value  # of the run that computed, not of this one


@pytest.mark.parametrize(
    ("removed", "prefixes"),
    [
        ("verify-icarus.json", ("verify.icarus.",)),
        ("verify-verilator.json", ("verify.verilator.",)),
        ("cells.json", ("cells.", "synthesize.")),
        ("baselines.json", ("baseline.", "baselines.")),
    ],
)
def test_a_figure_that_was_not_obtained_is_absent(
    folder: Run, removed: str, prefixes: tuple[str, ...]
) -> None:
    before = set(read_figures(folder.path / "report.json"))
    (folder.path / removed).unlink(missing_ok=True)
    report_stage(folder)
    after = set(read_figures(folder.path / "report.json"))
    gone = {name for name in before if name.startswith(prefixes)}
    assert before - after == gone
    assert not any(name in (folder.path / "report.md").read_text() for name in gone)


def test_a_latency_that_no_simulator_saw_is_absent(folder: Run) -> None:
    for kind in SimulatorKind:
        folder.file(f"verify-{kind.value}").unlink(missing_ok=True)
    report_stage(folder)
    figures = read_figures(folder.path / "report.json")
    assert "latency.cycles.simulated" not in figures
    assert "latency.cycles.predicted" in figures


def test_verdicts_and_cells_of_another_card_are_not_reported(demo: Demo, folder: Run) -> None:
    foreign = ("verify.", "cells.", "latency.cycles.simulated")
    solve(folder, toy_samples(), dataclasses.replace(demo.settings, readout_bits=6))
    report_stage(folder)
    names = set(read_figures(folder.path / "report.json"))
    assert not {name for name in names if name.startswith(foreign)}
    assert "baseline.logistic.accuracy.test" in names, "baselines are of the samples alone"
    emit_stage(folder)
    report_stage(folder)
    names = set(read_figures(folder.path / "report.json"))
    assert not {name for name in names if name.startswith(foreign)}


@pytest.mark.parametrize("name", ["solution", "dictionary"])
def test_what_is_not_of_the_network_is_not_reported(
    demo: Demo, folder: Run, tmp_path: Path, name: str
) -> None:
    before = set(read_figures(folder.path / "report.json"))
    other = Run(tmp_path / "other")
    solve(other, toy_samples(), dataclasses.replace(demo.settings, rho=(0.1,), witnesses=50))
    for path in other.path.glob(f"{name}*"):
        shutil.copy(path, folder.path)
    report_stage(folder)
    after = set(read_figures(folder.path / "report.json"))
    html = (folder.path / "report.html").read_text()
    plot = "Duality gap and primal objective over iterations"
    assert (plot in html) == (name != "solution")
    assert (before - after != set()) == (name == "dictionary")
    assert all(figure.startswith("dictionary.") for figure in before - after)
    assert "certificate.gap" in after, "the certificate is of this network"


@pytest.mark.parametrize(
    ("name", "field"), [("verify-verilator", "mismatches"), ("cells", "lut4"), ("card", "n_steps")]
)
def test_a_changed_figure_is_refused(folder: Run, name: str, field: str) -> None:
    path = folder.file(name)
    text = path.read_text()
    changed = re.sub(rf'"{field}": (\d+)', lambda m: f'"{field}": {int(m[1]) + 1}', text, count=1)
    assert changed != text
    path.write_text(changed)
    before = (folder.path / "report.json").read_bytes()
    message = f"{path} does not match its digest: it was changed or damaged; "
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}run `"):
        report_stage(folder)
    assert (folder.path / "report.json").read_bytes() == before


def off_by_one(folder: Run) -> FixedPointNetwork:
    """The card's network with one weight off by one, so that a test sample shows it."""
    card, _ = load(CARD, folder.file("card"))
    test, _ = load(DATASET, folder.file("test"))
    expected = run(card, test.inputs)
    layer = card.branches[0].layers[0]
    for i, j in np.argwhere(layer.weights == 0):
        weights = layer.weights.copy()
        weights[i, j] += 1
        branch = Branch((dataclasses.replace(layer, weights=weights),))
        mutant = dataclasses.replace(card, branches=(branch, *card.branches[1:]))
        if first_mismatch(expected, run(mutant, test.inputs)) is not None:
            return mutant
    raise AssertionError("no weight matters")


def test_a_bundle_of_another_card_is_refused(folder: Run) -> None:
    _, record = load(CARD, folder.file("card"))
    save(CARD, off_by_one(folder), folder.file("card"), parents=record.parents)
    folder.file("golden").unlink()
    again = f"run `convexon emit {folder.path}` again"
    message = f"{folder.rtl} is of another card than {folder.file('card')}: {again}"
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
        verify_stage(folder, SimulatorKind.VERILATOR)
    assert not folder.has("golden"), "refused before the slow golden model runs"
    result = CliRunner().invoke(app, ["verify", str(folder.path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"convexon: {message}\n"


def test_verify_finds_one_weight_off_by_one_and_names_the_place(
    build_cache: Path, folder: Run
) -> None:
    del build_cache
    card, record = load(CARD, folder.file("card"))
    test, _ = load(DATASET, folder.file("test"))
    mutant = off_by_one(folder)
    emit(mutant, Mapping.spatial(mutant), parents={"card": record.digest}).write(folder.rtl)
    first = first_mismatch(run(card, test.inputs), run(mutant, test.inputs))
    arguments = ["verify", str(folder.path), "--simulator", "verilator"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "is not what" in result.stderr
    arguments.append("--edited")

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    line = re.fullmatch(
        rf"convexon: verilator: (\d+) of {test.n_samples} inferences differ; first (.*)\n",
        result.stderr,
    )
    assert line
    assert 0 < int(line[1]) <= test.n_samples
    assert line[2] == str(first)
    place = r"sample \d+, step \d+, branch 0, layer 0, neuron \d+: expected -?\d+, got -?\d+"
    assert re.fullmatch(rf"(spike|membrane) at {place}", line[2])

    again = CliRunner().invoke(app, arguments)
    assert (again.exit_code, again.stderr) == (1, result.stderr), "the verdict is an artefact"
    report_stage(folder)
    figures = read_figures(folder.path / "report.json")
    assert figures["verify.verilator.mismatches"].value == int(line[1])


def test_a_run_that_broke_off_gives_its_reason_and_no_figures(folder: Run) -> None:
    path = folder.file("verify-verilator")
    found, record = load(VERIFICATION, path)
    broken = dataclasses.replace(found, finished=False, inferences=3, first="stream o is stuck <b>")
    save(VERIFICATION, broken, path, parents=record.parents, recipe=record.recipe)
    report_stage(folder)
    figures = read_figures(folder.path / "report.json")
    assert figures["verify.verilator.passed"].value == 0
    assert not {"verify.verilator.inferences", "verify.verilator.mismatches"} & set(figures)
    reason = "verilator: stream o is stuck"
    assert f"**Not verified.** {reason} <b>" in (folder.path / "report.md").read_text()
    assert f"</strong> {reason} &lt;b&gt;" in (folder.path / "report.html").read_text()


def test_an_error_cancels_what_has_not_begun_and_keeps_what_has() -> None:
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise ToolError("the first one fails")
        time.sleep(0.2)
        return number

    def together(*numbers: int) -> list[int]:
        with _Threads() as threads:
            results = [threads.start(partial(call, number)) for number in numbers]
            return [result() for result in results]

    with pytest.raises(ToolError, match=r"^the first one fails$"):
        together(*range(20))
    assert len(begun) < 20
    assert together(3, 1, 2) == [3, 1, 2]
