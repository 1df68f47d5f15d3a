"""`vxqual init`: each command writes a file to begin from, and has a module of its own.

`group` has the group itself, and `writing` what all of them do with a file.
"""

from . import expectations, lab, nightly, policy, topology
from .group import init

__all__ = ["expectations", "init", "lab", "nightly", "policy", "topology"]
