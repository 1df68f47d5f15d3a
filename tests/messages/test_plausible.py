"""Answers that no capture can give."""

from __future__ import annotations

from typing import Any

import pytest

from qualification.messages.bursts import BadFrame, CaptureResult, Delivered, Received
from qualification.messages.plausible import implausible

pytestmark = pytest.mark.hostile


def received(**captured: Any) -> Received:
    return Received(CaptureResult(**captured), Delivered(), {"reset": -5})


@pytest.mark.parametrize(
    ("captured", "why"),
    [
        ({"frames": -5}, "captured.frames: must not be negative, is -5"),
        ({"frames": 1, "bad": 2}, "captured.bad: 2 frames of 1 cannot be bad"),
        (
            {"frames": 1, "shapes": {"length": {"odd": (1, 2)}}},
            "captured.shapes.length.odd: 2 frames of 1 cannot be bad",
        ),
        ({"samples": (BadFrame("AA", (), ()),)}, "captured.samples[0].data: is not base64"),
        ({"samples": (BadFrame("é", (), ()),)}, "captured.samples[0].data: is not base64"),
    ],
)
def test_what_cannot_be(captured: dict[str, Any], why: str) -> None:
    assert implausible(received(**captured)) == why
    assert implausible([{"a": received(**captured)}], "x") == f"x[0].a.{why}"


def test_what_can_be() -> None:
    assert implausible(received(frames=3, bad=1, samples=(BadFrame("AAA=", (), ()),))) is None
    assert implausible(None) is None
