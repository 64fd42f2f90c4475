"""A sample of `benchmarks/line_faults.py`: whatever befalls the line, no wrong answer is taken."""

from __future__ import annotations

import pytest

from convexon.link import frame
from convexon.link.frame import Frame
from convexon.link.session import Session
from scripts import ROOT as ROOT

from line_faults import FAULTS, model, trial  # isort: skip


@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_of_the_line_makes_an_answer_wrong(name: str) -> None:
    ended = trial(model(40 + FAULTS[name].after, size=6, seed=1), FAULTS[name], seed=1)
    assert not ended["wrong"]
    assert not ended["hung"]
    assert ended["right"] > ended["unanswered"]
    ended = trial(model(8, size=600, seed=2), FAULTS[name], seed=2)
    assert not ended["wrong"]
    assert not ended["hung"]


class Numberless(Session):
    """Takes any answer of the session."""

    def answers(self, frame: Frame, request: Frame) -> bool:
        return bool(frame.kind & 0x80)


class Narrow(Session):
    """Counts modulo 256."""

    def answers(self, frame: Frame, request: Frame) -> bool:
        return bool(frame.kind & 0x80) and frame.sequence % 256 == request.sequence % 256


@pytest.mark.parametrize(
    ("host", "name"), [(Numberless, "last answer again"), (Narrow, "answer of 256 before")]
)
def test_a_host_that_is_careless_with_numbers_is_caught(host: type[Session], name: str) -> None:
    assert trial(model(300, size=6, seed=1), FAULTS[name], seed=1, session_of=host)["wrong"] > 5


@pytest.mark.parametrize("name", ["another session", "another host between"])
def test_a_link_without_a_nonce_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = frame._check
    monkeypatch.setattr(frame, "_check", lambda content, nonce: checked(content, b""))
    assert trial(model(100, size=6, seed=1), FAULTS[name], seed=1)["wrong"] > 5
