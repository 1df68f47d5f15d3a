"""Frames as a capture file for Wireshark, with what is to be said of each as a comment on it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from qualification.messages.bursts import BadFrame


@dataclass(frozen=True)
class Commented:
    """A frame of a capture file.

    Attributes:
        data: Its bytes, or the first of them.
        comments: What is to be said of it.
        length: Bytes of the whole frame.
    """

    data: bytes
    comments: tuple[str, ...]
    length: int


def pcapng(frames: Iterable[BadFrame]) -> bytes:
    """Returns a pcapng file (draft-ietf-opsawg-pcapng) of frames as they were on the wire."""
    decoded = ((base64.b64decode(frame.data), frame.findings) for frame in frames)
    return commented(Commented(data, findings, len(data)) for data, findings in decoded)


def commented(frames: Iterable[Commented]) -> bytes:
    """Returns a pcapng file of frames that may be there in part."""
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.layers.l2 import Ether  # noqa: PLC0415  (slow, and only needed if there are bad frames)
    from scapy.utils import PcapNgWriter  # noqa: PLC0415

    with TemporaryDirectory(prefix="vxqual-") as directory:
        file = Path(directory, "bad.pcapng")  # scapy writes to a file name only
        with PcapNgWriter(str(file)) as writer:
            for frame in frames:
                packet = Ether(frame.data)
                packet.time = 0  # which is not known; scapy would write the time of now
                packet.comments = [comment.encode() for comment in frame.comments]
                packet.wirelen = frame.length
                writer.write(packet)
        return file.read_bytes()
