"""What is handed on of a run: certificates, as `vxqual gate` makes them, and bundles for vendors.

Both are directories with a JSON file that names the run. Where the run is in a store, so is its
handout: the lab's site finds it there, wherever it was written.
"""

from __future__ import annotations

import json
from pathlib import Path

from qualification.errors import VxqualError

from .stored import files

CERTIFICATE, BUNDLE = "certificate", "bundle"
FILES = {CERTIFICATE: "certificate.json", BUNDLE: "bundle.json"}
"""The JSON file of each kind of handout."""
MOST_BYTES = 64 << 20
"""Of that file."""


def record(kind: str, directory: Path, run: Path, store: str | None) -> str | None:
    """Records a handout in the store of its run, if it has one.

    Args:
        kind: `CERTIFICATE` or `BUNDLE`.
        directory: Where the handout was written.
        run: The directory of the run.
        store: The store; by default that of the directory of runs.

    Returns:
        What a user is to be told if the store fails; None if the handout is recorded, or if there
        is no store, or none that has the run.
    """
    from .index import handouts  # noqa: PLC0415  (SQLAlchemy loads slowly)
    from .index.database import Database, url_of  # noqa: PLC0415

    try:
        database = Database(url_of(store or run.resolve().parent))
        if database.path is not None and not database.path.exists():
            return None
        try:
            content = files.content(directory / FILES[kind], most=MOST_BYTES)
            about = json.loads(content)["run"]
            id_ = about["id"] if kind == CERTIFICATE else about
            handouts.record(database, kind, id_, content, directory)
        finally:
            database.close()
    except VxqualError as error:
        return (
            f"the {kind} is complete, and not recorded in the store: {error.what}\n"
            "  next: keep it beside the runs, where vxqual site finds it, too"
        )
    return None
