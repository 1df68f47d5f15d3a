import ctypes

import pytest

from qualification.stack import native_walk
from tests.built import built


@pytest.fixture(scope="session")
def library() -> ctypes.CDLL:
    """Returns the C implementation of the walk."""
    return built(native_walk)
