"""The ethtool features that vxqual may switch, their dependencies, and offload sets of them.

The table is an allow-list: `loopback`, `rx-fcs`, `rx-all` and their like break links and are never
switched. Dependencies are those that the kernel enforces or acts by: net/core/dev.c,
netdev_fix_features, and include/linux/netdevice.h, skb_gso_ok (a super-packet goes to the NIC only
if every one of its GSO types is a feature in effect).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class FeatureRule:
    """One feature that plans vary, and what it depends on.

    Attributes:
        name: The kernel's name.
        short: Its name in ids.
        needs: Groups of features. Unless one of each group is on, this one is off, or on without
            any effect.
        needs_on: Further groups, by driver.
        expected: Whether its absence on a NIC is reported in the matrix.
    """

    name: str
    short: str
    needs: tuple[tuple[str, ...], ...] = ()
    needs_on: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    expected: bool = True


CSUM, CSUM4, CSUM6 = "tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"
TSO, TSO6, USO = "tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation"
PARTIAL = "tx-gso-partial"
TNL, TNL_CSUM = "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"
RX_CSUM, GRO = "rx-checksum", "rx-gro"

VARIED = (
    FeatureRule(
        TNL_CSUM,
        "tnl-csum-seg",
        needs=((TSO, TSO6, USO),),
        # drivers/net/tun_vnet.h, tun_vnet_hdr_tnl_from_skb: with tnl-seg off, tun takes such a
        # super-packet and then drops it with EINVAL when it is read.
        needs_on={"tun": ((TNL,),)},
    ),
    FeatureRule(TNL, "tnl-seg", needs=((TSO, TSO6, USO),)),
    FeatureRule(TSO, "tso", needs=((CSUM, CSUM4),)),
    FeatureRule(TSO6, "tso6", needs=((CSUM, CSUM6),)),
    FeatureRule(USO, "uso", needs=((CSUM, CSUM4, CSUM6),)),
    # A driver uses it for what its hardware does only in part; most NICs need not have it.
    FeatureRule(PARTIAL, "gso-partial", needs=((TNL, TNL_CSUM),), expected=False),
    # A driver has the generic one, or one per family.
    FeatureRule(CSUM, "csum", expected=False),
    FeatureRule(CSUM4, "csum4", expected=False),
    FeatureRule(CSUM6, "csum6", expected=False),
)
"""The features of sending, in the order in which ids name them."""

RECEIVED = (
    FeatureRule(RX_CSUM, "rx-csum", expected=False),
    FeatureRule(GRO, "gro", expected=False),
)
"""The features of receiving, likewise. Neither kind depends on the other."""

SENDING = tuple(rule.name for rule in VARIED)
RECEIVING = tuple(rule.name for rule in RECEIVED)

RULES: Mapping[str, FeatureRule] = {rule.name: rule for rule in (*VARIED, *RECEIVED)}

SEGMENTING = frozenset({TSO, TSO6, USO, TNL, TNL_CSUM, PARTIAL})
"""With these the hardware segments, alone or together."""

SUPPORT = ("tx-scatter-gather", "tx-generic-segmentation")
"""On in every set, where they can be switched: without them there are no super-packets at all."""

MERGING = ("rx-gro", "rx-lro", "rx-gro-hw")
"""Features that merge frames before a capture sees them."""

PEER_OFF = (
    *(rule.name for rule in VARIED),
    *MERGING,
    "rx-gro-list",
    "rx-udp-gro-forwarding",
    RX_CSUM,
)
"""Off on the peer, so that its answers cannot be to blame and it captures what was on the wire.

With rx-checksum off its kernel verifies every checksum itself and counts the wrong ones."""


@dataclass(frozen=True)
class FeatureSpace:
    """The features of one NIC that can be varied, and their dependencies there.

    Attributes:
        switchable: Kernel names of the features of the table that can be switched.
        fixed_on: Features of the table that are on and cannot be switched off.
        driver: The NIC's driver.
        learned: Pairs of a feature and one that it was seen to need on this NIC.
    """

    switchable: frozenset[str]
    fixed_on: frozenset[str] = frozenset()
    driver: str = ""
    learned: frozenset[tuple[str, str]] = frozenset()

    def needs(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Returns the groups of features of which a feature needs one each; none is empty."""
        rule = RULES[name]
        seen = tuple((needed,) for dependent, needed in sorted(self.learned) if dependent == name)
        groups = rule.needs + rule.needs_on.get(self.driver, ()) + seen
        there = self.switchable | self.fixed_on
        return tuple(some for group in groups if (some := tuple(n for n in group if n in there)))

    def settle(self, on: Iterable[str]) -> frozenset[str]:
        """Returns the features that have an effect, because those that they need are on as well.

        Two sets that settle to the same one make no difference on the wire.

        Args:
            on: Kernel names of features that are switched on.
        """
        left = (frozenset(on) & self.switchable) | self.fixed_on
        while True:
            working = frozenset(
                name for name in left if all(left & set(group) for group in self.needs(name))
            )
            if working == left:
                return left
            left = working

    def close(self, on: Iterable[str]) -> frozenset[str]:
        """Returns features together with everything that they need to have any effect."""
        wanted = set(on)
        todo = list(wanted)
        while todo:
            for group in self.needs(todo.pop()):
                if not (wanted | self.fixed_on) & set(group):
                    added = set(group) - wanted
                    wanted |= added
                    todo += sorted(added)
        return frozenset(wanted)


@dataclass(frozen=True)
class OffloadSet:
    """Features to switch on; all others that can be switched are off.

    Attributes:
        on: Kernel names, all of them switchable.
        space: The features of the NIC that can be varied.
    """

    on: frozenset[str]
    space: FeatureSpace

    @cached_property
    def id(self) -> str:
        """The name in reports, stable between runs: what is on, without what that depends on.

        Examples: "all-on", "all-off", "all-but-tnl-csum-seg", and "tnl-csum-seg+tso", which
        includes the checksum offload that TSO needs.
        """
        off = self.space.switchable - self.on
        if not self.on:
            return "all-off"
        if not off:
            return "all-on"
        if not self.named_for:
            return "all-but-" + "+".join(short_names(off))
        return "+".join(short_names(self.named_for))

    @cached_property
    def named_for(self) -> frozenset[str]:
        """The features in the set's name; none of a set that is named for what is off in it."""
        off = self.space.switchable - self.on
        return self._heads if off and len(self._heads) <= len(off) else frozenset()

    @property
    def _heads(self) -> frozenset[str]:
        """What is on, without what something else that is on cannot do without.

        Of features that need each other the first of the table stays.
        """
        order = [name for name in RULES if name in self.on]
        needed: dict[str, set[str]] = {}
        for name in order:
            reached, todo = set[str](), [name]
            while todo:
                for group in self.space.needs(todo.pop()):
                    if len(group) == 1 and group[0] not in reached:
                        reached.add(group[0])
                        todo.append(group[0])
            needed[name] = reached
        return frozenset(
            name
            for place, name in enumerate(order)
            if not any(
                name in needed[other] and (other not in needed[name] or order.index(other) < place)
                for other in order
                if other != name
            )
        )

    @property
    def requested(self) -> dict[str, bool]:
        """Whether each feature is on, by kernel name in the table's order."""
        switchable = self.space.switchable
        return {name: name in self.on for name in RULES if name in switchable}


def unasked(found: Mapping[str, bool]) -> dict[str, bool]:
    """Returns the features of a DUT where an offload set does not name them.

    The features of sending are on, as in production; those of receiving are as they were found.

    Args:
        found: Whether each feature was requested when the DUT was found, by kernel name.

    Returns:
        Whether each feature is on, by kernel name.
    """
    receiving = {name: found[name] for name in RECEIVING if name in found}
    return dict.fromkeys((*SUPPORT, *SENDING), True) | receiving


def short_names(names: Iterable[str]) -> list[str]:
    """Returns the short names of features in the table's order."""
    wanted = set(names)
    return [rule.short for rule in RULES.values() if rule.name in wanted]
