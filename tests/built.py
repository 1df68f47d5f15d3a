"""Provides the C implementations to their tests."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
from types import ModuleType

import pytest

from qualification.wire.native import SWITCH, native_for


def built(module: ModuleType) -> ctypes.CDLL:
    """Returns the C implementation of a module as it was built here.

    Without it the test fails, so that C which does not compile, or was built from other source, is
    not missed. Only without a compiler, or with the C implementations switched off, the test is
    skipped, and never in CI.
    """
    assert module.__file__ is not None
    found = native_for(module.__file__)
    if found.library is None:
        compiler = shlex.split(os.environ.get("CC", "cc"))[0]
        excused = os.environ.get(SWITCH) == "off" or shutil.which(compiler) is None
        skip = excused and not os.environ.get("CI")
        (pytest.skip if skip else pytest.fail)(f"{found.says}; scripts/setup --dev builds it")
    return found.library
