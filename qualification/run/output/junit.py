"""The JUnit report, in a run whose disk may get full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from _pytest.junitxml import LogXML, xml_key

_NOWHERE = os.devnull


@contextlib.contextmanager
def written_early(config: pytest.Config) -> Iterator[OSError | None]:
    """Writes the JUnit report before pytest does, which would end by a traceback if it cannot.

    Yields:
        Why it cannot be written; None if it was, or if none was asked for. Pytest writes its own
        to nowhere in the meantime.
    """
    xml = config.stash.get(xml_key, None)
    if not isinstance(xml, LogXML):
        yield None
        return
    failure, path = None, xml.logfile
    try:
        xml.pytest_sessionfinish()
        os.chmod(path, 0o600)  # noqa: PTH101
    except OSError as error:
        failure = error
    xml.logfile = _NOWHERE
    try:
        yield failure
    finally:
        xml.logfile = path
