/** The drawing of a sweep: points over two figures, those of the front filled, the others pale. */
"use strict";

(() => {
  const { theme } = convexon;
  const { onKeys } = convexon.dom;

  /**
   * Figure that an axis may show.
   *
   * @typedef {object} Measure
   * @property {string} name
   * @property {string} label
   * @property {string} format of its numbers, as d3 has them
   * @property {-1|0|1} better whether less (1) or more (-1) of it is better, where either is
   */

  class Front {
    /**
     * @param {HTMLElement} host
     * @param {object[]} points that fit
     * @param {object} handlers
     * @param {(point: object, byKey: boolean) => void} handlers.choose
     * @param {(point: object, x: Measure, y: Measure) => void} handlers.focus
     */
    constructor(host, points, handlers) {
      this.host = host;
      this.points = points;
      this.handlers = handlers;
      this.focused = null;
      this.chosen = null;
      onKeys(host, {
        ArrowRight: () => this.step("x", 1),
        ArrowLeft: () => this.step("x", -1),
        ArrowUp: () => this.step("y", 1),
        ArrowDown: () => this.step("y", -1),
        Home: () => this.end("x", 0),
        End: () => this.end("x", -1),
        Enter: () => this.focused && handlers.choose(this.focused, true),
        " ": () => this.focused && handlers.choose(this.focused, true),
      });
      host.addEventListener("focus", () => {
        if (this.focused) {
          this.focus(this.focused);
        } else {
          this.end("x", 0);
        }
      });
    }

    /**
     * Draw over two figures.
     *
     * @param {{x: Measure, y: Measure, xLog: boolean, yLog: boolean}} axes
     */
    async show(axes) {
      this.axes = axes;
      const { x, y } = axes;
      this.shown = this.points.filter((point) => x.name in point.values && y.name in point.values);
      this.groups = [
        this.shown.filter((point) => !point.front),
        this.shown.filter((point) => point.front),
      ];
      const card = theme.color("card");
      const traces = [
        this.trace(this.groups[0], "beaten", {
          symbol: "circle-open", size: 11, color: theme.color("muted"), opacity: 0.6,
        }),
        this.trace(this.groups[1], "on the front", {
          symbol: "diamond", size: 14, color: theme.color("accent"), line: { width: 1, color: card },
        }),
        this.ring(this.focused, "focused", "accent", 24),
        this.ring(this.chosen, "shown below", "hardware", 30),
      ];
      await theme.draw(this.host, 440, traces, {
        hovermode: "closest",
        clickmode: "event",
        xaxis: axisOf(x, axes.xLog),
        yaxis: axisOf(y, axes.yLog),
      });
      this.listen();
    }

    trace(points, name, marker) {
      const { x, y } = this.axes;
      return {
        name,
        x: points.map((point) => point.values[x.name]),
        y: points.map((point) => point.values[y.name]),
        text: points.map((point) => point.title),
        mode: "markers",
        marker,
        hovertemplate: `%{text}<br>${x.label} %{x}<br>${y.label} %{y}<extra></extra>`,
      };
    }

    /** A ring around a point; the drawing's own, so that it stays with the point. */
    ring(point, name, color, size) {
      const points = point && this.shown.includes(point) ? [point] : [];
      const line = { width: 3, color: theme.color(color) };
      const marker = { symbol: "circle-open", size, color: theme.color(color), line };
      return { ...this.trace(points, name, marker), hoverinfo: "skip", hovertemplate: null };
    }

    /** Go `by` points along an axis; points at one place follow the order of the sweep. */
    step(axis, by) {
      const order = this.order(axis);
      const at = order.indexOf(this.focused);
      const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), order.length - 1);
      this.focus(order[next]);
    }

    /** Go to the first or the last point along an axis. */
    end(axis, index) {
      this.focus(this.order(axis).at(index));
    }

    order(axis) {
      const { name } = this.axes[axis];
      return [...this.shown].sort((a, b) => a.values[name] - b.values[name]);
    }

    async focus(point) {
      if (point) {
        this.focused = point;
        this.handlers.focus(point, this.axes.x, this.axes.y);
        await this.show(this.axes);
      }
    }

    /** All points at the place of one, those of the front first. */
    at(point) {
      const names = [this.axes.x.name, this.axes.y.name];
      return [...this.groups[1], ...this.groups[0]].filter((other) =>
        names.every((name) => other.values[name] === point.values[name]),
      );
    }

    /** The one to show of points at one place: the next one where one of them is shown already. */
    among(points) {
      return points[(points.indexOf(this.chosen) + 1) % points.length];
    }

    /** Ring the point that is shown. */
    async choose(point) {
      this.chosen = point;
      this.focused = point;
      await this.show(this.axes);
    }

    listen() {
      if (this.listening) {
        return;
      }
      this.listening = true;
      this.host.on("plotly_click", ({ points }) => {
        const hit = points.find((point) => point.curveNumber < this.groups.length);
        if (hit) {
          const place = this.groups[hit.curveNumber][hit.pointNumber];
          this.handlers.choose(this.among(this.at(place)), false);
        }
      });
    }
  }

  function axisOf(measure, isLog) {
    const hint = { "-1": "<br>more is better", 0: "", 1: "<br>less is better" }[measure.better];
    return theme.axis(measure.label + hint, {
      type: isLog ? "log" : "linear",
      tickformat: measure.format,
      hoverformat: measure.format,
    });
  }

  convexon.front = { Front };
})();
