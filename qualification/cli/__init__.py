"""The `vxqual` command: thin, each command is a few lines over the package.

`root` has the group of all commands, and says which module has each. A command imports what it
needs inside its function, so that others, such as `vxqual verify`, start quickly.
"""

from .root import main

__all__ = ["main"]
