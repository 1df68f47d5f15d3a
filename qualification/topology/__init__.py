"""Which hosts and pairs a lab has: read from YAML, checked as a whole, frozen.

    topology = load("topologies/loopback.yaml")
    topology.nic(topology.pairs["soft"].dut).interface

A topology says what should be there; what turned out to be there is the inventory's to say.
In this package `values` and `models` are the shape of a topology, `agreement` is what only the
whole can tell, `document` reads YAML and keeps the places, `environment` puts variables in,
`problems` turns pydantic's errors into plain words (`wording`) for any `Form` of file, `reading`
reads one, `form` is a topology's, and `files` loads and dumps.
``python -m qualification.topology`` prints the JSON schema.
"""

from __future__ import annotations

from .files import dump, load, parse, schema
from .models import FirmwareSpec, HostSpec, LoopbackLab, NicSpec, PairSpec, Ssh, Topology
from .values import Password

__all__ = [
    "FirmwareSpec",
    "HostSpec",
    "LoopbackLab",
    "NicSpec",
    "PairSpec",
    "Password",
    "Ssh",
    "Topology",
    "dump",
    "load",
    "parse",
    "schema",
]
