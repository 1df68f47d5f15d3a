"""The log of requests: what it shows, and that it shows no payload."""

from __future__ import annotations

import base64
import logging
from dataclasses import asdict
from typing import Any

import pytest

from qualification.errors import AgentError
from qualification.messages.bursts import BadFrame, CaptureResult, Delivered, Received
from qualification.remote.request_log import MOST, clipped, log_report, logged, summary

FRAME = base64.b64encode(bytes(range(256))).decode()


def test_a_summary_shows_figures_and_no_frame() -> None:
    bad = BadFrame(FRAME, ("outer L4",), ("found 0, should be 1",))
    seen = CaptureResult(frames=400, bad=1, samples=(bad,))
    text = summary(asdict(Received(seen, Delivered(7), {"inner.Udp.InDatagrams": 7})))
    assert text.startswith("{captured={frames=400 bad=1 ")
    assert "samples=[1]" in text
    assert FRAME[:20] not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ({"frames": [FRAME]}, "{frames=[1]}"),
        ({"frame": FRAME}, f"{{frame=<{len(FRAME)} characters>}}"),
        ({"frame": b"abc", "seconds": 0.1 + 0.2}, "{frame=<3 bytes> seconds=0.3}"),
        ({"a": {"b": {"c": 1}}}, "{a={b={1}}}"),
    ],
)
def test_how_values_are_summarised(value: Any, text: str) -> None:
    assert summary(value) == text


def test_a_summary_is_one_short_line() -> None:
    text = summary({f"key\n{number}": "x" * 50 for number in range(1000)})
    assert len(text) == MOST
    assert "\n" not in text
    assert clipped("a\n  b") == "a b"


def test_an_answer_and_an_error_each_leave_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "vxqual.agent")
    assert logged("bravo", "collect", {"frames": 3}, lambda: {"drops": 1}) == {"drops": 1}
    asked, answered = caplog.messages
    assert asked == "bravo: request 'collect': {frames=3}"
    assert answered.startswith("bravo: request 'collect' answered after 0.0")
    assert answered.endswith(" s: {drops=1}")

    def refuse() -> None:
        raise AgentError("there is no eth9", kind="no-such-interface")

    with pytest.raises(AgentError):
        logged("bravo", "prepare", {}, refuse)
    assert caplog.messages[-1].startswith("bravo: request 'prepare' failed after 0.0")
    assert caplog.messages[-1].endswith("(no-such-interface): there is no eth9")


def test_a_closing_report_leaves_a_line_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vxqual.agent")
    log_report("bravo", ["features interface=eth0", "address interface=eth0"])
    assert caplog.messages == [
        "bravo: closing report: 2 changes",
        "bravo: undo: features interface=eth0",
        "bravo: undo: address interface=eth0",
    ]
