"""Puts a run into the store at its end; a store that fails costs a warning, and never a run."""

from __future__ import annotations

import logging
from pathlib import Path

from qualification.errors import VxqualError
from qualification.results.matrix import Matrix

_LOG = logging.getLogger("vxqual.run")


def check(place: str) -> None:
    """Raises unless a place can be that of a store; does not look whether it can be reached.

    Raises:
        UsageError: It cannot.
    """
    from qualification.results.index.database import Database, url_of  # noqa: PLC0415

    Database(url_of(place)).close()


def put(place: str | Path, made: Matrix, directory: Path) -> str | None:
    """Puts the results of a run into the store.

    Args:
        place: The store.
        made: The results.
        directory: The run's directory, which has all that it stored.

    Returns:
        What a user is to be told if it is not there, with the next step; None if it is.
    """
    # What takes 0.2 s to import is imported once everything else is done.
    from qualification.results.index.database import Database, url_of  # noqa: PLC0415
    from qualification.results.index.writing import index  # noqa: PLC0415

    database = Database(url_of(place))
    try:
        index(database, made, directory)
    except VxqualError as error:
        where = f"{error.where}: " if error.where else ""
        text = (
            f"the run is not in the store, and complete in its directory: {where}{error.what}\n"
            f"  next: vxqual import {directory}{database.option}"
        )
        _LOG.warning("%s", text)
        return text
    finally:
        database.close()
    _LOG.info("the run is in the store %s", database.name)
    return None
