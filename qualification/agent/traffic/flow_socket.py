"""The sockets of a burst: made inside the tunnel namespace, and staying in it."""

from __future__ import annotations

import socket

from qualification.agent.host import namespaces
from qualification.messages.bursts import FlowOrder


def flow_socket(order: FlowOrder, namespace: int | None) -> socket.socket:
    """A socket of the flow's family and protocol; a namespace of None is the one we are in."""
    kind = socket.SOCK_STREAM if order.protocol == "tcp" else socket.SOCK_DGRAM
    return socket_for(order.source, kind, namespace)


def socket_for(address: str, kind: socket.SocketKind, namespace: int | None) -> socket.socket:
    """A socket of an address's family; a namespace of None is the one we are in."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespaces.inside(namespace):
        return socket.socket(family, kind)
