"""Cells, flows, and how many frames it takes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.plan.cells import (
    CONTROLS,
    CONTROLS_OF,
    Cell,
    PlanName,
    frames_needed,
    plan_cells,
    receive_cells,
)
from qualification.plan.extra_flows import loaded_flows, tagged_flows
from qualification.plan.features import (
    CSUM,
    CSUM4,
    CSUM6,
    GRO,
    PARTIAL,
    PEER_OFF,
    RECEIVED,
    RULES,
    RX_CSUM,
    SUPPORT,
    TNL,
    TNL_CSUM,
    TSO,
    TSO6,
    USO,
    VARIED,
    FeatureSpace,
    OffloadSet,
    unasked,
)
from qualification.plan.flows import (
    STATES,
    Family,
    Flow,
    Protocol,
    bulk_flows,
    crafted_flows,
    receive_flows,
    second_port,
    state_flows,
    traffic_of,
)
from qualification.wire.crafted.catalogue import PACKET_SETS

TUN = FeatureSpace(frozenset({CSUM, TSO, TSO6, USO, TNL, TNL_CSUM}), driver="tun")
I40E = FeatureSpace(
    frozenset({CSUM4, CSUM6, TSO, TSO6, USO, TNL, TNL_CSUM, PARTIAL}), driver="i40e"
)
FLOWS = bulk_flows(frozenset({4, 6}), 4789)


@pytest.mark.parametrize(
    ("rate", "confidence", "frames"),
    [
        (0.01, 0.95, 299),  # FAULTS.md: about 300
        (1e-4, 0.999, 69_075),  # about 69,000
        (1e-3, 0.999, 6_905),
        (0.5, 0.5, 1),
        (0.5, 0.75, 2),
        (1e-9, 0.999, 6_907_755_276),
    ],
)
def test_frames_needed(rate: float, confidence: float, frames: int) -> None:
    assert frames_needed(rate, confidence) == frames


@given(st.integers(1, 40), st.integers(41, 100), st.integers(1, 99))
def test_frames_needed_are_enough_and_not_one_too_many(low: int, whole: int, percent: int) -> None:
    """In exact arithmetic: so many good frames at that rate are less likely than 1 - confidence."""
    rate, doubt = Fraction(low, whole), 1 - Fraction(percent, 100)
    frames = frames_needed(float(rate), float(1 - doubt))
    assert (1 - rate) ** frames <= doubt * (1 + Fraction(1, 10**12))
    assert (1 - rate) ** (frames - 1) > doubt * (1 - Fraction(1, 10**12))


@given(st.floats(1e-9, 0.5), st.floats(0.5, 0.9999))
def test_more_certain_or_rarer_takes_more(rate: float, confidence: float) -> None:
    frames = frames_needed(rate, confidence)
    assert frames_needed(rate / 2, confidence) >= frames >= 1
    assert frames_needed(rate, (1 + confidence) / 2) >= frames
    assert math.isclose(
        frames, math.log(1 - confidence) / math.log1p(-rate), abs_tol=1.001, rel_tol=1e-6
    )


# Flows


def flow(name: str) -> Flow:
    return next(flow for flow in FLOWS if flow.id == name)


def test_bulk_flows() -> None:
    assert [f.id for f in FLOWS[:6]] == [
        "outer4-csum/inner4/tcp", "outer4-csum/inner4/udp", "outer4-csum/inner4/udp-seg",
        "outer4-csum/inner6/tcp", "outer4-csum/inner6/udp", "outer4-csum/inner6/udp-seg",
    ]  # fmt: skip
    assert len({f.id for f in FLOWS}) == len(FLOWS) == 24
    assert bulk_flows(frozenset({6}), 4789) == FLOWS[12:]
    assert bulk_flows(frozenset(), 4789) == ()
    assert {f.outer_id for f in FLOWS} == {
        "outer4-csum", "outer4-nocsum", "outer6-csum", "outer6-nocsum",
    }  # fmt: skip


def test_plain_flows_come_last() -> None:
    flows = crafted_flows(frozenset({4, 6}), 8472)
    plain = [f for f in flows if not f.tunnel]
    assert plain == list(flows[-len(plain) :])
    assert [f.id for f in plain] == [
        "plain4/tcp/lengths", "plain4/udp/lengths", "plain6/tcp/lengths", "plain6/udp/lengths",
        *(f"plain{v}/udp/port-{port}" for port in (4789, 4790, 6081, 8472) for v in (4, 6)),
    ]  # fmt: skip
    assert all(f.outer == f.inner and f.outer_checksum and f.overhead == 0 for f in plain)
    assert not any(f.port for f in plain)
    assert {f.tunnel for f in FLOWS} == {True}


def test_another_port_is_named() -> None:
    assert bulk_flows(frozenset({4}), 8472)[0].id == "outer4-csum-port8472/inner4/tcp"


def test_a_vni_to_each_outer_variant() -> None:
    vnis: dict[int, set[str]] = {}
    for each in FLOWS:
        vnis.setdefault(each.vni, set()).add(each.outer_id)
    assert len(vnis) == 4
    assert all(len(variants) == 1 for variants in vnis.values())
    assert all(0 < vni < 1 << 24 for vni in vnis)


def test_overhead() -> None:
    # Ethernet 14, IP 20 or 40, UDP 8, VXLAN 8 (RFC 7348).
    assert {f.outer: f.overhead for f in FLOWS} == {4: 14 + 20 + 8 + 8, 6: 14 + 40 + 8 + 8}


C, S = "checksum", "segmentation"
NONE: set[str] = set()


@pytest.mark.parametrize(
    ("name", "on", "work"),
    [
        ("outer4-csum/inner4/tcp", NONE, NONE),
        ("outer4-csum/inner4/tcp", {CSUM}, {C}),
        ("outer4-csum/inner4/tcp", {CSUM4}, {C}),
        ("outer4-csum/inner4/tcp", {CSUM6}, NONE),
        ("outer4-csum/inner6/tcp", {CSUM6}, {C}),
        ("outer4-csum/inner6/tcp", {CSUM4}, NONE),
        ("outer6-csum/inner4/udp", {CSUM4}, {C}),  # it is the inner family that counts
        ("outer4-csum/inner4/tcp", {CSUM, TSO}, {C}),  # not in a tunnel
        ("outer4-csum/inner4/tcp", {CSUM, TSO, TNL}, {C}),
        ("outer4-csum/inner4/tcp", {CSUM, TSO, TNL_CSUM}, {C, S}),
        ("outer4-nocsum/inner4/tcp", {CSUM, TSO, TNL_CSUM}, {C}),
        ("outer4-nocsum/inner4/tcp", {CSUM, TSO, TNL}, {C, S}),
        ("outer4-csum/inner4/tcp", {CSUM, TSO6, USO, TNL, TNL_CSUM}, {C}),
        ("outer4-csum/inner6/tcp", {CSUM, TSO, USO, TNL, TNL_CSUM}, {C}),
        ("outer4-csum/inner6/tcp", {CSUM, TSO6, TNL_CSUM}, {C, S}),
        ("outer6-nocsum/inner6/tcp", {CSUM, TSO6, TNL}, {C, S}),
        ("outer4-csum/inner4/udp-seg", {CSUM, TSO, TSO6, TNL, TNL_CSUM}, {C}),
        ("outer4-csum/inner4/udp-seg", {CSUM, USO, TNL_CSUM}, {C, S}),
        ("outer4-nocsum/inner6/udp-seg", {CSUM6, USO, TNL}, {C, S}),
        ("outer4-csum/inner4/udp", {CSUM, TSO, TSO6, USO, TNL, TNL_CSUM}, {C}),  # nothing to cut
        ("outer4-csum/inner4/udp", {TSO, USO, TNL, TNL_CSUM}, NONE),
    ],
)
def test_work(name: str, on: set[str], work: set[str]) -> None:
    assert flow(name).work(frozenset(on)) == work


@pytest.mark.parametrize(
    ("family", "l4", "on", "work"),
    [
        (4, "tcp", {CSUM, TSO}, {C, S}),  # no tunnel, no tunnel feature
        (4, "tcp", {CSUM, TSO6, TNL, TNL_CSUM}, {C}),
        (6, "tcp", {CSUM6, TSO6}, {C, S}),
        (6, "udp", {CSUM6, USO}, {C, S}),
        (6, "udp", {CSUM4, TNL, TNL_CSUM}, NONE),
    ],
)
def test_work_without_a_tunnel(family: Family, l4: Protocol, on: set[str], work: set[str]) -> None:
    assert Flow(family, True, family, l4, True, 0, tunnel=False).work(frozenset(on)) == work


@given(st.sampled_from(FLOWS), *[st.frozensets(st.sampled_from(sorted(RULES)))] * 2)
def test_more_features_never_mean_less_work(
    each: Flow, on: frozenset[str], more: frozenset[str]
) -> None:
    assert each.work(on) <= each.work(on | more)


@given(st.sampled_from(FLOWS), st.frozensets(st.sampled_from(sorted(RULES))))
def test_hardware_that_cuts_must_checksum_too(each: Flow, on: frozenset[str]) -> None:
    if S in each.work(I40E.settle(on)):
        everything = each.work(I40E.settle(RULES))
        assert everything == {C, S}
    assert not each.work(frozenset())


# Cells


def test_the_documented_id_can_be_planned() -> None:
    ids = {cell.id for cell in plan_cells("x710", I40E, FLOWS, (), "full")}
    assert "x710/tnl-csum-seg+tso/outer4-csum/inner6/tcp" in ids


@pytest.mark.parametrize("space", [TUN, I40E], ids=["tun", "i40e"])
def test_cells_are_sets_times_flows_and_their_ids_are_unique(space: FeatureSpace) -> None:
    cells = plan_cells("soft", space, FLOWS, (), "standard")
    ids = [cell.id for cell in cells]
    assert len(set(ids)) == len(ids)
    assert len(cells) % len(FLOWS) == 0
    for start in range(0, len(cells), len(FLOWS)):  # a set at a time: switching takes longest
        some = cells[start : start + len(FLOWS)]
        assert len({cell.set_id for cell in some}) == 1
        assert tuple(cell.flow for cell in some) == FLOWS
    assert not any(cell.unsupported for cell in cells)


def test_volleys_are_sent_with_everything_on_and_by_the_full_plan_always() -> None:
    packet_sets = crafted_flows(frozenset({4}), 4789)
    assert {flow.packet_set for flow in packet_sets} == set(PACKET_SETS)
    assert len({flow.id for flow in packet_sets}) == len(packet_sets)
    plans: dict[PlanName, set[str] | None] = {"standard": {"all-on"}, "full": None}
    for plan, sets in plans.items():
        cells = plan_cells("soft", TUN, FLOWS[:1], packet_sets, plan)
        sent: dict[str, list[Flow]] = {}
        for cell in cells:
            if cell.flow.packet_set:
                sent.setdefault(cell.set_id, []).append(cell.flow)
        assert set(sent) == (sets or {cell.set_id for cell in cells})
        assert all(flows == list(packet_sets) for flows in sent.values())


@pytest.mark.parametrize("port", [4789, 8472, 6000])
def test_flows_in_a_state(port: int) -> None:
    """A few of each outer variant and inner family, and those of a second tunnel before the first.

    No id and no VNI is another's: the tunnels stand side by side.
    """
    families = frozenset[Literal[4, 6]]({4, 6})
    flows = state_flows(families, port)
    other = second_port(port)
    assert other != port
    assert [(f.state, f.port) for f in flows] == (
        [("two-ports", other)] * 16
        + [("two-ports", port)] * 16
        + [("reset", port)] * 16
        + [("mtu", port)] * 8
    )
    assert {(f.packet_set, f.l4) for f in flows} == {("boundaries", "tcp"), ("lengths", "udp")}
    assert all((f.l4, f.segmentation) in PACKET_SETS[f.packet_set].traffic for f in flows)
    every = (*bulk_flows(families, port), *crafted_flows(families, port), *flows)
    assert len({f.id for f in every}) == len(every) == len(set(every))
    own = [f for f in every if not f.outer_target]  # those have tunnels of their own
    first, second = ({f.vni for f in own if f.port == each} for each in (port, other))
    assert len(first) == len(second) == 4
    assert not first & second
    assert len({vni & 0xFF for vni in first | second}) == 8  # inner networks are named by it


def test_the_id_of_a_flow_in_a_state() -> None:
    flows = {f.id for f in state_flows(frozenset({4}), 4789)}
    assert "outer4-csum/inner4/tcp/boundaries@reset" in flows
    assert "outer4-csum-port8472/inner6/udp/lengths@two-ports" in flows


def test_the_id_of_a_flow_tells_its_traffic() -> None:
    both: frozenset[Family] = frozenset({4, 6})
    flows = (
        *bulk_flows(both, 4789),
        *state_flows(both, 4789),
        *crafted_flows(both, 8472),
        *tagged_flows(both, 4789, ("nic", "kernel")),
        *loaded_flows(both, 4789),
        *receive_flows(both, 4789),
    )
    assert len(flows) > 100
    for flow in flows:
        assert traffic_of(flow.id) == (flow.l4, flow.tunnel), flow.id


def test_every_tunnel_has_a_vni_and_an_inner_network_of_its_own() -> None:
    families = frozenset[Literal[4, 6]]({4, 6})
    tunnels: dict[int, set[tuple[object, ...]]] = {}
    for port in (4789, 8472):
        flows = (
            *bulk_flows(families, port),
            *crafted_flows(families, port),
            *tagged_flows(families, port, ["nic", "kernel"], every=True),
            *loaded_flows(families, port, every=True),
        )
        for f in flows:
            if f.tunnel:
                what = f.outer, f.outer_checksum, f.port, bool(f.vlan), f.outer_target
                tunnels.setdefault(f.vni, set()).add(what)
        assert len({f.id for f in flows}) == len(flows) == len(set(flows))
    assert all(len(variants) == 1 for variants in tunnels.values())
    assert len({vni & 0xFF for vni in tunnels}) == len(tunnels) == 2 * (4 + 4 + 2)


def test_a_few_flows_behind_a_tag_and_under_load() -> None:
    families = frozenset[Literal[4, 6]]({4, 6})
    tagged = tagged_flows(families, 4789, ["nic", "kernel"])
    assert len(tagged) == 2 * (4 * 2 + 1)
    assert {f.vlan for f in tagged} == {"nic", "kernel"}
    for who in ("nic", "kernel"):
        some = [f for f in tagged if f.vlan == who]
        for value in ("outer", "outer_checksum", "inner", "packet_set"):
            assert len({getattr(f, value) for f in some}) > 1
    assert {f.id for f in tagged} >= {
        "outer4-csum-vlan-nic/inner4/tcp", "outer6-nocsum-vlan-kernel/inner4/udp/lengths",
    }  # fmt: skip
    loaded = loaded_flows(families, 4789)
    assert [f.id for f in loaded] == [
        "outer4-csum/inner4/tcp+both", "outer6-csum/inner6/udp-seg+both",
        "outer4-csum/inner6/tcp+load", "outer4-csum/inner4/udp-seg+load",
    ]  # fmt: skip
    four = frozenset[Literal[4, 6]]({4})
    assert {f.outer for f in (*tagged_flows(four, 4789, ["nic"]), *loaded_flows(four, 4789))} == {4}
    every = tagged_flows(families, 4789, ["nic"], every=True)
    assert len(every) == 8 * 3
    assert {f for f in tagged if f.vlan == "nic"} <= set(every)


def test_what_is_beside_runs_once_with_everything_on() -> None:
    families = frozenset[Literal[4, 6]]({4, 6})
    extra = (*loaded_flows(families, 4789), *tagged_flows(families, 4789, ["nic"]))
    for plan in ("quick", "full"):
        cells = plan_cells("p", TUN, FLOWS[:1], (), plan, extra=extra)
        some = [cell for cell in cells if cell.flow in extra]
        assert [cell.flow for cell in some] == list(extra)
        assert {cell.set_id for cell in some} == {"all-on"}


@pytest.mark.parametrize("plan", ["quick", "full"])
@pytest.mark.parametrize("space", [TUN, FeatureSpace(frozenset({CSUM, TSO}))])
def test_states_come_last_with_everything_on(space: FeatureSpace, plan: PlanName) -> None:
    states = state_flows(frozenset({4, 6}), 4789)
    without = plan_cells("p", space, FLOWS[:3], (), plan)
    cells = plan_cells("p", space, FLOWS[:3], (), plan, states)
    assert cells[: len(without)] == without
    assert tuple(cell.flow for cell in cells[len(without) :]) == states
    assert {cell.set_id for cell in cells[len(without) :]} == {"all-on"}
    assert list(dict.fromkeys(f.state for f in states)) == list(STATES)


def test_a_cell_s_repr_is_its_id() -> None:
    cell = plan_cells("soft", TUN, FLOWS, (), "quick")[0]
    assert repr(cell) == cell.id == "soft/all-off/outer4-csum/inner4/tcp"


def unsupported(space: FeatureSpace) -> dict[str, int]:
    found: dict[str, int] = {}
    for cell in plan_cells("p", space, FLOWS[:3], (), "quick"):
        for name in cell.unsupported:
            assert cell.offloads.on == frozenset()
            assert cell.id == f"p/{RULES[name].short}/{cell.flow.id}"
            found[name] = found.get(name, 0) + 1
    return found


def test_what_a_nic_lacks_has_cells_that_say_so() -> None:
    assert unsupported(TUN) == {}
    assert unsupported(I40E) == {}
    assert unsupported(FeatureSpace(frozenset({CSUM, TSO}))) == dict.fromkeys(
        (TNL_CSUM, TNL, TSO6, USO), 3
    )
    # Fixed on is not lacking; and nobody misses GSO partial, or one checksum feature of three.
    some_fixed = FeatureSpace(frozenset({CSUM, TSO, TSO6}), frozenset({TNL, USO}))
    assert unsupported(some_fixed) == {TNL_CSUM: 3}
    assert unsupported(FeatureSpace(frozenset())) == dict.fromkeys(
        (TNL_CSUM, TNL, TSO, TSO6, USO), 3
    )


@given(st.frozensets(st.sampled_from(sorted(RULES))), st.frozensets(st.sampled_from(sorted(RULES))))
def test_ids_are_unique_whatever_a_nic_lacks(
    switchable: frozenset[str], fixed: frozenset[str]
) -> None:
    space = FeatureSpace(switchable, fixed - switchable)
    ids = [cell.id for cell in plan_cells("p", space, FLOWS[:2], (), "standard")]
    assert len(set(ids)) == len(ids)


def test_the_table() -> None:
    assert list(RULES.values()) == [*VARIED, *RECEIVED]
    assert len({rule.short for rule in RULES.values()}) == len(RULES)
    assert not any("+" in rule.short or "/" in rule.short for rule in RULES.values())
    for rule in RULES.values():
        for group in (*rule.needs, *(g for groups in rule.needs_on.values() for g in groups)):
            assert set(group) <= RULES.keys() - {rule.name}
    assert RULES.keys() <= set(PEER_OFF)
    assert {"rx-gro", "rx-lro", "rx-gro-hw", "rx-checksum"} <= set(PEER_OFF)
    assert not set(SUPPORT) & set(PEER_OFF)
    dangerous = {"loopback", "rx-fcs", "rx-all", "tx-nocache-copy", "highdma", "rx-vlan-filter"}
    assert not dangerous & {*RULES, *PEER_OFF, *SUPPORT}


def test_requested_is_in_the_table_s_order() -> None:
    requested = OffloadSet(frozenset({TSO, CSUM}), TUN).requested
    assert list(requested) == [rule.name for rule in VARIED if rule.name in TUN.switchable]
    assert {name for name, value in requested.items() if value} == {TSO, CSUM}


def test_controls() -> None:
    assert list(CONTROLS) == ["plain", "all-off", "crafted", "injected", "received"]
    assert [*CONTROLS_OF["send"], *CONTROLS_OF["receive"]] == list(CONTROLS)


@pytest.mark.parametrize(
    ("switchable", "fixed", "sets"),
    [
        ({RX_CSUM, GRO}, set(), ["all-off", "all-on", "rx-csum", "gro"]),
        ({GRO}, set(), ["all-off", "all-on"]),
        ({GRO}, {RX_CSUM}, ["all-off", "all-on"]),
        (set(), {RX_CSUM}, ["all-off"]),
    ],
)
def test_what_is_received_is_received_under_every_set(
    switchable: set[str], fixed: set[str], sets: list[str]
) -> None:
    space = FeatureSpace(frozenset(switchable), frozenset(fixed))
    flows = receive_flows(frozenset({4, 6}), 4789)
    received = receive_cells("p", space, flows)
    assert [cell.set_id for cell in received[:: len(flows)]] == sets
    assert len(received) == len(sets) * len(flows)
    for cell in received:
        assert cell.offloads.requested.keys() == switchable
    # Before the states, which are not undone.
    states = state_flows(frozenset({4}), 4789)
    cells = plan_cells("p", TUN, FLOWS[:2], (), "quick", states, received)
    assert cells[-len(states) - len(received) : -len(states)] == received
    assert len({cell.id for cell in cells}) == len(cells)


def test_what_is_not_asked_for_is_as_in_production_and_as_it_was_found() -> None:
    found = {CSUM: False, GRO: False, RX_CSUM: True, "loopback": False}
    sending = dict.fromkeys((*SUPPORT, *(rule.name for rule in VARIED)), True)
    assert unasked(found) == sending | {GRO: False, RX_CSUM: True}
    assert GRO not in unasked({})


def test_the_flows_received() -> None:
    ids = [flow.id for flow in receive_flows(frozenset({4}), 4789)]
    assert ids == [
        "rx/outer4-csum/inner4/tcp",
        "rx/outer4-csum/inner4/udp",
        "rx/outer4-csum/inner6/tcp",
        "rx/outer4-csum/inner6/udp",
    ]
    both = receive_flows(frozenset({4, 6}), 8472)
    assert len(both) == 8
    assert both[0].id == "rx/outer4-csum-port8472/inner4/tcp"
    # They come by tunnels that there are for what is sent.
    assert {flow.vni for flow in both} <= {f.vni for f in bulk_flows(frozenset({4, 6}), 8472)}


def test_a_cell_is_a_value() -> None:
    one = Cell("p", OffloadSet(frozenset({CSUM}), TUN), FLOWS[0])
    assert one == Cell("p", OffloadSet(frozenset({CSUM}), TUN), FLOWS[0])
    assert len({one, Cell("p", OffloadSet(frozenset({CSUM}), TUN), FLOWS[0])}) == 1
