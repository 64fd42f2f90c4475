"""Make the pictures of docs/report.md: `python docs/screenshots.py [FOLDER]`.

FOLDER (build/screenshots by default) gets a small network on the digits, verified in Icarus; the
same with hardware that has a fault; and a sweep. Needs chromium, chromium-driver and Icarus.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests" / "report")]

from report_bench import Page, mutate, started

from convexon.data.loading import digits
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.hardware.verify import verify_stage
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.report.stage import report_stage
from convexon.sweeps.stage import explore_stage
from convexon.sweeps.sweep import sweep_from
from convexon.train.settings import SolveSettings
from convexon_sim.simulator import SimulatorKind

DOCS = ROOT / "docs"
SWEEP = {
    "rho": [0.01],
    "sweep": {
        "steps": [4, 8],
        "witnesses": 400,
        "max_neurons": [16, 32, 64],
        "mapping": ["spatial", "folded"],
        "lanes": [4, 16],
    },
}


def main(folder: Path) -> None:
    """Make the runs, and a picture of each."""
    run = Run(folder / "run")
    settings = SolveSettings(witnesses=200, fan_in=4, max_neurons=24, rho=(0.01,))
    solve(run, digits(), settings)
    faulty = Run(folder / "faulty")
    shutil.rmtree(faulty.path, ignore_errors=True)
    emit_stage(run)
    verify_stage(run, SimulatorKind.ICARUS)
    shutil.copytree(run.path, faulty.path)
    mutate(faulty)
    verify_stage(faulty, SimulatorKind.ICARUS)
    for each in (run, faulty):
        report_stage(each)
    explore_stage(folder / "sweep", sweep_from(SWEEP))
    driver = started()
    try:
        report(Page(driver, run.path / "report.html"), "report-viewer.png", neuron=6)
        report(Page(driver, faulty.path / "report.html", dark=True), "report-fault.png")
        narrow(Page(driver, faulty.path / "report.html"))
        explore(Page(driver, folder / "sweep" / "explore.html"))
    finally:
        driver.quit()


def report(page: Page, name: str, neuron: int = 0) -> None:
    """Picture the viewer with one layer in its raster."""
    tall(page)
    page.shown()
    page.choose("neuron", neuron)
    page.shown(neuron=neuron)
    page.part("alone").click()
    page.shown()
    page.part("viewer").screenshot(str(DOCS / name))


def narrow(page: Page) -> None:
    """Picture the top of the viewer as a telephone shows it."""
    page.narrow()
    page.shown()
    page.part("alone").click()
    page.shown()
    page.run("arguments[0].scrollIntoView()", page.part("verdict"))
    page.driver.save_screenshot(str(DOCS / "report-narrow.png"))


def explore(page: Page) -> None:
    """Picture the front, and the top of the point that was clicked."""
    page.until("return convexon.page?.front.listening")
    point = page.driver.find_elements(By.CSS_SELECTOR, ".trace:nth-child(2) .point")[0]
    ActionChains(page.driver).move_to_element(point).click().perform()
    page.until("return convexon.page.shown")
    page.driver.save_screenshot(str(DOCS / "explore-front.png"))


def tall(page: Page) -> None:
    """Have a window that holds a whole section: a picture of an element ends with the window."""
    metrics = {"width": 900, "height": 2000, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "screenshots")
