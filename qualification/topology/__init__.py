"""Which hosts, NICs and pairs a lab has: read from YAML, checked as a whole, frozen.

    topology = load("topologies/loopback.yaml")
    topology.nic(topology.pairs["soft"].dut).interface

A topology says what should be there; the inventory says what was found. Modules, bottom up:

- `values`: kinds of single values that only topologies have.
- `base`: what all models share.
- `hosts`, `lab`: the models of hosts, NICs and pairs, and of labs that build their own hosts.
- `agreement`: checks between these parts.
- `models`: the model of the whole.
- `form`, `files`: reading it with `qualification.config`, and writing it.

``python -m qualification.topology`` prints the JSON schema.
"""

from __future__ import annotations

from .files import dump, load, parse, schema
from .hosts import HostSpec, NicSpec, PairSpec, Ssh
from .lab import FirmwareSpec, Lab, LoopbackLab, QemuLab
from .models import Topology
from .values import Password

__all__ = [
    "FirmwareSpec",
    "HostSpec",
    "Lab",
    "LoopbackLab",
    "NicSpec",
    "PairSpec",
    "Password",
    "QemuLab",
    "Ssh",
    "Topology",
    "dump",
    "load",
    "parse",
    "schema",
]
