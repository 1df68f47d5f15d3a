"""A topology to begin from, of two hosts: names and underlay addresses for it, and its text.

It is written as text, and not dumped from models, because its comments are to teach.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

from qualification import __version__
from qualification.config.environment import escape
from qualification.config.values import NAME
from qualification.printable import printable
from qualification.shipped import PACKAGE, REPORTS

from .hosts import Ssh
from .values import InterfaceAddress

Underlay = tuple[InterfaceAddress, ...]

# What YAML reads as text, and as nothing else, wherever it stands between flow indicators.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9._/-]*|\d+(\.\d+){3}(/\d+)?")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class End:
    """One end of the pair.

    Attributes:
        host: The host's name in the topology.
        ssh: How it is reached.
        interface: The name of the NIC's interface.
        underlay: Its underlay addresses.
        about: What the NIC is, for a comment: driver, firmware, speed.
        driver: The NIC's driver, after which the pair is named.
        firmware: Whether the driver reports a firmware.
    """

    host: str
    ssh: Ssh
    interface: str
    underlay: Underlay
    about: str
    driver: str | None = None
    firmware: bool = True

    @property
    def nic(self) -> str:
        """Returns the NIC's name in its host: its interface's, as far as a name may have that."""
        return name_of(self.interface, "port0")

    @property
    def name(self) -> str:
        """Returns the NIC's name in the topology."""
        return f"{self.host}.{self.nic}"

    @property
    def pair(self) -> str:
        """Returns a name for the pair whose DUT it is."""
        return f"{self.host}-{name_of(self.driver or '', 'nic')}"


def name_of(text: str, otherwise: str) -> str:
    """Returns a name as a topology may have it, made of a text: "lab-a" of "lab-a.example.net".

    Args:
        text: The text.
        otherwise: The name where nothing of the text can be one.
    """
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")
    return made if re.fullmatch(NAME, made) else otherwise


def host_names(dut: Iterable[str], peer: Iterable[str]) -> tuple[str, str]:
    """Returns different names for two hosts.

    Args:
        dut: Texts that the DUT's host may be named after, the best first.
        peer: The same for the peer's host.
    """

    def first(texts: Iterable[str], otherwise: str) -> str:
        labels = (text.split(".")[0] for text in texts if not _is_address(text))
        return next((name for label in labels if (name := name_of(label, ""))), otherwise)

    names = first(dut, "dut"), first(peer, "peer")
    return names if names[0] != names[1] else (f"{names[0]}-dut", f"{names[1]}-peer")


def underlays(used: Iterable[str]) -> Iterator[tuple[Underlay, Underlay]]:
    """Yields underlay addresses for a DUT and its peer, of which nothing overlaps what is used.

    They are from 198.18.0.0/16, whose other half serves tunnels in a VLAN, and from fd00:18::/32.
    RFC 2544 has the first for benchmarks of networks, RFC 4193 fd00::/8 for private use.

    Args:
        used: Interface addresses that the hosts have already, "198.18.0.1/24".
    """
    taken = [ip_interface(text).network for text in used]
    for number in range(256):
        ends = [
            (
                ip_interface(f"198.18.{number}.{end}/24"),
                ip_interface(f"fd00:18:{number:x}::{end}/64"),
            )
            for end in (1, 2)
        ]
        wanted = [address.network for address in ends[0]]
        if not any(a.version == b.version and a.overlaps(b) for a in wanted for b in taken):
            yield ends[0], ends[1]


def text_of(dut: End, peer: End, file: str, notes: Iterable[str] = ()) -> str:
    """Returns the text of a topology in which one NIC is qualified with another as its peer.

    Args:
        dut: The NIC that is qualified, and its host.
        peer: The other one.
        file: The name of the file, for the commands that its comments show.
        notes: What else a reader of the file has to know, each in one line.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(  # noqa: S701  (YAML is no HTML; `yaml` quotes every value)
        loader=PackageLoader(PACKAGE, REPORTS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"yaml": _quoted, "comment": printable}
    return environment.get_template("topology.yaml.j2").render(
        version=__version__, file=file, ends=(dut, peer), dut=dut, peer=peer, notes=tuple(notes)
    )


def _is_address(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True


def _quoted(value: Any) -> str:
    """Returns a value as YAML that loads again as the same text or number."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON's escapes are YAML's, but for characters beyond the BMP, which JSON writes as two halves.
    return "".join(
        f"\\U{ord(c):08x}" if ord(c) > 0xFFFF else json.dumps(c)[1:-1] for c in escape(value)
    ).join('""')
