"""Says what is wrong with an option: one that neither vxqual nor pytest has, or its argument."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence

import pytest

from qualification.config.wording import suggestion
from qualification.errors import UsageError


class UnknownOption:
    """A plugin for `pytest.main`, which would print its own usage.

    Args:
        names: The options that `vxqual run` has.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_parse(self) -> Generator[None, pytest.Config, pytest.Config]:
        """Parses the command line.

        Raises:
            UsageError: It has an option that nobody knows, or that lacks its argument.
        """
        try:
            return (yield)
        except pytest.UsageError as error:
            found = re.search(r"unrecognized arguments: (\S+)", str(error))
            wrong = re.search(r"error: argument (\S+): (.+)", str(error))
            if found is None and wrong is not None:
                raise UsageError(
                    f"option {wrong[1]}: {wrong[2]}", hint="`vxqual run --help` has examples"
                ) from None
            if found is None:
                raise
            name = found[1].partition("=")[0]
            near = suggestion(name, self._names)
            raise UsageError(
                f"no such option {name!r}{near if 'did you mean' in near else ''}",
                hint="`vxqual run --help` lists the options; all others are those of pytest",
            ) from None
