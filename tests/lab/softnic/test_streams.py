"""Bulk TCP gives up soon where nothing gets through, and never where it is only slow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qualification.agent.traffic.receiving import Receiver
from qualification.agent.traffic.sending import send
from qualification.lab import loopback
from qualification.lab.hosts import run
from qualification.messages.bursts import FlowOrder
from qualification.topology import Topology

pytestmark = pytest.mark.lab

ORDER = FlowOrder(
    vni=30, protocol="tcp", segmented=False, source="10.30.0.1", destination="10.30.0.2", port=5001,
    frames=2000, payload=1350, streams=8, seed=7, pace=100_000, deadline=20.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("firmware", "complete"),
    [
        ({"model": "seed-left"}, False),  # not even a SYN gets through
        ({"model": "super-length"}, False),  # retransmitted segments do, one by one
        ({"model": "random-p", "p": 0.03}, True),
        ({"model": "lossy", "p": 0.1}, True),
        ({"model": "slow-link", "mbit": 10}, True),  # takes longer than any check interval
    ],
    ids=lambda value: value["model"] if isinstance(value, dict) else "",
)
def test_streams_give_up_only_where_nothing_gets_through(
    two_hosts: Callable[..., Topology],
    tunnel: Callable[..., None],
    firmware: dict[str, object],
    complete: bool,
) -> None:
    with loopback.start(two_hosts(alpha=firmware)) as lab, contextlib.ExitStack() as opened:
        tunnel(lab, vni=30, family=4, csum=True)
        namespaces = []
        for host in ("alpha", "bravo"):
            name = lab.record.namespace(host)
            for device in ("p0", "vx30"):
                run("ip", "netns", "exec", name, "ethtool", "-K", device, "gro", "off")
            namespaces.append(os.open(Path("/run/netns", name), os.O_RDONLY))
            opened.callback(os.close, namespaces[-1])
        receiver = Receiver(ORDER, namespaces[1])
        try:
            sent = send(ORDER, namespaces[0], lambda: False)
        finally:
            delivered = receiver.finish()
        assert sent.complete == complete
        assert delivered.corrupt == 0
        assert sent.seconds < (15 if complete else 2.4)
