"""Masks what a vendor need not know: addresses, host names, MACs, serial numbers and paths.

Each one gets the same replacement wherever it stands, in text and in frames alike, so that a bundle
can still be followed. Replacements are from the ranges for documentation: RFC 5737 (IPv4), RFC 3849
(IPv6) and RFC 9542 (MAC addresses).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from itertools import count
from typing import Any

from qualification.campaign import Campaign
from qualification.messages.host import SERIALS

from .pci_text import serial_numbers

_MAC = re.compile(
    r"(?<![\w-])(?<![0-9a-f]:)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w-]|:[0-9a-f])", re.IGNORECASE
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w.])(?<![0-9a-f]:)(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:(?:\.\d{1,3}){3})?(?!\w)",
    re.IGNORECASE,
)
_PATH = re.compile(
    r"(?<![\w.~])(?:~|/(?:home|root|run|tmp|srv|mnt|etc|work|var|Users))/[^\s'\",;:)]+"
)
_WORD = re.compile(r"[\w.-]+")
_BROADCAST = b"\xff" * 6
_KINDS = ("host", "serial", "path")


@dataclass
class Mask:
    """Replaces secrets, each always by the same text or bytes.

    Attributes:
        secrets: The names that are known to be secret, by kind: "host", "serial" or "path".
        known: Addresses and MAC addresses that are known, as they are packed in frames.
        kept: Versions, which stay although one may look like an address ("218.0.166.0").
        on: False replaces nothing.
    """

    secrets: Mapping[str, frozenset[str]]
    known: frozenset[bytes] = frozenset()
    kept: frozenset[str] = frozenset()
    on: bool = True
    _packed: dict[bytes, bytes] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """Returns a text with every secret in it replaced."""
        if not self.on:
            return text
        if self._names:
            text = self._pattern.sub(lambda match: self._names[match[0].lower()], text)
        text = _PATH.sub("PATH", text)
        text = _MAC.sub(lambda match: self._masked_mac(match[0]), text)
        text = _IPV6.sub(lambda match: self._masked_address(match[0]), text)
        return _IPV4.sub(lambda match: self._masked_address(match[0]), text)

    def value(self, value: Any) -> Any:
        """Returns a JSON value with every secret in its strings replaced, also in its keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(inside) for key, inside in value.items()}
        if isinstance(value, list):
            return [self.value(inside) for inside in value]
        return value

    def packed(self, secret: bytes) -> bytes:
        """Returns the replacement of an address of 4, 16 or (MAC) 6 bytes, as packed in a frame.

        Addresses that name nobody stay: unspecified, loopback and multicast ones.
        """
        if not self.on or _nobody(secret):
            return secret
        if secret not in self._packed:
            replacements = set(self._packed.values())
            if secret in replacements and secret not in self.known:
                return secret  # masked already
            taken = replacements | self.known
            free = (one for one in _documentation(len(secret)) if one not in taken)
            self._packed[secret] = next(free)
        return self._packed[secret]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The replacement of each name, in lower case."""
        secrets = {kind: sorted(map(str.lower, self.secrets.get(kind, ()))) for kind in _KINDS}
        every = {secret for some in secrets.values() for secret in some}
        found: dict[str, str] = {}
        for kind, some in secrets.items():
            free = (name for number in count(1) if (name := f"{kind}{number}") not in every)
            for secret in some:
                found.setdefault(secret, next(free))
        for known in sorted(self.known):
            for shown, masked in zip(_shown(known), _shown(self.packed(known)), strict=True):
                found.setdefault(shown, masked)
        return found

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first, so that a host's full name is not taken for its short one.
        names = sorted(self._names, key=len, reverse=True)
        any_name = "|".join(map(re.escape, names))
        return re.compile(rf"(?<![A-Za-z0-9])(?:{any_name})(?![A-Za-z0-9])", re.IGNORECASE)

    def _masked_mac(self, text: str) -> str:
        separator = text[2]
        return self.packed(bytes.fromhex(text.replace(separator, ""))).hex(separator)

    def _masked_address(self, text: str) -> str:
        for end in ("", ":"):  # a colon may follow, as in a line of a log
            try:
                address = ip_address(text.removesuffix(end))
            except ValueError:
                continue
            is_version = address.packed not in self.known and any(text in v for v in self.kept)
            masked = text if is_version else str(ip_address(self.packed(address.packed)))
            return masked if is_version or not end else masked + end
        return text


def mask_of(campaign: Campaign, *, on: bool = True) -> Mask:
    """Returns the mask of a run, by its topology and what its hosts said of themselves.

    Args:
        campaign: The run.
        on: False for a mask that replaces nothing.
    """
    hosts, serials, paths, packed, versions = _secrets(campaign)
    shown = {word for name in hosts for word in (name, *_domains(name))}
    named = {
        # A name such as "1" says nothing, and would be found in every number.
        "host": frozenset(n for n in shown if len(n) > 1 and any(c.isalpha() for c in n)),
        "serial": frozenset(filter(None, serials)),
        "path": frozenset(filter(None, paths)),
    }
    return Mask(named, frozenset(packed), frozenset(filter(None, versions)), on)


def _secrets(
    campaign: Campaign,
) -> tuple[set[str], set[str], set[str], set[bytes], set[str]]:
    """Returns host names, serial numbers, paths, packed addresses, and versions."""
    hosts, serials, paths = set[str](), set[str](), {campaign.source}
    packed, versions = set[bytes](), set[str]()
    for name, host in campaign.topology.hosts.items():
        hosts.add(name)
        packed.update(one.packed for nic in host.nics.values() for one in nic.underlay)
        ssh = host.ssh
        if ssh is None:
            continue
        hosts.add(str(ssh.address))
        if ssh.user not in (None, "root"):
            hosts.add(str(ssh.user))
        paths |= {one for one in (ssh.key, ssh.known_hosts, ssh.config) if one and one != "none"}
        if ssh.proxy_command:
            paths |= {word for word in ssh.proxy_command.split() if "/" in word}
            hosts |= {w for w in _WORD.findall(ssh.proxy_command) if _looks_like_host(w)}
    for nic in campaign.inventory.nics.values():
        hosts.add(nic.host.hostname)
        serials |= {nic.facts.devlink[key] for key in SERIALS if key in nic.facts.devlink}
        serials.add(nic.host.boot_id)
        serials |= serial_numbers(nic.facts.settings.pci)
        mac = nic.facts.mac.replace(":", "")
        packed.update(_parsed((*nic.underlay, *nic.facts.addresses)))
        packed.update([bytes.fromhex(mac)] if re.fullmatch(r"[0-9A-Fa-f]{12}", mac) else [])
        versions |= {nic.driver, nic.firmware, nic.host.kernel, *nic.facts.devlink.values()}
        versions.add(nic.facts.driver_version or "")
    hosts = {host for host in hosts if not any(_parsed([host]))}
    packed.update(_parsed(str(h.ssh.address) for h in campaign.topology.hosts.values() if h.ssh))
    return hosts, serials, paths, packed, versions - serials


def _domains(name: str) -> Iterator[str]:
    """Yields the short name of a host with a domain, and its domain."""
    short, dot, domain = name.partition(".")
    if dot:
        yield short
        if "." in domain:
            yield domain


def _looks_like_host(word: str) -> bool:
    return "." in word and any(c.isalpha() for c in word.rpartition(".")[2])


def _parsed(texts: Iterable[str]) -> Iterator[bytes]:
    for text in texts:
        try:
            yield ip_interface(text).ip.packed
        except ValueError:
            continue


def _shown(packed: bytes) -> list[str]:
    """Returns the usual texts of an address."""
    if len(packed) != 6:
        return [str(ip_address(packed))]
    return [packed.hex(":"), packed.hex("-"), packed.hex()]


def _nobody(packed: bytes) -> bool:
    if len(packed) == 6:
        return bool(packed[0] & 1) or packed == bytes(6) or packed == _BROADCAST
    address = ip_address(packed)
    return address.is_unspecified or address.is_loopback or address.is_multicast


def _documentation(size: int) -> Iterator[bytes]:
    """Yields the addresses for documentation of a size; there is no end to them."""
    makers: dict[int, Callable[[int], bytes]] = {4: _ipv4, 6: _mac, 16: _ipv6}
    yield from map(makers[size], count())


def _ipv4(number: int) -> bytes:
    """192.0.2.1 and so on; behind the three networks of RFC 5737 those of benchmarks (RFC 2544)."""
    networks = ("192.0.2.0", "198.51.100.0", "203.0.113.0")
    place, host = divmod(number, 254)
    if place < len(networks):
        return (IPv4Address(networks[place]) + host + 1).packed
    return (IPv4Address("198.19.0.0") + number).packed


def _ipv6(number: int) -> bytes:
    return (IPv6Address("2001:db8::1") + number).packed


def _mac(number: int) -> bytes:
    """00:00:5e:00:53:00 to ff (RFC 9542), and then locally administered ones."""
    head = b"\0\0\x5e\0\x53" if number < 256 else b"\x02\0\x5e" + (number >> 8).to_bytes(2, "big")
    return head + bytes([number & 255])
