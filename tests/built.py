"""What is in C, for tests of it."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
from types import ModuleType

import pytest

from qualification.wire.native import SWITCH, native_for


def built(module: ModuleType) -> ctypes.CDLL:
    """The C implementation of a module as it was built here.

    Only who has no compiler, or wants no C implementation, has these tests skipped, and never in CI: one that
    does not compile, or is of another source than the one that is to be tested, fails them.
    """
    assert module.__file__ is not None
    found = native_for(module.__file__)
    if found.library is None:
        compiler = shlex.split(os.environ.get("CC", "cc"))[0]
        excused = os.environ.get(SWITCH) == "off" or shutil.which(compiler) is None
        skip = excused and not os.environ.get("CI")
        (pytest.skip if skip else pytest.fail)(f"{found.says}; scripts/setup --dev builds it")
    return found.library
