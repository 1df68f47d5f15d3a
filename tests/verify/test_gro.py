"""A receiver's capture with GRO on, made for real: VXLAN between two namespaces."""

import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from qualification.verify.command import verify_files
from qualification.verify.comparing import compare_files
from qualification.verify.reading import Wanted

from .conftest import run

RECEIVE = """
import socket
with socket.create_server(("10.77.0.2", 5000)) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    while connection.recv(65536):
        pass
"""
SEND = """
import random, socket
with socket.create_connection(("10.77.0.2", 5000)) as connection:
    for _ in range(300):
        connection.sendall(bytes(random.randrange(1, 9000)))
"""


@pytest.mark.lab
def test_no_frame_of_a_receiver_with_gro_is_wrong(sides: tuple[str, str], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("sender.pcap", "receiver.pcap")]
    with ExitStack() as stack:
        captures = []
        for side, path in zip(sides, files, strict=True):
            command = ("tcpdump", "-Z", "root", "-U", "-i", "v0", "-s", "0", "-w", str(path), "udp")
            process = subprocess.Popen(
                ["ip", "netns", "exec", side, *command], stderr=subprocess.PIPE, text=True
            )
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGINT)
            assert process.stderr is not None
            assert any("listening on" in line for line in iter(process.stderr.readline, ""))
            captures.append(process)
        receiver = subprocess.Popen(
            ["ip", "netns", "exec", sides[1], "python3", "-c", RECEIVE],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        run("ip", "netns", "exec", sides[0], "python3", "-c", SEND)
        assert receiver.wait(timeout=30) == 0
        for path in files:  # what is captured is written within a second
            size = -1
            while size != path.stat().st_size:
                size = path.stat().st_size
                time.sleep(1.2)
    lines: list[str] = []
    assert verify_files([files[1]], Wanted(), lines.append) in (0, 10)
    text = "\n".join(lines)
    assert "none wrong on the wire" in lines[0]
    assert "merged by GRO/LRO: " in text
    assert "ethtool -K IF gro off lro off rx-gro-hw off" in text
    lines.clear()
    compare_files(files[0], files[1], Wanted(), lines.append)
    assert "no frame arrived wrong" in "\n".join(lines)
