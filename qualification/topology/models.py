"""The model of a whole topology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from qualification.config.values import Name
from qualification.config.wording import suggestion
from qualification.errors import UsageError

from .agreement import disagreements
from .base import NO_OTHER_KEYS, Frozen, refuse
from .hosts import HostSpec, NicSpec, PairSpec
from .lab import Lab


class Topology(Frozen):
    """A whole topology: the hosts and pairs that vxqual works on."""

    version: Literal[1] = Field(description="Version of the file format, which is 1.")
    hosts: Mapping[Name, HostSpec] = Field(
        min_length=1,
        json_schema_extra=NO_OTHER_KEYS,
        description="The hosts by name; at least one.",
    )
    pairs: Mapping[Name, PairSpec] = Field(
        min_length=1,
        json_schema_extra=NO_OTHER_KEYS,
        description=(
            "The pairs by name, such as x710: {dut: alpha.port0, peer: bravo.port0}; at least "
            "one. Those that share no NIC run in parallel."
        ),
    )
    lab: Lab = Field(default=None, description="A lab that builds the hosts; null for real hosts.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        refuse(list(disagreements(self.hosts, self.pairs, self.lab)))
        return self

    def nic(self, name: str) -> NicSpec:
        """Returns the NIC of a name.

        Args:
            name: Host and NIC, such as ``alpha.port0``.

        Raises:
            UsageError: There is no such NIC.
        """
        nics = {f"{h}.{n}": nic for h, host in self.hosts.items() for n, nic in host.nics.items()}
        if name not in nics:
            raise UsageError(f"there is no NIC '{name}'{suggestion(name, nics)}")
        return nics[name]

    def host_of(self, name: str) -> str:
        """Returns the name of the host that a NIC is in.

        Args:
            name: Host and NIC, such as ``alpha.port0``.

        Raises:
            UsageError: There is no such NIC.
        """
        self.nic(name)
        return name.partition(".")[0]

    def groups(self) -> dict[str, str]:
        """Groups the pairs that must not run at the same time, because they share NICs.

        Returns:
            The group of each pair. Pairs that share a NIC, directly or through other pairs, are
            in one group. A group has the name of its first pair in the file.
        """
        groups: dict[str, str] = {}
        for name, pair in self.pairs.items():
            shared = {
                group
                for other, group in groups.items()
                if {pair.dut, pair.peer} & {self.pairs[other].dut, self.pairs[other].peer}
            }
            # Groups are in file order, so the first one found has the earliest pair.
            first = next((group for group in groups.values() if group in shared), name)
            groups = {pair: first if group in shared else group for pair, group in groups.items()}
            groups[name] = first
        return groups
