"""What an agent may do as root, and which files it trusts: on real agents, over a real sshd."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qualification.agent.privileges import KEPT
from qualification.errors import AgentError, HostError
from qualification.messages.host import Facts
from qualification.remote.host import open_agent
from qualification.remote.ship import Application

from .conftest import Sshd

pytestmark = pytest.mark.lab


def privileges(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(Cap\w+|NoNewPrivs|Umask|Uid):\s+(.*)$", text, re.M))


def test_an_agent_keeps_only_the_capabilities_that_orders_need(sshd: Sshd) -> None:
    kept = sum(1 << number for number in KEPT.values())
    ours = int(privileges(os.getpid())["CapPrm"], 16)
    with open_agent("alpha", sshd.ssh()) as agent:
        agent.ask(Facts, "facts", timeout=30, interfaces=["lo"])
        found = privileges(agent.greeting.pid)
        threads = list(Path(f"/proc/{agent.greeting.pid}/task").iterdir())
        assert len(threads) > 1  # capabilities belong to threads; the reader is another one
        for thread in threads:
            status = (thread / "status").read_text()
            assert f"CapEff:\t{kept & ours:016x}" in status
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(found[name], 16) == kept & ours
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    assert found["NoNewPrivs"] == "1"
    assert found["Umask"] == "0077"
    assert not kept & (1 << 16 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 19)  # modules, files, ids, ptrace


def test_what_it_starts_is_no_way_back(tmp_path: Path) -> None:
    """Root, and a set-uid program of root, get no more than the agent has kept."""
    code = (
        "from qualification.agent import privileges; privileges.drop(); import subprocess;"
        "print(subprocess.run(['cat', '/proc/self/status'], capture_output=True).stdout.decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    kept = sum(1 << number for number in KEPT.values())
    assert int(re.findall(r"CapEff:\s+(\w+)", done.stdout)[0], 16) & ~kept == 0
    assert int(re.findall(r"CapPrm:\s+(\w+)", done.stdout)[0], 16) & ~kept == 0


@pytest.mark.parametrize("kind", ["link", "another user's"])
def test_a_cache_that_others_made(sshd: Sshd, app: Application, kind: str, tmp_path: Path) -> None:
    sshd.cache.parent.mkdir()
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o755)
        sshd.cache.symlink_to(tmp_path / "elsewhere")
    else:
        sshd.cache.mkdir()
        os.chown(sshd.cache, 65534, 65534)
    with pytest.raises(HostError) as caught:
        sshd.start(app)
    assert caught.value.what == (
        f"the agent cannot be stored: {sshd.cache} is a link, or belongs to another user"
    )
    assert not any(tmp_path.glob("elsewhere/*"))
    if kind == "link":
        assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755


def test_a_file_that_others_can_write_is_replaced_or_refused(sshd: Sshd, app: Application) -> None:
    sshd.start(app).close()
    [file] = sshd.cache.iterdir()
    os.chown(file, 65534, 65534)  # the right bytes, until they are checked
    sshd.start(app).close()
    assert file.stat().st_uid == os.geteuid()
    file.chmod(0o666)
    with pytest.raises(AgentError, match=r"\.pyz is a link, or others than its user can write"):
        sshd.start(app)


def test_what_it_stores_is_private_whatever_the_umask(sshd: Sshd, app: Application) -> None:
    python = os.path.realpath(sshd.bin / "python3")
    sshd.command("python3", f'umask 0; exec {python} "$@"')
    sshd.start(app).close()
    for path in (sshd.home / ".cache", sshd.cache, *sshd.cache.iterdir()):
        assert not path.stat().st_mode & 0o077, path
