/** Viewer of inferences: which one, which simulator, which neuron; raster, membrane and verdict. */
"use strict";

(() => {
  const { theme } = convexon;
  const { legendItem, offer, onKeys, parts } = convexon.dom;
  const { Raster, nameOf, CELLS } = convexon.raster;
  const { stepsOf, draw, legendOf, tableOf } = convexon.membrane;

  class Viewer {
    /** @param {HTMLElement} root what `viewer.html` made */
    constructor(root) {
      /** What is drawn, in numbers; null while it is being drawn. */
      this.shown = null;
      this.parts = parts(root);
      this.raster = new Raster(this.parts.raster, {
        choose: (place) => this.choose(place),
        point: (place, step) => this.point(place, step),
        move: (rows) => this.choose(this.raster.beside(this.place, rows)),
        turn: (by) => this.turn(by),
      });
      this.listen();
    }

    /**
     * Show the traces of a network.
     *
     * @param {convexon.traces.Traces} traces
     */
    async open(traces) {
      const { inference, run, layer, neuron, alone, controls, figures } = this.parts;
      const { packed } = traces;
      if (typeof DecompressionStream === "undefined") {
        this.parts.count.textContent =
          "This browser cannot unpack the traces: it needs one of 2023 or newer.";
        return;
      }
      this.traces = traces;
      this.place = { layer: 0, neuron: 0 };
      this.parts.count.textContent = countOf(traces);
      const { hardware } = this.parts;
      hardware.hidden = traces.simulators.length > 0;
      hardware.textContent = hardware.hidden ? "" : "No hardware trace: run convexon verify.";
      offer(inference, packed.inferences.map((described) => titleOf(described)));
      offer(run, traces.simulators.length ? traces.simulators : ["none"]);
      run.disabled = !traces.simulators.length;
      offer(layer, packed.layers.map((each) => nameOf(each)));
      neuron.value = "0";
      alone.checked = false;
      controls.hidden = false;
      figures.hidden = false;
      const wrong = packed.inferences.findIndex((described) => described.differs.length);
      if (wrong >= 0) {
        const [simulator] = packed.inferences[wrong].differs;
        inference.value = String(wrong);
        run.value = String(traces.simulators.indexOf(simulator));
        const first = await traces.inference(wrong);
        this.place = first.firstDifference(first.run(simulator)) ?? this.place;
        layer.value = String(this.place.layer);
        neuron.value = String(this.place.neuron);
      }
      await this.show();
    }

    /** Draw all anew, from what the controls say. */
    async show() {
      this.shown = null;
      const index = Number(this.parts.inference.value);
      const asked = this.traces;
      const inference = await asked.inference(index);
      if (asked !== this.traces || index !== Number(this.parts.inference.value)) {
        return; // meanwhile another one was asked for
      }
      this.inference = inference;
      const simulator = this.traces.simulators[Number(this.parts.run.value)];
      this.run = simulator === undefined ? -1 : this.inference.run(simulator);
      this.verdict(simulator);
      this.legend(simulator);
      const alone = this.parts.alone.checked ? this.place.layer : null;
      await this.raster.show(this.inference, this.run, alone, this.place);
      await this.neuron();
    }

    /** Choose another neuron. */
    async choose(place) {
      this.shown = null;
      const other = place.layer !== this.place.layer;
      this.place = place;
      this.parts.layer.value = String(place.layer);
      this.parts.neuron.value = String(place.neuron);
      if (other && this.parts.alone.checked) {
        await this.show();
        return;
      }
      await this.raster.choose(place);
      await this.neuron();
    }

    /** Draw the chosen neuron. */
    async neuron() {
      const { inference, place, run } = this;
      const layer = inference.layers[place.layer];
      const threshold = layer.thresholds[place.neuron];
      const hardware = run < 0 ? null : inference.runs[run].name;
      const steps = stepsOf(inference, run, place);
      const wrong = steps.filter((row) => row.differs).length;
      const text =
        `Sample ${inference.sample}, ${nameOf(layer)}, neuron ${place.neuron}: membrane after the ` +
        `reset of each step; a neuron spikes where it reaches the threshold of ${threshold} before it.`;
      const count = wrong === 1 ? "1 step differs." : `${wrong} steps differ.`;
      this.parts.caption.textContent = wrong ? `${text} ${count}` : text;
      this.parts.neuron.max = String(layer.neurons - 1);
      this.parts.raster.setAttribute(
        "aria-label",
        `Spike raster, ${nameOf(layer)}, neuron ${place.neuron} chosen`,
      );
      this.parts["membrane-legend"].replaceChildren(
        ...legendOf(this.traces.reference, hardware).map(([mark, color, text]) =>
          legendItem(text, color, mark),
        ),
      );
      this.parts.table.replaceChildren(tableOf(steps, this.traces.reference, hardware));
      await draw(this.parts.membrane, steps, threshold, this.traces.reference, hardware);
      this.shown = { sample: inference.sample, ...place, run, threshold, steps };
    }

    /** Say what came out, and whether hardware and reference agree. */
    verdict(simulator) {
      const { inference, run } = this;
      const { verdict } = this.parts;
      const [reference] = inference.runs;
      const answer = `Class ${inference.label}; ${reference.name} says ${reference.answer}, ` +
        `with scores ${reference.scores.join(", ")}.`;
      verdict.classList.toggle("verdict-differs", inference.differs.includes(simulator));
      if (run < 0) {
        const absent = simulator ? ` ${simulator} did not come to the end of this one.` : "";
        verdict.textContent = answer + absent;
        return;
      }
      const own = inference.runs[run];
      const clocks = own.latency === null ? "" : ` after ${own.latency} clocks`;
      const verb = inference.differs.includes(simulator)
        ? `differs: it says ${own.answer}, with scores ${own.scores.join(", ")},`
        : `is equal in every spike, membrane, score and label; it answered`;
      verdict.textContent = `${answer} Hardware (${simulator}) ${verb}${clocks}.`;
    }

    legend(simulator) {
      const { reference } = this.traces;
      const texts = [null, "spike"];
      if (simulator !== undefined) {
        texts[1] = "spike of both";
        texts.push(`${reference} alone`, `${simulator} alone`);
      }
      const items = texts.flatMap((text, cell) =>
        text ? [legendItem(text, CELLS[cell])] : [],
      );
      if (simulator !== undefined) {
        items.push(legendItem("spike differs", "differ", "\u00d7"));
        items.push(legendItem("membrane alone differs", "differ", "\u25cb"));
      }
      this.parts.legend.replaceChildren(...items);
    }

    /** Say what is under the pointer. */
    point(place, step) {
      const { inference, run } = this;
      const { readout } = this.parts;
      if (!place) {
        readout.textContent = "\u00a0";
        return;
      }
      const { layer, neuron } = place;
      if (layer < 0) {
        readout.textContent = `step ${step}, input ${neuron}: ${inference.input(step, neuron)}`;
        return;
      }
      const of = (k) =>
        `${inference.runs[k].name} spike ${inference.spike(k, layer, step, neuron)}, ` +
        `membrane ${inference.membrane(k, layer, step, neuron)}`;
      const where = `step ${step}, ${nameOf(inference.layers[layer])}, neuron ${neuron}`;
      readout.textContent = `${where}: ${of(0)}${run < 0 ? "" : `; ${of(run)}`}`;
    }

    /** Go to another inference. */
    async turn(by) {
      const index = Number(this.parts.inference.value) + by;
      if (index >= 0 && index < this.traces.count) {
        this.parts.inference.value = String(index);
        await this.show();
      }
    }

    listen() {
      const { inference, run, layer, neuron, alone, previous, next, controls } = this.parts;
      inference.addEventListener("change", () => this.show());
      run.addEventListener("change", () => this.show());
      alone.addEventListener("change", () => this.show());
      layer.addEventListener("change", () =>
        this.choose({ layer: Number(layer.value), neuron: 0 }),
      );
      neuron.addEventListener("change", () => {
        const most = this.inference.layers[this.place.layer].neurons - 1;
        const value = Math.min(Math.max(Math.trunc(Number(neuron.value)) || 0, 0), most);
        this.choose({ layer: this.place.layer, neuron: value });
      });
      previous.addEventListener("click", () => this.turn(-1));
      next.addEventListener("click", () => this.turn(1));
      controls.addEventListener("submit", (event) => event.preventDefault());
      onKeys(this.parts.raster, {
        Home: () => this.turn(-Number(inference.value)),
        End: () => this.turn(this.traces.count - 1 - Number(inference.value)),
      });
      theme.onChange(() => this.traces && this.show());
    }
  }

  /** How many inferences there are, here and in all, and what the simulators found. */
  function countOf(traces) {
    const { packed } = traces;
    const found = traces.simulators.map(
      (name) =>
        ` ${name} simulated ${packed.simulated[name]}, of which ${packed.differing[name]} differ.`,
    );
    return (
      `${traces.count} of ${packed.total} test samples are in this page. All count from 0. ` +
      `Reference: ${packed.reference}.${found.join("")}`
    );
  }

  function titleOf(described) {
    const mark = described.differs.length ? `, differs in ${described.differs.join(" and ")}` : "";
    return `sample ${described.sample}, class ${described.label}${mark}`;
  }

  convexon.viewer = { Viewer };
})();
