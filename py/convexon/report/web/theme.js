/** Drawings in the colours of the page, light or dark, wide or narrow. */
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");

  /**
   * Value of a colour of page.css.
   *
   * @param {string} name without dashes before it
   * @returns {string}
   */
  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  /**
   * Axis of a drawing.
   *
   * @param {string} title
   * @param {object} [own] further members
   * @returns {object}
   */
  function axis(title, own = {}) {
    return {
      title: { text: title },
      gridcolor: color("line"),
      linecolor: color("line"),
      zerolinecolor: color("line"),
      automargin: true,
      ...own,
    };
  }

  /**
   * Draw, or draw anew. The legend is a list of the page, and a finger on a drawing scrolls the page.
   *
   * @param {HTMLElement} host
   * @param {number} height in pixels; the width is the page's
   * @param {object[]} traces
   * @param {object} own members of the layout
   * @returns {Promise<void>}
   */
  async function draw(host, height, traces, own) {
    host.style.height = `${height}px`; // where Plotly looks when the page changes its width
    await Plotly.react(host, traces, { ...layout(own), height }, config);
  }

  function layout(own) {
    return {
      paper_bgcolor: color("card"),
      plot_bgcolor: color("card"),
      font: { color: color("ink"), family: "system-ui, sans-serif", size: 13 },
      margin: { l: 8, r: 8, t: 36, b: 8 },
      dragmode: coarse.matches ? false : "zoom",
      hoverlabel: { bgcolor: color("card"), font: { color: color("ink") } },
      showlegend: false,
      ...own,
    };
  }

  /** Options of every drawing; no button leads out of the page. */
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  /**
   * Call a function whenever colours change.
   *
   * @param {() => void} redraw
   */
  function onChange(redraw) {
    dark.addEventListener("change", redraw);
  }

  convexon.theme = { color, axis, draw, onChange };
})();
