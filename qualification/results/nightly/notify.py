"""Tells people of a run, by the library apprise: webhooks, Slack, Teams, e-mail and many more.

A URL of apprise holds secrets: passwords, tokens, the address of a webhook. It is never shown, by
messages, logs or errors; what is said of it is its place among those that were given, and its
scheme.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import apprise

from qualification.errors import LabError, UsageError
from qualification.results.comparison.model import Answer, Comparison
from qualification.results.conclusion import RunOutcome
from qualification.results.matrix import RunRow

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]{0,19})://")
_STATUS = re.compile(r"\berror=(\d{3})\b")
_KINDS: Mapping[RunOutcome, apprise.NotifyType] = {
    RunOutcome.QUALIFIED: apprise.NotifyType.SUCCESS,
    RunOutcome.NOT_QUALIFIED: apprise.NotifyType.FAILURE,
}


class When(StrEnum):
    """When people are told of a run."""

    FAILED = "failed"
    CHANGED = "changed"
    ALWAYS = "always"


@dataclass(frozen=True)
class Message:
    """What is sent.

    Attributes:
        title: One line.
        body: Markdown.
        outcome: How the run ended, which some services show as a colour; None without a run.
    """

    title: str
    body: str
    outcome: RunOutcome | None = None


def wanted(when: When, run: RunRow, since: Comparison | str) -> bool:
    """Returns whether people are told of a run.

    Args:
        when: When they want to be: whenever the run is not QUALIFIED; whenever its outcome is
            another one than before, a cell regressed, healed or changed its rate, or nothing could
            be compared; or always.
        run: The run.
        since: The run compared with the one before it, or why it is not.
    """
    if when is When.FAILED:
        return run.outcome is not RunOutcome.QUALIFIED
    if when is When.ALWAYS or isinstance(since, str):
        return True
    return since.old.outcome != run.outcome or since.answer is not Answer.NO_REGRESSION


def send(message: Message, urls: Sequence[str]) -> list[str]:
    """Sends a message to each of some URLs, whether or not another one fails.

    Args:
        message: The message.
        urls: The URLs; see apprise for their forms.

    Returns:
        Each URL as it can be shown.

    Raises:
        UsageError: There is no URL, or apprise does not know the form of one; nothing is sent.
        LabError: It could not be sent to one of them.
    """
    if not urls:
        raise UsageError(
            "there is nobody to tell",
            hint="give --to URL, or set VXQUAL_NOTIFY; docs/nightly.md has examples",
        )
    named = [_masked(url, number, len(urls)) for number, url in enumerate(urls, 1)]
    with _unlogged() as said:
        services = [apprise.Apprise.instantiate(url, suppress_exceptions=True) for url in urls]
        unknown = [name for name, one in zip(named, services, strict=True) if one is None]
        if unknown:
            raise UsageError(
                "apprise does not know the form of this URL, which is not shown for its secrets",
                where=", ".join(unknown),
                hint="write a form of apprise, such as json://HOST/PATH; docs/nightly.md has more",
            )
        failed = []
        for name, service in zip(named, services, strict=True):
            said.clear()
            to = apprise.Apprise()
            to.add(service)
            if not to.notify(
                body=message.body,
                title=message.title,
                notify_type=_kind(message.outcome),
                body_format=apprise.NotifyFormat.MARKDOWN,
            ):
                status = next((found[1] for one in said if (found := _STATUS.search(one))), None)
                failed.append(f"{name} {f'answered with status {status}' if status else _MUTE}")
    if failed:
        raise LabError(
            f"{len(failed)} of {len(urls)} notifications could not be sent: {'; '.join(failed)}",
            hint="check that URL, in --to or VXQUAL_NOTIFY, and that this machine may reach it",
        )
    return named


_MUTE = "cannot be reached, or refuses it"


def _kind(outcome: RunOutcome | None) -> apprise.NotifyType:
    return (
        _KINDS.get(outcome, apprise.NotifyType.WARNING) if outcome else apprise.NotifyType.WARNING
    )


def _masked(url: str, number: int, count: int) -> str:
    scheme = _SCHEME.match(url)
    return f"URL {number} of {count} ({scheme[1] if scheme else 'no scheme'}://***)"


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _unlogged() -> Iterator[list[str]]:
    """Keeps what apprise and its HTTP library log, which has URLs in it, to itself."""
    kept = _Kept()
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "requests")]
    before = [(one.propagate, list(one.handlers)) for one in loggers]
    for one in loggers:
        one.propagate, one.handlers = False, [kept]
    try:
        yield kept.said
    finally:
        for one, (propagate, handlers) in zip(loggers, before, strict=True):
            one.propagate, one.handlers = propagate, handlers
