"""Pages as text: what is in them, and that nothing in them is taken for something else."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from plotly.offline import get_plotlyjs

from convexon.report.document import EXPLORE_SCRIPTS, REPORT_SCRIPTS, document, web

HOSTILE = '</script><script>alert("&amp;")</script><!-- $title'


def names(suffix: str) -> set[str]:
    """Files of the package that a page may take."""
    folder = files("convexon.report").joinpath("web")
    return {entry.name for entry in folder.iterdir() if entry.name.endswith(suffix)}


def test_every_script_is_in_a_page_and_there() -> None:
    assert names(".js") == {*REPORT_SCRIPTS, *EXPLORE_SCRIPTS}


@pytest.mark.parametrize("name", sorted({*REPORT_SCRIPTS, *EXPLORE_SCRIPTS}))
def test_a_script_is_short_says_what_it_is_and_reaches_out_for_nothing(name: str) -> None:
    text = web(name)
    assert text.startswith("/**")
    assert '"use strict";' in text
    assert len(text.splitlines()) <= 300
    assert "</script" not in text
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import|eval)\s*\(|https?:", text)


def test_data_and_titles_are_text_whatever_they_hold() -> None:
    page = document(title=HOSTILE, body="<p>$body</p>", data={"x": HOSTILE}, scripts=("dom.js",))
    (data,) = re.findall(r'<script type="application/json" id="x">(.*?)</script>', page)
    assert json.loads(data) == HOSTILE
    assert "alert(&quot;" in page
    assert page.count("<script>") == 2, "Plotly's, and the one that was asked for"
    assert "<p>$body</p>" in page


def test_plotly_is_in_the_page_as_its_package_has_it() -> None:
    page = document(title="", body="", data={}, scripts=())
    assert f"<script>{get_plotlyjs()}</script>" in page
