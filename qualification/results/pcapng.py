"""Bad frames as a capture file that Wireshark opens, with what is wrong as a comment on each."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from qualification.messages.bursts import BadFrame


def pcapng(frames: Iterable[BadFrame]) -> bytes:
    """A pcapng file (draft-ietf-opsawg-pcapng) of frames as they were on the wire."""
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.layers.l2 import Ether  # noqa: PLC0415  (slow, and only needed when there are any)
    from scapy.utils import PcapNgWriter  # noqa: PLC0415

    with TemporaryDirectory(prefix="vxqual-") as directory:
        file = Path(directory, "bad.pcapng")  # scapy writes to a name and to nothing else
        with PcapNgWriter(str(file)) as writer:
            for frame in frames:
                packet = Ether(base64.b64decode(frame.data))
                packet.comments = [finding.encode() for finding in frame.findings]
                writer.write(packet)
        return file.read_bytes()
