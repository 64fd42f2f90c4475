"""What the tests of pages share: a browser that is waited for, and traces to compare with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from convexon.flow.run import Run
from convexon.plan.mapping import Mapping
from convexon.snn.card import CARD
from convexon.snn.network import Branch, FixedPointNetwork
from convexon_hdl.emit.emitter import emit

CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
INSTALL = "apt-get install chromium chromium-driver"
NARROW = 360
WAIT_SECONDS = 20


def started() -> webdriver.Chrome:
    """A Chromium without a window, which notes what its console says and what it asks for."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1000,1200",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))


class Page:
    """A page in a browser; what it does is waited for, never slept for."""

    def __init__(self, driver: webdriver.Chrome, path: Path, *, dark: bool = False) -> None:
        self.driver = driver
        scheme = "dark" if dark else "light"
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.get("about:blank")
        for log in ("browser", "performance"):
            driver.get_log(log)
        driver.get(path.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any) -> Any:
        """Wait until what the script returns is true in JavaScript, and return it."""
        wait = WebDriverWait(self.driver, WAIT_SECONDS, poll_frequency=0.05)
        return wait.until(lambda _: self.run(script, *arguments), f"waited for {script}")

    def part(self, name: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, f"[data-part='{name}']")

    def text(self, name: str) -> str:
        return self.part(name).text

    def press(self, *keys: str) -> None:
        """Press keys one by one, wherever the focus is."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def click_at(self, element: WebElement, right: float, down: float) -> None:
        """Click at a share of an element's width and height."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        x, y = (right - 0.5) * element.size["width"], (down - 0.5) * element.size["height"]
        ActionChains(self.driver).move_to_element_with_offset(
            element, round(x), round(y)
        ).click().perform()

    def choose(self, name: str, value: object) -> None:
        """Give a control another value, as a user does."""
        script = (
            "const [control, value] = arguments; control.value = value;"
            "control.dispatchEvent(new Event('change', {bubbles: true}))"
        )
        self.run(script, self.part(name), str(value))

    @property
    def console(self) -> list[str]:
        """What the console said since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def requests(self) -> list[str]:
        """What the page asked for, other than itself and what it carries."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert any(url.startswith("file:") for url in urls), "the browser notes what it asks for"
        own = self.driver.current_url.partition("#")[0]
        return [url for url in urls if url != own and not url.startswith(("data:", "blob:"))]

    def narrow(self) -> None:
        """Show it as a small telephone does."""
        metrics = {"width": NARROW, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.until(f"return innerWidth === {NARROW}")

    @property
    def overhang(self) -> int:
        """Pixels by which the page is wider than the screen."""
        width: int = self.run("return document.documentElement.scrollWidth - innerWidth")
        return width

    def shown(self, **place: int) -> dict[str, Any]:
        """Wait until the viewer shows a place, and return all that it shows there."""
        test = " && ".join(f"s.{key} === {value}" for key, value in place.items()) or "true"
        found: dict[str, Any] = self.until(
            f"const s = convexon.page?.viewer.shown; return s && {test} ? s : null"
        )
        return found

    def contrasts(self) -> list[tuple[float, str]]:
        """Ratio of contrast of every text that can be seen, lowest first, and the text."""
        found = self.run(CONTRASTS)
        return sorted((ratio, text) for ratio, text in found)


CONTRASTS = """
const light = (color) => {
  const parts = color.match(/[0-9.]+/g).slice(0, 3).map((part) => {
    const c = Number(part) / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
};
const found = [];
for (const element of document.querySelectorAll("main *")) {
  const text = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
  if (!text.length || element.closest("svg, option, noscript")) continue;
  if (!element.checkVisibility()) continue;
  const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
  found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text[0].data.trim()]);
}
return found;
"""
"""Contrast as WCAG 2 defines it."""

ALL_VALUES = """
const done = arguments[0];
(async () => {
  const { traces } = convexon.page.viewer;
  const all = [];
  for (let k = 0; k < traces.count; k += 1) {
    const inference = await traces.inference(k);
    all.push({
      sample: inference.sample,
      runs: inference.runs,
      inputs: Array.from(inference.inputs),
      layers: inference.layers.map((layer, l) => {
        const values = (of) => inference.runs.map((_, run) =>
          Array.from({ length: inference.steps }, (_, step) =>
            Array.from({ length: layer.neurons }, (_, n) => Number(of(run, l, step, n)))));
        return {
          spikes: values((...place) => inference.spike(...place)),
          membranes: values((...place) => inference.membrane(...place)),
        };
      }),
    });
  }
  done(all);
})();
"""
"""Everything that a page carries, as its own script reads it."""


def mutate(run: Run) -> FixedPointNetwork:
    """Put hardware into the folder whose first layer has a neuron with another threshold."""
    card = run.read("card", CARD)
    network = card.value
    layer = network.branches[0].layers[0]
    thresholds = layer.thresholds.copy()
    thresholds[0] += 1 if thresholds[0] < layer.threshold_format.interval.high else -1
    changed = dataclasses.replace(layer, thresholds=thresholds)
    branch = Branch((changed, *network.branches[0].layers[1:]))
    mutant = dataclasses.replace(network, branches=(branch, *network.branches[1:]))
    emit(mutant, Mapping.spatial(mutant), parents={"card": card.record.digest}).write(run.rtl)
    return mutant


def ints(values: np.ndarray) -> Sequence[Any]:
    """An array as JSON has it."""
    listed: Sequence[Any] = values.astype(int).tolist()
    return listed
