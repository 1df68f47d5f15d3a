"""What kernels and NICs said during a cell beside its frames: findings, and no verdict. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from .evidence import Burst

_ERRORS = re.compile(
    r"(link|nic)\.(port\.|port_)?(tx_(dropped|errors|carrier_errors|aborted_errors|fifo_errors"
    r"|heartbeat_errors|window_errors|timeout_count|timeout|linearize_fail|dma_mapping_err)"
    r"|rx_(errors|crc_errors|frame_errors|length_errors|csum_(errors|bad)|crc_errors_phy"
    r"|hw_csum_err)|mdd_events?|mac_(local|remote)_faults|illegal_bytes|hw_csum_rx_error)"
)
"""Counters of errors, as the kernel and drivers name them."""
_MOST = 3


def notes_of(bursts: Iterable[Burst]) -> list[str]:
    """Returns phrases on lines of the kernel logs and counters of errors, of both hosts."""
    told: list[str] = []
    sent = [burst.sent for burst in bursts]
    received = [burst.received for burst in bursts]
    for host, answers in ("the DUT's", sent), ("the peer's", received):
        lines = Counter(line for answer in answers for line in answer.kernel_log)
        if lines:
            first = next(iter(lines))
            more = f", and {lines.total() - 1:,} lines more" if lines.total() > 1 else ""
            told.append(f"{host} kernel logged: {first}{more}")
        errors: Counter[str] = Counter()
        for answer in answers:
            errors.update({n: v for n, v in answer.counters.items() if _ERRORS.fullmatch(n)})
        if errors:
            named = ", ".join(f"{name} by {count:,}" for name, count in errors.most_common(_MOST))
            more = f" and {len(errors) - _MOST} more" if len(errors) > _MOST else ""
            told.append(f"{host} counters of errors rose: {named}{more}")
    return told
