"""ethtool features on the TAP of the lab: requested, in effect, and restored."""

from __future__ import annotations

from typing import Any

import pytest

from qualification.agent.host import features
from qualification.errors import AgentError
from qualification.plan.features import (
    CSUM,
    PEER_OFF,
    RULES,
    SUPPORT,
    TNL,
    TNL_CSUM,
    TSO,
    TSO6,
    USO,
)

pytestmark = pytest.mark.lab

OFFLOADS = (CSUM, TSO, TSO6, USO, TNL, TNL_CSUM)
UNDERLAY = {"interface": "port0", "addresses": [], "allow_management": False}


@pytest.fixture
def ethtool(lab: Any, run: Any) -> Any:
    """`ethtool()` returns the output of `ethtool -k` for alpha's NIC."""
    namespace = lab.record.namespace("alpha")
    return lambda: run("ip", "netns", "exec", namespace, "ethtool", "-k", "port0")


def lines(text: str) -> dict[str, str]:
    return dict(line.strip().split(": ") for line in text.splitlines()[1:])


@pytest.fixture
def alpha(remote_agent: Any) -> Any:
    agent = remote_agent("alpha")
    agent.call("prepare", timeout=30, **UNDERLAY)
    return agent


def request(agent: Any, wanted: dict[str, bool]) -> dict[str, bool]:
    answer = agent.call("request_features", timeout=30, wanted=wanted)
    return {name: feature["active"] for name, feature in answer.items()}


def test_what_is_read_is_what_ethtool_says(lab: Any, run: Any, ethtool: Any) -> None:
    from qualification.lab.softnic.tap import inside  # noqa: PLC0415

    with inside(lab.record.namespace("alpha")):
        read = features.read("port0")
    said = lines(ethtool())
    assert len(read) > 40
    # ethtool maps some names to older ones of its own; the others must agree.
    common = read.keys() & said.keys()
    assert set(OFFLOADS) <= common | {CSUM}
    for name in common:
        assert said[name].startswith("on" if read[name].active else "off")
        assert ("[fixed]" in said[name]) != read[name].hw
        wanted = "on" if read[name].wanted else "off"
        assert f"[requested {wanted}]" in said[name] or read[name].wanted == read[name].active
    assert not any(read[name].hw for name in ("tx-gso-partial", "rx-checksum"))


def test_several_in_one_call_and_read_back(alpha: Any, ethtool: Any) -> None:
    before = ethtool()
    wanted = {TSO: False, TSO6: True, USO: False, TNL: False, TNL_CSUM: True}
    active = request(alpha, wanted)
    assert {name: active[name] for name in wanted} == wanted
    said = lines(ethtool())
    assert {name: said[name].split()[0] == "on" for name in wanted} == wanted
    [undone] = alpha.close()
    assert undone.startswith("features interface=port0 ")
    assert ethtool() == before


def test_no_checksum_takes_segmentation_along(alpha: Any, ethtool: Any) -> None:
    before = ethtool()
    assert all(request(alpha, {})[name] for name in OFFLOADS)
    answer = alpha.call("request_features", timeout=30, wanted={CSUM: False})
    assert not answer[CSUM]["active"]
    for name in (TSO, TSO6):  # net/core/dev.c, netdev_fix_features
        assert answer[name] == {"hw": True, "wanted": True, "active": False}
    # They come back with the checksum, without a new request.
    active = request(alpha, {CSUM: True})
    assert all(active[name] for name in OFFLOADS)
    request(alpha, {CSUM: False})
    alpha.close()
    assert ethtool() == before


def test_what_cannot_be_switched_or_is_unknown_is_passed_over(alpha: Any, ethtool: Any) -> None:
    before = ethtool()
    wanted = {"rx-checksum": True, "tx-gso-partial": True, "no-such-feature": True}
    active = request(alpha, wanted)
    assert not active["rx-checksum"]
    assert not active["tx-gso-partial"]
    assert "no-such-feature" not in active
    assert ethtool() == before
    assert alpha.close() == []  # nothing was changed, and nothing written down


@pytest.fixture
def crooked(lab: Any, run: Any, ethtool: Any) -> Any:
    """Sets up a NIC as its owner might have, with some features off."""
    settings = {"tx-tcp6-segmentation": "off", "rx-gro": "off", "tx-nocache-copy": "on"}
    command = ("ip", "netns", "exec", lab.record.namespace("alpha"), "ethtool", "-K", "port0")
    before = ethtool()
    run(*command, *(word for pair in settings.items() for word in pair))
    yield ethtool()
    back = {name: lines(before)[name].split()[0] for name in settings if name in lines(before)}
    back["rx-gro"] = "on"
    run(*command, *(word for pair in back.items() for word in pair))
    assert ethtool() == before


def test_former_values_not_on(crooked: str, alpha: Any, ethtool: Any) -> None:
    for wanted in (dict.fromkeys(RULES, False), dict.fromkeys((*RULES, *SUPPORT), True)):
        request(alpha, wanted)
        assert ethtool() != crooked
    request(alpha, dict.fromkeys(PEER_OFF, False))
    alpha.close()
    assert ethtool() == crooked


def test_killed_and_put_back_by_the_next(
    crooked: str, alpha: Any, remote_agent: Any, slay: Any, ethtool: Any
) -> None:
    request(alpha, dict.fromkeys(PEER_OFF, False))
    request(alpha, dict.fromkeys((*RULES, *SUPPORT), True))
    killed = ethtool()
    assert killed != crooked
    slay(alpha)
    assert ethtool() == killed
    successor = remote_agent("alpha")
    recovered = successor.call("prepare", timeout=30, **UNDERLAY)["recovered"]
    assert len(recovered) == 2  # the second request touched features that the first had not
    assert all(line.startswith("features interface=port0 ") for line in recovered)
    assert ethtool() == crooked
    assert successor.close() == []
    assert ethtool() == crooked


def test_nothing_is_changed_without_a_lease(remote_agent: Any, ethtool: Any) -> None:
    before = ethtool()
    agent = remote_agent("alpha")
    with pytest.raises(AgentError, match=r"No such device|nothing may be changed"):
        agent.call("request_features", timeout=30, wanted={CSUM: False})
    assert ethtool() == before


def test_features_that_fall_together_are_found_by_trying(remote_agent: Any, ethtool: Any) -> None:
    before = ethtool()
    agent = remote_agent("alpha")
    answer = agent.call(
        "learn_dependencies", timeout=30, interface="port0", names=list(RULES),
        allow_management=False,
    )  # fmt: skip
    assert ethtool() == before
    assert answer["report"] and not any("NOT" in line for line in answer["report"])
    # netdev_fix_features (net/core/dev.c): no TSO and no USO without a checksum offload.
    assert {TSO, TSO6, USO} <= set(answer["lost"][CSUM])
    assert TSO not in answer["lost"]


def test_nothing_is_tried_on_a_leased_nic(alpha: Any, remote_agent: Any, ethtool: Any) -> None:
    before = ethtool()
    with pytest.raises(AgentError, match="using this NIC"):
        remote_agent("alpha").call(
            "learn_dependencies", timeout=30, interface="port0", names=list(RULES),
            allow_management=False,
        )  # fmt: skip
    assert ethtool() == before
