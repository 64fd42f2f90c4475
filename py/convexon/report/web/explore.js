/** Entry of explore.html: the front, the table of all points, and the point that is shown. */
"use strict";

(() => {
  const { theme } = convexon;
  const { element, embedded, legendItem, offer, parts, table } = convexon.dom;

  const sweep = embedded("sweep");
  const own = parts(document);
  const viewer = new convexon.viewer.Viewer(own.viewer);
  const front = new convexon.front.Front(
    own.front,
    sweep.points.filter((point) => !point.reason),
    { choose, focus },
  );

  /**
   * Show a point, and take a reader who came by keyboard there.
   *
   * @param {object} point
   * @param {boolean} byKey
   */
  async function choose(point, byKey) {
    convexon.point.show(own, point, sweep.networks);
    own.point.hidden = false;
    own.viewer.hidden = point.traces === null;
    if (byKey) {
      own.title.focus();
    } else {
      const others = front.at(point).length - 1;
      const more = others ? ` ${others} more lie at its place: click again for the next one.` : "";
      own.status.textContent = `${point.title} is shown below.${more}`;
    }
    if (!point.reason) {
      await front.choose(point);
    }
    if (point.traces !== null) {
      await viewer.open(new convexon.traces.Traces(sweep.traces[point.traces]));
    }
    convexon.page.shown = point;
  }

  function focus(point, x, y) {
    const text = (measure) =>
      `${measure.label} ${point.figures.find((figure) => figure.name === measure.name).text}`;
    const place = point.front ? "on the front" : "beaten";
    own.status.textContent = `${point.title}: ${text(x)}, ${text(y)}, ${place}. Enter shows it.`;
  }

  function axes() {
    return {
      x: sweep.measures[Number(own.x.value)],
      y: sweep.measures[Number(own.y.value)],
      xLog: own["x-log"].checked,
      yLog: own["y-log"].checked,
    };
  }

  function listPoints() {
    const columns = sweep.measures.filter((measure) => measure.better);
    const header = ["point", "front", ...columns.map((measure) => measure.label)];
    const rows = sweep.points.map((point) => {
      const button = element("button", { type: "button", "data-point": point.name }, point.title);
      button.addEventListener("click", () => choose(point, true));
      const texts = columns.map(
        (measure) => point.figures.find((figure) => figure.name === measure.name)?.text ?? "-",
      );
      const place = point.reason ? "does not fit" : point.front ? "yes" : "beaten";
      return { cells: [button, place, ...texts], class: point.front ? "" : "beaten" };
    });
    own.points.replaceChildren(table("All points", header, rows));
  }

  /** Draw the front, unless no point fits: then there is nothing to draw. */
  function drawFront() {
    own["front-section"].hidden = sweep.measures.length === 0;
    if (sweep.measures.length) {
      front.show(axes());
    }
  }

  const labels = sweep.measures.map((measure) => measure.label);
  offer(own.x, labels, sweep.axes[0]);
  offer(own.y, labels, sweep.axes[1]);
  for (const name of ["x", "y", "x-log", "y-log"]) {
    own[name].addEventListener("change", drawFront);
  }
  own.axes.addEventListener("submit", (event) => event.preventDefault());
  theme.onChange(drawFront);
  listPoints();
  own["front-legend"].replaceChildren(
    legendItem("on the front", "accent", "\u25c6"),
    legendItem("beaten", "muted", "\u25cb"),
    legendItem("shown below", "hardware", "\u25ef"),
  );
  convexon.page = { viewer, front, sweep, shown: null };
  drawFront();
})();
