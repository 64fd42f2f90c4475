/** One neuron over the steps of an inference: reference, threshold, and the hardware over both. */
"use strict";

(() => {
  const { theme } = convexon;
  const { table } = convexon.dom;

  /**
   * Numbers of one neuron, a row a step.
   *
   * @typedef {object} Step
   * @property {number} step
   * @property {number|bigint} membrane of the reference, after the reset
   * @property {0|1} spike of the reference
   * @property {?(number|bigint)} actual membrane of the hardware; null where it took no such step
   * @property {?(0|1)} actualSpike
   * @property {boolean} differs
   */

  /**
   * @param {Inference} inference
   * @param {number} run index of the hardware's run; -1 for none
   * @param {Place} place
   * @returns {Step[]}
   */
  function stepsOf(inference, run, { layer, neuron }) {
    return Array.from({ length: inference.steps }, (_, step) => {
      const taken = run >= 0 && step < inference.runs[run].steps;
      return {
        step,
        membrane: inference.membrane(0, layer, step, neuron),
        spike: inference.spike(0, layer, step, neuron),
        actual: taken ? inference.membrane(run, layer, step, neuron) : null,
        actualSpike: taken ? inference.spike(run, layer, step, neuron) : null,
        differs: taken && inference.differsAt(run, layer, step, neuron),
      };
    });
  }

  /**
   * Draw a neuron.
   *
   * @param {HTMLElement} host
   * @param {Step[]} steps
   * @param {number} threshold
   * @param {string} reference name of the reference
   * @param {?string} hardware name of the simulator; null for none
   */
  async function draw(host, steps, threshold, reference, hardware) {
    const x = steps.map((row) => row.step);
    const traces = [
      {
        name: `${reference}, membrane`,
        x,
        y: steps.map((row) => Number(row.membrane)),
        mode: "lines+markers",
        line: { color: theme.color("golden"), width: 5 },
        marker: { size: 10 },
        opacity: 0.75,
      },
      {
        name: "threshold",
        x: [-0.5, steps.length - 0.5],
        y: [threshold, threshold],
        mode: "lines",
        line: { color: theme.color("threshold"), dash: "dash", width: 2 },
        hoverinfo: "skip",
      },
      spikesOf(`${reference}, spike`, steps, "spike", threshold, "triangle-up", "golden"),
    ];
    if (hardware !== null) {
      const taken = steps.filter((row) => row.actual !== null);
      traces.push(
        {
          name: `${hardware}, membrane`,
          x: taken.map((row) => row.step),
          y: taken.map((row) => Number(row.actual)),
          mode: "lines+markers",
          line: { color: theme.color("hardware"), dash: "dot", width: 2 },
          marker: { size: 7, symbol: "x-thin", line: { width: 2, color: theme.color("hardware") } },
        },
        spikesOf(
          `${hardware}, spike`, taken, "actualSpike", threshold, "triangle-up-open", "hardware",
        ),
        differencesOf(taken),
      );
    }
    await theme.draw(host, 320, traces, {
      xaxis: theme.axis("step", {
        range: [-0.5, steps.length - 0.5],
        dtick: steps.length <= 20 ? 1 : undefined,
      }),
      yaxis: theme.axis("membrane after the reset"),
    });
  }

  /** Marks on the threshold for the steps with a spike. */
  function spikesOf(name, steps, member, threshold, symbol, color) {
    const fired = steps.filter((row) => row[member]);
    return {
      name,
      x: fired.map((row) => row.step),
      y: fired.map(() => threshold),
      mode: "markers",
      marker: {
        symbol,
        size: symbol.endsWith("open") ? 15 : 10,
        color: theme.color(color),
        line: { width: 2, color: theme.color(color) },
      },
    };
  }

  /** Rings around what differs. */
  function differencesOf(steps) {
    const wrong = steps.filter((row) => row.differs);
    const line = { width: 3, color: theme.color("differ") };
    return {
      name: "differs",
      x: wrong.map((row) => row.step),
      y: wrong.map((row) => Number(row.actual)),
      mode: "markers",
      marker: { symbol: "circle-open", size: 18, color: theme.color("differ"), line },
    };
  }

  /** What the marks of the drawing mean: a sign, its colour in page.css, and words. */
  function legendOf(reference, hardware) {
    const own = [
      ["\u25cf\u2501", "golden", `${reference}, membrane`],
      ["\u25b2", "golden", `${reference}, spike`],
      ["\u2505", "threshold", "threshold"],
    ];
    return hardware === null
      ? own
      : [
          ...own,
          ["\u00d7\u2508", "hardware", `${hardware}, membrane`],
          ["\u25b3", "hardware", `${hardware}, spike`],
          ["\u25cb", "differ", "differs"],
        ];
  }

  /**
   * The same as a table.
   *
   * @param {Step[]} steps
   * @param {string} reference
   * @param {?string} hardware
   */
  function tableOf(steps, reference, hardware) {
    const header = ["step", `${reference}: spike`, "membrane"];
    if (hardware !== null) {
      header.push(`${hardware}: spike`, "membrane", "");
    }
    const text = (value) => (value === null ? "not taken" : String(value));
    const rows = steps.map((row) => {
      const cells = [String(row.step), String(row.spike), String(row.membrane)];
      if (hardware !== null) {
        cells.push(text(row.actualSpike), text(row.actual), row.differs ? "differs" : "");
      }
      return { cells, class: row.differs ? "differs" : "" };
    });
    return table("Membrane and spikes of the neuron, by step", header, rows);
  }

  convexon.membrane = { stepsOf, draw, legendOf, tableOf };
})();
