"""A test as Allure shows it, before it is written; each text in it is harmless to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from allure_commons.model2 import Status

from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome

STATUSES: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.PASS: Status.PASSED,
        Verdict.FAIL: Status.FAILED,
        Verdict.LOSS: Status.FAILED,
        Verdict.INCONCLUSIVE: Status.BROKEN,
        Verdict.UNTRUSTED: Status.BROKEN,
        Verdict.ERROR: Status.BROKEN,
        Verdict.NOT_EXERCISED: Status.SKIPPED,
        Verdict.UNSUPPORTED: Status.SKIPPED,
        Verdict.KNOWN: Status.SKIPPED,
    }
)
"""What a verdict is in Allure: "failed" blames the NIC, and "broken" the lab."""
OUTCOMES: Mapping[RunOutcome, str] = MappingProxyType(
    {
        RunOutcome.QUALIFIED: Status.PASSED,
        RunOutcome.NOT_QUALIFIED: Status.FAILED,
    }
)
"""What the outcome of a NIC is; every other one is "broken"."""


@dataclass(frozen=True)
class AllureStep:
    """A step of a test.

    Attributes:
        text: What was done and what came of it.
        status: One of Allure's statuses.
        steps: The steps in it.
    """

    text: str
    status: str = Status.PASSED
    steps: tuple[AllureStep, ...] = ()


@dataclass(frozen=True)
class AllureFile:
    """What is attached to a test.

    Attributes:
        name: Its name in the report, which names the cell.
        type: Its media type.
        content: The bytes.
    """

    name: str
    type: str
    content: bytes


@dataclass(frozen=True)
class AllureLink:
    """A link of a test; Allure shows one of the type "issue" as a defect."""

    type: str
    url: str
    name: str


@dataclass(frozen=True)
class AllureTest:
    """A test.

    Attributes:
        id: What it is, stable between runs: "x710/all-on/outer4-csum/inner4/tcp".
        name: The name in the tree of its suites.
        status: One of Allure's statuses.
        message: How it ended, in a sentence that begins with the verdict; empty if it passed.
        details: What is known of it, a line for each.
        description: Markdown.
        labels: By name.
        identity: Parameters by name by which Allure tells whether a test of another run is the
            same one.
        about: Parameters by name that are shown, and excluded from that.
        links: Its links.
        steps: Its steps.
        files: What is attached.
        known: Whether it fails as is known.
        seconds: How long its bursts took.
    """

    id: str
    name: str
    status: str
    message: str = ""
    details: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    links: tuple[AllureLink, ...] = ()
    steps: tuple[AllureStep, ...] = ()
    files: tuple[AllureFile, ...] = ()
    known: bool = False
    seconds: float = 0.0
