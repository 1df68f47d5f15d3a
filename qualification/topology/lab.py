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


class QemuLab(Frozen):
    """A lab of virtual machines: each host is one, each NIC a model that QEMU emulates."""

    kind: Literal["qemu"] = Field(description="Which lab; qemu runs Debian's kernel in QEMU.")
    models: tuple[Line, ...] = Field(
        default=(),
        description="Models of NICs; a NIC that is named after one is of that model.",
        examples=[["e1000e", "igb", "vmxnet3"]],
    )
    nics: Mapping[NicName, Line] = Field(
        default_factory=dict,
        json_schema_extra=NO_OTHER_KEYS,
        description="The model of a NIC by host.nic, for those that are not named after theirs.",
        examples=[{"alpha.port0": "igb"}],
    )
    qemu: Line | None = Field(
        default=None,
        description="qemu-system-x86_64 to use; without it the machine's own, or Debian's newest.",
        examples=["/opt/qemu/bin/qemu-system-x86_64"],
    )
    kernel: Line | None = Field(
        default=None,
        description="A bzImage or vmlinux of your own for the guests, in place of Debian's.",
        examples=["~/linux/arch/x86/boot/bzImage"],
    )
    modules: Line | None = Field(
        default=None,
        description="The directory /lib/modules/VERSION that belongs to that kernel.",
        examples=["~/linux/staging/lib/modules/6.17.0"],
    )
    suite: Line | None = Field(
        default=None,
        description="Debian's release that the guests run; without it this machine's own.",
        examples=["bookworm"],
    )
    kernel_suite: Line | None = Field(
        default=None,
        description="Debian's suite that their kernel is from, where it is not the release's.",
        examples=["bookworm-backports"],
    )
    memory: Whole = Field(default=320, ge=256, le=65536, description="Memory of a guest, MiB.")
    cpus: Whole = Field(default=1, ge=1, le=64, description="CPUs of a guest.")
    accel: Literal["auto", "kvm", "tcg"] = Field(
        default="auto",
        description="How guests run; auto is KVM where trying it shows that it works.",
    )
    record: Line | None = Field(
        default=None,
        description="A directory for recordings of every NIC's wire; they grow large.",
    )


Lab = Annotated[LoopbackLab | QemuLab | None, Field(discriminator="kind")]
"""A lab that builds its own hosts; ``kind`` selects the model. New kinds are added here."""
