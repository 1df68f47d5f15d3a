"""The `vxqual` command: thin, each command a few lines over the package.

What a command needs is imported inside it: `vxqual verify` is a tool that people wait for.
"""

from . import lab, running, stored
from .root import main

__all__ = ["lab", "main", "running", "stored"]
