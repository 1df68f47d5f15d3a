"""Every error vxqual raises on purpose, and the exit code each one carries.

::

    VxqualError
    ├── UsageError (4)         what the user gave is wrong: a file, a key, an option
    └── LabError (10)          the lab could not judge: says nothing about the NIC
        ├── HostError          one host: unreachable, key refused, no python3, no root
        └── AgentError         the agent on a host refused an order or died
    QualificationFailure (1)   the NIC's fault; an AssertionError, so that pytest calls it
                               "failed" and Allure a product defect

A message has up to three parts: what is wrong, where, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_QUALIFIED = 0
EXIT_NOT_QUALIFIED = 1
EXIT_INTERRUPTED = 2  # pytest's own, too
EXIT_USAGE = 4
EXIT_LAB = 10


def exit_code(*, blamed: bool, doubted: bool) -> int:
    """How a run ends: a NIC that is to blame outweighs what could not be judged."""
    if blamed:
        return EXIT_NOT_QUALIFIED
    return EXIT_LAB if doubted else EXIT_QUALIFIED


class VxqualError(Exception):
    """An error with a place and a next step; its text is meant for people.

    Args:
        what: What is wrong, in one sentence without a full stop.
        where: The file, key or host concerned; put in front.
        hint: What to do next; put behind.
    """

    exit_code: ClassVar[int] = EXIT_LAB

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  next: {hint}" if hint else text)


class UsageError(VxqualError):
    """What the user gave cannot be used; nothing was touched."""

    exit_code = EXIT_USAGE


class LabError(VxqualError):
    """The lab could not judge. Never the NIC's fault."""


class HostError(LabError):
    """One host cannot take part; `where` names it."""


class AgentError(LabError):
    """The agent on a host refused an order, or died.

    Attributes:
        kind: The agent's own word for it, such as "no-such-interface".
    """

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, kind: str = "agent"
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.kind = kind


class QualificationFailure(AssertionError):  # noqa: N818  (pytest's word for it is "failure")
    """The NIC put a wrong frame on the wire, and here is the evidence."""

    exit_code: ClassVar[int] = EXIT_NOT_QUALIFIED
