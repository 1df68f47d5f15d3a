"""The models of a topology: hosts, their NICs, the pairs between them, and the lab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from qualification.config.wording import Objection, suggestion
from qualification.errors import UsageError

from .agreement import disagreements
from .values import (
    Address,
    Flag,
    Interface,
    InterfaceAddress,
    KnobValue,
    Line,
    Name,
    NicName,
    OrVariable,
    Port,
    Secret,
    Underlay,
    Vlan,
    Whole,
    objection,
)


def _refuse(objections: list[Objection]) -> None:
    """Raise all objections at once, each at its own place below the model that calls."""
    if objections:
        raise ValidationError.from_exception_data(
            "topology",
            [
                InitErrorDetails(type=objection(what, hint), loc=loc, input=None)
                for loc, what, hint in objections
            ],
        )


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"there is no home directory for {text!r}") from None


# Pydantic gives the pattern of a mapping's keys, but leaves it open what other keys may hold.
_NO_OTHER_KEYS: dict[str, JsonValue] = {"additionalProperties": False}


class _Frozen(BaseModel):
    # Inputs are hidden because one of them may be a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Ssh(_Frozen):
    """How a host is reached."""

    address: Address = Field(
        description="HostSpec name or IP address to connect to.", examples=["192.0.2.11"]
    )
    port: Port = Field(default=22, description="TCP port of sshd.")
    user: Line = Field(
        default="root", description="User to log in as; root, or one with sudo: true."
    )
    key: Line | None = Field(
        default=None,
        description="Private key file; without one the agent's and the usual keys are tried.",
        examples=["~/.ssh/lab"],
    )
    password: Secret = Field(
        default=None,
        description="A password, always as ${NAME}: it never stands in the file.",
        examples=["${LAB_PASSWORD}"],
    )
    known_hosts: Line = Field(
        default="~/.ssh/known_hosts", description="File with the host keys that are trusted."
    )
    proxy_command: Line | None = Field(
        default=None,
        description="Command whose stdin and stdout are the connection, as ssh's ProxyCommand.",
        examples=["ssh -W 192.0.2.11:22 jump.example.net"],
    )
    sudo: Flag = Field(
        default=False,
        description="Whether the agent is started through sudo -n, for a user not root.",
    )

    @property
    def key_file(self) -> Path | None:
        """The private key's file, with ``~`` expanded."""
        return None if self.key is None else _expanded(self.key)

    @property
    def known_hosts_file(self) -> Path:
        """The file of trusted host keys, with ``~`` expanded."""
        return _expanded(self.known_hosts)


class NicSpec(_Frozen):
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
        description="The firmware's version, in place of what ethtool reports.",
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
        _refuse(
            [
                Objection((i,), f"a second IPv{family} address", "keep one address per family")
                for i, family in enumerate(families)
                if family in families[:i]
            ]
        )
        return underlay

    def address(self, family: int) -> InterfaceAddress | None:
        """The underlay address of a family, 4 or 6, if the NIC has one."""
        return next((address for address in self.underlay if address.version == family), None)


class HostSpec(_Frozen):
    """A host and those of its NICs that take part."""

    ssh: Ssh | None = Field(
        default=None, description="How the host is reached; needed unless a lab builds the hosts."
    )
    nics: Mapping[Name, NicSpec] = Field(
        min_length=1,
        json_schema_extra=_NO_OTHER_KEYS,
        description="The host's NICs by name; at least one.",
    )


class PairSpec(_Frozen):
    """The NIC being qualified, the NIC that watches it, and the link between them."""

    dut: Annotated[NicName, OrVariable()] = Field(
        description="The NIC being qualified, as host.nic.", examples=["alpha.port0"]
    )
    peer: Annotated[NicName, OrVariable()] = Field(
        description="The NIC that watches it, as host.nic.", examples=["bravo.port0"]
    )
    port: Port = Field(default=4789, description="UDP port of the tunnels.")
    vlan: Vlan | None = Field(
        default=None,
        description=(
            "VLAN between the two NICs that is ours to send in, for tunnels whose outer packets "
            "carry an 802.1Q tag; without one they are left out. It is made and taken away by the "
            "run, and a path that drops it costs those flows alone."
        ),
        examples=[3725],
    )


class FirmwareSpec(_Frozen):
    """A soft NIC's firmware: its model, and any knobs that model has."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, KnobValue]

    model: Line = Field(description="Name of the firmware model.", examples=["good", "random-p"])

    @property
    def knobs(self) -> dict[str, bool | int | float | str]:
        """The model's knobs, such as ``{"p": 0.03}``."""
        return dict(self.__pydantic_extra__)


class LoopbackLab(_Frozen):
    """A lab inside this machine: each host is a namespace, each NIC a soft one."""

    kind: Literal["loopback"] = Field(description="Which lab; loopback runs on any Linux.")
    firmwares: Mapping[NicName, FirmwareSpec] = Field(
        default_factory=dict,
        json_schema_extra=_NO_OTHER_KEYS,
        description="FirmwareSpec of soft NICs by host.nic; a NIC not listed has model good.",
        examples=[{"alpha.port0": {"model": "random-p", "p": 0.03}}],
    )
    # 1350 leaves a tunnel over IPv6 the 1280 that IPv6 inside asks for; 65521 is a TAP's most.
    mtu: Whole = Field(default=1500, ge=1350, le=65521, description="MTU of the soft NICs.")


Lab = Annotated[LoopbackLab | None, Field(discriminator="kind")]
"""A lab that builds its own hosts, told by its ``kind``; further kinds join this union."""


class Topology(_Frozen):
    """The hosts and pairs that vxqual works on."""

    version: Literal[1] = Field(description="Version of the file format, which is 1.")
    hosts: Mapping[Name, HostSpec] = Field(
        min_length=1,
        json_schema_extra=_NO_OTHER_KEYS,
        description="The hosts by name; at least one.",
    )
    pairs: Mapping[Name, PairSpec] = Field(
        min_length=1,
        json_schema_extra=_NO_OTHER_KEYS,
        description=(
            "The pairs by name, such as x710: {dut: alpha.port0, peer: bravo.port0}; at least "
            "one. Those that share no NIC run in parallel."
        ),
    )
    lab: Lab = Field(
        default=None, description="A lab that builds the hosts itself; null for real hosts."
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        _refuse(list(disagreements(self.hosts, self.pairs, self.lab)))
        return self

    def nic(self, name: str) -> NicSpec:
        """The NIC of that name.

        Args:
            name: HostSpec and NIC, such as ``alpha.port0``.

        Raises:
            UsageError: There is no such NIC.
        """
        nics = {f"{h}.{n}": nic for h, host in self.hosts.items() for n, nic in host.nics.items()}
        if name not in nics:
            raise UsageError(f"there is no NIC '{name}'{suggestion(name, nics)}")
        return nics[name]

    def host_of(self, name: str) -> str:
        """The name of the host that has the NIC of that name; raises as `nic` does."""
        self.nic(name)
        return name.partition(".")[0]

    def groups(self) -> dict[str, str]:
        """Which pairs must not run at the same time, because they share NICs.

        Returns:
            Each pair's group. Pairs that share a NIC, directly or through further pairs, are in
            one group, which bears the name of its first pair in the file.
        """
        groups: dict[str, str] = {}
        for name, pair in self.pairs.items():
            shared = {
                group
                for other, group in groups.items()
                if {pair.dut, pair.peer} & {self.pairs[other].dut, self.pairs[other].peer}
            }
            # In file order, so the first group found is the one with the earliest pair.
            first = next((group for group in groups.values() if group in shared), name)
            groups = {pair: first if group in shared else group for pair, group in groups.items()}
            groups[name] = first
        return groups
