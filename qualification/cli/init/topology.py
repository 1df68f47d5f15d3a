"""`vxqual init topology`: a topology of two hosts, made of what they say over SSH."""
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qualification.errors import LabError, UsageError
from qualification.printable import printable

from ..root import codes, examples
from .asking import Wanted, WantedType, about, ask, choose, show
from .group import force_option, init
from .writing import refuse_existing, write_new

if TYPE_CHECKING:
    from qualification.remote.first_look.hosts import Interface, SeenHost
    from qualification.topology import Ssh
    from qualification.topology.proposal import End

_CODES = codes(
    c0="the file is written",
    c4="it exists already, or an option or an answer cannot be used",
    c10="a host cannot be reached, or has no NIC that can be used",
)
_EXAMPLES = examples("""\
vxqual init topology                                                 asks; writes my-lab.yaml
vxqual init topology --dut lab-a --peer lab-b                        asks for interfaces only
vxqual init topology my-lab.yaml --dut lab-a:ens1f0 --peer lab-b:ens1f0       asks nothing
vxqual init topology --dut admin@lab-a:ens1f0 --peer admin@lab-b:ens1f0 --sudo""")
_FORCE = "give another name, or overwrite it with --force"


@init.command(name="topology", epilog=_EXAMPLES + _CODES)
@click.argument(
    "file", metavar="[FILE]", type=click.Path(path_type=Path), default=Path("my-lab.yaml")
)
@click.option(
    "--dut",
    type=WantedType(),
    metavar="HOST[:INTERFACE]",
    help="The NIC to qualify: host as `ssh` knows it, also USER@HOST, and its interface.",
)
@click.option(
    "--peer",
    type=WantedType(),
    metavar="HOST[:INTERFACE]",
    help="The NIC at the other end of the link, which captures what the DUT sends.",
)
@click.option(
    "--key",
    metavar="FILE",
    help="The private key, if not one that `ssh` would take; `key` in the topology.",
)
@click.option(
    "--ssh-config",
    metavar="FILE",
    help="OpenSSH's configuration, if not ~/.ssh/config; `config` in the topology.",
)
@click.option(
    "--sudo",
    is_flag=True,
    help="Start the agent by `sudo -n`, for a user who is not root; `sudo` in the topology.",
)
@force_option
def init_topology(
    file: Path,
    dut: Wanted | None,
    peer: Wanted | None,
    key: str | None,
    ssh_config: str | None,
    *,
    sudo: bool,
    force: bool,
) -> None:
    """Write a topology of two hosts, from what they have.

    Both hosts are asked over SSH for their interfaces, which are shown as choices with driver,
    firmware, speed and link; what --dut and --peer say is not asked for. The interface that
    carries the SSH session is never offered, and the underlay addresses are ones that nobody uses.
    NICs that answer each other are shown as linked. Nothing is changed on a host.
    """
    from qualification.topology import parse
    from qualification.topology.proposal import text_of

    if not force:
        refuse_existing(file, _FORCE)
    dut = dut or ask("Host of the DUT, the NIC to qualify", WantedType())
    peer = peer or ask("Host of its peer, at the other end of the link", WantedType())
    if (dut.user, dut.host) == (peer.user, peer.host):
        raise UsageError(
            f"{dut.host} is the host of the DUT and of its peer",
            hint="name two hosts: packets between NICs of one host never reach a NIC",
        )
    found = _find(dut, peer, _ways(dut, peer, key, ssh_config, sudo=sudo))
    text = text_of(found.dut, found.peer, str(file), found.notes)
    parse(text, str(file))  # what cannot be loaded is not written
    write_new(file, text.encode(), force=force, hint=_FORCE)
    click.echo(f"written: {file}, in which {found.dut.name} is qualified by {found.peer.name}")
    for end in (found.dut, found.peer):
        click.echo(f"  {end.name}: {', '.join(map(str, end.underlay))}")
    for note in found.notes:
        click.echo(f"note: {printable(note)}")
    click.echo(f"next: vxqual check {file}")


@dataclass(frozen=True)
class _Found:
    """The pair that was chosen, and what a person has to know of it."""

    dut: End
    peer: End
    notes: tuple[str, ...]


def _ways(
    dut: Wanted, peer: Wanted, key: str | None, config: str | None, *, sudo: bool
) -> tuple[Ssh, Ssh]:
    """Returns how the two hosts are reached.

    Raises:
        UsageError: A topology cannot say it.
    """
    from pydantic import ValidationError

    from qualification.topology import Ssh

    if config is not None and config != "none" and not config.startswith("~"):
        config = str(Path(config).absolute())  # the topology may be used from another directory
    try:
        dut_ssh, peer_ssh = (
            Ssh(address=end.host, user=end.user, key=key, config=config, sudo=sudo)
            for end in (dut, peer)
        )
    except ValidationError as error:
        [first, *_] = error.errors()
        raise UsageError(
            f"{first['loc'][0]}: {first['msg']}", hint="see vxqual init topology --help"
        ) from None
    return dut_ssh, peer_ssh


def _find(dut: Wanted, peer: Wanted, ways: tuple[Ssh, Ssh]) -> _Found:
    """Looks at the two hosts, and asks which of their interfaces are meant."""
    from qualification.remote.first_look.hosts import look
    from qualification.remote.first_look.links import linked
    from qualification.remote.first_look.underlay import unused
    from qualification.remote.host import open_agent
    from qualification.remote.lab_checks import one_host_problem, refuse
    from qualification.remote.leases import open_agents
    from qualification.remote.questions import on_all
    from qualification.topology.proposal import End, host_names

    reached = {"DUT": (dut.host, ways[0]), "peer": (peer.host, ways[1])}
    with open_agents() as agents:
        click.echo(f"asking {dut.host} and {peer.host} for their interfaces", err=True)

        def meet(role: str) -> SeenHost | LabError:
            try:
                agents[role] = open_agent(*reached[role])
                return look(agents[role])
            except LabError as error:
                return error

        here, there = _both([seen for _role, seen in on_all(reached, meet)])
        refuse(one_host_problem((dut.host, here.host), (peer.host, there.host)), peer.host)
        click.echo("looking which of them are linked, by ARP probes", err=True)
        links = sorted(linked(agents["DUT"], here, there))
        first, second = _chosen(dut, peer, here, there, links)
        click.echo("looking for underlay addresses that nobody uses", err=True)
        underlay = unused(
            [(agents["DUT"], first.name), (agents["peer"], second.name)],
            (*here.addresses, *there.addresses),
        )
    names = host_names((dut.host, here.host.hostname), (peer.host, there.host.hostname))
    ends = [
        End(
            host=name,
            ssh=way,
            interface=one.name,
            underlay=addresses,
            about=about(one),
            driver=one.facts.driver if one.facts else None,
            firmware=one.facts is not None and one.facts.firmware is not None,
        )
        for name, way, one, addresses in zip(names, ways, (first, second), underlay, strict=True)
    ]
    notes = _notes({dut.host: first, peer.host: second}, links)
    if len(underlay[0]) == 1:
        notes.append("IPv6 is disabled on one of the NICs, so that tunnels run over IPv4 alone")
    return _Found(ends[0], ends[1], tuple(notes))


def _both(seen: Sequence[SeenHost | LabError]) -> tuple[SeenHost, SeenHost]:
    """Returns the two hosts.

    Raises:
        LabError: One of them could not be asked, or both: the message has each reason.
    """
    errors = [one for one in seen if isinstance(one, LabError)]
    here, there = seen
    if isinstance(here, LabError) or isinstance(there, LabError):
        raise errors[0] if len(errors) == 1 else LabError("\n".join(map(str, errors)))
    return here, there


def _chosen(
    dut: Wanted,
    peer: Wanted,
    here: SeenHost,
    there: SeenHost,
    links: Sequence[tuple[str, str]],
) -> tuple[Interface, Interface]:
    """Returns the interfaces of the DUT and of the peer; those that are not known are asked for."""
    if dut.interface is None:
        show(dut.host, here, {one: f"{other} of {peer.host}" for one, other in links})
    first = choose("DUT", dut, here, next((one for one, _ in links), None))
    if peer.interface is None:
        show(peer.host, there, {other: f"{one} of {dut.host}" for one, other in links})
    beside = next((other for one, other in links if one == first.name), None)
    return first, choose("peer", peer, there, beside)


def _notes(chosen: Mapping[str, Interface], links: Sequence[tuple[str, str]]) -> list[str]:
    """Returns what a person has to know of the NICs that were chosen, each by its host."""
    notes = [
        f"{host}: {problem.message}" + (f"; next: {problem.hint}" if problem.hint else "")
        for host, one in chosen.items()
        for problem in one.problems
    ]
    (dut, first), (peer, second) = chosen.items()
    others = [other for one, other in links if one == first.name]
    if others and second.name not in others:
        notes.append(
            f"{second.name} of {peer} did not answer {first.name} of {dut}, and "
            f"{' and '.join(others)} did"
        )
    return notes
