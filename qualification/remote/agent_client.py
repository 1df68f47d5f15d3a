"""The controller's side of the conversation with an agent; `agent/protocol.py` is the other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from qualification.errors import AgentError, HostError, LabError
from qualification.messages.protocol import LINE_LIMIT, PROTOCOL, encoded
from qualification.remote.ssh.connection import Connection, connect
from qualification.remote.ssh.lines import Lines

from .install import LAUNCH, LAUNCH_WITH_SUDO, LOADING, Installed, install
from .ship import Application, application

if TYPE_CHECKING:
    from qualification.topology import Ssh

_START_SECONDS = 30.0
_UNDO_SECONDS = 30.0


class Greeting(NamedTuple):
    """What an agent says of itself: its Python, its process and its user."""

    python: tuple[int, ...]
    pid: int
    uid: int


def open_agent(host: str, ssh: Ssh, *, timeout: float = 10.0) -> AgentClient:
    """Connect to a host and start an agent there; closing the agent closes the connection.

    Args:
        host: The host's name in the topology.
        ssh: How it is reached.
        timeout: Seconds for the connection.

    Raises:
        HostError: The host cannot be reached, or cannot run the agent.
        AgentError: The agent was started, and failed.
    """
    return AgentClient.start(connect(host, ssh, timeout=timeout), sudo=ssh.sudo)


class AgentClient:
    """A running agent. Start it with `start`; it is for one caller at a time.

    Attributes:
        host: The host's name in the topology.
        greeting: What the agent said of itself.
    """

    def __init__(self, connection: Connection, command: str) -> None:
        self.host = connection.name
        self.greeting = Greeting((), 0, 0)
        self._connection = connection
        self._lines = Lines(connection.open(command))
        self._asked = 0
        self._answered = 0
        self._death: str | None = None
        self._closed = False

    @classmethod
    def start(
        cls, connection: Connection, *, sudo: bool = False, app: Application | None = None
    ) -> Self:
        """Install the agent on a host, if it is not there, and start it as root.

        Args:
            connection: The connection to the host; the client takes it over and closes it.
            sudo: Whether to become root with `sudo -n`, where we are not root already.
            app: The agent to run, if not this installation's own.

        Raises:
            HostError: The host cannot run it: says what is missing.
            AgentError: It was started, and failed.
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
        """Have an operation carried out, and wait for its result.

        Args:
            op: The operation's name.
            timeout: Seconds to wait. An agent that takes longer is given up: `close` interrupts
                it and has it put the host back, and it answers no more calls.
            on_event: Called with each event that the operation emits.
            **args: The operation's arguments: JSON values, and dataclasses of them.

        Raises:
            AgentError: The agent refused, failed, died or took too long; `kind` says which.
        """
        if self._death:
            raise self._error("died", f"{op!r} cannot be called: {self._death}")
        line = encoded({"id": self._asked + 1, "op": op, "args": args})
        if len(line) > LINE_LIMIT:
            raise self._error("order-too-large", f"an order {op!r} of {len(line)} bytes")
        self._asked += 1
        deadline = time.monotonic() + timeout
        try:
            self._lines.send(line)
        except (OSError, EOFError) as error:
            raise self._died(op) from error
        while True:
            message = self._receive(op, timeout, deadline)
            if message.get("id") not in (self._asked, None):
                continue  # meant for a call whose caller was interrupted
            if "event" not in message:
                break
            if on_event is not None:
                on_event(message["event"])
        self._answered = self._asked
        if "error" in message:
            raise self._refusal(message["error"])
        return message["result"]

    def close(self) -> Any:
        """Have the host put back, end the agent and the connection. A second call does nothing.

        Returns:
            What the agent reports of the undo; None if it was dead already, or had to be
            interrupted.

        Raises:
            AgentError: The undo failed, or the agent died before it could confirm it.
        """
        if self._closed:
            return None
        self._closed = True
        try:
            if self._death or self._answered != self._asked:
                return None  # the end of its input interrupts whatever it still does
            return self.call("bye", timeout=_UNDO_SECONDS)
        finally:
            ended = self._lines.close(_UNDO_SECONDS)
            self._connection.close()
            self._death = self._death or "it was closed"
            if not ended:
                raise self._error("timeout", f"the agent did not end within {_UNDO_SECONDS:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            self.close()
        except LabError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # what happened first matters most

    def _greet(self, installed: Installed, *, with_sudo: bool) -> None:
        """Tell the loader what to load, and wait for the agent's first line."""
        deadline = time.monotonic() + _START_SECONDS
        loading = False
        try:
            self._lines.send(installed.order())
            while not (line := self._lines.receive(deadline)).startswith(b'{"vxqual"'):
                loading |= line == LOADING
        except TimeoutError:
            raise self._error("timeout", f"no greeting within {_START_SECONDS:g} s") from None
        except (OSError, EOFError) as error:
            if with_sudo and not loading:
                raise self._refused_by_sudo() from error
            raise self._died("its start") from error
        greeting = json.loads(line)
        if greeting["version"] != PROTOCOL:
            what = f"it speaks version {greeting['version']} of the protocol, we speak {PROTOCOL}"
            raise self._error("protocol", what)
        self.greeting = Greeting(tuple(greeting["python"]), greeting["pid"], greeting["uid"])
        if self.greeting.uid != 0:
            raise HostError(
                f"the agent needs root, and sudo makes us user id {self.greeting.uid}",
                where=self.host,
            )

    def _receive(self, op: str, timeout: float, deadline: float) -> dict[str, Any]:
        try:
            message = json.loads(self._lines.receive(deadline))
            if not isinstance(message, dict):
                raise ValueError
        except TimeoutError:
            self._death = f"the agent was given up at {op!r}: no answer within {timeout:g} s"
            raise self._error("timeout", self._death) from None
        except EOFError:
            raise self._died(op) from None
        except ValueError:
            self._death = f"the agent was given up at {op!r}: it answered what is no message"
            raise self._error("protocol", self._death) from None
        return message

    def _died(self, at: str) -> AgentError:
        self._death = f"{self._lines.ending()} at {at!r}"
        said = "".join(f"\n    {line}" for line in self._lines.last_words())
        return self._error("died", f"{self._death}; it said:{said}" if said else self._death)

    def _refused_by_sudo(self) -> HostError:
        said = (self._lines.last_words() or ["it says nothing"])[-1]
        return HostError(
            f"sudo does not start the agent: {said}",
            where=self.host,
            hint="install sudo there and allow this user everything without a password "
            "(in sudoers: USER ALL=(root) NOPASSWD: ALL), or set user: root",
        )

    def _refusal(self, problem: dict[str, Any]) -> AgentError:
        """An error reply as an exception; what it carries beside the text becomes notes."""
        error = self._error(problem["kind"], problem["message"], problem["hint"])
        for name, value in problem["data"].items():
            error.add_note(f"{name}: {value}")
        return error

    def _error(self, kind: str, what: str, hint: str | None = None) -> AgentError:
        return AgentError(what, where=self.host, hint=hint, kind=kind)
