"""The models of labs that build their own hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from qualification.config.values import Line, Whole

from .base import NO_OTHER_KEYS, Frozen
from .values import KnobValue, NicName


class FirmwareSpec(Frozen):
    """The firmware of a soft NIC: a model and the values of that model's knobs."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, KnobValue]

    model: Line = Field(description="Name of the firmware model.", examples=["good", "random-p"])

    @property
    def knobs(self) -> dict[str, bool | int | float | str]:
        """Returns the knobs that are set, such as ``{"p": 0.03}``."""
        return dict(self.__pydantic_extra__)


class LoopbackLab(Frozen):
    """A lab inside this machine: each host is a network namespace, each NIC a soft NIC."""

    kind: Literal["loopback"] = Field(description="Kind of lab; loopback runs on any Linux.")
    firmwares: Mapping[NicName, FirmwareSpec] = Field(
        default_factory=dict,
        json_schema_extra=NO_OTHER_KEYS,
        description="Firmwares of soft NICs by host.nic; a NIC not listed has the model good.",
        examples=[{"alpha.port0": {"model": "random-p", "p": 0.03}}],
    )
    # 1350 leaves a tunnel over IPv6 the 1280 bytes that IPv6 needs inside (RFC 8200 section 5);
    # 65521 is the largest MTU of a TAP.
    mtu: Whole = Field(default=1500, ge=1350, le=65521, description="MTU of the soft NICs.")


Lab = Annotated[LoopbackLab | None, Field(discriminator="kind")]
"""A lab that builds its own hosts; ``kind`` selects the model. New kinds are added here."""
