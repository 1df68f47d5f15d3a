"""Refuses stored results of another schema, and says which vxqual wrote them and what to do."""

from __future__ import annotations

from qualification import __version__
from qualification.errors import UsageError


def check_schema(schema: object, known: int, where: str, writer: object = None) -> None:
    """Raises unless a file has the schema that this vxqual reads.

    Args:
        schema: The number that the file states; None if it states none.
        known: The number that this vxqual reads.
        where: The file, and the line if there are several.
        writer: The version of the vxqual that wrote the file, if the file says so.

    Raises:
        UsageError: The file has another schema.
    """
    if schema == known:
        return
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise UsageError(
            f"has schema {schema!r}, and this vxqual reads {known}",
            where=where,
            hint="give the directory that a run wrote its results to",
        )
    version = f"vxqual {writer}" if isinstance(writer, str) else "another vxqual"
    raise UsageError(
        f"was written by {version} with schema {schema}, and this vxqual ({__version__}) reads "
        f"schema {known}",
        where=where,
        hint="judge it with the vxqual that wrote it, or qualify the NIC again with this one",
    )
