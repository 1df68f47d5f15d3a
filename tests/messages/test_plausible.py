"""Answers that no capture can give."""

from __future__ import annotations

from typing import Any

import pytest

from qualification.messages.bursts import BadFrame, CaptureResult, Delivered, Received
from qualification.messages.host import HostFacts
from qualification.messages.plausible import implausible
from qualification.messages.submitted import SubmittedPacket

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
        (
            {"samples": (BadFrame("", (), (), "A"),)},
            "captured.samples[0].counterpart: is not base64",
        ),
        (
            {"samples": (BadFrame("", (), (), "", SubmittedPacket("AAAA", 2, True)),)},
            "captured.samples[0].submitted.data: has 3 bytes of a packet of 2",
        ),
    ],
)
def test_what_cannot_be(captured: dict[str, Any], why: str) -> None:
    assert implausible(received(**captured)) == why
    assert implausible([{"a": received(**captured)}], "x") == f"x[0].a.{why}"


def test_a_name_that_is_a_book() -> None:
    about = dict.fromkeys(("hostname", "kernel", "os", "cpu", "python"), "x")
    host = HostFacts(**{**about, "os": "x" * 1001}, cpus=1, namespace=1, interfaces=())  # type: ignore[arg-type]
    assert implausible(host, "host") == "host.os: has more than 1000 characters"


def test_what_can_be() -> None:
    assert implausible(received(frames=3, bad=1, samples=(BadFrame("AAA=", (), ()),))) is None
    assert implausible(None) is None
