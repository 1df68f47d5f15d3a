"""vxqual: qualify a NIC's VXLAN checksum offloads before production.

One way through the package, and imports follow it downward only::

    topology -> inventory -> plan -> orders -> evidence -> verdict -> results -> reports

PYTEST_DONT_REWRITE: the command has imported this package before pytest, which would warn that it
is too late to rewrite its assertions.
"""

__version__ = "0.2.0"
