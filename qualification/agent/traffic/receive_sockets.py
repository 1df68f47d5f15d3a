"""What an application gets of frames that are made for it: sockets in the tunnel's namespace.

Of UDP one socket takes all. TCP's streams have no sender that would shake hands: each is a socket
put into its established state by TCP_REPAIR (tcp(7), `do_tcp_setsockopt` in net/ipv4/tcp.c, made
for checkpoints), with the sequence numbers that the frames are going to have.
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
"""What `wire.crafted packets` acknowledges in every segment: we have sent nothing before it."""


class ReceiveSockets:
    """Sockets that get what is delivered of a burst, and keep it until it is taken.

    Args:
        order: The burst.
        arrivals: Its frames.
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
            # What is acknowledged goes to nobody, and nobody has to be asked where that is.
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
        """Closes a socket; a stream under repair says nothing to its other end."""
        if sock.type == socket.SOCK_STREAM:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        sock.close()

    def _watch(self, sock: socket.socket, port: int) -> None:
        sock.setblocking(False)
        self._ports[sock.fileno()] = sock, port
        self._ready.register(sock, select.EPOLLIN)

    def drain(self) -> bool:
        """Takes what is there; says whether there was anything."""
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
            except OSError:  # a reset: of a stream, its end
                self._ready.unregister(number)
        return anything

    def of(self, source_port: int) -> list[bytes]:
        """What came from a source port: datagrams, or pieces of a stream in their order."""
        return self._got.get(source_port, [])

    @property
    def senders(self) -> set[int]:
        """Source ports that something came from."""
        return set(self._got)

    def close(self) -> None:
        """Ends every socket."""
        self._undo.close()


def _signed(number: int) -> int:
    """A 32-bit number as setsockopt takes it from Python."""
    return number - (1 << 32) if number >= 1 << 31 else number
