"""A run leases its NICs with one agent, and works on them with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qualification.messages.protocol import AgentProblem

pytestmark = pytest.mark.lab

US, OTHERS = {"who": "root@ctl", "run": "1"}, {"who": "kim@desk", "run": "2"}
NIC = {"interface": "w0", "addresses": [], "allow_management": False}


def test_the_agents_of_one_run_and_of_another(net: Any, local_agent: Any, journals: Path) -> None:
    host, _ = net.wire()
    holder, ours, theirs = local_agent(host), local_agent(host), local_agent(host)
    assert holder("lease", interface="w0", lessee=US) == []
    assert holder("lease", interface="w0", lessee=US) == [], "it has it already"
    assert holder("preflight", **NIC) == []
    (found,) = theirs("preflight", **NIC)
    assert found["message"].startswith("w0 is leased by root@ctl since ")
    for lessee in (OTHERS, None):
        with pytest.raises(AgentProblem, match="w0 is leased by root@ctl"):
            theirs("prepare", **NIC, lessee=lessee)
    with pytest.raises(AgentProblem, match="w0 is leased by root@ctl"):
        theirs("lease", interface="w0", lessee=OTHERS)
    assert ours("lease", interface="w0", lessee=US) == [], "the same NIC under another name"
    ours("prepare", **NIC, lessee=US)
    ours("bye")
    holder("bye")
    assert theirs("lease", interface="w0", lessee=OTHERS) == []
    theirs("bye")
    assert not journals.exists()


def test_what_was_left_changed_is_put_back_with_the_lease(
    net: Any, local_agent: Any, journals: Path
) -> None:
    host, _ = net.wire(up=False)
    journals.mkdir()
    number = Path("/run/netns", host.name).stat().st_ino
    left = '{"undo": "link", "args": {"interface": "w0", "up": false}}\n'
    (journals / f"{number}-w0.journal").write_text(left)
    host.ip("link", "set", "w0", "up")
    agent = local_agent(host)
    assert agent("lease", interface="w0", lessee=US) == ["link interface=w0 up=False"]
    assert "UP" not in host.ip("link", "show", "w0").split("<")[1].split(">")[0].split(",")
    agent("bye")
    assert not journals.exists()


def test_an_agent_that_works_without_a_lease_keeps_others_away(
    net: Any, local_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qualification.agent.orders.leases._ENDING_SECONDS", 0.1)
    host, _ = net.wire()
    alone, other = local_agent(host), local_agent(host)
    alone("prepare", **NIC)
    with pytest.raises(AgentProblem, match="another vxqual is using this NIC"):
        other("lease", interface="w0", lessee=OTHERS)
    alone("bye")
    assert other("lease", interface="w0", lessee=OTHERS) == [], "the first try has kept nothing"
