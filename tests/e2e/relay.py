"""Relays standard input and output to a TCP port, as `nc` does, which not every host has."""

import os
import select
import socket
import sys

with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as there:
    while True:
        for ready in select.select([0, there], [], [])[0]:
            chunk = os.read(0, 1 << 16) if ready == 0 else there.recv(1 << 16)
            if not chunk:
                sys.exit(0)
            if ready == 0:
                there.sendall(chunk)
            else:
                os.write(1, chunk)
