"""A receiver's capture with GRO on, made for real: VXLAN between two namespaces."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qualification.verify.command import verify_files
from qualification.verify.comparing import compare_files
from qualification.verify.reading import Wanted

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


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=30)


@pytest.fixture
def sides() -> Iterator[tuple[str, str]]:
    """Yields two namespaces with VXLAN between them; the first finishes its frames in software."""
    if os.geteuid() or not all(map(shutil.which, ("ip", "ethtool", "tcpdump"))):
        pytest.skip("needs root, iproute2, ethtool and tcpdump")
    names = tuple(f"vxq-gro-{side}-{os.getpid()}" for side in "ab")
    with ExitStack() as stack:
        for name in names:
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "del", name)
        one, other = names
        run("ip", "link", "add", "v0", "netns", one, "type", "veth", "peer", "name", "v0",
            "netns", other)  # fmt: skip
        for number, name in enumerate(names, 1):
            ends = "local", f"198.18.77.{number}", "remote", f"198.18.77.{3 - number}"
            for words in (
                ("addr", "add", f"198.18.77.{number}/24", "dev", "v0"),
                ("link", "set", "v0", "up"),
                ("link", "add", "x0", "type", "vxlan", "id", "42", "dstport", "4789", *ends),
                ("addr", "add", f"10.77.0.{number}/24", "dev", "x0"),
                ("link", "set", "x0", "up"),
            ):
                run("ip", "-n", name, *words)
        inside = ("ip", "netns", "exec")
        run(*inside, one, "ethtool", "-K", "v0", "tx", "off", "tso", "off", "gso", "off")
        run(*inside, other, "ethtool", "-K", "v0", "gro", "on")
        yield one, other


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
