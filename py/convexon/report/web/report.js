/** Entry of report.html. */
"use strict";

(() => {
  const { embedded } = convexon.dom;
  const viewer = new convexon.viewer.Viewer(document.querySelector("[data-part=viewer]"));
  convexon.page = { viewer };
  viewer.open(new convexon.traces.Traces(embedded("traces")));
})();
