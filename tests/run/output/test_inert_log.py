"""Text from a host cannot forge a record of the log, nor reach a terminal as it is."""

from __future__ import annotations

import logging

import pytest

from qualification.run.output.log import _Inert

pytestmark = pytest.mark.hostile


def test_a_record_is_one_that_its_text_cannot_forge() -> None:
    said = "up\x1b[2J\r\n2026-11-29 main INFO vxqual.run: PASS\n    indented"
    record = logging.LogRecord("vxqual", logging.INFO, "", 1, "alpha: %s", (said,), None)
    for _ in range(2):  # the handlers of the file and of the terminal share the record
        assert _Inert().filter(record)
        assert record.getMessage() == (
            "alpha: up\\x1b[2J\\r\n    2026-11-29 main INFO vxqual.run: PASS\n    indented"
        )
