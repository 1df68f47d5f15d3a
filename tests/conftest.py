"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from qualification.lab.hosts import sshd
from tests.examples import examples

from .browser import chromium

# A job in the background of a shell, or of nohup, ignores these, and so would all that tests start.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

# How long an example takes says how busy the machine is.
settings.register_profile(
    "vxqual", examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("vxqual")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium, one for all tests."""
    with chromium() as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, but never in CI, where a skip would pass for a success."""
    if item.get_closest_marker("lab") is None:
        return
    lacks = [
        what
        for what, there in (
            ("root", os.geteuid() == 0),
            ("/dev/net/tun", Path("/dev/net/tun").exists()),
            ("sshd", sshd()),
        )
        if not there
    ]
    if lacks:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {', '.join(lacks)}")
