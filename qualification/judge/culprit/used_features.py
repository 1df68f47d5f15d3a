"""Which features the NIC used in a cell, by its row. Pure."""

from __future__ import annotations

from qualification.judge.result_row import CellRow
from qualification.plan.features import RULES, FeatureSpace
from qualification.plan.flows import Flow


def used(row: CellRow, driver: str = "") -> frozenset[str]:
    """Returns the features by which the NIC did its part in a cell; empty where it had none.

    Args:
        row: The cell.
        driver: The DUT's driver, on which the dependencies between features depend.
    """
    on, flow = _settled(row, driver), _flow(row)
    work = flow.work(on)
    names = flow.segmented_by if "segmentation" in work else frozenset()
    return names | (on & flow.checksummed_by if "checksum" in work else frozenset())


def work(row: CellRow, driver: str) -> frozenset[str]:
    """Returns what the features in effect left to the NIC in a cell; see `Flow.work`.

    Args:
        row: The cell.
        driver: The DUT's driver.
    """
    return _flow(row).work(_settled(row, driver))


def _flow(row: CellRow) -> Flow:
    asked = row.flow
    return Flow(
        4 if asked.outer == 4 else 6,
        asked.outer_checksum,
        4 if asked.inner == 4 else 6,
        "tcp" if asked.l4 == "tcp" else "udp",
        asked.segmentation,
        asked.port,
        tunnel=asked.tunnel,
    )


def evidence_key(row: CellRow, driver: str) -> tuple[frozenset[str], str]:
    """Returns what identifies a cell's evidence: rows with the same key share it.

    Args:
        row: The cell.
        driver: The DUT's driver.
    """
    return _settled(row, driver), row.flow.id


def _settled(row: CellRow, driver: str) -> frozenset[str]:
    space = FeatureSpace(frozenset(row.effective) & RULES.keys(), driver=driver)
    return space.settle(name for name, active in row.effective.items() if active)
