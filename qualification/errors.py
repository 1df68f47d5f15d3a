"""The errors that vxqual raises on purpose, and their exit codes.

::

    VxqualError
    ├── UsageError (4)         the user's input is wrong: a file, a key, an option
    └── LabError (10)          the lab failed; this says nothing about the NIC
        ├── HostError          one host: unreachable, key refused, no python3, no root
        ├── AgentError         the agent on a host refused a request, or died
        └── HostLeftChangedError  a host is not as it was, or may not be
    QualificationFailure (1)   the NIC failed; an AssertionError, so that pytest calls it
                               "failed" and Allure a product defect

A message has up to three parts: what failed, where, and the next step.

The exit code of a run, and of judging it again, tells scripts how it ended. Only `EXIT_QUALIFIED`
is good; docs/results.md has the table of outcomes::

    0   QUALIFIED       every cell of the plan ran, and the essential ones exercised the NIC
    1   NOT QUALIFIED   a NIC is to blame
    2   INTERRUPTED     the run was ended before its last cell
    3                   an internal error of vxqual; pytest's
    4                   the user's input cannot be used; nothing ran
    5   NO CELL         no cell was selected
    10  NOT JUDGED      the lab could not decide
    11  PARTIAL         only a selection of the plan's cells ran; 0 with --partial-ok
    12  NOT EXERCISED   the NIC had nothing to do where the plan counts on it

`vxqual gate` has one more, besides 0, 1, 4 and 10::

    13  QUALIFIED WITH MITIGATION   a NIC has to be used with features off; 0 with --mitigation-ok
"""

from __future__ import annotations

from typing import ClassVar

from qualification.printable import printable

EXIT_QUALIFIED = 0
EXIT_NOT_QUALIFIED = 1
EXIT_INTERRUPTED = 2  # the same as pytest's
EXIT_USAGE = 4
EXIT_NO_CELL = 5  # the same as pytest's
EXIT_LAB = 10
EXIT_PARTIAL = 11
EXIT_NOT_EXERCISED = 12
EXIT_MITIGATION = 13


class VxqualError(Exception):
    """An error with a place and a next step; its text is for people to read.

    Some of it may come from a host: what is not printable is escaped, but for line feeds.

    Args:
        what: What failed, in one sentence without a full stop.
        where: The file, key or host concerned; the message begins with it.
        hint: The next step; the message ends with it.
    """

    exit_code: ClassVar[int] = EXIT_LAB

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = printable(what, lines=True)
        self.where = None if where is None else printable(where)
        self.hint = None if hint is None else printable(hint, lines=True)
        text = f"{self.where}: {self.what}" if where else self.what
        super().__init__(f"{text}\n  next: {self.hint}" if hint else text)


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


class HostLeftChangedError(LabError):
    """Changes of a host could not be undone, or its agent ended without saying that they were.

    Attributes:
        certain: Whether a host is known to be changed; False if nobody knows.
    """

    def __init__(self, what: str, *, hint: str | None = None, certain: bool) -> None:
        super().__init__(what, hint=hint)
        self.certain = certain


class QualificationFailure(AssertionError):  # noqa: N818  (pytest calls it a failure)
    """The NIC failed its qualification; the message carries the evidence."""

    exit_code: ClassVar[int] = EXIT_NOT_QUALIFIED

    def __init__(self, what: str) -> None:
        super().__init__(printable(what, lines=True))
