"""Bad frames as a capture file that Wireshark opens, with what is wrong as a comment on each."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Iterable

from qualification.agent.messages import BadFrame


def pcapng(frames: Iterable[BadFrame]) -> bytes:
    """A pcapng file (draft-ietf-opsawg-pcapng) of frames as they were on the wire."""
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.layers.l2 import Ether  # noqa: PLC0415  (slow, and only needed when there are any)
    from scapy.utils import PcapNgWriter  # noqa: PLC0415

    class Kept(io.BytesIO):
        def close(self) -> None:
            """The writer closes what it was given; the bytes are wanted afterwards."""

    out = Kept()
    writer = PcapNgWriter(out)  # a file object will do, whatever its annotation says
    for frame in frames:
        packet = Ether(base64.b64decode(frame.data))
        packet.comments = [finding.encode() for finding in frame.findings]
        writer.write(packet)
    writer.flush()
    return out.getvalue()
