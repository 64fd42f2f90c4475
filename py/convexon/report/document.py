"""Self-contained pages: style, scripts and data in one file, which asks the network for nothing.

Everything that a browser runs lies beside this module in ``web``; Plotly comes from its own
package. The page states a content security policy that lets these scripts run and no others, and
forbids every request.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from plotly.offline import get_plotlyjs

_VIEWER = ("dom.js", "theme.js", "traces.js", "raster.js", "membrane.js", "viewer.js")
REPORT_SCRIPTS = (*_VIEWER, "report.js")
"""Scripts of a run's report, in the order in which they need one another."""

EXPLORE_SCRIPTS = (*_VIEWER, "front.js", "point.js", "explore.js")
"""The same of a sweep's page."""


@cache
def web(name: str) -> str:
    """Return the text of a file of ``web``."""
    return files("convexon.report").joinpath("web", name).read_text(encoding="utf-8")


def document(*, title: str, body: str, data: Mapping[str, object], scripts: Sequence[str]) -> str:
    """Return a whole page.

    Parameters
    ----------
    title : of the page, as text
    body : its content, as HTML
    data : mapping of str to JSON values
        What scripts read, by the id of its element.
    scripts : names of files of ``web``, run in this order once the content is there
    """
    texts = [get_plotlyjs(), *(web(name) for name in scripts)]
    allowed = " ".join(f"'sha256-{_sha256(text)}'" for text in texts)
    return Template(web("document.html")).substitute(
        policy=f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'",
        title=escape(title),
        style=web("page.css"),
        body=body,
        data="".join(
            f'<script type="application/json" id="{escape(name)}">{_json(value)}</script>\n'
            for name, value in data.items()
        ),
        scripts="".join(f"<script>{text}</script>\n" for text in texts),
    )


def _json(value: object) -> str:
    """JSON that no parser of HTML takes for its own."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
