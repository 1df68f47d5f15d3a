"""Where the page of a run is, and where on it a cell is."""

from __future__ import annotations

from urllib.parse import quote

PAGE = "matrix.html"
"""The name of the page in the directory of its run."""


def address(cell: str) -> str:
    """Returns the address of a cell's evidence, relative to the directory of its run.

    Args:
        cell: The id of the cell.
    """
    return f"{PAGE}#at={quote(cell, safe='')}"
