"""What `vxqual init topology` shows of hosts, and asks: which interface of which host."""
# ruff: noqa: PLC0415

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from qualification.errors import LabError, UsageError
from qualification.printable import printable

if TYPE_CHECKING:
    from qualification.remote.first_look.hosts import Interface, SeenHost

_END = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]\s@/]+\]|[^\s:@/\[\]]+)(?::(?P<interface>[^\s:/]+))?"
)


@dataclass(frozen=True)
class Wanted:
    """What somebody typed for one end of the pair: [USER@]HOST[:INTERFACE].

    Attributes:
        user: The user to log in as, or None.
        host: Name, alias or address of the host.
        interface: The interface, or None if it is to be asked for.
    """

    user: str | None
    host: str
    interface: str | None


class WantedType(click.ParamType[Wanted]):
    """Parses [USER@]HOST[:INTERFACE]: brackets part an IPv6 address from its interface."""

    name = "end"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns what was typed as a `Wanted`."""
        if isinstance(value, Wanted):
            return value
        if value.count(":") > 1 and "[" not in value:
            value = f"[{value}]"
        found = _END.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not [USER@]HOST[:INTERFACE], such as lab-a:ens1f0", param, ctx)
        return Wanted(found["user"], found["host"].strip("[]"), found["interface"])


class _Choice(click.ParamType[str]):
    """Parses the number or the name of an interface."""

    name = "interface"

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self._names:
            return value
        if value.isdecimal() and 0 < int(value) <= len(self._names):
            return self._names[int(value) - 1]
        return self.fail(f"{value!r} is none of them: type a number, or a name", param, ctx)


def ask(question: str, kind: click.ParamType[Any], default: str | None = None) -> Any:
    """Returns the answer to a question.

    Raises:
        UsageError: There is nobody who answers.
        KeyboardInterrupt: Somebody pressed Ctrl-C.
    """
    try:
        return click.prompt(question, type=kind, default=default)
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
    raise UsageError(
        f"nobody answers the question {question!r}",
        hint="say it with --dut HOST:INTERFACE and --peer HOST:INTERFACE, and nothing is asked",
    )


def about(one: Interface) -> str:
    """Returns what a NIC is, in one line: driver, firmware, PCI id, speed, link."""
    facts = one.facts
    if facts is None:
        return "no hardware"
    speed = f"{facts.speed_mbps:,} Mbit/s" if facts.speed_mbps else ""
    link = "link up" if one.has_link else "up, no link" if facts.up else "down"
    parts = (
        facts.driver or "no driver",
        f"firmware {facts.firmware}" if facts.firmware else "no firmware reported",
        f"PCI {facts.pci_id}" if facts.pci_id else "",
        speed,
        link,
    )
    return ", ".join(part for part in parts if part)


def show(host: str, seen: SeenHost, partners: Mapping[str, str]) -> None:
    """Prints the interfaces of a host as choices, and why others are none.

    Args:
        host: What the host is called.
        seen: The host.
        partners: What a NIC is linked with, by its name.
    """
    from qualification.remote.first_look.hosts import NO_NIC

    def say(text: str) -> None:
        click.echo(printable(text))

    say(f"{host}: {seen.host.os}, kernel {seen.host.kernel}")
    width = max((len(one.name) for one in seen.choices), default=0)
    for number, one in enumerate(seen.choices, 1):
        partner = f", linked with {partners[one.name]}" if one.name in partners else ""
        say(f"  {number}  {one.name:<{width}}  {about(one)}{partner}")
    refused = [one.refused for one in seen.interfaces if one.refused is not None]
    for problem in refused:
        if problem.kind != NO_NIC:
            say(f"  -  {problem.message}")
    others = sum(problem.kind == NO_NIC for problem in refused)
    if others:
        say(f"  -  {others} more are no NICs, such as veths")


def choose(role: str, wanted: Wanted, seen: SeenHost, default: str | None) -> Interface:
    """Returns the interface that an end of the pair is to have, and asks if nothing says it.

    Args:
        role: What the interface is for.
        wanted: What was said of it.
        seen: The host.
        default: The name to offer; None for the first.

    Raises:
        LabError: The host has no interface that can be used.
        UsageError: The one that was named cannot be used, or nobody answers.
    """
    names = tuple(one.name for one in seen.choices)
    by_name = {one.name: one for one in seen.interfaces}
    if wanted.interface is not None:
        named = by_name.get(wanted.interface)
        refused = named.refused if named else None
        if named is None or refused is not None:
            raise UsageError(
                refused.message if refused else f"there is no interface {wanted.interface!r}",
                where=wanted.host,
                hint=f"name one of these: {', '.join(names)}" if names else "use another host",
            )
        return named
    if not names:
        raise LabError(
            "no interface of this host can be used; each has its reason above",
            where=wanted.host,
            hint="use another host, or give this one a NIC that does not carry our SSH session",
        )
    first = default if default in names else names[0]
    return by_name[ask(f"Interface of the {role}: number or name", _Choice(names), first)]
