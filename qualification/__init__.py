"""vxqual: qualify a NIC's VXLAN checksum offloads before production.

One way through the package, and imports follow it downward only::

    topology -> inventory -> plan -> orders -> evidence -> verdict -> results -> reports
"""

__version__ = "0.2.0"
