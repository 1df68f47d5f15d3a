"""The settings of pytest under which the cases run."""

from __future__ import annotations

from pathlib import Path

import pytest

from qualification import cases

INTERRUPTED_IN_A_HOOK = """
    import pytest

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(item):
        yield
        raise KeyboardInterrupt
"""


def test_an_interrupt_within_a_plugin_s_hook_is_said_once(pytester: pytest.Pytester) -> None:
    """Ctrl-C may arrive anywhere, also where pluggy warns of what a hook raised."""
    settings = Path(cases.__file__).parent / "pytest.ini"
    pytester.makefile(".ini", pytest=settings.read_text())
    pytester.makeconftest(INTERRUPTED_IN_A_HOOK)
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess("-p", "no:allure_pytest")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*TeardownRaised*")
