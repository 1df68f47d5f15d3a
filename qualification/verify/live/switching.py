"""Switches off what merges frames before they are captured, and puts it back whatever happens.

Another process does it, which waits until this one has ended: by itself, or killed. It writes to
the journal of the NIC first, as an agent does, so that no other changes it meanwhile; and if that
process is killed as well, the next capture or run knows what is to be put back.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qualification.agent.host import features
from qualification.agent.host.journal import Journal, key_of
from qualification.agent.orders.undos import UNDOS, check_recovered
from qualification.errors import HostLeftChangedError, LabError
from qualification.messages.closing import left_changed
from qualification.messages.protocol import AgentProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS = {"rx-gro": "gro", "rx-lro": "lro", "rx-gro-hw": "rx-gro-hw"}
"""What merges frames, by its name in the kernel; the word for it on the command line of ethtool."""


def merging(interface: str) -> dict[str, list[str]]:
    """Returns what merges frames on an interface and those that it rests on, as bonds and VLANs do.

    Returns:
        Features that are on, by interface; no interface without one.
    """
    active = {each: _active(each) for each in _with_lower(interface)}
    return {each: names for each, names in active.items() if names}


def _active(interface: str) -> list[str]:
    there = features.read(interface)
    return [name for name in _WORDS if name in there and there[name].active]


def _with_lower(interface: str) -> Iterator[str]:
    yield interface
    for path in sorted(Path("/sys/class/net", interface).glob("lower_*")):
        yield from _with_lower(path.name.removeprefix("lower_"))


def command(interface: str, names: list[str]) -> str:
    """Returns the command that switches features off."""
    return " ".join(["ethtool -K", interface, *(f"{_WORDS[name]} off" for name in names)])


@contextmanager
def switched_off(interface: str) -> Iterator[None]:
    """Switches off what merges frames on an interface, and back on at the end.

    What an earlier process could not put back is put back as well.

    Raises:
        LabError: It could not be switched off; everything is as it was.
        HostLeftChangedError: It could not be put back.
    """
    with subprocess.Popen(
        [sys.executable, "-m", __name__, interface],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        answer = _answer(process.stdout.readline())
        problem = "the process that was to do it has died" if answer is None else answer["problem"]
        if answer is None or problem:
            hint = "look at dmesg" if answer is None else answer["hint"]
            raise LabError(problem, where=interface, hint=hint)
        try:
            yield
        finally:
            process.stdin.close()
            _check(_answer(process.stdout.readline()), interface)


def _check(answer: dict[str, Any] | None, interface: str) -> None:
    """Raises `HostLeftChangedError` if not everything was put back."""
    if answer is None or answer["left"]:
        why = "; ".join(answer["left"]) if answer else "the process that was to do it was killed"
        raise HostLeftChangedError(
            f"{interface} may be left changed: {why}",
            hint=f"look at it with ethtool -k {interface}, and put back what was on: "
            f"ethtool -K {interface} gro on",
            certain=answer is not None,
        )


def _answer(line: str) -> dict[str, Any] | None:
    """Returns what the other process says; None if it has died."""
    return json.loads(line) if line else None


def _main(interface: str) -> None:
    """Switches features off, says so, and puts them back when standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of standard input tells
    left: list[str] = []
    try:
        with ExitStack() as stack:
            for each in _with_lower(interface):
                _switch(stack, each, left)
            _say({"problem": ""})
            sys.stdin.read()
    except AgentProblem as problem:
        _say({"problem": problem.message, "hint": problem.hint or "look at dmesg"})
    _say({"left": left})


def _switch(stack: ExitStack, interface: str, left: list[str]) -> None:
    journal = Journal(key_of(interface), UNDOS)
    stack.callback(lambda: left.extend(left_changed(journal.close())))
    check_recovered(interface, journal.recovered)
    names, before = _active(interface), features.read(interface)
    if not names:
        return
    journal.about_to(
        "features", interface=interface, wanted={name: before[name].wanted for name in names}
    )
    after = features.request(interface, dict.fromkeys(names, False))
    still = [name for name in names if after[name].active]
    if still:
        raise AgentProblem(
            "refused",
            f"{interface} does not switch off {', '.join(still)}",
            hint="capture on another host, or with --side sender if this one sends",
        )


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
