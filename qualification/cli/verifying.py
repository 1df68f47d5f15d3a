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
    c2="interrupted before a wrong frame was found; the counts so far are printed",
    c4="a file is not a capture, or an option cannot be used",
    c10="most could not be judged, or a file is cut short or damaged",
)
_EXAMPLES = examples("""\
vxqual verify capture.pcapng                    how many frames are wrong, where, and what it means
vxqual verify capture.pcapng --side sender      captured on the host that sent: what that excuses
vxqual verify a.pcap b.pcap --jobs 2            several captures, one report each, by two processes
vxqual verify --sender a.pcap --receiver b.pcap     who changed the frames that arrived wrong
vxqual verify --live eth0 --seconds 60 --gro-off    what arrives now, judged while it does
vxqual verify capture.pcapng --port 5000        VXLAN on a port where it was not noticed
vxqual verify capture.pcapng --signature        what the hardware did to the wrong frames
vxqual verify capture.pcapng --frames           every frame that is not right, in a line
vxqual verify capture.pcapng --flows --csv      every flow, the worst first
vxqual verify capture.pcapng --write-wrong out  the frames that are not right, with comments
vxqual verify capture.pcapng --json             for programs""")


@main.command(epilog=_EXAMPLES + _CODES)
@click.argument(
    "captures",
    nargs=-1,
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="[CAPTURE]...",
)
@click.option(
    "--sender",
    type=click.Path(path_type=Path),
    metavar="CAPTURE",
    help="What the sender captured, to compare with --receiver: who changed the wrong frames?",
)
@click.option(
    "--receiver",
    type=click.Path(path_type=Path),
    metavar="CAPTURE",
    help="What the receiver captured of the same traffic.",
)
@click.option(
    "--live",
    metavar="INTERFACE",
    help="Capture this interface instead of reading a capture. It needs root.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="For how long --live captures; Control-C ends it as well.  [default: 10]",
)
@click.option(
    "--gro-off",
    is_flag=True,
    help="Switch GRO and LRO of the --live interface off meanwhile, and put them back.",
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
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Judge several files with so many processes; by default one a CPU, if they are large.",
)
@click.option("--json", "form", flag_value="json", help="Print the result as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print tables as CSV.")
@click.option(
    "--frames",
    "view",
    flag_value="frames",
    help="Print a line for each frame that is not right, in their order.",
)
@click.option(
    "--flows",
    "view",
    flag_value="flows",
    help="Print a line for each flow with its share of wrong frames, the worst first.",
)
@click.option(
    "--dimensions",
    "view",
    flag_value="dimensions",
    help="Say which frames are wrong: by length, family, VNI, port and what else a run looks at.",
)
@click.option(
    "--signature",
    "view",
    flag_value="signature",
    help="Say what the hardware did to the wrong frames, as a run does.",
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="The first N frames or flows only."
)
@click.option(
    "--filter",
    "expression",
    metavar="EXPRESSION",
    help="Only the frames that tcpdump would pick: 'host 192.0.2.1'. They are counted anew from 1.",
)
@click.option(
    "--write-wrong",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the frames that are not right to a pcapng file, with comments.",
)
def verify(
    captures: tuple[Path, ...],
    sender: Path | None,
    receiver: Path | None,
    live: str | None,
    seconds: float | None,
    gro_off: bool,
    ports: tuple[int, ...],
    side: str | None,
    jobs: int | None,
    form: str | None,
    view: str | None,
    limit: int | None,
    expression: str | None,
    write_wrong: Path | None,
) -> None:
    """Check every checksum in captures (pcap or pcapng), in and outside of tunnels.

    A capture is a file, compressed or not, a directory of them, or "-" for standard input.

    Capture on the receiver, with GRO and LRO off: on the sender the NIC has not filled in the
    checksums yet, and GRO puts frames together that the wire never had. Both are told apart from
    frames that are wrong.
    """
    from qualification.stack.classes import Side
    from qualification.verify.command import verify_files
    from qualification.verify.reading import Wanted

    wanted = Wanted(
        ports=ports,
        side=Side(side) if side else None,
        form=form or "text",
        view=view or "report",
        limit=limit,
        expression=expression,
        write_wrong=write_wrong,
    )
    if (sender is None) != (receiver is None):
        raise click.UsageError("--sender and --receiver go together: two captures of one traffic")
    if sender is not None and receiver is not None:
        if captures or form or view or write_wrong or live:
            raise click.UsageError("--sender and --receiver take --port and --filter only")
        from qualification.verify.comparing import compare_files

        sys.exit(compare_files(sender, receiver, wanted, click.echo))
    if not captures and not live:
        raise click.UsageError("Missing argument 'CAPTURE...'")
    if form and view in ("dimensions", "signature"):
        raise click.UsageError(f"--{view} is for people: neither --json nor --csv goes with it")
    if live:
        if captures:
            raise click.UsageError("--live takes no capture: it makes one")
        from qualification.verify.live.command import Live, verify_live

        sys.exit(verify_live(Live(live, seconds or 10, gro_off), wanted, click.echo))
    if seconds or gro_off:
        raise click.UsageError("--seconds and --gro-off go with --live INTERFACE")
    if write_wrong is not None and len(captures) > 1:
        raise click.UsageError("--write-wrong takes one capture")
    sys.exit(verify_files(captures, wanted, click.echo, jobs))
