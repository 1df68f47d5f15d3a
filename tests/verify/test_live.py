"""An interface is judged live: what arrives between two namespaces, with GRO noticed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import run

VXQUAL = Path(sys.executable).with_name("vxqual")
COME_AND_GO = """
import socket, sys, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
while True:
    one.sendto(bytes(700), ("10.77.0.2", 9))
    time.sleep(0.002)
"""

pytestmark = pytest.mark.lab


@contextmanager
def traffic(namespace: str) -> Iterator[None]:
    """Sends datagrams through the tunnel without end."""
    with subprocess.Popen(
        ["ip", "netns", "exec", namespace, "python3", "-c", COME_AND_GO],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


def command(namespace: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, str(VXQUAL), "verify", "--live", "v0", *words]


def live(namespace: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(namespace, *words), capture_output=True, text=True, check=False, timeout=120
    )


def gro(namespace: str) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, "ethtool", "-k", "v0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return next(line for line in done.stdout.splitlines() if "generic-receive-offload" in line)


def test_gro_is_refused_with_the_command_that_switches_it_off(sides: tuple[str, str]) -> None:
    done = live(sides[1], "--seconds", "1")
    assert (done.returncode, done.stdout) == (4, "")
    assert "rx-gro of v0 would put frames together before they are captured" in done.stderr
    assert "ethtool -K v0 gro off" in done.stderr
    assert "--gro-off" in done.stderr


def test_what_arrives_is_judged_and_gro_put_back(sides: tuple[str, str], tmp_path: Path) -> None:
    assert gro(sides[1]).endswith("on")
    with traffic(sides[0]):
        done = live(sides[1], "--seconds", "1.5", "--gro-off", "--json", "--filter", "udp")
    assert gro(sides[1]).endswith("on")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["headline"].startswith("v0: ")
    assert found["layers"]["VXLAN > UDP"]["right"] > 10
    # The second namespace answers that nobody listens, and leaves that to its NIC.
    assert found["wrong"] == 0
    assert found["vxlan"] + found["sent_by_capturing_host"] >= found["frames"]


@pytest.mark.slow
def test_a_sender_is_excused_by_direction_and_every_view_is_there(
    sides: tuple[str, str], tmp_path: Path
) -> None:
    """The first namespace finishes its frames in software, the other one does not."""
    run("ip", "netns", "exec", sides[1], "ethtool", "-K", "v0", "gro", "off")
    back = COME_AND_GO.replace("10.77.0.2", "10.77.0.1")
    with subprocess.Popen(["ip", "netns", "exec", sides[1], "python3", "-c", back]) as process:
        try:
            done = live(
                sides[1], "--seconds", "1", "--frames", "--limit", "5",
                "--write-wrong", str(tmp_path / "wrong.pcapng"),
            )  # fmt: skip
        finally:
            process.kill()
    assert "none wrong on the wire" in done.stderr
    assert "never filled in" in done.stderr
    assert len(done.stdout.splitlines()) == 6
    assert (tmp_path / "wrong.pcapng").stat().st_size > 1000


def test_an_interrupt_keeps_the_counts(sides: tuple[str, str]) -> None:
    with (
        traffic(sides[0]),
        subprocess.Popen(
            command(sides[1], "--seconds", "600", "--gro-off"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        _await_capture(process)
        time.sleep(0.5)  # so that frames arrive
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert "right" in out.splitlines()[0]
    assert "interrupted" in out.splitlines()[0]
    assert gro(sides[1]).endswith("on")


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_gro_is_put_back_whatever_happens(sides: tuple[str, str], number: int) -> None:
    with subprocess.Popen(
        command(sides[1], "--seconds", "600", "--gro-off"), stderr=subprocess.PIPE, text=True
    ) as process:
        _await_capture(process)
        assert gro(sides[1]).endswith("off")
        process.send_signal(number)
    until = time.monotonic() + 30
    while gro(sides[1]).endswith("off"):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_the_next_one_puts_back_what_a_killed_one_could_not(sides: tuple[str, str]) -> None:
    with subprocess.Popen(
        command(sides[1], "--seconds", "600", "--gro-off"), stderr=subprocess.PIPE, text=True
    ) as process:
        _await_capture(process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 10
    assert "v0 may be left changed: the process that was to do it was killed" in said
    assert "ethtool -K v0 gro on" in said
    assert gro(sides[1]).endswith("off")
    assert live(sides[1], "--seconds", "0.1", "--gro-off").returncode in (0, 10)
    assert gro(sides[1]).endswith("on")


def test_mistakes_are_told(sides: tuple[str, str]) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--clear-groups"]
    done = subprocess.run(
        [*nobody, str(VXQUAL), "verify", "--live", "lo", "--seconds", "5"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "lo: capturing needs root" in done.stderr
    assert "sudo vxqual verify --live lo --seconds 5" in done.stderr
    run("ip", "-n", sides[1], "link", "set", "v0", "down")
    assert "ip link set v0 up" in live(sides[1]).stderr
    done = subprocess.run(
        [VXQUAL, "verify", "--live", "none"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "there is no interface 'none'" in done.stderr


def _await_capture(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    assert process.stderr.readline().startswith("capturing v0")
