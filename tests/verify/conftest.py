"""Two namespaces with VXLAN between them, for captures that are made for real."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=120)


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
