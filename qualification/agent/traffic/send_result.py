"""What a burst came to on the sending side."""

from __future__ import annotations


class SendResult:
    """What a burst came to on the sending side; filled in while it is sent.

    Args:
        segment: Payload of a full frame, bytes, as long as nothing better is known.

    Attributes:
        written: Datagrams, or payload bytes of streams, given to the kernel.
        complete: Whether all of it was sent before the deadline.
        segment: Largest payload of one frame, bytes.
        seconds: How long it took.
    """

    def __init__(self, segment: int) -> None:
        self.written = 0
        self.complete = False
        self.segment = segment
        self.seconds = 0.0
