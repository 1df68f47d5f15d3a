"""Storing the agent on a host: file systems that take no file, and an sshd with few sessions."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from qualification.errors import HostError
from qualification.remote.install import _upload, install
from qualification.remote.ship import Application

from .conftest import Sshd

ELSEWHERE = "SetEnv XDG_CACHE_HOME=DIR in sshd_config"


@pytest.fixture
def home(sshd: Sshd) -> Iterator[Callable[[str], Any]]:
    """`home(options)` mounts a tmpfs on the home of the SSH user; again, to change its options."""
    mounted = False

    def mount(options: str) -> None:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "vxq-t", sshd.home], check=True)
        mounted = True

    yield mount
    if mounted:
        subprocess.run(["umount", sshd.home], check=True)


def test_a_full_home(sshd: Sshd, app: Application, home: Any) -> None:
    home("size=300k")
    with pytest.raises(HostError) as refused:
        sshd.start(app)
    assert refused.value.what.startswith(f"there is no space for the agent in {sshd.cache}: it ")
    assert "0.3 MB are free" in refused.value.what
    assert ELSEWHERE in (refused.value.hint or "")
    assert list(sshd.cache.iterdir()) == []


def test_an_agent_that_is_there_needs_no_space(sshd: Sshd, app: Application, home: Any) -> None:
    home("size=16m")
    sshd.start(app).close()
    with (sshd.home / "filler").open("wb") as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    sshd.start(app).close()


@pytest.mark.parametrize("short", [1, 4096, 40_000, 1_000_000])
def test_a_home_that_fills_up_meanwhile(sshd: Sshd, home: Any, short: int) -> None:
    """The probe found space; the last bytes find none. No part of the file stays."""
    content = bytes(2_000_000)
    home(f"size={(len(content) - short) // 4096 * 4}k")
    sshd.cache.mkdir(parents=True)
    app = Application.of(content)
    path = PurePosixPath(sshd.cache, f"agent-{app.sha256}.pyz")
    with sshd.connect() as connection, pytest.raises(HostError) as refused:
        _upload(connection, path, app.content)
    assert f"{path} cannot be written over SFTP: " in refused.value.what
    assert (refused.value.hint or "").startswith("check the free space there")
    assert list(sshd.cache.iterdir()) == []


def test_a_read_only_home(sshd: Sshd, app: Application, home: Any) -> None:
    home("ro")
    with pytest.raises(HostError) as refused:
        sshd.start(app)
    assert refused.value.what.startswith("the agent cannot be stored: Read-only file system: /")
    assert ELSEWHERE in (refused.value.hint or "")


def test_a_read_only_home_that_has_the_agent(sshd: Sshd, app: Application, home: Any) -> None:
    home("size=16m")
    sshd.start(app).close()
    home("ro")
    sshd.start(app).close()


def test_one_session_at_a_time_is_enough(sshd: Sshd, app: Application) -> None:
    sshd.configure(MaxSessions="1")
    sshd.start(app).close()  # stores the agent as well
    sshd.start(app).close()


def test_no_session_at_all(sshd: Sshd, app: Application) -> None:
    sshd.configure(MaxSessions="0")
    with pytest.raises(HostError) as refused:
        sshd.start(app)
    assert refused.value.what == (
        "sshd refuses to open a session on this connection: its MaxSessions allows none"
    )
    assert (refused.value.hint or "").startswith("set MaxSessions 10")
    assert "Exception" not in str(refused.value)


def test_sftp_beside_a_session_that_stays(sshd: Sshd) -> None:
    sshd.configure(MaxSessions="1")
    with sshd.connect() as connection:
        channel = connection.open("exec cat")
        with pytest.raises(HostError, match="MaxSessions"), connection.sftp():
            pass
        channel.close()
        with connection.sftp() as sftp:
            assert sftp.stat("/")


def test_a_clock_put_back_does_not_cost_the_new_agent(sshd: Sshd, app: Application) -> None:
    """Files of other controllers have later times than the one that is stored now."""
    sshd.cache.mkdir(parents=True)
    others = [sshd.cache / f"agent-{number}.pyz" for number in range(6)]
    for number, file in enumerate(others):
        file.touch()
        subprocess.run(["touch", "-d", f"2099-01-0{number + 1}", file], check=True)
    with sshd.connect() as connection:
        installed = install(connection, app, sudo=False)
    left = {file.name for file in sshd.cache.iterdir()}
    assert left == {PurePosixPath(installed.path).name, *(file.name for file in others[3:])}
