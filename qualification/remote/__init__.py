"""Hosts under test: SSH connections, the agents that run there, and the sessions of pairs.

What it does is logged under "vxqual": "vxqual.ssh", "vxqual.agent" and "vxqual.pair".
"""

import logging

# Without a handler, logging would print warnings to the terminal.
logging.getLogger("vxqual").addHandler(logging.NullHandler())
