/** What one point of a sweep is: choices, figures, network, files. */
"use strict";

(() => {
  const { element, table } = convexon.dom;

  /**
   * Show a point.
   *
   * @param {Object<string, HTMLElement>} parts of `explore.html`
   * @param {object} point
   * @param {object[]} networks of the page
   */
  function show(parts, point, networks) {
    parts.title.textContent = point.title;
    parts.place.textContent = point.reason
      ? `This point does not fit: ${point.reason}`
      : `${point.front ? "On the front" : "Beaten by other points"} of family ${point.family}. ` +
        `Folder ${point.folder}.`;
    parts.settings.replaceChildren(
      ...Object.entries(point.settings).flatMap(([name, value]) => [
        element("dt", {}, name),
        element("dd", {}, value),
      ]),
    );
    parts["point-figures"].replaceChildren(
      table(
        "Figures of the point",
        ["figure", "value", "unit", "kind", "source"],
        point.figures.map((f) => ({ cells: [f.name, f.text, f.unit, f.kind, f.source] })),
      ),
    );
    showFiles(parts, point);
    showNetwork(parts, point, networks);
  }

  function showFiles(parts, point) {
    parts.missing.hidden = point.reported || Boolean(point.reason);
    parts.missing.textContent =
      `There is no report yet: run convexon report on ${point.folder}, then convexon explore again.`;
    parts.files.replaceChildren(
      ...point.files.map(({ href, text }) =>
        element("li", {}, element("a", { href }, text)),
      ),
    );
  }

  function showNetwork(parts, point, networks) {
    parts.network.hidden = point.network === null;
    if (point.network === null) {
      return;
    }
    const network = networks[point.network];
    parts["network-note"].textContent = network.note;
    const header = ["branch", "layer", "inputs", "neurons", "synapses", "fan-in", "weight bits",
      "threshold bits", "mapping"];
    const rows = network.layers.map((cells, index) => ({
      cells: [...cells, point.mapping[index]].map(String),
    }));
    parts.layers.replaceChildren(table("Layers of the network", header, rows));
  }

  convexon.point = { show };
})();
