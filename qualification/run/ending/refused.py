"""The end of a session whose run cannot begin."""

from __future__ import annotations

import logging
from typing import NoReturn

import pytest

from qualification.errors import VxqualError
from qualification.progress import Progress

_LOG = logging.getLogger("vxqual.run")


def refuse(config: pytest.Config, say: Progress, error: VxqualError) -> NoReturn:
    """Ends a session with a sentence and the exit code of an error; pytest adds no lines to it."""
    _LOG.error("the lab is not ready, exit code %d: %s", error.exit_code, error)
    say(str(error))
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:  # it would print what follows a second time
        config.pluginmanager.unregister(reporter)
    pytest.exit("the lab is not ready, nothing was judged", returncode=error.exit_code)
