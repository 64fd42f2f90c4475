"""report.html in a real Chromium."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from report_bench import ALL_VALUES, Page, ints
from selenium import webdriver
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By

from convexon.data.dataset import DATASET
from convexon.flow.run import Run
from convexon.report.stage import report_stage
from convexon.snn.card import CARD
from convexon.snn.models.trace import TRACE, SpikeTrace, first_mismatch
from convexon.store.artefact import save

TABLE = (
    "return [...arguments[0].querySelectorAll('tbody tr')].map((row) => "
    "[...row.cells].map((cell) => cell.textContent))"
)
LEAST_CONTRAST = 4.5
"""Of WCAG 2, level AA."""


def opened(browser: webdriver.Chrome, folder: Run, *, dark: bool = False) -> Page:
    page = Page(browser, folder.path / "report.html", dark=dark)
    page.shown()
    return page


def traces_of(folder: Run) -> tuple[SpikeTrace, SpikeTrace]:
    """The golden model's, and the hardware's."""
    return folder.read("golden", TRACE).value, folder.read("trace-icarus", TRACE).value


def test_it_opens_without_a_word_on_the_console_and_asks_for_nothing(
    browser: webdriver.Chrome, verified: Run
) -> None:
    page = opened(browser, verified)
    assert page.console == []
    assert page.requests == []
    assert page.text("count").startswith("33 of 33 test samples are in this page.")
    assert "icarus simulated 33, of which 0 differ" in page.text("count")
    assert "is equal in every spike, membrane, score and label" in page.text("verdict")


def test_the_policy_of_the_page_forbids_what_it_does_not_carry(
    browser: webdriver.Chrome, verified: Run
) -> None:
    page = opened(browser, verified)
    refused = page.run(
        "const s = document.createElement('script'); s.textContent = 'globalThis.foreign = 1';"
        "document.body.append(s); return globalThis.foreign === undefined"
    )
    assert refused
    assert any("Content Security Policy" in line for line in page.console)


@pytest.mark.parametrize("name", ["verified", "mutated"])
def test_every_value_in_the_page_is_the_golden_models_and_the_hardwares(
    browser: webdriver.Chrome, request: pytest.FixtureRequest, name: str
) -> None:
    folder: Run = request.getfixturevalue(name)
    page = opened(browser, folder)
    golden, hardware = traces_of(folder)
    inputs = folder.read("test", DATASET).value.inputs
    found = browser.execute_async_script(ALL_VALUES)
    assert [each["sample"] for each in found] == list(range(golden.n_samples))
    for k, each in enumerate(found):
        assert [run["name"] for run in each["runs"]] == ["golden", "icarus"]
        assert each["inputs"] == ints(inputs[k].ravel())
        for position, (branch, depth, _) in enumerate(golden.flat_layers()):
            for run, trace in enumerate((golden, hardware)):
                layer, own = trace.layers[branch][depth], each["layers"][position]
                assert own["spikes"][run] == ints(layer.spikes[k])
                assert own["membranes"][run] == ints(layer.membranes[k])
        for run, trace in zip(each["runs"], (golden, hardware), strict=True):
            assert run["answer"] == trace.labels[k, -1]
            assert run["scores"] == ints(trace.scores[k, -1])
        assert hardware.latency_cycles is not None
        assert [run["latency"] for run in each["runs"]] == [None, hardware.latency_cycles[k]]
    assert page.console == []


def test_the_membrane_of_a_neuron_is_drawn_and_listed(
    browser: webdriver.Chrome, verified: Run
) -> None:
    page = opened(browser, verified)
    golden, hardware = traces_of(verified)
    card = verified.read("card", CARD).value
    page.choose("inference", 7)
    page.choose("layer", 1)
    page.choose("neuron", 2)
    page.shown(sample=7, layer=1, neuron=2)
    want, have = (trace.layers[1][0] for trace in (golden, hardware))
    drawn = page.run(
        "return Object.fromEntries(arguments[0].data.map((t) => [t.name, [t.x, t.y]]))",
        page.part("membrane"),
    )
    steps = list(range(card.n_steps))
    assert drawn["golden, membrane"] == [steps, ints(want.membranes[7, :, 2])]
    assert drawn["icarus, membrane"] == [steps, ints(have.membranes[7, :, 2])]
    assert drawn["golden, spike"][0] == ints(np.flatnonzero(want.spikes[7, :, 2]))
    assert drawn["icarus, spike"][0] == ints(np.flatnonzero(have.spikes[7, :, 2]))
    assert set(drawn["threshold"][1]) == {card.branches[1].layers[0].thresholds[2]}
    assert drawn["differs"] == [[], []]
    listed = page.run(TABLE, page.part("table"))
    spikes, membranes = want.spikes[7, :, 2].tolist(), want.membranes[7, :, 2].tolist()
    assert listed == [
        [str(t), str(s), str(v), str(s), str(v), ""]
        for t, s, v in zip(steps, spikes, membranes, strict=True)
    ]


def test_a_click_on_the_raster_shows_that_neuron(browser: webdriver.Chrome, verified: Run) -> None:
    page = opened(browser, verified)
    card = verified.read("card", CARD).value
    first, second = (branch.layers[0].n_neurons for branch in card.branches)
    rows = card.n_inputs + 1 + first + 1 + second
    plot = page.part("raster").find_element(By.CSS_SELECTOR, ".nsewdrag")
    page.click_at(plot, 0.5, (rows - second + 1.5) / rows)
    shown = page.shown(layer=1, neuron=1)
    golden, _ = traces_of(verified)
    membranes = golden.layers[1][0].membranes[0, :, 1]
    assert [row["membrane"] for row in shown["steps"]] == ints(membranes)
    assert "branch 1, layer 0, neuron 1" in page.text("caption")


def test_the_raster_of_one_layer_is_as_high_as_its_place(
    browser: webdriver.Chrome, verified: Run
) -> None:
    page = opened(browser, verified)
    raster = page.part("raster")
    whole = raster.size["height"]
    page.part("alone").click()
    drawn = page.until(
        "const plot = arguments[0]; const drawn = plot._fullLayout;"
        "return drawn.yaxis.ticktext[0] === '0' && [drawn.height, plot.clientHeight]",
        raster,
    )
    assert drawn[0] == drawn[1] < whole
    n_neurons = verified.read("card", CARD).value.branches[0].layers[0].n_neurons
    names = page.run("return arguments[0]._fullLayout.yaxis.ticktext", raster)
    assert names == [str(neuron) for neuron in range(n_neurons)]


def test_everything_can_be_done_on_the_keyboard(browser: webdriver.Chrome, verified: Run) -> None:
    page = opened(browser, verified)
    reached = []
    while reached[-1:] != ["raster"]:
        assert len(reached) < 20, reached
        page.press(Keys.TAB)
        name = page.run("return document.activeElement.dataset.part ?? ''")
        visible = page.run(
            "const s = getComputedStyle(document.activeElement);"
            "return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2"
        )
        assert visible, f"the focus on {name} is seen"
        reached.append(name)
    expected = ["inference", "run", "layer", "neuron", "alone", "previous", "next", "raster"]
    assert [name for name in reached if name] == expected
    page.press(Keys.ARROW_DOWN)
    page.shown(sample=0, layer=0, neuron=1)
    page.press(Keys.ARROW_RIGHT)
    page.shown(sample=1, layer=0, neuron=1)
    page.press(Keys.END)
    page.shown(sample=32)
    page.press(Keys.HOME)
    page.shown(sample=0)
    page.press(Keys.ARROW_UP, Keys.ARROW_UP)
    page.shown(sample=0, layer=0, neuron=0)
    page.part("inference").send_keys(Keys.ARROW_DOWN)
    page.shown(sample=1)
    page.part("next").send_keys(Keys.ENTER)
    page.shown(sample=2)
    page.part("neuron").send_keys(Keys.CONTROL, "a")
    last = verified.read("card", CARD).value.branches[0].layers[0].n_neurons - 1
    assert last > 0
    page.part("neuron").send_keys(str(last), Keys.TAB)
    page.shown(sample=2, neuron=last)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_read_on_a_narrow_screen(
    browser: webdriver.Chrome, mutated: Run, dark: bool
) -> None:
    page = opened(browser, mutated, dark=dark)
    page.narrow()
    page.until(
        "return arguments[0].querySelector('.main-svg').getBoundingClientRect().width < 360",
        page.part("membrane"),
    )
    assert page.overhang <= 0
    right = "return arguments[0].getBoundingClientRect().right"
    assert page.run(right, page.part("inference")) <= page.run(right, page.part("controls"))
    page.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.overhang <= 0
    ratios = page.contrasts()
    assert len(ratios) > 100
    assert ratios[0][0] >= LEAST_CONTRAST, ratios[:5]
    background = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(18, 23, 29)") is dark
    drawn = page.run("return arguments[0].layout.paper_bgcolor", page.part("membrane"))
    assert drawn == ("#1b222b" if dark else "#ffffff")


def test_drawings_follow_the_scheme_when_it_changes(
    browser: webdriver.Chrome, verified: Run
) -> None:
    page = opened(browser, verified)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    for name in ("raster", "membrane"):
        page.until("return arguments[0].layout.paper_bgcolor === '#1b222b'", page.part(name))


def test_hardware_that_differs_is_marked_where_it_does(
    browser: webdriver.Chrome, mutated: Run
) -> None:
    page = opened(browser, mutated)
    golden, hardware = traces_of(mutated)
    first = first_mismatch(golden, hardware)
    assert first is not None
    assert (first.branch, first.layer) == (0, 0)
    shown = page.shown(sample=first.sample, layer=0, neuron=first.neuron)
    assert "differs" in page.text("verdict")
    color = page.run("return getComputedStyle(arguments[0]).color", page.part("verdict"))
    assert color == "rgb(185, 28, 28)"
    want, have = (trace.layers[0][0] for trace in (golden, hardware))
    spikes = (want.spikes != have.spikes)[first.sample]
    either = spikes | (want.membranes != have.membranes)[first.sample]
    assert spikes.any(), "the fault is seen in a spike, not in a membrane alone"
    marked = [row["step"] for row in shown["steps"] if row["differs"]]
    assert marked == np.flatnonzero(either[:, first.neuron]).tolist()
    rows = page.run(TABLE, page.part("table"))
    assert [int(row[0]) for row in rows if row[5] == "differs"] == marked
    drawn = page.run(
        "return Object.fromEntries(arguments[0].data.map((t) => [t.name, t.x]))",
        page.part("membrane"),
    )
    assert drawn["differs"] == marked
    marks = page.run(
        "return Object.fromEntries(arguments[0].data.map((t) => [t.name, t.x]))",
        page.part("raster"),
    )
    assert len(marks["spike differs"]) == spikes.sum()
    assert len(marks["membrane differs"]) == either.sum() - spikes.sum()
    seen = page.part("raster").find_elements(By.CSS_SELECTOR, ".scatterlayer .point")
    assert len(seen) == either.sum()
    assert page.console == []


def test_without_a_simulation_it_says_so(browser: webdriver.Chrome, unverified: Run) -> None:
    page = opened(browser, unverified)
    assert page.text("hardware") == "No hardware trace: run convexon verify."
    assert not page.part("run").is_enabled()
    names = page.run("return arguments[0].data.map((t) => t.name)", page.part("membrane"))
    assert names == ["model, membrane", "threshold", "model, spike"]
    assert "golden" not in page.text("viewer").replace("hold equal to the golden one", "")
    assert page.console == []


def test_a_browser_that_is_too_old_is_told_so(browser: webdriver.Chrome, verified: Run) -> None:
    added = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "delete globalThis.DecompressionStream"}
    )
    try:
        page = Page(browser, verified.path / "report.html")
        page.until("return arguments[0].textContent", page.part("count"))
        assert page.text("count").startswith("This browser cannot unpack the traces")
        assert not page.part("controls").is_displayed()
        assert page.console == []
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_a_simulation_that_broke_off_shows_what_came_out_whole(
    browser: webdriver.Chrome, run: Run
) -> None:
    made = run.read("trace-icarus", TRACE)
    record = made.record
    save(
        TRACE,
        made.value.head(2),
        run.file("trace-icarus"),
        parents=record.parents,
        recipe=record.recipe,
    )
    report_stage(run)
    page = opened(browser, run)
    assert "icarus simulated 2, of which 0 differ" in page.text("count")
    page.choose("inference", 2)
    page.shown(sample=2, run=-1)
    assert "icarus did not come to the end of this one" in page.text("verdict")


def test_hardware_that_ended_early_is_judged_by_the_steps_that_it_took(
    browser: webdriver.Chrome, run: Run
) -> None:
    made = run.read("trace-icarus", TRACE)
    spikes = made.value.layers[0][0].spikes.copy()
    spikes[:, 3:] ^= 1
    layers = list(made.value.layers)
    layers[0] = (dataclasses.replace(layers[0][0], spikes=spikes),)
    early = dataclasses.replace(
        made.value, layers=tuple(layers), steps=np.full(made.value.n_samples, 3)
    )
    record = made.record
    path = run.file("trace-icarus")
    save(TRACE, early, path, parents=record.parents, recipe=record.recipe)
    report_stage(run)
    page = opened(browser, run)
    shown = page.shown(sample=0, layer=0)
    assert [row["actual"] is None for row in shown["steps"]] == [False] * 3 + [True] * 2
    assert not any(row["differs"] for row in shown["steps"])
    assert re.search("is equal in every spike", page.text("verdict"))
