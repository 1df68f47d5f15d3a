"""How many examples hypothesis makes for a test of input that may mean harm."""

from __future__ import annotations

import os
from collections.abc import Collection

from hypothesis import HealthCheck, settings


def examples(usual: int, suppressed: Collection[HealthCheck] = ()) -> settings:
    """Returns settings with a number of examples; with that of `scripts/torture` if it is more.

    Args:
        usual: How many examples scripts/test makes.
        suppressed: The checks of hypothesis that the test does without.
    """
    most = max(usual, int(os.environ.get("VXQUAL_EXAMPLES", "0")))
    return settings(max_examples=most, deadline=None, suppress_health_check=suppressed)
