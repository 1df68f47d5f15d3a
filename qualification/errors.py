"""The errors that vxqual raises on purpose, and their exit codes.

::

    VxqualError
    ├── UsageError (4)         the user's input is wrong: a file, a key, an option
    └── LabError (10)          the lab failed; this says nothing about the NIC
        ├── HostError          one host: unreachable, key refused, no python3, no root
        └── AgentError         the agent on a host refused a request, or died
    QualificationFailure (1)   the NIC failed; an AssertionError, so that pytest calls it
                               "failed" and Allure a product defect

A message has up to three parts: what failed, where, and the next step.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_QUALIFIED = 0
EXIT_NOT_QUALIFIED = 1
EXIT_INTERRUPTED = 2  # the same as pytest's
EXIT_USAGE = 4
EXIT_LAB = 10


def exit_code(*, blamed: bool, doubted: bool) -> int:
    """Returns the exit code of a run; a failed NIC takes precedence over a failure of the lab.

    Args:
        blamed: Whether a NIC failed.
        doubted: Whether something could not be judged.
    """
    if blamed:
        return EXIT_NOT_QUALIFIED
    return EXIT_LAB if doubted else EXIT_QUALIFIED


class VxqualError(Exception):
    """An error with a place and a next step; its text is for people to read.

    Args:
        what: What failed, in one sentence without a full stop.
        where: The file, key or host concerned; the message begins with it.
        hint: The next step; the message ends with it.
    """

    exit_code: ClassVar[int] = EXIT_LAB

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  next: {hint}" if hint else text)


class UsageError(VxqualError):
    """The user's input cannot be used; no host was changed."""

    exit_code = EXIT_USAGE


class LabError(VxqualError):
    """The lab failed, so that no verdict is possible; never a fault of the NIC."""


class HostError(LabError):
    """A host cannot be reached or cannot run the agent; `where` names it."""


class AgentError(LabError):
    """The agent on a host refused a request, or died.

    Attributes:
        kind: The kind of the error, for programs: "no-such-interface", for example.
    """

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, kind: str = "agent"
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.kind = kind


class QualificationFailure(AssertionError):  # noqa: N818  (pytest calls it a failure)
    """The NIC failed its qualification; the message carries the evidence."""

    exit_code: ClassVar[int] = EXIT_NOT_QUALIFIED
