"""Gives each pair to one xdist worker, so that pairs that share a NIC never run in parallel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class PairScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Load scheduling by group of pairs, taken from a test's id: "…::test_cell[x710/all-on/…]".

    Not by `xdist_group`, which pytest 9.2 with xdist 3.8 ignores.

    Args:
        config: The configuration of pytest.
        log: The log of xdist.
        groups: The group of each pair.
    """

    def __init__(self, config: pytest.Config, log: Any, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._groups = groups

    def _split_scope(self, nodeid: str) -> str:
        _, _, parameters = nodeid.partition("[")
        pair = parameters.partition("/")[0]
        return self._groups.get(pair, nodeid)
