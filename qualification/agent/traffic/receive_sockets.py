"""Receive sockets: what an application gets of the frames of a receive test.

They live in the tunnel namespace. One socket receives all UDP datagrams. The TCP streams have no
sender that could take part in a handshake: each is a socket that TCP_REPAIR (`do_tcp_setsockopt` in
net/ipv4/tcp.c, made for checkpoints) puts into the established state, with the sequence numbers
that the frames have.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterable

from pyroute2 import IPRoute

from qualification.agent.host import links, namespaces
from qualification.messages.receive import ReceiveOrder
from qualification.wire.crafted.receive_tests import ReceiveFrame

from .flow_socket import socket_for

_SO_RCVBUFFORCE = 33
_BUFFER = 8 << 20
_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ = 19, 20, 21
_RECEIVE_QUEUE, _SEND_QUEUE = 1, 2
_REPAIR_OFF, _REPAIR_OFF_QUIETLY = 0, -1  # the latter, without a window probe, since 4.19
_ACKNOWLEDGED = 1
"""The number that every crafted segment acknowledges: these sockets have sent no data."""


class ReceiveSockets:
    """Sockets to which a burst is delivered, and what they have received of it.

    Args:
        order: The burst.
        receive_frames: Its frames.
        namespace: Descriptor of the tunnel namespace.
    """

    def __init__(
        self, order: ReceiveOrder, receive_frames: Iterable[ReceiveFrame], namespace: int
    ) -> None:
        self._order, self._namespace = order, namespace
        self._got: dict[int, list[bytes]] = {}
        self._ports: dict[int, tuple[socket.socket, int]] = {}
        self._undo = contextlib.ExitStack()
        self._ready = self._undo.enter_context(contextlib.closing(select.epoll()))
        try:
            if order.protocol == "udp":
                self._open_datagrams()
            else:
                self._open_streams({a.source_port: a for a in receive_frames if a.at == 0})
        except BaseException:
            self._undo.close()
            raise

    def _open_datagrams(self) -> None:
        sock = self._socket(socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        sock.bind((self._order.inner_destination, self._order.port))
        self._watch(sock, 0)

    def _open_streams(self, firsts: dict[int, ReceiveFrame]) -> None:
        order = self._order
        with namespaces.inside(self._namespace):
            # Acknowledgements go to an address that no host has; a permanent entry avoids
            # neighbour discovery for it.
            index = links.index_of(order.device)
            with IPRoute() as route:
                route.neigh(
                    "replace", dst=order.inner_source, lladdr=order.inner_source_mac,
                    ifindex=index, state="permanent",
                )  # fmt: skip
        for port, first in firsts.items():
            sock = self._socket(socket.SOCK_STREAM)
            tcp = socket.IPPROTO_TCP
            sock.setsockopt(tcp, _TCP_REPAIR, 1)
            sock.bind((order.inner_destination, order.port))
            for queue, number in ((_SEND_QUEUE, _ACKNOWLEDGED), (_RECEIVE_QUEUE, first.sequence)):
                sock.setsockopt(tcp, _TCP_REPAIR_QUEUE, queue)
                sock.setsockopt(tcp, _TCP_QUEUE_SEQ, _signed(number))
            sock.connect((order.inner_source, port))
            try:
                sock.setsockopt(tcp, _TCP_REPAIR, _REPAIR_OFF_QUIETLY)
            except OSError:
                sock.setsockopt(tcp, _TCP_REPAIR, _REPAIR_OFF)
            self._watch(sock, port)

    def _socket(self, kind: socket.SocketKind) -> socket.socket:
        sock = socket_for(self._order.inner_destination, kind, self._namespace)
        self._undo.callback(self._end, sock)
        return sock

    @staticmethod
    def _end(sock: socket.socket) -> None:
        """Closes a socket; a stream under repair sends nothing to its other end."""
        if sock.type == socket.SOCK_STREAM:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        sock.close()

    def _watch(self, sock: socket.socket, port: int) -> None:
        sock.setblocking(False)
        self._ports[sock.fileno()] = sock, port
        self._ready.register(sock, select.EPOLLIN)

    def drain(self) -> bool:
        """Receives what is there; returns whether there was anything."""
        anything = False
        for number, _events in self._ready.poll(0):
            sock, port = self._ports[number]
            try:
                while True:
                    data, sender = sock.recvfrom(1 << 17)
                    if port and not data:
                        self._ready.unregister(number)
                        break
                    self._got.setdefault(port or sender[1], []).append(data)
                    anything = True
            except BlockingIOError:
                pass
            except OSError:  # a reset, which ends a stream
                self._ready.unregister(number)
        return anything

    def of(self, source_port: int) -> list[bytes]:
        """Returns what came from a source port: datagrams, or pieces of a stream in their order."""
        return self._got.get(source_port, [])

    @property
    def senders(self) -> set[int]:
        """Returns the source ports from which something came."""
        return set(self._got)

    def close(self) -> None:
        """Closes every socket."""
        self._undo.close()


def _signed(number: int) -> int:
    """Returns a 32-bit number as Python's setsockopt accepts it."""
    return number - (1 << 32) if number >= 1 << 31 else number
