"""The controller's side of the conversation with an agent (`qualification.messages.protocol`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

from qualification.errors import AgentError, LabError
from qualification.messages.decode import DecodeError, decode
from qualification.messages.plausible import implausible
from qualification.messages.protocol import LINE_LIMIT, encoded
from qualification.remote.ssh.connection import Connection
from qualification.remote.ssh.line_queue import LineTooLongError
from qualification.remote.ssh.lines import Lines

from .install import LAUNCH, LAUNCH_WITH_SUDO, LOADING, Installed, install, start_seconds
from .replies import (
    GREETING,
    TOO_LONG,
    Greeting,
    ReplyError,
    check_root,
    greeting,
    refusal,
    refused_by_sudo,
    reply,
)
from .request_log import log_report, logged
from .ship import Application, application

T = TypeVar("T")

_UNDO_SECONDS = 30.0

_log = logging.getLogger("vxqual.agent")


class AgentClient:
    """A running agent, for one caller at a time. Start it with `start`.

    Attributes:
        host: The host's name in the topology.
        greeting: What the agent said of itself when it started.
    """

    def __init__(self, connection: Connection, command: str) -> None:
        self.host = connection.name
        self.greeting = Greeting((), 0, 0)
        self._connection = connection
        self._lines = Lines(connection.open(command))
        self._asked = 0
        self._answered = 0
        self._death: str | None = None
        self._report: Any = None
        self._closed = False

    @classmethod
    def start(
        cls, connection: Connection, *, sudo: bool = False, app: Application | None = None
    ) -> Self:
        """Installs the agent on a host, unless it is there already, and starts it as root.

        Args:
            connection: The connection to the host; the client takes it over and closes it.
            sudo: Whether to become root with `sudo -n` if the user is not root already.
            app: The agent to run; by default this installation's own.

        Raises:
            HostError: The host cannot run the agent; says what is missing.
            AgentError: The agent was started, and failed.
        """
        try:
            installed = install(connection, app or application(), sudo=sudo)
            with_sudo = sudo and installed.uid != 0
            client = cls(connection, LAUNCH_WITH_SUDO if with_sudo else LAUNCH)
            client._greet(installed, with_sudo=with_sudo)
        except BaseException:
            connection.close()
            raise
        return client

    def call(
        self,
        op: str,
        /,
        *,
        timeout: float,
        on_event: Callable[[Any], object] | None = None,
        **args: Any,
    ) -> Any:
        """Has the agent carry out a request, and waits for the result.

        Args:
            op: The request's name.
            timeout: Seconds to wait. After a timeout the client answers no more calls, and `close`
                interrupts the agent and has it restore the host.
            on_event: Called with each event that the request emits.
            **args: The request's arguments: JSON values, and dataclasses of them.

        Raises:
            AgentError: The agent refused, failed, died or took too long; `kind` says which.
        """
        return logged(self.host, op, args, lambda: self._call(op, args, timeout, on_event))

    def ask(self, answer: type[T], op: str, /, *, timeout: float, **args: Any) -> T:
        """As `call`, with the result decoded into the class of message that the request answers.

        Args:
            answer: The class, or a type made of such classes.
            op: The request's name.
            timeout: As in `call`.
            **args: As in `call`.

        Raises:
            AgentError: As in `call`; "malformed-answer" where the result is another message.
        """
        result = self.call(op, timeout=timeout, **args)
        try:
            found = decode(answer, result)
            wrong: object = implausible(found)
        except DecodeError as error:
            wrong = error
        if wrong:
            raise self._error("malformed-answer", f"answer to {op!r}: {wrong}")
        return found

    def _call(
        self,
        op: str,
        args: dict[str, Any],
        timeout: float,
        on_event: Callable[[Any], object] | None,
    ) -> Any:
        if self._death:
            raise self._error("died", f"request {op!r} cannot be sent: {self._death}")
        line = encoded({"id": self._asked + 1, "op": op, "args": args})
        if len(line) > LINE_LIMIT:
            raise self._error(
                "order-too-large",
                f"request {op!r} has {len(line)} bytes, more than the limit of {LINE_LIMIT}",
            )
        self._asked += 1
        deadline = time.monotonic() + timeout
        try:
            self._lines.send(line, deadline)
            while True:
                message = reply(self._lines.receive(deadline), self._asked)
                if message is not None and message[0] in ("result", "error"):
                    break
                if message is not None and message[0] == "report":  # it ends by itself
                    self._report = message[1]
                elif message is not None and on_event is not None:
                    on_event(message[1])
                if time.monotonic() >= deadline:  # lines that never end are no answer either
                    raise TimeoutError
            kind, value = message
            refused = refusal(self.host, value) if kind == "error" else None
        except TimeoutError:
            self._death = (
                f"timed out waiting for the agent on {self.host} (request {op!r}): no answer "
                f"within {timeout:g} s"
            )
            raise self._error("timeout", self._death) from None
        except (OSError, EOFError) as error:
            raise self._died(f"during request {op!r}") from error
        except (ReplyError, LineTooLongError) as error:
            why = TOO_LONG if isinstance(error, LineTooLongError) else error
            self._death = (
                f"the agent's answer to request {op!r} is not a message of the protocol: {why}"
            )
            raise self._error("protocol", self._death) from None
        self._answered = self._asked
        if refused is not None:
            raise refused
        return value

    def close(self) -> Any:
        """Has the agent restore the host, then ends the agent and closes the connection.

        A second call does nothing.

        Returns:
            The agent's closing report (`qualification.messages.closing`), also if it had to be
            interrupted; None if it was dead already, or was lost.

        Raises:
            AgentError: The undo failed, or the agent died before it could confirm it.
        """
        if self._closed:
            return None
        self._closed = True
        try:
            report = self._closing_report()
            if report is None:
                _log.warning("%s: the agent ended without a closing report", self.host)
            else:
                log_report(self.host, report)
            return report
        finally:
            ended = self._lines.close(_UNDO_SECONDS)
            self._connection.close()
            self._death = self._death or "it was closed"
            if not ended:
                raise self._error(
                    "timeout",
                    f"timed out waiting for the agent on {self.host} to end: it still runs "
                    f"{_UNDO_SECONDS:g} s after the end of its input",
                )

    def _closing_report(self) -> Any:
        if self._death or self._answered != self._asked:
            return self._interrupted_report()
        try:
            return self.call("bye", timeout=_UNDO_SECONDS)
        except AgentError as error:
            # It may have ended just before, and its report be on the way.
            report = self._interrupted_report() if error.kind == "died" else None
            if report is None:
                raise
            return report

    def _interrupted_report(self) -> Any:
        """Interrupts the agent's work by the end of its input; returns its closing report, if any.

        Raises:
            AgentError: The undo failed.
        """
        self._lines.end_input()
        deadline = time.monotonic() + _UNDO_SECONDS
        while self._report is None and time.monotonic() < deadline:
            try:
                message = reply(self._lines.receive(deadline), 0)
                if message is not None and message[0] == "error":
                    raise refusal(self.host, message[1])
                if message is not None and message[0] == "report":
                    self._report = message[1]
            except ReplyError:  # about an earlier request, or no message at all
                continue
            except (EOFError, TimeoutError, LineTooLongError):
                break
        return self._report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            self.close()
        except LabError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # the first error is the one to raise

    def _greet(self, installed: Installed, *, with_sudo: bool) -> None:
        """Sends the loader the file to load, and waits for the agent's first line."""
        started = time.monotonic()
        most = start_seconds(installed)
        deadline = started + most
        loading = False
        try:
            self._lines.send(installed.order(), deadline)
            while not (line := self._lines.receive(deadline)).startswith(GREETING):
                loading |= line == LOADING
                if time.monotonic() >= deadline:
                    raise TimeoutError
            self.greeting = greeting(line)
        except TimeoutError:
            raise self._error(
                "timeout",
                f"timed out waiting for the agent on {self.host} to start: no greeting within "
                f"{most:g} s",
            ) from None
        except (OSError, EOFError) as error:
            if with_sudo and not loading:
                said = (self._lines.last_words() or ["no message on stderr"])[-1]
                raise refused_by_sudo(said, self.host) from error
            raise self._died("while it started") from error
        except LineTooLongError:
            raise self._error(
                "protocol", f"the agent's first line is too long: {TOO_LONG}"
            ) from None
        except ReplyError as error:
            raise self._error("protocol", str(error)) from None
        check_root(self.greeting, self.host)
        _log.info(
            "%s: agent started in %.3f s: Python %s, process %d",
            self.host,
            time.monotonic() - started,
            ".".join(map(str, self.greeting.python)),
            self.greeting.pid,
        )

    def _died(self, when: str) -> AgentError:
        self._death = f"{self._lines.ending()} {when}"
        said = "".join(f"\n    {line}" for line in self._lines.last_words())
        return self._error(
            "died", f"{self._death}; its last output:{said}" if said else self._death
        )

    def _error(self, kind: str, what: str, hint: str | None = None) -> AgentError:
        return AgentError(what, where=self.host, hint=hint, kind=kind)
