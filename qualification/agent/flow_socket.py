"""The sockets of a burst: made inside the tunnel namespace, and staying in it."""

from __future__ import annotations

import socket

from . import namespaces
from .messages import FlowOrder


def flow_socket(order: FlowOrder, namespace: int | None) -> socket.socket:
    """A socket of the flow's family and protocol; a namespace of None is the one we are in."""
    family = socket.AF_INET6 if ":" in order.source else socket.AF_INET
    kind = socket.SOCK_STREAM if order.protocol == "tcp" else socket.SOCK_DGRAM
    with namespaces.inside(namespace):
        return socket.socket(family, kind)
