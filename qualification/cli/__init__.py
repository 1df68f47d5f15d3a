"""The `vxqual` command: thin, each command is a few lines over the package.

A command imports what it needs inside its function, so that others, such as `vxqual verify`, start
quickly.
"""

from . import comparing, gate, init, lab, nightly, pages, running, store, stored, suite, verifying
from .root import main

__all__ = [
    "comparing",
    "gate",
    "init",
    "lab",
    "main",
    "nightly",
    "pages",
    "running",
    "store",
    "stored",
    "suite",
    "verifying",
]
