/**
 * Traces that the page carries, packed by `convexon.report.packed`: compressed blocks, an inference
 * each, which are taken apart when they are looked at.
 */
"use strict";

(() => {
  const MEMBRANES = { 1: Int8Array, 2: Int16Array, 4: Int32Array, 8: BigInt64Array };

  /**
   * One inference: inputs, and spikes and membranes of every run. All count from 0.
   *
   * @typedef {object} Run
   * @property {string} name
   * @property {number} answer class that it decided for
   * @property {number[]} scores of the last readout
   * @property {number} steps that it took, or that counted
   * @property {?number} latency in clocks; null for a model
   */
  class Inference {
    /**
     * @param {object} traces what the page says of all inferences
     * @param {object} described what it says of this one
     * @param {ArrayBuffer} bytes its block, inflated
     */
    constructor(traces, described, bytes) {
      this.sample = described.sample;
      this.label = described.label;
      /** @type {Run[]} */
      this.runs = described.runs;
      this.differs = described.differs;
      this.steps = traces.steps;
      this.nInputs = traces.inputs;
      const count = this.steps * this.nInputs;
      this.inputs = new Uint8Array(bytes, 0, count);
      let offset = count;
      const take = (length) => {
        offset += length;
        return bytes.slice(offset - length, offset);
      };
      this.layers = traces.layers.map((layer) => {
        const rows = this.steps * this.runs.length;
        const width = Math.ceil(layer.neurons / 8);
        const spikes = new Uint8Array(take(rows * width));
        const membranes = new MEMBRANES[layer.bytes](take(rows * layer.neurons * layer.bytes));
        return { ...layer, width, spikes, membranes };
      });
      if (offset !== bytes.byteLength) {
        throw new Error(`inference ${this.sample} has ${bytes.byteLength} bytes, not ${offset}`);
      }
    }

    /** Index of the run of a simulator in this inference; -1 where it has none. */
    run(name) {
      return this.runs.findIndex((run) => run.name === name);
    }

    /** @returns {number} value of an input */
    input(step, index) {
      return this.inputs[step * this.nInputs + index];
    }

    /** @returns {0|1} */
    spike(run, layer, step, neuron) {
      const { spikes, width } = this.layers[layer];
      const row = (step * this.runs.length + run) * width;
      return (spikes[row + (neuron >> 3)] >> (neuron & 7)) & 1;
    }

    /** @returns {number|bigint} membrane after the reset of the step */
    membrane(run, layer, step, neuron) {
      const { membranes, neurons } = this.layers[layer];
      return membranes[(step * this.runs.length + run) * neurons + neuron];
    }

    /** Whether a run parts from the reference, in the steps that it took. */
    differsAt(run, layer, step, neuron) {
      return this.spikeDiffersAt(run, layer, step, neuron) || (
        step < this.runs[run].steps &&
        this.membrane(0, layer, step, neuron) !== this.membrane(run, layer, step, neuron)
      );
    }

    /** Whether its spike does. */
    spikeDiffersAt(run, layer, step, neuron) {
      return (
        step < this.runs[run].steps &&
        this.spike(0, layer, step, neuron) !== this.spike(run, layer, step, neuron)
      );
    }

    /**
     * Place of the difference that comes first in time, nearest to the input.
     *
     * @param {number} run
     * @returns {?{layer: number, neuron: number}} null where layers do not differ
     */
    firstDifference(run) {
      for (let step = 0; step < this.runs[run].steps; step += 1) {
        for (const [layer, { neurons }] of this.layers.entries()) {
          for (let neuron = 0; neuron < neurons; neuron += 1) {
            if (this.differsAt(run, layer, step, neuron)) {
              return { layer, neuron };
            }
          }
        }
      }
      return null;
    }
  }

  /** All inferences that a page carries. */
  class Traces {
    /** @param {object} packed */
    constructor(packed) {
      this.packed = packed;
      this.ready = new Map();
    }

    get reference() {
      return this.packed.runs[0];
    }

    get simulators() {
      return this.packed.runs.slice(1);
    }

    get count() {
      return this.packed.inferences.length;
    }

    /**
     * Take an inference apart, or return it if that was done.
     *
     * @param {number} index in the page, which may leave samples out
     * @returns {Promise<Inference>}
     */
    async inference(index) {
      if (!this.ready.has(index)) {
        const described = this.packed.inferences[index];
        const bytes = await inflated(described.data);
        this.ready.set(index, new Inference(this.packed, described, bytes));
      }
      return this.ready.get(index);
    }
  }

  /**
   * Decode base64 and inflate it.
   *
   * @param {string} text
   * @returns {Promise<ArrayBuffer>}
   */
  async function inflated(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  convexon.traces = { Traces, Inference };
})();
