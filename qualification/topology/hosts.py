"""The models of hosts, their NICs, and the pairs between NICs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from qualification.config.values import Line, Name, OrVariable
from qualification.config.wording import Objection
from qualification.errors import UsageError

from .base import NO_OTHER_KEYS, Frozen, refuse
from .values import (
    Address,
    Flag,
    Interface,
    InterfaceAddress,
    NicName,
    Port,
    Secret,
    Underlay,
    Vlan,
)


class Ssh(Frozen):
    """How a host is reached over SSH."""

    address: Address = Field(
        description="Host name, IP address, or alias in ~/.ssh/config to connect to.",
        examples=["192.0.2.11", "lab-a"],
    )
    port: Port | None = Field(
        default=None, description="TCP port of sshd, if not that of ~/.ssh/config or 22."
    )
    user: Line | None = Field(
        default=None,
        description="User to log in as, if not that of ~/.ssh/config or root; another than root "
        "needs sudo: true.",
    )
    key: Line | None = Field(
        default=None,
        description="Private key file; without it, ssh-agent and the key files of ~/.ssh/config, "
        "or the usual ones, are tried.",
        examples=["~/.ssh/lab"],
    )
    password: Secret = Field(
        default=None,
        description="A password, always as ${NAME}: it is never in the file itself.",
        examples=["${LAB_PASSWORD}"],
    )
    known_hosts: Line | None = Field(
        default=None,
        description="File with the host keys that are trusted, if not those of ~/.ssh/config or "
        "~/.ssh/known_hosts.",
    )
    proxy_command: Line | None = Field(
        default=None,
        description="Command whose stdin and stdout carry SSH, as in ssh's ProxyCommand.",
        examples=["ssh -W 192.0.2.11:22 jump.example.net"],
    )
    config: Line | None = Field(
        default=None,
        description="OpenSSH client configuration instead of ~/.ssh/config, or none for no file, "
        "as with ssh -F.",
        examples=["lab/ssh_config", "none"],
    )
    sudo: Flag = Field(
        default=False,
        description="Whether the agent is started through sudo -n, for a user who is not root.",
    )

    @property
    def key_file(self) -> Path | None:
        """Returns the path of the private key, with ``~`` expanded, if there is one."""
        return None if self.key is None else expanded(self.key)

    @property
    def known_hosts_file(self) -> Path | None:
        """Returns the path of the trusted host keys, with ``~`` expanded, if there is one."""
        return None if self.known_hosts is None else expanded(self.known_hosts)


class NicSpec(Frozen):
    """A network interface of a host."""

    interface: Interface = Field(
        description="Name of the interface, as `ip link` shows it.", examples=["ens1f0"]
    )
    underlay: tuple[Underlay, ...] = Field(
        min_length=1,
        description=(
            "Addresses with prefix that tunnels run between, at most one IPv4 and one IPv6; "
            "each is added to the interface where absent and removed afterwards."
        ),
        examples=[["198.18.0.1/24", "fd00:18::1/64"]],
    )
    firmware: Line | None = Field(
        default=None,
        description="The firmware's version, instead of what ethtool reports.",
        examples=["8.30 0x8000af86"],
    )
    allow_management: Flag = Field(
        default=False,
        description="Whether the interface may be the one that carries our SSH session.",
    )

    @field_validator("underlay")
    @classmethod
    def _one_per_family(
        cls, underlay: tuple[InterfaceAddress, ...]
    ) -> tuple[InterfaceAddress, ...]:
        families = [address.version for address in underlay]
        refuse(
            [
                Objection((i,), f"a second IPv{family} address", "keep one address per family")
                for i, family in enumerate(families)
                if family in families[:i]
            ]
        )
        return underlay

    def address(self, family: int) -> InterfaceAddress | None:
        """Returns the underlay address of a family (4 or 6), or None if the NIC has none."""
        return next((address for address in self.underlay if address.version == family), None)


class HostSpec(Frozen):
    """A host and those of its NICs that are used."""

    ssh: Ssh | None = Field(
        default=None, description="How the host is reached; needed unless a lab builds the hosts."
    )
    nics: Mapping[Name, NicSpec] = Field(
        min_length=1,
        json_schema_extra=NO_OTHER_KEYS,
        description="The host's NICs by name; at least one.",
    )


class PairSpec(Frozen):
    """A DUT, its peer and the link between them."""

    dut: Annotated[NicName, OrVariable()] = Field(
        description="The NIC being qualified, as host.nic.", examples=["alpha.port0"]
    )
    peer: Annotated[NicName, OrVariable()] = Field(
        description="The NIC that captures what the DUT sends, as host.nic.",
        examples=["bravo.port0"],
    )
    port: Port = Field(default=4789, description="UDP port of the tunnels.")
    vlan: Vlan | None = Field(
        default=None,
        description=(
            "VLAN id that the run may use between the two NICs, for tunnels whose outer packets "
            "carry an 802.1Q tag; without it these flows are left out. The run creates the VLAN "
            "and removes it. If the path drops it, only these flows are affected."
        ),
        examples=[3725],
    )


def expanded(text: str) -> Path:
    """Returns a path with ``~`` expanded.

    Raises:
        UsageError: There is no such home directory.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"there is no home directory for {text!r}") from None
