"""Makes the sockets of a burst in the tunnel namespace; a socket stays in its namespace."""

from __future__ import annotations

import socket

from qualification.agent.host import namespaces
from qualification.messages.bursts import FlowOrder


def flow_socket(order: FlowOrder, namespace: int | None) -> socket.socket:
    """Returns a socket of the flow's family and protocol; None is the current namespace."""
    kind = socket.SOCK_STREAM if order.protocol == "tcp" else socket.SOCK_DGRAM
    return socket_for(order.source, kind, namespace)


def socket_for(address: str, kind: socket.SocketKind, namespace: int | None) -> socket.socket:
    """Returns a socket of an address's family; None is the current namespace."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespaces.inside(namespace):
        return socket.socket(family, kind)
