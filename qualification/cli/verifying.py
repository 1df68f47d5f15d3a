"""The command for captures: verify."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path

import click

from .root import codes, examples, main

_CODES = codes(
    c0="every checksum that was judged is right, and most were",
    c1="some frames can have been wrong on the wire",
    c4="a file is not a capture, or an option cannot be used",
    c10="most could not be judged, or a file is cut short or damaged",
)
_EXAMPLES = examples("""\
vxqual verify capture.pcapng                    how many frames are wrong, where, and what it means
vxqual verify capture.pcapng --side sender      captured on the host that sent: what that excuses
vxqual verify a.pcap b.pcap                     several captures, one report each
vxqual verify capture.pcapng --port 5000        VXLAN on a port where it was not noticed
vxqual verify capture.pcapng --frames           every frame that is not right, in a line
vxqual verify capture.pcapng --json             for programs""")


@main.command(epilog=_EXAMPLES + _CODES)
@click.argument(
    "captures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CAPTURE..."
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    help="A further UDP port that carries VXLAN, besides 4789; repeatable. Tunnels that look like "
    "one are noticed on any port.",
)
@click.option(
    "--side",
    type=click.Choice(["sender", "receiver"]),
    help="The host that captured: the one that sent the traffic, or the one that received it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--frames", is_flag=True, help="Print a line for each frame that is not right, in their order."
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="With --frames: the first N of them."
)
def verify(
    captures: tuple[Path, ...],
    ports: tuple[int, ...],
    side: str | None,
    as_json: bool,
    frames: bool,
    limit: int | None,
) -> None:
    """Check every checksum in captures (pcap or pcapng), in and outside of tunnels.

    Capture on the receiver, with GRO and LRO off: on the sender the NIC has not filled in the
    checksums yet, and GRO puts frames together that the wire never had. Both are told apart from
    frames that are wrong.
    """
    from qualification.stack.classes import Side
    from qualification.verify.command import verify_files

    sys.exit(
        verify_files(
            captures,
            ports=ports,
            side=Side(side) if side else None,
            as_json=as_json,
            frames=frames,
            limit=limit,
            echo=click.echo,
        )
    )
