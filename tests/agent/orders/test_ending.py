"""The end of an agent: whatever its clean-up raises, the host is put back, and all is told."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from qualification.agent.capture.peer import PeerCapture
from qualification.agent.capture.ring import RingFrame, Rings
from qualification.agent.orders import bursts
from qualification.agent.orders.ending import end_all
from qualification.messages.bursts import CaptureOrder
from qualification.messages.protocol import encoded

MAC = "02:aa:bb:cc:dd:ee"
ORDER = CaptureOrder(
    interface="w0", source_mac=MAC, protocols=(17,), port=4789, vxlan_port=4789, vni=None,
    flow_port=20_005, our_vnis=(7001,), late_ports=(20_000, 20_005), mtu=1500,
    outer_checksum=True, ring=4 << 20,
)  # fmt: skip
FRAME = bytes(Ether(src=MAC, dst="02:00:00:00:00:02") / IP() / UDP(dport=4789) / bytes(30))


class Raising(PeerCapture):
    """A capture whose thread fails at a frame, of which it has a part in its hands."""

    use_native = False

    def _take(self, frame: RingFrame) -> None:
        part = frame.data[4:8]
        raise ZeroDivisionError(f"at {len(part)} bytes")


def test_every_step_is_done_and_every_failure_told() -> None:
    done: list[str] = []
    stay = threading.Event()

    def fail() -> None:
        done.append("fail")
        raise OSError(5, "it is stuck")

    def leave() -> None:
        done.append("leave")
        raise SystemExit(3)

    steps = [
        ("a", fail),
        ("b", lambda: stay.wait(30)),
        ("c", leave),
        ("d", lambda: done.append("d")),
    ]
    try:
        assert end_all(steps, 0.1) == [
            "could not end a: OSError: [Errno 5] it is stuck",
            "could not end b: it goes on after 0.1 s",
            "could not end c: SystemExit: 3",
        ]
    finally:
        stay.set()
    assert done == ["fail", "leave", "d"]


@pytest.mark.lab
def test_a_capture_that_fails_does_not_hold_on_to_the_ring(net: Any, until: Any) -> None:
    host, other = net.wire()
    rings = Rings()
    with host.inside():
        capture = Raising(ORDER, rings)
        other.inject("w0", FRAME)
        until(lambda: not capture._thread.is_alive())
        with pytest.raises(ZeroDivisionError, match="at 4 bytes") as raised:
            capture.finish()
        rings.close()
        assert raised.value.__traceback__, "where it failed is still known"
    assert len(host.run("cat", "/proc/net/packet").splitlines()) == 1, "no socket is left"


@pytest.mark.lab
def test_a_capture_that_fails_does_not_keep_the_host_changed(
    net: Any, local_agent: Any, until: Any, journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bursts, "PeerCapture", Raising)
    host, other = net.wire()
    before = host.ip("address")
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=["198.18.0.1/24"], allow_management=False)
    agent("watch", capture=_json(ORDER))
    other.inject("w0", FRAME)
    until(lambda: not [t for t in threading.enumerate() if t.name == "capture"])
    report = agent("bye")
    assert "could not end the capture of a burst: ZeroDivisionError: at 4 bytes" in report
    assert "address interface=w0 address=198.18.0.1/24" in report
    assert host.ip("address") == before
    assert not list(journals.glob("*"))


def _json(order: CaptureOrder) -> Any:
    import json  # noqa: PLC0415

    return json.loads(encoded({"order": order}))["order"]
