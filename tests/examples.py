"""How many examples hypothesis makes for a test of input that may mean harm."""

from __future__ import annotations

import os

from hypothesis import settings


def examples(usual: int) -> settings:
    """Returns settings with a number of examples; with that of `scripts/torture` if it is more."""
    most = max(usual, int(os.environ.get("VXQUAL_EXAMPLES", "0")))
    return settings(max_examples=most, deadline=None)
