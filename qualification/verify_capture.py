"""`vxqual verify`: judges the checksums of an existing capture file.

It needs no lab and no root. To start fast, it imports neither scapy, pydantic nor pytest, and
imports locally what is only needed for some files.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qualification.wire.capture_file import CaptureFileError, reader_of
from qualification.wire.layers import LAYERS, Checked
from qualification.wire.native_survey import native, survey_capture
from qualification.wire.sentences import PROTOCOLS, REASONS
from qualification.wire.survey import FlowTally, Survey, verdict_of

from .errors import EXIT_LAB, EXIT_NOT_QUALIFIED, EXIT_QUALIFIED, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_QUIET = 2.0  # seconds before progress is shown
_SENDER_HINT = (
    "Captured on the sending host? There the NIC has not filled in the checksums yet, "
    "and they look wrong: capture on the receiver."
)
_PORT_HINT = (
    "Another port? Linux's default without 'dstport' is 8472, as flannel and Cilium use it."
)


def verify_file(
    path: Path,
    *,
    ports: Iterable[int],
    as_json: bool = False,
    frames: bool = False,
    echo: Callable[[str], None] = print,
) -> int:
    """Judges every frame of a pcap or pcapng file and reports the result.

    Args:
        path: The file.
        ports: UDP destination ports of VXLAN.
        as_json: Report as JSON: one document, or with `frames` one line for each frame.
        frames: Report each frame in one tab-separated line. The headline is then printed to stderr.
        echo: Prints a line.

    Returns:
        The exit code: 0 if all frames are right, 1 if some are wrong, 10 if there is no result: no
        VXLAN frame could be judged, or the file is cut short.

    Raises:
        UsageError: The file cannot be read as a capture file.
    """
    tunnel_ports = frozenset(ports)
    each = _frame_writer(as_json, echo) if frames else None
    try:
        with path.open("rb", buffering=0) as file, _progress() as progress:
            found, cut = survey_capture(reader_of(file), tunnel_ports, 16, each, progress)
    except CaptureFileError as error:
        hint = "give a pcap or pcapng file, as tcpdump -w and Wireshark write them"
        raise UsageError(str(error), where=str(path), hint=hint) from None
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise UsageError(what, where=str(path), hint="check the path and its permissions") from None

    headline = f"{path}: {_headline(found, tunnel_ports, cut)}"
    code = _exit_code(found, cut)
    if frames:
        print(headline, file=sys.stderr)
    elif as_json:
        about = {"file": str(path), "headline": headline, "exit_code": code, "cut_short": cut}
        import json

        about["verifier"] = native().says
        document = {**about, "ports": sorted(tunnel_ports), **_document(found)}
        echo(json.dumps(document, indent=2))
    else:
        for line in (headline, *_report(found)):
            echo(line)
    return code


@contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """Yields a function that shows progress on a terminal; None if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    next_time, shown = time.monotonic() + _QUIET, False

    def show(number: int) -> None:
        nonlocal next_time, shown
        if time.monotonic() >= next_time:
            next_time, shown = time.monotonic() + 0.5, True
            print(f"\r{number:,} frames judged", end="", file=sys.stderr, flush=True)

    yield show
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _exit_code(found: Survey, cut: str | None) -> int:
    if found.wrong:
        return EXIT_NOT_QUALIFIED
    return EXIT_LAB if cut or not found.proven else EXIT_QUALIFIED


def _headline(found: Survey, ports: frozenset[int], cut: str | None) -> str:
    parts = []
    if found.wrong:
        parts.append(f"{found.wrong:,} of {_count(found.frames)} {_is_are(found.wrong)} wrong")
    elif not found.proven:
        parts.append(f"nothing could be judged: {_why_nothing(found, ports)}")
    elif found.right == found.frames:
        parts.append(f"all {_count(found.frames)} {'before the cut ' if cut else ''}right")
    else:
        parts.append(f"{found.right:,} of {_count(found.frames)} right, none wrong")
    if found.unjudged and (found.wrong or found.proven):
        parts.append(f"{found.unjudged:,} could not be judged")
    if found.not_ip and (found.wrong or found.proven):
        parts.append(f"{found.not_ip:,} {_is_are(found.not_ip)} not IP")
    if cut:
        parts.append(f"the file is {cut}")
    return "; ".join(parts)


def _why_nothing(found: Survey, ports: frozenset[int]) -> str:
    if not found.frames:
        return "it holds no frame"
    if not found.tunnelled:
        named = " or ".join(map(str, sorted(ports)))
        return f"none of {_count(found.frames)} is VXLAN to UDP port {named}. {_PORT_HINT}"
    reasons = "; ".join(f"{n:,} × {REASONS.get(why, why)}" for why, n in found.reasons.items())
    return f"no UDP or TCP checksum in {_count(found.tunnelled)} of VXLAN" + (
        f" ({reasons})" if reasons else ""
    )


def _report(found: Survey) -> Iterator[str]:
    """Yields the lines below the headline."""
    if not found.frames:
        return
    yield ""
    yield f"{'layer':<10}{'right':>12}{'wrong':>12}{'no checksum':>14}{'not judged':>13}"
    for name, tally in found.layers.items():
        counts = f"{tally.good:>12,}{tally.bad:>12,}{tally.absent:>14,}{tally.unjudged:>13,}"
        yield f"{name:<10}{counts}"
    wrong_flows = [tally for tally in found.flows if tally.wrong]
    if wrong_flows:
        yield ""
        yield "flows with wrong frames"
        for flow in wrong_flows:
            yield f"  {_flow_text(flow)}: {flow.wrong:,} of {_count(flow.frames)}"
    if found.bad_frames:
        yield ""
        yield "wrong frames" if len(found.bad_frames) == found.wrong else "first wrong frames"
        for bad in found.bad_frames:
            yield f"  frame {bad.number}: {'; '.join(bad.sentences)}"
        yield f"  {_SENDER_HINT}"
    if found.reasons:
        yield ""
        yield "could not be judged"
        for why, count in found.reasons.items():
            yield f"  {_count(count)}: {REASONS.get(why, why)}"


def _flow_text(tally: FlowTally) -> str:
    flow = tally.flow
    inner = f"IPv{flow.inner_family} " if flow.inner_family else ""
    tunnel = "no tunnel" if flow.vni is None else f"VNI {flow.vni}"
    name = PROTOCOLS.get(flow.protocol, f"protocol {flow.protocol}")
    return f"{_address(flow.source)} → {_address(flow.destination)}, {tunnel}, {inner}{name}"


def _address(packed: bytes) -> str:
    import ipaddress

    return str(ipaddress.ip_address(packed)) if packed else "?"


def _count(number: int) -> str:
    return f"{number:,} frame{'' if number == 1 else 's'}"


def _is_are(number: int) -> str:
    return "is" if number == 1 else "are"


def _frame_writer(as_json: bool, echo: Callable[[str], None]) -> Callable[[int, Checked], None]:
    """Returns a function that prints a line for each frame; TSV starts with a line of headings."""
    import json

    headings = ("frame", "verdict", *LAYERS.values(), "vni", "reason")

    def write(number: int, checked: Checked) -> None:
        vni = None if checked.layout is None else checked.layout.vni
        states = map(checked.state, LAYERS)
        cells = (number, verdict_of(checked), *states, vni, checked.reason)
        if as_json:
            echo(json.dumps(dict(zip(headings, cells, strict=True))))
        else:
            echo("\t".join("-" if cell is None else str(cell) for cell in cells))

    if not as_json:
        echo("\t".join(headings))
    return write


def _document(found: Survey) -> dict[str, Any]:
    """Returns the survey as a document for `json.dumps`."""
    counted = ("frames", "right", "wrong", "unjudged", "not_ip", "tunnelled", "proven", "reasons")
    return {
        **{name: getattr(found, name) for name in counted},
        "layers": {name: vars(tally) for name, tally in found.layers.items()},
        "flows": [
            {
                "source": _address(tally.flow.source),
                "destination": _address(tally.flow.destination),
                "vni": tally.flow.vni,
                "inner_family": tally.flow.inner_family,
                "protocol": tally.flow.protocol,
                "frames": tally.frames,
                "wrong": tally.wrong,
                "unjudged": tally.unjudged,
            }
            for tally in found.flows
        ],
        "bad_frames": [
            {
                "frame": bad.number,
                "wire_length": bad.wire_length,
                "layers": [name for bit, name in LAYERS.items() if bad.checked.bad & bit],
                "sentences": bad.sentences,
                "bytes": bad.frame.hex(),
            }
            for bad in found.bad_frames
        ],
    }
