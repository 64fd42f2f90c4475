/** The spike raster: a row a neuron, inputs above, then layer by layer of each branch. */
"use strict";

(() => {
  const { theme } = convexon;
  const { onKeys } = convexon.dom;

  const MOST_MARKS = 2000;
  const MOST_NAMES = 24;
  const GAP = 1;

  /** What a cell shows. */
  const QUIET = 0;
  const SPIKE = 1;
  const REFERENCE_ALONE = 2;
  const HARDWARE_ALONE = 3;

  /** Colours of the cells, by what they show, by their names in page.css. */
  const CELLS = ["quiet", "ink", "golden", "hardware"];

  /**
   * @typedef {object} Place
   * @property {number} layer index in the page; -1 for the inputs
   * @property {number} neuron
   */

  class Raster {
    /**
     * @param {HTMLElement} host
     * @param {object} handlers
     * @param {(place: Place) => void} handlers.choose a neuron was clicked
     * @param {(place: ?Place, step: number) => void} handlers.point the pointer is over a cell
     * @param {(rows: number) => void} handlers.move keys go up or down by rows
     * @param {(inferences: number) => void} handlers.turn keys go to another inference
     */
    constructor(host, handlers) {
      this.host = host;
      this.handlers = handlers;
      /** @type {?Place[]} */
      this.rows = [];
      onKeys(host, {
        ArrowUp: () => handlers.move(-1),
        ArrowDown: () => handlers.move(1),
        ArrowLeft: () => handlers.turn(-1),
        ArrowRight: () => handlers.turn(1),
      });
    }

    /**
     * Draw an inference.
     *
     * @param {Inference} inference
     * @param {number} run that is drawn over the reference; -1 for none
     * @param {?number} alone the one layer to draw; null for all, and the inputs
     * @param {Place} chosen
     */
    async show(inference, run, alone, chosen) {
      this.rows = rowsOf(inference, alone);
      const traces = [layersTrace(inference, run, this.rows)];
      if (alone === null) {
        traces.push(inputsTrace(inference, this.rows));
      }
      traces.push(...marksOf(inference, run, this.rows));
      const names = namesOf(inference, this.rows);
      const height = Math.min(760, Math.max(240, this.rows.length * 14 + 90));
      await theme.draw(this.host, height, traces, {
        xaxis: theme.axis("step", {
          showgrid: false,
          range: [-0.5, inference.steps - 0.5],
          dtick: inference.steps <= 20 ? 1 : undefined,
        }),
        yaxis: theme.axis("", {
          showgrid: false,
          zeroline: false,
          range: [this.rows.length - 0.5, -0.5],
          tickvals: names.map((name) => name.row),
          ticktext: names.map((name) => name.text),
        }),
        shapes: this.frame(chosen),
      });
      this.listen();
    }

    /** Frame another neuron, and leave the rest as it is. */
    async choose(chosen) {
      await Plotly.relayout(this.host, { shapes: this.frame(chosen) });
    }

    /** Frame around the row of a neuron. */
    frame(chosen) {
      const row = this.rows.findIndex((place) => same(place, chosen));
      if (row < 0) {
        return [];
      }
      const line = { color: theme.color("accent"), width: 2 };
      const [y0, y1] = [row - 0.5, row + 0.5];
      return [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0, y1, line }];
    }

    /** Place that is `by` rows of neurons below one. */
    beside(chosen, by) {
      const neurons = this.rows.filter((place) => place && place.layer >= 0);
      const at = neurons.findIndex((place) => same(place, chosen));
      return neurons[Math.min(Math.max(at + by, 0), neurons.length - 1)];
    }

    /** Pass on clicks and the pointer's place; Plotly has its events once it has drawn. */
    listen() {
      if (this.listening) {
        return;
      }
      this.listening = true;
      this.host.on("plotly_click", ({ points }) => {
        const place = this.rows[points[0].y];
        if (place && place.layer >= 0) {
          this.handlers.choose(place);
        }
      });
      this.host.on("plotly_hover", ({ points }) => {
        this.handlers.point(this.rows[points[0].y], points[0].x);
      });
      this.host.on("plotly_unhover", () => this.handlers.point(null, 0));
    }
  }

  function same(place, other) {
    return place !== null && place.layer === other.layer && place.neuron === other.neuron;
  }

  /** Places from top to bottom, with nothing between two layers. */
  function rowsOf(inference, alone) {
    const groups = alone === null ? [[-1, inference.nInputs]] : [];
    inference.layers.forEach((layer, index) => {
      if (alone === null || alone === index) {
        groups.push([index, layer.neurons]);
      }
    });
    return groups.flatMap(([layer, count], index) => [
      ...Array(index ? GAP : 0).fill(null),
      ...Array.from({ length: count }, (_, neuron) => ({ layer, neuron })),
    ]);
  }

  /** Numbers of the neurons of one layer, or names of many at their middle: some of them. */
  function namesOf(inference, rows) {
    const layers = new Set(rows.filter((place) => place).map((place) => place.layer));
    const names =
      layers.size === 1
        ? rows.map((place, row) => ({ row, text: `${place.neuron}` }))
        : layerNames(inference, rows);
    const stride = Math.ceil(names.length / MOST_NAMES);
    return names.filter((_, index) => index % stride === 0);
  }

  /** Names of layers, and of the inputs, at the middle of their rows. */
  function layerNames(inference, rows) {
    const groups = new Map();
    rows.forEach((place, row) => {
      if (place) {
        groups.set(place.layer, [...(groups.get(place.layer) ?? [row]).slice(0, 1), row]);
      }
    });
    return [...groups].map(([layer, ends]) => ({
      row: (ends[0] + ends.at(-1)) / 2,
      text: layer < 0 ? "inputs" : nameOf(inference.layers[layer], true),
    }));
  }

  /**
   * Name of a layer.
   *
   * @param {{branch: number, layer: number}} layer
   * @param {boolean} [short]
   */
  function nameOf(layer, short = false) {
    return short
      ? `${layer.branch}.${layer.layer}`
      : `branch ${layer.branch}, layer ${layer.layer}`;
  }

  function heatmap(inference, rows, value, own) {
    const z = rows.map((place) =>
      Array.from({ length: inference.steps }, (_, step) => value(place, step)),
    );
    const thin = rows.length > 150 ? 0 : 1;
    return {
      type: "heatmap",
      z,
      showscale: false,
      hoverinfo: "none",
      xgap: inference.steps > 60 ? 0 : 2,
      ygap: thin,
      ...own,
    };
  }

  function layersTrace(inference, run, rows) {
    const scale = CELLS.flatMap((name, index) => [
      [index / CELLS.length, theme.color(name)],
      [(index + 1) / CELLS.length, theme.color(name)],
    ]);
    const value = (place, step) =>
      place && place.layer >= 0 ? cell(inference, run, place, step) : null;
    return heatmap(inference, rows, value, { zmin: -0.5, zmax: 3.5, colorscale: scale });
  }

  function cell(inference, run, { layer, neuron }, step) {
    const reference = inference.spike(0, layer, step, neuron);
    if (run < 0 || !inference.spikeDiffersAt(run, layer, step, neuron)) {
      return reference ? SPIKE : QUIET;
    }
    return reference ? REFERENCE_ALONE : HARDWARE_ALONE;
  }

  function inputsTrace(inference, rows) {
    const value = (place, step) =>
      place && place.layer < 0 ? inference.input(step, place.neuron) : null;
    const most = inference.inputs.reduce((largest, x) => Math.max(largest, x), 1);
    const scale = [
      [0, theme.color("quiet")],
      [1, theme.color("muted")],
    ];
    return heatmap(inference, rows, value, { zmin: 0, zmax: most, colorscale: scale });
  }

  /** Crosses where spikes differ, and rings where membranes alone do: not by colour alone. */
  function marksOf(inference, run, rows) {
    if (run < 0) {
      return [];
    }
    const spikes = { x: [], y: [] };
    const membranes = { x: [], y: [] };
    rows.forEach((place, row) => {
      if (!place || place.layer < 0) {
        return;
      }
      for (let step = 0; step < inference.steps; step += 1) {
        if (!inference.differsAt(run, place.layer, step, place.neuron)) {
          continue;
        }
        const marks = inference.spikeDiffersAt(run, place.layer, step, place.neuron)
          ? spikes
          : membranes;
        if (marks.x.length < MOST_MARKS) {
          marks.x.push(step);
          marks.y.push(row);
        }
      }
    });
    const size = 9;
    const line = { color: theme.color("differ"), width: 2 };
    const marker = (symbol) => ({ symbol, size, color: theme.color("differ"), line });
    const common = { type: "scatter", mode: "markers", hoverinfo: "none", cliponaxis: true };
    return [
      { ...common, ...spikes, name: "spike differs", marker: marker("x-thin") },
      { ...common, ...membranes, name: "membrane differs", marker: marker("circle-open") },
    ];
  }

  convexon.raster = { Raster, nameOf, CELLS };
})();
