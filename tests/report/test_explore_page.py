"""explore.html in a real Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from report_bench import Page, ints
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from convexon.data.dataset import DATASET
from convexon.errors import InputError
from convexon.flow.run import Run
from convexon.report.page import value_text
from convexon.snn.card import CARD
from convexon.snn.models import golden
from convexon.store.artefact import load
from convexon.sweeps.executor import ProcessExecutor
from convexon.sweeps.point import EXPLORATION, Exploration
from convexon.sweeps.stage import explore_stage
from convexon.sweeps.sweep import sweep_from

SPIKES = {"coding": "threshold", "guide": "difference"}
SMALL = {**SPIKES, "steps": 4, "witnesses": 40, "fan_in": 3, "max_neurons": 4}

DRAWN = (
    "return arguments[0].data.slice(0, 2).map((t) => "
    "({x: t.x, y: t.y, opacity: t.marker.opacity, symbol: t.marker.symbol}))"
)


def opened(browser: webdriver.Chrome, root: Path) -> Page:
    page = Page(browser, root / "explore.html")
    page.until("return convexon.page?.front.listening")
    return page


def explored(root: Path) -> Exploration:
    return load(EXPLORATION, root / "explore.json")[0]


def shown(page: Page, name: str) -> dict[str, Any]:
    """Wait until a point is shown with all that belongs to it, and return it."""
    found: dict[str, Any] = page.until(
        f"const p = convexon.page.shown; return p && p.name === '{name}' ? p : null"
    )
    return found


def cells(page: Page, part: str) -> list[list[str]]:
    rows: list[list[str]] = page.run(
        "return [...arguments[0].querySelectorAll('tbody tr')].map((row) => "
        "[...row.cells].map((cell) => cell.textContent))",
        page.part(part),
    )
    return rows


def test_it_opens_without_a_word_on_the_console_and_asks_for_nothing(
    browser: webdriver.Chrome, sweep: Path
) -> None:
    page = opened(browser, sweep)
    assert page.console == []
    assert page.requests == []


def test_the_front_is_filled_and_the_rest_is_pale(browser: webdriver.Chrome, sweep: Path) -> None:
    page = opened(browser, sweep)
    found = explored(sweep)
    fits = [k for k, point in enumerate(found.points) if not point.reason]
    beaten, front = page.run(DRAWN, page.part("front"))
    for drawn, chosen in (
        (beaten, [k for k in fits if k not in found.front]),
        (front, found.front),
    ):
        assert chosen
        assert drawn["x"] == [found.points[k]["latency.cycles.mean"] for k in chosen]
        assert drawn["y"] == [found.points[k]["accuracy.test"] for k in chosen]
    assert (beaten["opacity"], beaten["symbol"]) == (0.6, "circle-open")
    assert (front.get("opacity"), front["symbol"]) == (None, "diamond")


def test_each_axis_shows_what_is_chosen(browser: webdriver.Chrome, sweep: Path) -> None:
    page = opened(browser, sweep)
    found = explored(sweep)
    labels = page.run("return [...arguments[0].options].map((o) => o.text)", page.part("x"))
    assert labels[:5] == [
        "test accuracy",
        "latency, cycles, mean",
        "LUTs",
        "block RAMs",
        "energy, J, high",
    ]
    page.choose("x", labels.index("energy, J, high"))
    page.choose("y", labels.index("LUTs"))
    page.part("y-log").click()
    page.until("return arguments[0].layout.yaxis.type === 'log'", page.part("front"))
    _, front = page.run(DRAWN, page.part("front"))
    assert front["x"] == [found.points[k]["energy.neutral.high"] for k in found.front]
    assert front["y"] == [found.points[k]["estimate.luts"] for k in found.front]
    assert page.console == []


def test_a_click_shows_the_figures_the_network_and_the_raster_of_the_point(
    browser: webdriver.Chrome, sweep: Path
) -> None:
    page = opened(browser, sweep)
    found = explored(sweep)
    own = page.part("front").find_elements(
        By.CSS_SELECTOR, ".scatterlayer .trace:nth-child(2) .point"
    )
    assert len(own) == len(found.front)
    k = found.front[-1]
    ActionChains(browser).move_to_element(own[-1]).click().perform()
    shown(page, found.names[k])
    point, folder = found.points[k], Run(sweep / "points" / found.names[k])
    want = [[f.name, value_text(f), f.unit, f.kind.value, f.source] for f in point.figures]
    assert cells(page, "point-figures") == want
    settings = page.text("settings").split("\n")
    for name in ("steps", "max_neurons", "mapping", "family"):
        assert settings[settings.index(name) + 1] == str(point.settings[name])
    card = folder.read("card", CARD).value
    layers = [layer for branch in card.branches for layer in branch.layers]
    rows = cells(page, "layers")
    assert [row[3:5] for row in rows[:-1]] == [
        [str(layer.n_neurons), str(layer.n_synapses)] for layer in layers
    ]
    assert [row[6] for row in rows[:-1]] == [str(layer.weight_format.width) for layer in layers]
    assert rows[-1][0] == "readout"
    kind = "spatial" if point.settings["mapping"] == "spatial" else "folded"
    assert all(row[-1].startswith(kind) for row in rows)
    trace = golden.run(card, folder.read("test", DATASET).value.inputs[:1])
    steps = page.shown(sample=0, layer=0, neuron=0)["steps"]
    assert [row["membrane"] for row in steps] == ints(trace.layers[0][0].membranes[0, :, 0])
    raster = page.run("return arguments[0].data[0].z", page.part("raster"))
    spikes = trace.layers[0][0].spikes[0]
    first = card.n_inputs + 1
    assert raster[first : first + spikes.shape[1]] == ints(spikes.T)
    assert page.console == []


def test_points_at_one_place_are_shown_one_after_the_other(
    browser: webdriver.Chrome, sweep: Path
) -> None:
    page = opened(browser, sweep)
    found = explored(sweep)
    names = page.run("return convexon.page.sweep.measures.map((m) => m.name)")
    page.choose("x", names.index("estimate.block_rams"))
    page.choose("y", names.index("estimate.block_rams"))
    page.until("return convexon.page.front.axes.x.name === 'estimate.block_rams'")
    fits = [k for k, point in enumerate(found.points) if not point.reason]
    assert {found.points[k]["estimate.block_rams"] for k in fits} == {0}
    order = [*found.front, *(k for k in fits if k not in found.front)]
    for k in [*order, order[0]]:
        point = page.part("front").find_element(By.CSS_SELECTOR, ".scatterlayer .point")
        ActionChains(browser).move_to_element(point).click().perform()
        shown(page, found.names[k])
    assert f"{len(fits) - 1} more lie at its place" in page.text("status")


def test_arrow_keys_go_from_point_to_point_and_enter_shows_one(
    browser: webdriver.Chrome, sweep: Path
) -> None:
    page = opened(browser, sweep)
    found = explored(sweep)
    fits = [k for k, point in enumerate(found.points) if not point.reason]
    across = sorted(fits, key=lambda k: found.points[k]["latency.cycles.mean"])
    for _ in range(10):
        page.press(Keys.TAB)
        if page.run("return document.activeElement === arguments[0]", page.part("front")):
            break
    focused = "return convexon.page.front.focused?.name === arguments[0]"
    page.until(focused, found.names[across[0]])
    page.press(Keys.ARROW_RIGHT)
    page.until(focused, found.names[across[1]])
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    page.until(focused, found.names[across[1]])
    latency = found.points[across[1]]["latency.cycles.mean"]
    assert f"latency, cycles, mean {latency:.6g}" in page.text("status")
    page.press(Keys.END)
    page.until(focused, found.names[across[-1]])
    page.press(Keys.ENTER)
    shown(page, found.names[across[-1]])
    assert page.run("return document.activeElement === arguments[0]", page.part("title"))
    ring = page.run("return arguments[0].data[3].x", page.part("front"))
    assert ring == [found.points[across[-1]]["latency.cycles.mean"]]


def test_the_table_has_all_points_and_says_why_one_does_not_fit(
    browser: webdriver.Chrome, sweep: Path
) -> None:
    page = opened(browser, sweep)
    found = explored(sweep)
    rows = cells(page, "points")
    assert len(rows) == len(found.points)
    (failed,) = (k for k, point in enumerate(found.points) if point.reason)
    assert rows[failed][1:] == ["does not fit", *["-"] * 5]
    button = browser.find_element(By.CSS_SELECTOR, f"[data-point='{found.names[failed]}']")
    page.run("arguments[0].focus()", button)
    page.press(Keys.ENTER)
    shown(page, found.names[failed])
    assert page.text("place") == f"This point does not fit: {found.points[failed].reason}"
    assert not page.part("viewer").is_displayed()
    assert page.console == []


def test_links_lead_to_files_of_the_point_its_report_first(
    browser: webdriver.Chrome, sweep: Path
) -> None:
    page = opened(browser, sweep)
    for name in explored(sweep).names:
        page.run("document.querySelector(`[data-point='${arguments[0]}']`).click()", name)
        point = shown(page, name)
        links = page.part("files").find_elements(By.TAG_NAME, "a")
        hrefs = [link.get_attribute("href") for link in links]
        folder = (sweep / "points" / name).as_uri()
        assert hrefs
        assert all(href is not None and href.startswith(folder) for href in hrefs)
        for href in hrefs:
            assert Path(unquote(str(href).removeprefix("file://"))).is_file()
        reported = (sweep / "points" / name / "report.html").exists()
        assert point["reported"] is reported
        assert (links[0].text == "report.html") is reported
        asks = page.part("missing").is_displayed()
        assert asks is (not reported and not point["reason"])


def test_a_point_that_was_verified_has_the_trace_of_its_hardware(
    browser: webdriver.Chrome, sweep: Path
) -> None:
    page = opened(browser, sweep)
    (report,) = sweep.glob("points/*/report.html")
    page.run("document.querySelector(`[data-point='${arguments[0]}']`).click()", report.parent.name)
    shown(page, report.parent.name)
    assert "Hardware (icarus) is equal" in page.text("verdict")
    assert page.text("count").startswith("1 of 33 test samples are in this page.")
    other = next(name for name in explored(sweep).names if name != report.parent.name)
    page.run("document.querySelector(`[data-point='${arguments[0]}']`).click()", other)
    shown(page, other)
    assert page.text("hardware") == "No hardware trace: run convexon verify."


def test_a_sweep_of_which_nothing_fits_says_why_and_draws_nothing(
    browser: webdriver.Chrome, data: Path, tmp_path: Path
) -> None:
    tables = {"data": str(data), "rho": [0.01], "sweep": SMALL, "budget": {"luts": 20}}
    with pytest.raises(InputError, match="no point fits"):
        explore_stage(tmp_path, sweep_from(tables), executor=ProcessExecutor(1))
    page = Page(browser, tmp_path / "explore.html")
    page.until("return convexon.page !== undefined")
    assert not page.part("front-section").is_displayed()
    page.part("points").find_element(By.CSS_SELECTOR, "button").click()
    page.until("return convexon.page.shown !== null")
    assert "This point does not fit: budget must hold" in page.text("place")
    assert page.console == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_read_on_a_narrow_screen(
    browser: webdriver.Chrome, sweep: Path, dark: bool
) -> None:
    page = Page(browser, sweep / "explore.html", dark=dark)
    page.until("return convexon.page?.front.listening")
    page.narrow()
    assert page.overhang <= 0
    found = explored(sweep)
    name = found.names[found.front[0]]
    page.run("document.querySelector(`[data-point='${arguments[0]}']`).click()", name)
    shown(page, name)
    assert page.overhang <= 0
    ratios = page.contrasts()
    assert ratios[0][0] >= 4.5, ratios[:5]
