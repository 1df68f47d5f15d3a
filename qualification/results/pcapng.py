"""Bad frames as a capture file for Wireshark, with what is wrong as a comment on each frame."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from qualification.messages.bursts import BadFrame


def pcapng(frames: Iterable[BadFrame]) -> bytes:
    """Returns a pcapng file (draft-ietf-opsawg-pcapng) of frames as they were on the wire."""
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.layers.l2 import Ether  # noqa: PLC0415  (slow, and only needed if there are bad frames)
    from scapy.utils import PcapNgWriter  # noqa: PLC0415

    with TemporaryDirectory(prefix="vxqual-") as directory:
        file = Path(directory, "bad.pcapng")  # scapy writes to a file name only
        with PcapNgWriter(str(file)) as writer:
            for frame in frames:
                packet = Ether(base64.b64decode(frame.data))
                packet.comments = [finding.encode() for finding in frame.findings]
                writer.write(packet)
        return file.read_bytes()
