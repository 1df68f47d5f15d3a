"""Probes whether UDP packets to a tunnel's port pass, before there is any tunnel.

The packets are VXLAN packets with an inner frame that nobody takes: a filter that looks inside
treats them as it will treat a run's. Their source port is not the tunnel's, as VXLAN's own is not:
a stateful firewall would take packets between equal ports for answers to the other end's.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time

from qualification.messages.host import PortProbe, PortProbeResult
from qualification.messages.protocol import AgentProblem

_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_DATAGRAMS = 3
_VXLAN = struct.pack("!II", 0x08 << 24, 0xFFFFFF << 8)  # RFC 7348, section 5
_INNER = bytes.fromhex("02565800004d 02565800004e 88b5")  # to nobody; IEEE 802 local experiments


class PortListener:
    """A socket on the tunnel's port, beside a tap on the NIC.

    Args:
        probe: Own address, port and token.

    Raises:
        AgentProblem: Something on this host uses the port.
    """

    def __init__(self, probe: PortProbe) -> None:
        self._token = probe.token.encode("ascii")
        self._undo = contextlib.ExitStack()
        six = ":" in probe.local
        family = socket.AF_INET6 if six else socket.AF_INET
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            try:
                self._socket.bind((probe.local, probe.port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise AgentProblem(
                    "port-taken",
                    f"UDP port {probe.port} is in use on this host",
                    hint="stop what uses it (ss -lun; ip -d link show type vxlan), or give the "
                    "pair another port in the topology",
                ) from None
            protocol = socket.htons(_ETH_P_IPV6 if six else _ETH_P_IP)
            self._tap = undo.enter_context(
                socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, protocol)
            )
            self._tap.bind((probe.interface, socket.ntohs(protocol)))
            self._undo = undo.pop_all()

    def collect(self, seconds: float) -> PortProbeResult:
        """Returns how many of the packets came, once one was delivered or the time is over."""
        delivered = arrived = 0
        end = time.monotonic() + seconds
        while not delivered and (left := end - time.monotonic()) > 0:
            for sock in select.select([self._socket, self._tap], [], [], left)[0]:
                content, sender = sock.recvfrom(2048)
                found = self._token in content
                delivered += found and sock is self._socket
                arrived += found and sock is self._tap and sender[2] == socket.PACKET_HOST
        return PortProbeResult(delivered, arrived)

    def close(self) -> None:
        """Closes both sockets."""
        self._undo.close()


def send(probe: PortProbe) -> None:
    """Sends some packets to the other end's port.

    Raises:
        AgentProblem: A firewall of this host forbids it, or there is no route.
    """
    family = socket.AF_INET6 if ":" in probe.remote else socket.AF_INET
    content = _VXLAN + _INNER + probe.token.encode("ascii").ljust(46, b"\0")
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, probe.interface.encode())
        sock.bind((probe.local, 0))
        for _ in range(_DATAGRAMS):
            try:
                sock.sendto(content, (probe.remote, probe.port))
            except PermissionError:
                raise AgentProblem(
                    "port-filtered",
                    f"a firewall of this host lets no packet out to UDP port {probe.port} of "
                    f"{probe.remote}",
                    hint="allow it in the firewall's output rules: nft list ruleset; iptables -S",
                ) from None
            except OSError as error:
                raise AgentProblem(
                    "peer-unreachable",
                    f"{probe.remote} cannot be reached from {probe.interface}: {error.strerror}",
                    hint="check the routes and rules there: ip route get "
                    f"{probe.remote} oif {probe.interface}",
                ) from None
