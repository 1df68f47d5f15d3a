"""What is in C, for tests of it."""

from __future__ import annotations

import ctypes
import os
from types import ModuleType

import pytest

from qualification.wire.twin import twin_of


def built(module: ModuleType) -> ctypes.CDLL:
    """The C twin of a module as it was built here; no compiler, no test, but never in CI."""
    assert module.__file__ is not None
    found = twin_of(module.__file__)
    if found.library is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(found.says)
    return found.library
